"""Phase-field equations: each file builds one `GradientFlow`, which every integrator can run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


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
        :math:`M_i` and the gradient energy coefficient :math:`\kappa_i`, in units of the grid
        spacing.
    stabiliser : tuple of float
        :math:`a_i`: the term :math:`a_i u_i` moves from the explicit to the implicit part. About
        the largest :math:`f''` keeps large steps stable; it changes no solution.
    potential : callable
        ``potential(u, out)`` writes :math:`\partial f/\partial u_i` for ``u`` of shape
        (fields, cells).
    bulk_energy : callable
        ``bulk_energy(u)``: the sum of :math:`f` over the cells.
    """

    names: tuple[str, ...]
    conserved: tuple[bool, ...]
    mobility: tuple[float, ...]
    gradient: tuple[float, ...]
    stabiliser: tuple[float, ...]
    potential: Callable[[Array, Array], None]
    bulk_energy: Callable[[Array], float]

    def explicit_symbol(self, k2: Array) -> Array:
        """Factor of the explicit potential in Fourier space, (fields, modes): -M k^2 or -M."""
        return np.stack(
            [-m * k2 if c else np.full_like(k2, -m) for m, c in zip(self.mobility, self.conserved)]
        )

    def linear_symbol(self, k2: Array) -> Array:
        """Linear operator in Fourier space, (fields, modes): explicit symbol x (kappa k^2 + a)."""
        implicit = [kappa * k2 + a for kappa, a in zip(self.gradient, self.stabiliser)]
        return self.explicit_symbol(k2) * np.stack(implicit)
