r"""Eutectic solidification: a liquid that freezes into two solids of different concentration.

.. math::
    f = W s^2 (1 - s)^2 + h(s) \tfrac A4 (c^2 - 1)^2
        + (1 - h(s)) \left[\tfrac B2 (c - c_E)^2 + \Delta g\right], \qquad
    h = s^3 (6 s^2 - 15 s + 10)

The concentration c is conserved, the solid s is not. In the solid, s = 1, c separates into the
phases alpha (-1) and beta (1); the liquid mixes. At the eutectic temperature (:math:`\Delta g = 0`)
the three phases coexist at -1, :math:`c_E` and 1; below it a liquid of eutectic concentration
freezes into lamellae side by side, which exchange solute along the front. Those of a spacing
:math:`\lambda` stand still at :math:`\lambda_0 = 2 \sigma / \Delta g`, where their interface energy
:math:`\sigma = \sqrt{8 \kappa A / 9}` takes up the driving force, and grow fastest at about twice
that (Zener's maximum), with :math:`\lambda^2 v` the same at any undercooling (Jackson and Hunt).
"""

import math

from phasegen.equations import Array, GradientFlow, require_valid
from phasegen.errors import InputError
from phasegen.kernels.eutectic import eutectic_energy, eutectic_potential


def eutectic(
    driving_force: float,
    point: float = 0.0,
    mobility: float = 1.0,
    kinetics: float = 1.0,
    gradient: float = 1.5,
    well: float = 1.0,
    stiffness: float = 1.0,
    barrier: float = 1.0,
) -> GradientFlow:
    r"""Coupled Cahn-Hilliard / Allen-Cahn equations of eutectic solidification.

    Parameters
    ----------
    driving_force : float
        :math:`\Delta g`, in proportion to the undercooling below the eutectic temperature. From
        `partitionless` on, a solid could form without separating.
    point : float
        Eutectic concentration :math:`c_E`, between -1 and 1: the lamellae of beta fill
        :math:`(1 + c_E) / 2`.
    mobility, kinetics : float
        Mobility of the concentration, alike in liquid and solid, and of the order parameter.
    gradient : float
        Gradient energy coefficient of both fields; grid spacing 1.
    well, stiffness, barrier : float
        A, B and W.

    Raises
    ------
    InputError
        If a parameter is not positive, the concentration out of its range, or an interface thinner
        than 3 cells.

    References
    ----------
    Drolet, Elder, Grant and Kosterlitz, Phys. Rev. E 61, 6705 (2000), with wells that stay at
    their concentrations whatever the undercooling. Jackson and Hunt, Trans. Metall. Soc. AIME 236,
    1129 (1966).
    """
    values = {"driving_force": driving_force, "kinetics": kinetics, "stiffness": stiffness}
    for name, value in values.items():
        if not value > 0:
            raise InputError(
                "eutectic", f"{name} = {value:g} is not positive", "Give a positive one"
            )
    if not -1 < point < 1:
        problem = f"point = {point:g} lies outside the two solids"
        raise InputError("eutectic", problem, "Choose one between -1 and 1")
    require_valid("eutectic, solid and liquid", mobility, gradient, barrier)
    require_valid("eutectic, alpha and beta", mobility, gradient, well / 4, 2.0)

    def potential(u: Array, out: Array) -> None:
        real = u.dtype.type
        scalars = (barrier, well, stiffness, point, driving_force)
        eutectic_potential(u, out, *map(real, scalars))

    def bulk_energy(u: Array) -> float:
        return float(eutectic_energy(u, barrier, well, stiffness, point, driving_force))

    return GradientFlow(
        names=("concentration", "solid"),
        conserved=(True, False),
        mobility=(mobility, kinetics),
        gradient=(gradient, gradient),
        # Half the largest f'' (2 A in the wells, 2 W and the driving forces for s) and a margin.
        stabiliser=(max(1.5 * well, 0.75 * stiffness), 2 * barrier),
        potential=potential,
        bulk_energy=bulk_energy,
    )


def lamellar_energy(gradient: float = 1.5, well: float = 1.0) -> float:
    """Energy of a flat interface between alpha and beta, per unit area."""
    return math.sqrt(8 * gradient * well / 9)


def partitionless(point: float = 0.0, well: float = 1.0) -> float:
    """Driving force at which a solid of the eutectic concentration is as good as the liquid."""
    return well / 4 * (1 - point * point) ** 2
