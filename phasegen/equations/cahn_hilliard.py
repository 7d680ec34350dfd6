"""Cahn-Hilliard: a conserved concentration in a double well."""

from collections.abc import Callable

from phasegen.equations import Array, GradientFlow, require_valid
from phasegen.kernels.cahn_hilliard import double_well_energy, double_well_potential


def cahn_hilliard(
    mobility: float = 1.0,
    gradient: float = 1.0,
    barrier: float = 1.0,
    low: float = 0.0,
    high: float = 1.0,
    spacing: float = 1.0,
    relative_mobility: Callable[[Array], Array] | None = None,
) -> GradientFlow:
    r"""Cahn-Hilliard equation with :math:`f = W (c - c_\alpha)^2 (c_\beta - c)^2`.

    Its equilibrium profile is :math:`c = (c_\alpha + c_\beta)/2 + (c_\beta - c_\alpha)/2
    \tanh(x/\ell)` with :math:`\ell = 2/(c_\beta - c_\alpha) \sqrt{\kappa / 2W}` and its interface
    energy :math:`\sqrt{\kappa W/18}\,(c_\beta - c_\alpha)^3`.

    Parameters
    ----------
    mobility, gradient, barrier : float
        M, the gradient energy coefficient kappa and W, all positive.
    low, high : float
        Equilibrium concentrations of the two phases.
    spacing : float
        Of the grid that is to resolve the interface.
    relative_mobility : callable, optional
        The mobility at concentrations `c` as a fraction (0..1) of `mobility`, which then is its
        largest value: ``lambda c: np.clip(4 * c * (1 - c), 0, 1)`` leaves diffusion along
        interfaces alone. It must not be negative, also where c overshoots.

    Raises
    ------
    InputError
        If a parameter is not positive, or the interface thinner than 3 cells.

    References
    ----------
    Cahn and Hilliard, J. Chem. Phys. 28, 258 (1958); notation of PFHub benchmark 1.
    """
    require_valid("Cahn-Hilliard", mobility, gradient, barrier, high - low, spacing)

    def potential(u: Array, out: Array) -> None:
        double_well_potential(u, out, u.dtype.type(barrier), u.dtype.type(low), u.dtype.type(high))

    def bulk_energy(u: Array) -> float:
        return float(double_well_energy(u, barrier, low, high))

    return GradientFlow(
        names=("concentration",),
        conserved=(True,),
        mobility=(mobility,),
        gradient=(gradient,),
        # Half the largest f'' makes any step stable: 2 W (high - low)^2 in the wells, a little
        # more where a curved interface raises c above them. Any excess slows large steps.
        stabiliser=(1.1 * barrier * (high - low) ** 2,),
        potential=potential,
        bulk_energy=bulk_energy,
        relative_mobility=relative_mobility,
    )
