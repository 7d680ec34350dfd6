"""Ordered precipitates: a conserved concentration coupled to four order-parameter variants."""

import numpy as np

from phasegen.elasticity import Misfit
from phasegen.equations import Array, GradientFlow, require_valid
from phasegen.errors import InputError
from phasegen.kernels.ordered_precipitates import precipitate_energy, precipitate_potential

VARIANTS = 4
"""Translational variants of the L1_2 order: the corners of the fcc cell that aluminium may take."""


def ordered_precipitates(
    low: float = 0.3,
    high: float = 0.7,
    mobility: float = 5.0,
    gradient: float = 1.0,
    stiffness: float = 2.0,
    barrier: float = 1.0,
    repulsion: float = 5.0,
    misfit: Misfit | None = None,
) -> GradientFlow:
    r"""Coupled Cahn-Hilliard / Allen-Cahn equations of a disordered matrix with L1_2 precipitates.

    .. math::
        f = A (c - c_m)^2 (1 - h) + A (c_p - c)^2 h + W \sum_i \eta_i^2 (1 - \eta_i)^2
            + \alpha \sum_{i<j} \eta_i^2 \eta_j^2, \qquad
        h = \sum_i \eta_i^3 (6 \eta_i^2 - 15 \eta_i + 10)

    Particles of different variants repel each other (:math:`\alpha`): a film of matrix stays
    between them, whereas particles of one variant coalesce.

    With a misfit the coherency energy :math:`\tfrac12 \sum_k [B(n) - \min B]\,
    |c_k|^2 / (c_p - c_m)^2` adds to it (`phasegen.elasticity`). What even a plate of the softest
    normal costs, :math:`\min B`, would do no more than draw the two concentrations together; it
    is counted into the well, so that `low` and `high` remain the (coherent) equilibrium
    concentrations of flat plates, and the lever rule the volume fraction.

    Parameters
    ----------
    low, high : float
        Equilibrium concentrations :math:`c_m` of the matrix and :math:`c_p` of the precipitate.
    mobility, gradient : float
        Of the concentration and of the order parameters alike; grid spacing 1.
    stiffness, barrier, repulsion : float
        :math:`A`, :math:`W` and :math:`\alpha`.
    misfit : Misfit, optional
        Coherent misfit of the particles, `scale` in units of :math:`W`; none by default. It holds
        for periodic boundaries.

    Raises
    ------
    InputError
        If a parameter is not positive, or the interface thinner than 3 cells.

    References
    ----------
    The free energy is that of PFHub benchmark 2 (Jokisaari et al., Comput. Mater. Sci. 126, 139
    (2017)) with a well and a repulsion written as separate terms.
    """
    require_valid("ordered precipitates", mobility, gradient, barrier)
    for name, value in {"stiffness": stiffness, "repulsion": repulsion}.items():
        if not value >= 0:
            problem = f"{name} = {value:g} is negative"
            raise InputError("ordered precipitates", problem, "Give one of at least 0")
    if not low < high:
        problem = f"the matrix, {low:g}, is no leaner than the precipitate, {high:g}"
        raise InputError("ordered precipitates", problem, "Give low < high")

    def potential(u: Array, out: Array) -> None:
        real = u.dtype.type
        precipitate_potential(
            u, out, real(stiffness), real(low), real(high), real(barrier), real(repulsion)
        )

    def bulk_energy(u: Array) -> float:
        return float(precipitate_energy(u, stiffness, low, high, barrier, repulsion))

    def coherency(k: Array) -> Array:
        assert misfit is not None
        energy = np.zeros((fields, k.shape[1]))
        kernel, moving = misfit.kernel(k), k.any(axis=0)
        energy[0, moving] = (kernel[moving] - kernel[moving].min()) / (high - low) ** 2
        return energy

    fields = 1 + VARIANTS
    return GradientFlow(
        names=("concentration", *(f"variant {v}" for v in range(1, fields))),
        conserved=(True,) + (False,) * VARIANTS,
        mobility=(mobility,) * fields,
        gradient=(gradient,) * fields,
        # Half the largest f'' makes any step stable: 2 A for c, and for eta 2 W + 2 alpha where
        # another variant is 1. Less lets the energy rise in large steps; more slows them. A is
        # doubled, for f'' also has the terms that couple c to the variants.
        stabiliser=(2 * stiffness,) + (barrier + repulsion,) * VARIANTS,
        potential=potential,
        bulk_energy=bulk_energy,
        interaction=coherency if misfit is not None else None,
    )


def fraction(eta: Array) -> Array:
    """Fraction h(eta) of each variant, 0..1, that the free energy gives to an order parameter."""
    eta = np.clip(eta, 0, 1)
    h: Array = eta**3 * (eta * (6 * eta - 15) + 10)
    return h
