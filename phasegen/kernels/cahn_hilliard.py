"""Double well of one concentration."""

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, fastmath=True)
def double_well_potential(u: Array, out: Array, barrier: float, low: float, high: float) -> None:
    """df/dc of f = barrier (c - low)^2 (high - c)^2."""
    for i in range(u.shape[1]):
        a = u[0, i] - low
        b = high - u[0, i]
        out[0, i] = 2 * barrier * a * b * (b - a)


@njit(cache=True, fastmath=True)
def double_well_energy(u: Array, barrier: float, low: float, high: float) -> float:
    """Sum over the cells of f = barrier (c - low)^2 (high - c)^2."""
    total = 0.0
    for i in range(u.shape[1]):
        a = u[0, i] - low
        b = high - u[0, i]
        total += barrier * a * a * b * b
    return total
