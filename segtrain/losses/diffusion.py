r"""Losses of PDE3D-UNet: numerical regularisation and deep supervision, in 2D and 3D.

.. math:: L = L_{seg} + \lambda_{PDE} L_{reg} + \lambda_{aux} L_{aux}

(Gajbhiye, "Numerical methods and convolutional neural networks for 3D medical image segmentation",
section II.D). For L_reg the paper names the deviation from an implicit step, the divergence of the
flux and total variation, without formulas: these are ours. They are priors as in
`segtrain.losses.pde`, where total variation is; `Regularised` adds them to L_seg, and
`DeepSupervision` adds L_aux. Conventions on shapes, weights and borders are those of that module.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrain.losses.pde import (
    WIDTH,
    Regularised,
    jumps,
    prepared,
    total_variation,
    weighted_mean,
)

SWEEPS = 1
"""Sweeps of an implicit step by default, as many as the paper's layer has."""

AUXILIARY = 0.5
"""λ_aux by default."""


def implicit_deviation(
    u: Tensor, weight: Tensor | None = None, eps: float = WIDTH, sweeps: int = SWEEPS
) -> Tensor:
    r"""Mean square of what one implicit step of diffusion would change.

    .. math:: R = |u - v|^2, \quad (1 - \tau \Delta) v = u, \quad \tau = \epsilon^2 / 4

    with v by Jacobi sweeps that start at u; the first gives τ Δu / (1 + τ n), n being the number of
    neighbours something flows to.

    Parameters
    ----------
    u : Tensor, shape (B, C, [Z,] Y, X)
        Fields.
    weight : Tensor, shape (B, [Z,] Y, X), optional
        Weight of every pixel; if all are 0, so is the mean.
    eps : float
        Width of interfaces, pixels: twice the length √τ of diffusion.
    sweeps : int
        Sweeps of the solver.

    Returns
    -------
    Tensor
        Scalar in float32 or better, not negative; 0 for constants.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    u, weight = prepared(u, weight)
    tau = eps**2 / 4
    neighbours = _degree(weight)
    v = u
    for _ in range(sweeps):
        residual = u - v
        for axis in range(2, u.ndim):
            residual = residual + tau * jumps(v, weight, axis).diff(dim=axis)
        v = v + residual / (1 + tau * neighbours)
    return weighted_mean((u - v).square(), weight)


def flux_divergence(u: Tensor, weight: Tensor | None = None, eps: float = WIDTH) -> Tensor:
    r"""Mean square of the divergence of an edge-stopping flux.

    .. math:: R = (\nabla \cdot F)^2, \quad F_i = \frac{\partial_i u}{1 + (\epsilon \partial_i u)^2}

    the flux of Perona and Malik (IEEE TPAMI 1990, eq. 3 and 8), with a conductance of its own for
    every face: largest at slopes of 1/ε, and smaller again across the steep edge of a mask.

    Parameters
    ----------
    u : Tensor, shape (B, C, [Z,] Y, X)
        Fields.
    weight : Tensor, shape (B, [Z,] Y, X), optional
        Weight of every pixel; if all are 0, so is the mean.
    eps : float
        Width of interfaces, pixels.

    Returns
    -------
    Tensor
        Scalar in float32 or better, not negative; 0 for constants.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    u, weight = prepared(u, weight)
    divergence = torch.zeros_like(u)
    for axis in range(2, u.ndim):
        steps = jumps(u, weight, axis)
        divergence = divergence + (steps / (1 + (eps * steps).square())).diff(dim=axis)
    return weighted_mean(divergence.square(), weight)


def regularisation(u: Tensor, weight: Tensor | None = None, eps: float = WIDTH) -> Tensor:
    """L_reg whole: deviation from an implicit step, divergence of the flux, and total variation.

    Parameters and errors are those of `implicit_deviation`; the three have equal weights.
    """
    terms = (implicit_deviation, flux_divergence, total_variation)
    return torch.stack([term(u, weight, eps) for term in terms]).sum()


@dataclass(frozen=True)
class DeepSupervision:
    """A loss of the finest logits, plus the mean of that of the coarser ones.

    A level counts half as much as the next finer one (Isensee et al., "nnU-Net", Nature Methods
    2021), against the target and weight at the pixels nearest to the middle of its own. Priors hold
    for the finest level only. A network without deep supervision has the loss as it is.

    Attributes
    ----------
    loss : callable
        Of logits, target and weight.
    strength : float
        λ_aux, the weight of the coarser levels together.
    """

    loss: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    strength: float = AUXILIARY

    def __call__(
        self,
        logits: Tensor | tuple[Tensor, ...],
        target: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Loss of logits (B, K, [Z,] Y, X), or of a tuple of them, the finest first."""
        if isinstance(logits, Tensor):
            return self.loss(logits, target, weight)
        finest, *coarser = logits
        total = self.loss(finest, target, weight)
        data = self.loss.data if isinstance(self.loss, Regularised) else self.loss
        shares = [0.5**level for level in range(len(coarser))]
        for share, level in zip(shares, coarser, strict=True):
            size = level.shape[2:]
            at = None if weight is None else nearest(weight, size)
            auxiliary = data(level, nearest(target, size), at)
            total = total + self.strength * share / sum(shares) * auxiliary
        return total


def nearest(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Of a tensor (..., [Z,] Y, X) the pixels nearest to the middle of those of a coarser grid."""
    for axis, n in zip(range(-len(size), 0), size, strict=True):
        whole = x.shape[axis]
        index = ((torch.arange(n, device=x.device) + 0.5) * whole / n).long()
        x = x.index_select(axis, index)
    return x


def _degree(weight: Tensor) -> Tensor:
    """Open faces of every pixel, (B, 1, [Z,] Y, X): neither at the border nor next to weight 0."""
    degree = torch.zeros_like(weight)
    for axis in range(2, weight.ndim):
        # A field that rises by 1 per pixel jumps by 1 across open faces and not across closed ones.
        shape = [1] * weight.ndim
        shape[axis] = weight.shape[axis]
        ramp = torch.arange(weight.shape[axis], device=weight.device, dtype=weight.dtype)
        open_faces = jumps(ramp.view(shape).expand_as(weight), weight, axis)
        n = weight.shape[axis]
        degree = degree + open_faces.narrow(axis, 0, n) + open_faces.narrow(axis, 1, n)
    return degree
