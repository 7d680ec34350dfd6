r"""Priors from partial differential equations, added to a loss of the labels.

"PDE-constrained optimization for neural image segmentation with physics priors" (2026) minimises
data fidelity and penalties from reaction-diffusion equations and phase-field interface energies.
Its full text is not public: the forms below are ours.

A straight interface of the profile :math:`u(x) = (1 + \tanh(x / \sqrt{2} \epsilon)) / 2`, from 10
to 90 % within 3.11 ε, has the least interface energy and no residual of the reaction-diffusion
equation. Total variation has no width. All vanish on constant masks as well, so too large a weight
shrinks objects. Pixels and voxels count as cubes, whatever their spacing.

Fields u have the shape (B, C, [Z,] Y, X), weights (B, [Z,] Y, X); lengths are in pixels. Nothing
flows through the border of the image, nor into pixels of weight 0, which count for nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Prior = Callable[[Tensor, Tensor | None, float], Tensor]
"""``prior(u, weight, eps)`` -> scalar, a weighted mean over pixels of a sum over channels."""

WIDTH = 2.0
"""ε by default, pixels: interfaces 6 pixels wide, whose energy the grid misses by 0.4 %."""

STRENGTH = 0.1
"""Weight of a prior by default: small, for a large one shrinks objects."""

KINK = 2.0**-10
"""Gradient per pixel below which total variation is rounded to be differentiable at 0."""


def interface_energy(u: Tensor, weight: Tensor | None = None, eps: float = WIDTH) -> Tensor:
    r"""Phase-field energy of the interfaces, per pixel of the image.

    .. math:: E = \int \frac{\epsilon}{2} |\nabla u|^2 + \frac{1}{\epsilon} u^2 (1 - u)^2

    over the area. The limit for ε -> 0 is √2/6 times the perimeter per area (Modica and Mortola,
    1977); a field that is 0 or 1 with a step between has ε/2 instead, and loses by softening.

    Parameters
    ----------
    u : Tensor, shape (B, C, [Z,] Y, X)
        Order parameters, 0 and 1 in the phases.
    weight : Tensor, shape (B, [Z,] Y, X), optional
        Weight of every pixel; if all are 0, so is the energy.
    eps : float
        Width of interfaces, pixels.

    Returns
    -------
    Tensor
        Scalar in float32 or better, not negative.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    u, weight = prepared(u, weight)
    steep = torch.zeros_like(u)
    for axis in range(2, u.ndim):
        squares = jumps(u, weight, axis).square()
        # Half of the two faces of a pixel, so that every face counts once.
        steep = steep + (squares.narrow(axis, 0, u.shape[axis]) + _after(squares, axis)) / 2
    well = (u * (1 - u)).square()
    return weighted_mean(eps / 2 * steep + well / eps, weight)


def reaction_diffusion(
    u: Tensor, weight: Tensor | None = None, eps: float = WIDTH, threshold: float = 0.5
) -> Tensor:
    r"""Mean square of what a bistable reaction-diffusion equation leaves at a field.

    .. math:: R = D \Delta u + u (1 - u) (u - a), \quad D = \epsilon^2 / 4

    With a = 1/2 and this D the profile of the interface energy stands still, for
    :math:`u'' = 2 (1 - 2 u) u (1 - u) / \epsilon^2` there. With another threshold a the front of
    the equation moves, at :math:`(1 - 2 a) \sqrt{D / 2}`, and no straight interface has R = 0.

    Parameters
    ----------
    u : Tensor, shape (B, C, [Z,] Y, X)
        Order parameters, 0 and 1 in the phases.
    weight : Tensor, shape (B, [Z,] Y, X), optional
        Weight of every pixel; if all are 0, so is the mean.
    eps : float
        Width of interfaces, pixels: 2 √D for a diffusivity D in pixels squared.
    threshold : float
        a in (0, 1), from which on the reaction leads to 1.

    Returns
    -------
    Tensor
        Scalar in float32 or better, not negative.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    u, weight = prepared(u, weight)
    residual = u * (1 - u) * (u - threshold)
    for axis in range(2, u.ndim):
        residual = residual + eps**2 / 4 * jumps(u, weight, axis).diff(dim=axis)
    return weighted_mean(residual.square(), weight)


def total_variation(u: Tensor, weight: Tensor | None = None, eps: float = WIDTH) -> Tensor:
    r"""Mean of the length of the gradient, :math:`|\nabla u|`, by forward differences.

    It is the perimeter of a mask per area if its edges follow the axes, and does not mind how steep
    an edge is (Rudin, Osher and Fatemi, 1992). Gradients below `KINK` count quadratically.

    Parameters
    ----------
    u : Tensor, shape (B, C, [Z,] Y, X)
        Fields.
    weight : Tensor, shape (B, [Z,] Y, X), optional
        Weight of every pixel; if all are 0, so is the mean.
    eps : float
        Unused, for nothing here has a width; all priors are called alike.

    Returns
    -------
    Tensor
        Scalar in float32 or better, not negative.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    u, weight = prepared(u, weight)
    squares = [_after(jumps(u, weight, axis), axis).square() for axis in range(2, u.ndim)]
    return weighted_mean((torch.stack(squares).sum(dim=0) + KINK**2).sqrt() - KINK, weight)


@dataclass(frozen=True)
class Regularised:
    """A loss of labels and class logits plus a prior on the class probabilities.

    The prior is half the sum over all classes, the background included: a boundary between any two
    classes counts once, and with two classes it is the prior of either alone.

    Attributes
    ----------
    data : callable
        The loss of the labels.
    prior : callable
        `interface_energy`, `reaction_diffusion` or `total_variation`.
    strength : float
        Weight of the prior; 0 gives the loss of the labels, bit for bit.
    eps : float
        Width of interfaces, pixels.
    """

    data: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    prior: Prior
    strength: float = STRENGTH
    eps: float = WIDTH

    def __call__(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(dim=1)
        prior = self.prior(p, weight, self.eps)
        return self.data(logits, target, weight) + self.strength / 2 * prior


def prepared(u: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Field in float32 at least and weights (B, 1, [Z,] Y, X) of its type."""
    expected = (u.shape[0], *u.shape[2:])
    if weight is None:
        weight = torch.ones(expected, device=u.device)
    if weight.shape != expected:
        raise ValueError(
            f"a field of shape {tuple(u.shape)} needs a weight of shape {expected}, "
            f"not {tuple(weight.shape)}"
        )
    u = u.to(torch.promote_types(u.dtype, torch.float32))
    return u, weight.to(u.dtype).unsqueeze(1)


def jumps(u: Tensor, weight: Tensor, axis: int) -> Tensor:
    """Differences across the n + 1 faces of n pixels; 0 at the border and next to weight 0."""
    steps = _padded(u, axis).diff(dim=axis)
    outside = _padded(weight == 0, axis)
    n = steps.shape[axis]
    closed = outside.narrow(axis, 0, n) | outside.narrow(axis, 1, n)
    return steps.masked_fill(closed, 0)


def _padded(x: Tensor, axis: int) -> Tensor:
    last = x.shape[axis] - 1
    return torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, last, 1)], dim=axis)


def _after(faces: Tensor, axis: int) -> Tensor:
    """Of n + 1 faces along an axis those after each of the n pixels."""
    return faces.narrow(axis, 1, faces.shape[axis] - 1)


def weighted_mean(density: Tensor, weight: Tensor) -> Tensor:
    """Mean over the pixels by their weights; 0 if all of these are."""
    total = weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight * density).sum() / total
