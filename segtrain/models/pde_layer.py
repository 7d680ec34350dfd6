r"""PDE layer: features evolve by a learned partial differential equation, in 2D and 3D.

.. math:: \partial_t u = D_\phi[u] + N_\psi(u)

(Gajbhiye, "Numerical methods and convolutional neural networks for 3D medical image segmentation",
sections II.B and II.C). The paper leaves open what the operators look like in detail, their bounds,
and how a solve by one inner iterate stays stable; these are ours.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from phasegen.errors import InputError
from segtrain.models.moments import basis, within
from segtrain.models.precision import unmixed

THETA = {"explicit": 0.0, "semi-implicit": 1.0, "crank-nicolson": 0.5, "split": 1.0}
"""Schemes, and which share of D each takes at the end of the step."""

Scheme = Literal["explicit", "semi-implicit", "crank-nicolson", "split"]
Solver = Literal["jacobi", "gauss-seidel"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
CONVOLVE = {4: F.conv2d, 5: F.conv3d}
"""By the axes of the features, batch and channels included."""

STEP = 0.1
"""Δt at the start, pixels squared: below the limit of the explicit scheme, 1/6 in 3D."""


@dataclass(frozen=True)
class Numerics:
    """How the equation is solved.

    Attributes
    ----------
    steps : int
        K, time steps of a layer, 1-5.
    scheme : str
        A key of `THETA`. All but "explicit" are stable for every step size. "split" first lets D
        act, implicitly, then N on the result.
    solver : str
        "jacobi" or "gauss-seidel" (red-black).
    sweeps : int
        Sweeps of the solver in every step. The first one of Jacobi's does not know θ, so
        Crank-Nicolson needs two of them to be another scheme than the semi-implicit one. Explicit
        steps solve nothing: they have one sweep of Jacobi's.
    size : int
        Points of a kernel along every axis, 3 or 5.
    fields : int
        Most features that evolve. A layer of more channels evolves this many mixtures of them and
        adds what has changed to all.

    Raises
    ------
    InputError
        If a value is out of range, or would have no effect.
    """

    steps: int = 2
    scheme: Scheme = "semi-implicit"
    solver: Solver = "jacobi"
    sweeps: int = 1
    size: int = 3
    fields: int = 16

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[int | str, ...]] = {
            "steps": (1, 2, 3, 4, 5),
            "scheme": tuple(THETA),
            "solver": get_args(Solver),
            "size": (3, 5),
        }
        for name, values in allowed.items():
            if (value := getattr(self, name)) not in values:
                remedy = f"Use one of {', '.join(map(str, values))}"
                raise InputError(f"PDE layer: {name}", f"is {value!r}", remedy)
        for name in ("sweeps", "fields"):
            if (value := getattr(self, name)) < 1:
                raise InputError(f"PDE layer: {name}", f"is {value!r}", "Use 1 or more")
        once = (self.solver, self.sweeps) == ("jacobi", 1)
        if self.scheme == "crank-nicolson" and once:
            problem = "is 1, of which crank-nicolson and semi-implicit are the same"
            raise InputError("PDE layer: sweeps", problem, "Use 2 or more")
        if self.scheme == "explicit" and not once:
            problem = "is explicit, which solves nothing by sweeps"
            raise InputError("PDE layer: scheme", problem, "Leave out solver and sweeps")

    @property
    def reach(self) -> int:
        """How many pixels far a layer sees."""
        inner = self.sweeps - 1
        if self.solver == "gauss-seidel":
            inner += self.sweeps  # the second colour of a sweep sees the first
        return self.steps * (1 + inner) * (self.size // 2)


DEFAULT = Numerics()
"""Those of the paper."""


class Diffusion(nn.Module):
    r"""D: gradient, Laplacian and anisotropic diffusion of every channel in one constrained kernel.

    .. math:: D[u] = b \cdot \nabla u + a \Delta u + \nabla \cdot (L L^T \nabla u)

    with a > 0, so that :math:`A = a I + L L^T` is positive definite. These are the moments of order
    1 and 2 of the kernel, and that of order 0 is 0. The free moments of higher order, and b, are
    bounded by a such that no wave grows: with P the symbol of -Δ, even free moments change the
    real part of the symbol by less than a P / 2, of the a P or more that it has, and b and the odd
    ones make an imaginary part below a √P.

    Parameters
    ----------
    channels, axes : int
        Features, and 2 or 3 spatial axes.
    size : int
        Points of the kernel along every axis, 3 or 5.
    """

    first: Tensor
    second: Tensor
    even: Tensor
    odd: Tensor
    even_bound: Tensor
    odd_bound: Tensor

    def __init__(self, channels: int, axes: int, size: int = 3) -> None:
        super().__init__()
        self.axes, self.size = axes, size
        made = basis(axes, size)
        for name, value in made._asdict().items():
            self.register_buffer(name, value.float(), persistent=False)
        self.laplacian = nn.Parameter(torch.zeros(channels))
        """Logarithm of a."""
        self.factor = nn.Parameter(0.1 * torch.eye(axes).repeat(channels, 1, 1))
        """L, of which the lower triangle counts; not 0, where it would have no gradient."""
        self.free_even = nn.Parameter(torch.zeros(channels, len(made.even)))
        self.free_odd = nn.Parameter(torch.zeros(channels, len(made.odd_bound)))
        """Free parameters of b and of the odd moments after it."""

    def coefficients(self) -> tuple[Tensor, Tensor]:
        """b (C, axes) and A (C, axes, axes) in pixels, the axes in the order of the image's."""
        scale = self.laplacian.exp()
        triangle = self.factor.tril()
        unit = torch.eye(self.axes, device=scale.device, dtype=scale.dtype)
        odd = within(self.free_odd, self.odd_bound, scale[:, None])
        return odd[:, : self.axes], scale[:, None, None] * unit + triangle @ triangle.mT

    def kernel(self) -> Tensor:
        """The kernel of every channel: (C, size, size[, size])."""
        _, A = self.coefficients()
        scale = self.laplacian.exp()[:, None]
        i, k = torch.tril_indices(self.axes, self.axes, device=A.device)
        odd = within(self.free_odd, self.odd_bound, scale)
        even = within(self.free_even, self.even_bound, scale / 2)
        kernel = A[:, i, k] @ self.second + even @ self.even
        kernel = kernel + odd @ torch.cat([self.first, self.odd])
        return kernel.view(-1, *(self.size,) * self.axes)


class Reaction(nn.Module):
    """N: two 1x1[x1] convolutions with a ReLU between; 0 at the start."""

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        self.hidden = CONVOLUTION[axes](channels, channels, 1)
        self.weight = nn.Parameter(torch.zeros(channels, channels, *[1] * axes))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, u: Tensor, pace: Tensor) -> Tensor:
        """N(u) times the pace (C,) of every channel."""
        # The pace goes into the weights, which are few: a pass over the features less.
        weight = self.weight * pace.view(-1, *[1] * (u.ndim - 1))
        return CONVOLVE[u.ndim](self.hidden(u).relu_(), weight, self.bias * pace)


class PDELayer(nn.Module):
    r"""K time steps of :math:`\partial_t u = D[u] + N(u)`, the features being the initial state.

    With θ from `THETA` every step solves

    .. math:: (1 - \theta \Delta t D) v = \Delta t (D[u] + N(u)), \quad u \leftarrow u + v

    by sweeps from v = 0, each of which moves v by its residual over 1 + Δt δ, with δ the sum of the
    sizes of a kernel's entries but the central one. For D = Δ and θ = 1 that is Jacobi's method.
    Without N no wave grows in one step, whatever D and Δt are and after however many sweeps; with
    Crank-Nicolson's own diagonal, 1 + Δt δ / 2, one would after a single sweep. (Exceptions: more
    sweeps of Crank-Nicolson with b or odd moments, by less than 0.1 % a step where it was tried;
    and Gauss-Seidel, where powers of the step are bounded, but not by 1.) Of order 1 in Δt, and 2
    for Crank-Nicolson with a converged solve and N = 0.

    Parameters
    ----------
    channels, axes : int
        Channels of input and output, and 2 or 3 spatial axes.
    numerics : Numerics
        How the equation is solved.
    """

    def __init__(self, channels: int, axes: int, numerics: Numerics = DEFAULT) -> None:
        super().__init__()
        self.numerics = numerics
        fields = min(channels, self.numerics.fields)
        convolution = CONVOLUTION[axes]
        self.diffusion = Diffusion(fields, axes, self.numerics.size)
        self.reaction = Reaction(fields, axes)
        self.log_step = nn.Parameter(torch.tensor(STEP).log())
        """Logarithm of Δt."""
        self.mix: nn.Module | None = None
        self.spread: nn.Module | None = None
        if fields < channels:
            self.mix = convolution(channels, fields, 1, bias=False)
            self.spread = convolution(fields, channels, 1, bias=False)
            nn.init.orthogonal_(self.mix.weight)
            # At the start: a projection, as the rows of an orthogonal matrix are orthonormal.
            self.spread.weight.data.copy_(self.mix.weight.data.transpose(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Evolved features (B, channels, [Z,] Y, X) like x."""
        if self.mix is None or self.spread is None:
            return self.evolve(x).to(x.dtype)
        u = self.mix(x)
        evolved: Tensor = x + self.spread(self.evolve(u) - u)
        return evolved.to(x.dtype)

    def evolve(self, u: Tensor) -> Tensor:
        """State (B, fields, [Z,] Y, X) after all steps, in float32 at least.

        Kernels rounded to half precision would have other moments: that of order 0 not 0, so that
        constants would not stay.
        """
        with unmixed(u.device):
            return self._evolve(u.to(torch.promote_types(u.dtype, torch.float32)))

    def _evolve(self, u: Tensor) -> Tensor:
        split = self.numerics.scheme == "split"
        theta, dt = THETA[self.numerics.scheme], self.log_step.exp()
        kernel = self.diffusion.kernel()
        damping = torch.ones_like(self.diffusion.laplacian)
        if theta:
            flat = kernel.flatten(1)
            others = flat.abs().sum(dim=1) - flat[:, flat.shape[1] // 2].abs()
            damping = 1 / (1 + dt * others)
        pace = dt * damping
        kernel = kernel * pace.view(-1, *[1] * (kernel.ndim - 1))
        for _ in range(self.numerics.steps):
            first = conduct(u, kernel)
            if not split:
                first += self.reaction(u, pace)
            u = u + (self._solve(first, kernel * theta, damping) if theta else first)
            if split:
                u = u + self.reaction(u, dt.expand_as(pace))
        return u

    def _solve(self, first: Tensor, kernel: Tensor, damping: Tensor) -> Tensor:
        """v after all sweeps, given that after a first one of Jacobi's and θ Δt D / (1 + Δt δ)."""
        damping = damping.view(-1, *[1] * (first.ndim - 2))
        if self.numerics.solver == "jacobi":
            v = first
            for _ in range(self.numerics.sweeps - 1):
                v = first + (1 - damping) * v + conduct(v, kernel)
            return v
        red, black = colours(first)
        v = red * first
        for colour in [black, *[red, black] * (self.numerics.sweeps - 1)]:
            v = v + colour * (first - damping * v + conduct(v, kernel))
        return v


def conduct(u: Tensor, kernel: Tensor) -> Tensor:
    """Convolution of each channel of u (B, C, [Z,] Y, X) with its kernel (C, n, n[, n]).

    Nothing flows through the border: outside lies a copy of the outermost pixels.
    """
    radius = kernel.shape[-1] // 2
    padded = F.pad(u, (radius,) * (2 * (u.ndim - 2)), mode="replicate")
    # As a diagonal matrix of kernels: one kernel per group has no fast path in 3D on CPU.
    weight = torch.diag_embed(kernel.movedim(0, -1)).movedim((-2, -1), (0, 1))
    return CONVOLVE[u.ndim](padded, weight)


def colours(u: Tensor) -> tuple[Tensor, Tensor]:
    """The colours of a chequerboard, 1 and 0, for the pixels of u (B, C, [Z,] Y, X)."""
    places = torch.meshgrid(*(torch.arange(n, device=u.device) for n in u.shape[2:]), indexing="ij")
    red = (torch.stack(places).sum(dim=0) % 2 == 0).to(u.dtype)
    return red, 1 - red
