"""Free energy of a concentration coupled to four variants."""

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, fastmath=True, inline="always")
def _order(eta: float) -> float:
    """Interpolation eta^3 (6 eta^2 - 15 eta + 10): 0 in the matrix, 1 in the particle."""
    return eta * eta * eta * (6 * eta * eta - 15 * eta + 10)


@njit(cache=True, fastmath=True, inline="always")
def _order_potential(
    eta: float, others: float, drive: float, barrier: float, repulsion: float
) -> float:
    """df/d(eta) given `others`, the sum of the squares of the other variants."""
    rest = 1 - eta
    well = rest * (15 * drive * eta * rest + barrier * (rest - eta))
    return 2 * eta * (well + repulsion * others)


@njit(cache=True, fastmath=True)
def precipitate_potential(
    u: Array,
    out: Array,
    stiffness: float,
    low: float,
    high: float,
    barrier: float,
    repulsion: float,
) -> None:
    """Derivatives of the ordered-precipitate free energy density with respect to c and each eta.

    ``u[0]`` is the concentration, ``u[1:5]`` are the order parameters of the four variants:
    written out, since a loop over them would keep the compiler from vectorising over the cells.
    """
    c, p, q, r, s = u[0], u[1], u[2], u[3], u[4]
    dc, dp, dq, dr, ds = out[0], out[1], out[2], out[3], out[4]
    for i in range(c.size):
        matrix = c[i] - low
        particle = high - c[i]
        ordered = _order(p[i]) + _order(q[i]) + _order(r[i]) + _order(s[i])
        dc[i] = 2 * stiffness * (matrix - (matrix + particle) * ordered)
        drive = stiffness * (particle - matrix) * (particle + matrix)
        pp, qq, rr, ss = p[i] * p[i], q[i] * q[i], r[i] * r[i], s[i] * s[i]
        dp[i] = _order_potential(p[i], qq + rr + ss, drive, barrier, repulsion)
        dq[i] = _order_potential(q[i], pp + rr + ss, drive, barrier, repulsion)
        dr[i] = _order_potential(r[i], pp + qq + ss, drive, barrier, repulsion)
        ds[i] = _order_potential(s[i], pp + qq + rr, drive, barrier, repulsion)


@njit(cache=True, fastmath=True)
def precipitate_energy(
    u: Array, stiffness: float, low: float, high: float, barrier: float, repulsion: float
) -> float:
    """Sum over the cells of the ordered-precipitate free energy density."""
    variants = u.shape[0] - 1
    total = 0.0
    for i in range(u.shape[1]):
        ordered = 0.0
        squares = 0.0
        fourths = 0.0
        wells = 0.0
        for v in range(1, variants + 1):
            eta = u[v, i]
            square = eta * eta
            ordered += square * eta * (6 * square - 15 * eta + 10)
            squares += square
            fourths += square * square
            wells += square * (1 - eta) * (1 - eta)
        matrix = u[0, i] - low
        particle = high - u[0, i]
        total += stiffness * (matrix * matrix * (1 - ordered) + particle * particle * ordered)
        # sum over pairs of eta_i^2 eta_j^2 = ((sum eta^2)^2 - sum eta^4) / 2
        total += barrier * wells + 0.5 * repulsion * (squares * squares - fourths)
    return total
