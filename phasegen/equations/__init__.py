"""Phase-field equations: each file builds one `GradientFlow`, which every integrator can run."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.errors import InputError

Array = NDArray[Any]

THINNEST = 3.0
"""Cells an interface needs (10-90 %): the lattice pins a thinner one."""


@dataclass(frozen=True)
class GradientFlow:
    r"""Fields that descend the energy :math:`F = \int f(u) + \sum_i \kappa_i/2 |\nabla u_i|^2`.

    Conserved fields follow :math:`\partial_t u = M \nabla^2 \delta F/\delta u` (Cahn-Hilliard),
    the others :math:`\partial_t u = -M\, \delta F/\delta u` (Allen-Cahn).

    Parameters
    ----------
    names : tuple of str
        The fields, in order.
    conserved : tuple of bool
        Whether the mean of a field is conserved.
    mobility, gradient : tuple of float
        :math:`M_i` and the gradient energy coefficient :math:`\kappa_i`, in the length unit in
        which the `Grid` has its spacing (1 unless said).
    stabiliser : tuple of float
        :math:`a_i`: the term :math:`a_i u_i` moves from the explicit to the implicit part. Half the
        largest :math:`f''` keeps large steps stable; it changes no solution.
    potential : callable
        ``potential(u, out)`` writes :math:`\partial f/\partial u_i` for ``u`` of shape
        (fields, cells).
    bulk_energy : callable
        ``bulk_energy(u)``: the sum of :math:`f` over the cells.
    interaction : callable, optional
        ``interaction(k)``: kernel :math:`B_i(k)` of a further energy :math:`\frac12 \sum_k B_i
        |u_i(k)|^2`, which may depend on the direction of k (coherency strain): (fields, modes) for
        wave vectors ``k`` of shape (axes, modes).
    relative_mobility : callable, optional
        ``relative_mobility(u)``: the mobility of conserved fields in every cell as a fraction
        (0..1) of `mobility`, (fields, cells): :math:`\partial_t u = \nabla \cdot (M(u) \nabla
        \delta F/\delta u)`. It costs further transforms, two per axis.
    source : callable, optional
        ``source(time)``: a rate that is added in every cell, (fields, cells).

    Raises
    ------
    InputError
        If there is not one number for each field, or one is negative or not finite.
    """

    names: tuple[str, ...]
    conserved: tuple[bool, ...]
    mobility: tuple[float, ...]
    gradient: tuple[float, ...]
    stabiliser: tuple[float, ...]
    potential: Callable[[Array, Array], None]
    bulk_energy: Callable[[Array], float]
    interaction: Callable[[Array], Array] | None = None
    relative_mobility: Callable[[Array], Array] | None = None
    source: Callable[[float], Array] | None = None

    def __post_init__(self) -> None:
        for name in ("conserved", "mobility", "gradient", "stabiliser"):
            values = getattr(self, name)
            if len(values) != len(self.names):
                problem = f"{name} has {len(values)} entries for {len(self.names)} fields"
                raise InputError("flow", problem, "Give one for each field")
            if not all(0 <= value < math.inf for value in values):
                problem = f"{name} = {values} is negative or not finite"
                raise InputError("flow", problem, "Give numbers of at least 0")

    def explicit_symbol(self, k2: Array) -> Array:
        """Factor of the explicit potential in Fourier space, (fields, modes): -M k^2 or -M."""
        laplacian = np.array(self.conserved)[:, None]
        symbol: Array = -np.array(self.mobility)[:, None] * np.where(laplacian, k2, 1.0)
        return symbol

    def linear_symbol(self, k2: Array) -> Array:
        """Linear operator in Fourier space, (fields, modes): explicit symbol x (kappa k^2 + a)."""
        implicit = np.outer(self.gradient, k2) + np.array(self.stabiliser)[:, None]
        symbol: Array = self.explicit_symbol(k2) * implicit
        return symbol


def interface_width(gradient: float, barrier: float, span: float = 1.0) -> float:
    r"""Width (10-90 %) of a flat interface at rest.

    The well :math:`W (c - c_\alpha)^2 (c_\beta - c)^2` makes a tanh profile of the length
    :math:`\ell = 2/(c_\beta - c_\alpha) \sqrt{\kappa / 2W}`, and 10-90 % of it are
    :math:`2\, \mathrm{artanh}(0.8)\, \ell`.

    Parameters
    ----------
    gradient, barrier, span : float
        :math:`\kappa`, :math:`W` and :math:`c_\beta - c_\alpha`.
    """
    return 4 / span * math.atanh(0.8) * math.sqrt(gradient / (2 * barrier))


def require_valid(
    equation: str,
    mobility: float,
    gradient: float,
    barrier: float,
    span: float = 1.0,
    spacing: float = 1.0,
) -> None:
    """Refuse what an equation cannot mean or a grid of that spacing cannot resolve.

    Raises
    ------
    InputError
        If a parameter is not positive and finite, or the interface thinner than `THINNEST`.
    """
    values = {"mobility": mobility, "gradient": gradient, "barrier": barrier, "high - low": span}
    require_positive(equation, values | {"spacing": spacing})
    require_resolved(equation, interface_width(gradient, barrier, span), gradient, spacing)


def require_positive(source: str, values: Mapping[str, float]) -> None:
    """Refuse numbers, by their names, that are not positive and finite.

    Raises
    ------
    InputError
        For the first of them.
    """
    for name, value in values.items():
        if not 0 < value < math.inf:
            kind = "finite" if value > 0 else "positive"
            raise InputError(source, f"{name} = {value:g} is not {kind}", "Give a positive number")


def require_resolved(equation: str, width: float, gradient: float, spacing: float) -> None:
    """Refuse an interface of that width (10-90 %) and gradient coefficient on too coarse a grid.

    Raises
    ------
    InputError
        If it is thinner than `THINNEST`.
    """
    cells = width / spacing
    if cells < THINNEST:
        raise InputError(
            equation,
            f"an interface of {cells:.3g} cells (10-90 %) is too thin for the grid",
            f"Refine the grid to a spacing of {width / THINNEST:.3g}, "
            f"or raise the gradient to {gradient * (THINNEST / cells) ** 2:.3g}",
        )
