"""Allen-Cahn: one order parameter, not conserved, that a driving force may push."""

from phasegen.equations import Array, GradientFlow, require_valid
from phasegen.errors import InputError
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
