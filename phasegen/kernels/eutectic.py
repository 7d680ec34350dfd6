"""Free energy of a liquid and of a solid that separates into two phases."""

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, fastmath=True)
def eutectic_potential(
    u: Array,
    out: Array,
    barrier: float,
    well: float,
    stiffness: float,
    point: float,
    undercooling: float,
) -> None:
    """Derivatives with respect to the concentration ``u[0]`` and the solid ``u[1]``."""
    quarter = well / 4
    half = stiffness / 2
    for i in range(u.shape[1]):
        c, s = u[0, i], u[1, i]
        square, rest = c * c, 1 - s
        solid = s * s * s * (6 * s * s - 15 * s + 10)
        out[0, i] = solid * well * c * (square - 1) + (1 - solid) * stiffness * (c - point)
        drive = quarter * (square - 1) * (square - 1)
        drive -= half * (c - point) * (c - point) + undercooling
        out[1, i] = 2 * s * rest * (barrier * (rest - s) + 15 * s * rest * drive)


@njit(cache=True, fastmath=True)
def eutectic_energy(
    u: Array, barrier: float, well: float, stiffness: float, point: float, undercooling: float
) -> float:
    """Sum over the cells of the free energy density."""
    total = 0.0
    for i in range(u.shape[1]):
        c, s = u[0, i], u[1, i]
        square, rest = c * c, 1 - s
        solid = s * s * s * (6 * s * s - 15 * s + 10)
        total += barrier * s * s * rest * rest
        total += solid * well / 4 * (square - 1) * (square - 1)
        total += (1 - solid) * (stiffness / 2 * (c - point) * (c - point) + undercooling)
    return total
