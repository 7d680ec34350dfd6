r"""A prior of fourth order: the residual of the Cahn-Hilliard equation.

After the modified Cahn-Hilliard equation that Bertozzi, Esedoglu and Gillette (IEEE TIP 16, 285,
2007) fill images with and VM_TUNet (Qi et al.) segments with:

.. math:: \partial_t u = -D \Delta (D \Delta u + f(u)) + \lambda (g - u)

The last term, which ties u to the data g, is the loss of the labels here. The form of the rest is
ours, with the reaction and diffusivity of `segtrain.losses.pde.reaction_diffusion`; so are shapes,
weights and borders.
"""

from torch import Tensor

from segtrain.losses.pde import WIDTH, jumps, prepared, weighted_mean


def cahn_hilliard(u: Tensor, weight: Tensor | None = None, eps: float = WIDTH) -> Tensor:
    r"""Mean square of what the Cahn-Hilliard equation leaves at a field.

    .. math:: R = D \Delta (D \Delta u + u (1 - u) (u - 1/2)), \quad D = \epsilon^2 / 4

    Neither u nor the chemical potential in the brackets flows through the border, so the sum of R
    over the image is 0: the equation moves area and never removes any. Straight interfaces of the
    profile of the interface energy have R = 0, as have constants. Short waves count with the eighth
    power of their wave number, against the fourth in `reaction_diffusion`: ragged outlines cost
    more.

    Parameters
    ----------
    u : Tensor, shape (B, C, [Z,] Y, X)
        Order parameters, 0 and 1 in the phases.
    weight : Tensor, shape (B, [Z,] Y, X), optional
        Weight of every pixel; if all are 0, so is the mean.
    eps : float
        Width of interfaces, pixels: 2 √D for a diffusivity D in pixels squared.

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
    diffusivity = eps**2 / 4
    potential = u * (1 - u) * (u - 0.5) + diffusivity * laplacian(u, weight)
    return weighted_mean((diffusivity * laplacian(potential, weight)).square(), weight)


def laplacian(u: Tensor, weight: Tensor) -> Tensor:
    """Sum of second differences (B, C, [Z,] Y, X); nothing flows to the border or to weight 0."""
    axes = range(2, u.ndim)
    return sum((jumps(u, weight, axis).diff(dim=axis) for axis in axes), start=u.new_zeros(()))
