"""Cahn-Hilliard with the free energy of mixing: regular solutions and polymers."""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize

from phasegen.equations import Array, GradientFlow, require_positive, require_resolved
from phasegen.errors import InputError
from phasegen.kernels.regular_solution import mixing_energy, mixing_potential


def regular_solution(
    mobility: float = 1.0,
    gradient: float = 4.0,
    interaction: float = 2.5,
    lengths: tuple[float, float] = (1.0, 1.0),
    spacing: float = 1.0,
    relative_mobility: Callable[[Array], Array] | None = None,
) -> GradientFlow:
    r"""Cahn-Hilliard equation with the energy of Flory and Huggins, in units of RT per mole:

    .. math:: f = \frac{c}{N_1} \ln c + \frac{1 - c}{N_2} \ln (1 - c) + \chi c (1 - c)

    With :math:`N_1 = N_2 = 1` it is that of the regular solution. Within a tenth of the solubility
    from 0 and 1 the entropy goes on as its parabola, so that an overshoot is driven back.

    Parameters
    ----------
    mobility, gradient : float
        M and the gradient energy coefficient kappa, positive.
    interaction : float
        :math:`\chi`; above :math:`(N_1^{-1/2} + N_2^{-1/2})^2 / 2` the two do not mix.
    lengths : tuple of float
        :math:`N_1, N_2`, segments per molecule, at least 1.
    spacing : float
        Of the grid that is to resolve the interface.
    relative_mobility : callable, optional
        The mobility at concentrations `c` as a fraction (0..1) of `mobility`.

    Raises
    ------
    InputError
        If a parameter is out of its range, the components mix, or the interface is thinner than 3
        cells.

    References
    ----------
    Flory, J. Chem. Phys. 10, 51 (1942); Cahn and Hilliard, J. Chem. Phys. 28, 258 (1958).
    """
    values = {"mobility": mobility, "gradient": gradient, "spacing": spacing}
    require_positive("regular solution", values)
    low, high = binodal(interaction, lengths)
    width = _width(gradient, interaction, lengths)
    require_resolved("regular solution", width, gradient, spacing)
    first, second = lengths
    least, most = low / 10, 1 - (1 - high) / 10
    numbers = (1 / first, 1 / second, interaction, least, most)

    def potential(u: Array, out: Array) -> None:
        mixing_potential(u, out, *(u.dtype.type(number) for number in numbers))

    def bulk_energy(u: Array) -> float:
        return float(mixing_energy(u, *numbers))

    curvatures = [1 / (first * c) + 1 / (second * (1 - c)) - 2 * interaction for c in (low, high)]
    return GradientFlow(
        names=("concentration",),
        conserved=(True,),
        mobility=(mobility,),
        gradient=(gradient,),
        # Half of f'' in the steeper of the two phases, where most of the volume is, and some more
        # for what overshoots it.
        stabiliser=(0.75 * max(curvatures),),
        potential=potential,
        bulk_energy=bulk_energy,
        relative_mobility=relative_mobility,
    )


def binodal(interaction: float, lengths: tuple[float, float] = (1.0, 1.0)) -> tuple[float, float]:
    """Concentrations of the two phases in equilibrium: the common tangent.

    Raises
    ------
    InputError
        If a length is less than 1, or the components mix in any proportion.
    """
    if len(lengths) != 2 or not all(1 <= length < math.inf for length in lengths):
        problem = f"lengths = {lengths} are no segments per molecule"
        raise InputError("regular solution", problem, "Give two numbers of at least 1")
    first, second = lengths
    critical = (first**-0.5 + second**-0.5) ** 2 / 2
    if not 1.02 * critical < interaction < math.inf:
        problem = f"interaction = {interaction:g} makes no two phases"
        remedy = f"Give one above {1.02 * critical:.3g}: the critical one is {critical:.3g}"
        raise InputError("regular solution", problem, remedy)

    def gap(logits: Array) -> list[float]:
        """Differences of the two chemical potentials between the phases."""
        c = 1 / (1 + np.exp(-logits))
        rest = 1 / (1 + np.exp(logits))
        solute = np.log(c) / first + rest * (1 / first - 1 / second) + interaction * rest**2
        solvent = np.log(rest) / second + c * (1 / second - 1 / first) + interaction * c**2
        return [solute[1] - solute[0], solvent[1] - solvent[0]]

    middle = math.sqrt(first) / (math.sqrt(first) + math.sqrt(second))
    centre = math.log((1 - middle) / middle)
    # From far out: the trivial root, two equal phases, is in between.
    apart = 2 + 3 * interaction / critical
    for spread in (apart, 2 * apart, apart / 2, apart / 4):
        found = optimize.root(gap, [centre - spread, centre + spread], tol=1e-13)
        low, high = (float(1 / (1 + np.exp(-x))) for x in found.x)
        if found.success and high - low > 1e-3:
            return low, high
    raise InputError("regular solution", "no common tangent was found", "Lower the interaction")


def excess_energy(c: Array, interaction: float, lengths: tuple[float, float] = (1.0, 1.0)) -> Array:
    """Energy density above that of the two phases in equilibrium, at concentrations between."""
    low, high = binodal(interaction, lengths)

    def mixing(c: Array) -> Array:
        entropy = c / lengths[0] * np.log(c) + (1 - c) / lengths[1] * np.log(1 - c)
        mixed: Array = entropy + interaction * c * (1 - c)
        return mixed

    ends = mixing(np.array([low, high]))
    excess: Array = mixing(c) - ends[0] - (ends[1] - ends[0]) * (c - low) / (high - low)
    return excess


def _width(gradient: float, interaction: float, lengths: tuple[float, float]) -> float:
    """Width (10-90 %) of a flat interface at rest: dx/dc = sqrt(kappa / 2 excess)."""
    low, high = binodal(interaction, lengths)
    c = low + (high - low) * np.linspace(0.1, 0.9, 801)
    slope = np.sqrt(gradient / (2 * excess_energy(c, interaction, lengths)))
    return float(np.trapezoid(slope, c))
