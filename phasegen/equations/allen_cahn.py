"""Allen-Cahn: one order parameter, not conserved, that a driving force may push."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from phasegen.equations import Array, GradientFlow, require_valid
from phasegen.errors import InputError
from phasegen.grid import Grid
from phasegen.kernels.allen_cahn import driven_well_energy, driven_well_potential


def allen_cahn(
    mobility: float = 1.0,
    gradient: float = 1.0,
    barrier: float = 1.0,
    drive: float = 0.0,
    spacing: float = 1.0,
) -> GradientFlow:
    r"""Allen-Cahn equation with :math:`f = W \eta^2 (1 - \eta)^2 - g\, \eta^3 (6\eta^2 - 15\eta +
    10)`.

    The phases stay at 0 and 1 whatever the drive. A flat interface keeps the profile of
    :math:`g = 0`, :math:`\eta = (1 - \tanh(x/\sqrt{2\kappa/W}))/2`, nearly, and moves at
    :math:`M \kappa g/\sigma`, to first order in g, with its energy :math:`\sigma =
    \sqrt{\kappa W/18}`. A curved one also moves at :math:`M \kappa` times its curvature.

    Parameters
    ----------
    mobility, gradient, barrier : float
        M, the gradient energy coefficient kappa and W, all positive.
    drive : float
        g, by which the phase at 1 has the lower energy density; at most W / 5 in size.
    spacing : float
        Of the grid that is to resolve the interface.

    Raises
    ------
    InputError
        If a parameter is not positive, the drive too large for an interface that keeps its profile,
        or the interface thinner than 3 cells.

    References
    ----------
    Allen and Cahn, Acta Metall. 27, 1085 (1979).
    """
    require_valid("Allen-Cahn", mobility, gradient, barrier, spacing=spacing)
    if not abs(drive) <= barrier / 5:
        problem = f"drive = {drive:g} is more than a fifth of the barrier of {barrier:g}"
        raise InputError("Allen-Cahn", problem, "Lower it, or raise the barrier")

    def potential(u: Array, out: Array) -> None:
        driven_well_potential(u, out, u.dtype.type(barrier), u.dtype.type(drive))

    def bulk_energy(u: Array) -> float:
        return float(driven_well_energy(u, barrier, drive))

    return GradientFlow(
        names=("order parameter",),
        conserved=(False,),
        mobility=(mobility,),
        gradient=(gradient,),
        # Half the largest f'' makes any step stable.
        stabiliser=(barrier,),
        potential=potential,
        bulk_energy=bulk_energy,
    )


def manufactured_interface(grid: Grid) -> tuple[GradientFlow, Callable[[float], Array]]:
    r"""PFHub benchmark 7: a source makes a known, wavy interface the solution of Allen-Cahn.

    .. math::
        \eta = \tfrac12 \left(1 - \tanh \frac{y - \alpha}{\sqrt{2 \kappa}}\right), \quad
        \alpha = \tfrac14 + A_1 t \sin B_1 x + A_2 \sin (B_2 x + C_2 t)

    on :math:`[0, 1]` (x, periodic) :math:`\times [0, \tfrac12]` (y, :math:`\eta` = 1 and 0 at the
    ends), with :math:`\kappa = 4 \cdot 10^{-4}`, :math:`A_1` = 0.0075, :math:`B_1 = 8\pi`,
    :math:`A_2` = 0.03, :math:`B_2 = 22\pi`, :math:`C_2 = 0.0625\pi`. It measures the accuracy of a
    grid and an integrator.

    Parameters
    ----------
    grid : Grid
        Cells (Y, X), boundary ``("zero", "periodic")``.

    Returns
    -------
    flow : GradientFlow
        For :math:`\eta - (1 - 2y)`, which is 0 at both ends.
    exact : callable
        ``exact(time)``: the solution, (1, cells).

    References
    ----------
    Wheeler et al., Comput. Mater. Sci. 165, 6 (2019); Jokisaari et al., PFHub benchmark 7.
    """
    kappa = 4e-4
    y, x = ((np.arange(cells) + 0.5) * grid.spacing for cells in grid.shape)
    y = y[:, None]
    lift = np.broadcast_to(1 - 2 * y, grid.shape).reshape(1, -1)
    flow = allen_cahn(gradient=kappa, spacing=grid.spacing)

    def distance(time: float) -> tuple[Array, Array, Array, Array]:
        """y - alpha in units of the interface, and alpha differentiated by x, x twice and t."""
        still, moving = 8 * np.pi * x, np.pi * (22 * x + 0.0625 * time)
        alpha = 0.25 + 0.0075 * time * np.sin(still) + 0.03 * np.sin(moving)
        slope = 0.0075 * time * 8 * np.cos(still) + 0.03 * 22 * np.cos(moving)
        bend = 0.0075 * time * 64 * np.sin(still) + 0.03 * 484 * np.sin(moving)
        rate = 0.0075 * np.sin(still) + 0.03 * 0.0625 * np.pi * np.cos(moving)
        return (y - alpha) / np.sqrt(2 * kappa), np.pi * slope, -(np.pi**2) * bend, rate

    def exact(time: float) -> Array:
        return 0.5 * (1 - np.tanh(distance(time)[0])).reshape(1, -1) - lift

    def source(time: float) -> Array:
        s, slope, bend, rate = distance(time)
        profile = np.tanh(s)
        # -f' + kappa laplacian vanishes for a flat profile; what is left is what alpha adds.
        added = rate - kappa * bend - np.sqrt(2 * kappa) * profile * slope**2
        moved: Array = (1 - profile * profile) / (2 * np.sqrt(2 * kappa)) * added
        return moved.reshape(1, -1)

    def potential(u: Array, out: Array) -> None:
        flow.potential(u + lift, out)

    return replace(flow, potential=potential, source=source), exact
