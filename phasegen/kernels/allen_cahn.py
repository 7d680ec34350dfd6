"""Double well of one order parameter that a driving force tilts."""

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, fastmath=True)
def driven_well_potential(u: Array, out: Array, barrier: float, drive: float) -> None:
    """df/d(eta) of f = barrier eta^2 (1 - eta)^2 - drive eta^3 (6 eta^2 - 15 eta + 10)."""
    for i in range(u.shape[1]):
        eta = u[0, i]
        rest = 1 - eta
        out[0, i] = 2 * eta * rest * (barrier * (rest - eta) - 15 * drive * eta * rest)


@njit(cache=True, fastmath=True)
def driven_well_energy(u: Array, barrier: float, drive: float) -> float:
    """Sum over the cells of f."""
    total = 0.0
    for i in range(u.shape[1]):
        eta = u[0, i]
        square = eta * eta
        rest = 1 - eta
        total += barrier * square * rest * rest
        total -= drive * square * eta * (6 * square - 15 * eta + 10)
    return total
