"""Free energy of mixing of one concentration; the inverse lengths of the molecules are a and b."""

import math
from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, fastmath=True)
def mixing_potential(
    u: Array, out: Array, a: float, b: float, interaction: float, least: float, most: float
) -> None:
    """df/dc of f = a c ln c + b (1 - c) ln (1 - c) + interaction c (1 - c).

    Outside least..most the entropy is the parabola that continues it.
    """
    for i in range(u.shape[1]):
        c = u[0, i]
        inner = min(max(c, least), most)
        beyond = c - inner
        rest = 1 - inner
        slope = a * (math.log(inner) + 1) - b * (math.log(rest) + 1)
        out[0, i] = slope + beyond * (a / inner + b / rest) + interaction * (1 - 2 * c)


@njit(cache=True, fastmath=True)
def mixing_energy(
    u: Array, a: float, b: float, interaction: float, least: float, most: float
) -> float:
    """Sum over the cells of f."""
    total = 0.0
    for i in range(u.shape[1]):
        c = u[0, i]
        inner = min(max(c, least), most)
        beyond = c - inner
        rest = 1 - inner
        slope = a * (math.log(inner) + 1) - b * (math.log(rest) + 1)
        total += a * inner * math.log(inner) + b * rest * math.log(rest)
        total += beyond * (slope + 0.5 * beyond * (a / inner + b / rest))
        total += interaction * c * (1 - c)
    return total
