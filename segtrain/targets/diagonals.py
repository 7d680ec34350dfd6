# mypy: disallow-untyped-decorators=False
"""The Poisson equation in instances of images, a diagonal at a time.

Pixels of one diagonal, row + column = constant, are no neighbours: what a sweep of the incomplete
Cholesky factorisation takes from earlier pixels lies in the diagonal before, whole vectors of it.
Every diagonal is stored from the first to the last row that the instance has on it, with zeros for
the pixels between that are outside, and as many around it as its neighbours read. The order is
another than that of the raster, the factorisation the same.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from segtrain.targets.kernels import REORDER

Array = NDArray[Any]

BLOCK = 4
"""Multiple that the lengths of diagonals are rounded up to: a vector of the processor."""

SPREAD = 4
"""Places per pixel beyond which an instance is too scattered to be stored by diagonals."""


@njit(cache=True, fastmath=REORDER, error_model="numpy")
def solve_on_diagonals(
    starts: Array,
    pixels: Array,
    row: int,
    weights: tuple[float, float],
    tolerance: float,
    u: Array,
    iterations: Array,
) -> None:
    """Solve -laplace(u) = 1 in every instance that is not scattered; the rest has 0 iterations.

    `row` is the length of a row of the padded image, `weights` are those of the neighbours in other
    rows and in the same row. See `kernels.conjugate_gradients` for all else.
    """
    at = np.empty(pixels.size, np.uint64)
    for label in range(1, starts.size - 1):
        own = slice(starts[label], starts[label + 1])
        if own.start < own.stop:
            lines, size = lay_out(pixels[own], row, at[own])
            if size > 0:
                iterations[label] = relax(lines, size, at[own], weights, tolerance, u[own])


@njit(cache=True)
def lay_out(pixels: Array, row: int, at: Array) -> tuple[Array, int]:
    """Places of the pixels by diagonals, `at`, and the diagonals with pixels.

    Returns
    -------
    lines : array of uint64, shape (diagonals, 4)
        Place of the first row, number of places, and the place of the first row in the diagonals
        before and after.
    size : int
        Number of places; 0 if they are too many.
    """
    top, bottom, left, right = pixels[0] // row, pixels[-1] // row, row, 0
    column, before = 0, -2
    for pixel in pixels:
        column = column + 1 if pixel == before + 1 else pixel % row
        left, right, before = min(left, column), max(right, column), pixel
    # Two empty diagonals on both sides save the question whether there is one.
    count = bottom - top + right - left + 5
    first, last = np.full(count, bottom - top + 1), np.zeros(count, np.int64)
    y, line, before = 0, 0, -2
    for pixel in pixels:
        if pixel == before + 1:
            line += 1
        else:
            y = pixel // row - top
            line = y + pixel % row - left + 2
        first[line], last[line], before = min(first[line], y), y + 1, pixel
    base, size = np.zeros(count, np.int64), 0
    for line in range(1, count - 1):
        low = first[line - 1 : line + 2].min() - 1
        high = last[line - 1 : line + 2].max() + 1
        base[line] = size - low
        size += max(high - low, 0) + BLOCK
        if size > SPREAD * pixels.size + (2 + BLOCK) * count:
            return np.empty((0, 4), np.uint64), 0
    before = -2
    for i in range(pixels.size):
        if pixels[i] == before + 1:
            line += 1
        else:
            y = pixels[i] // row - top
            line = y + pixels[i] % row - left + 2
        at[i], before = base[line] + y, pixels[i]
    held = np.flatnonzero(last)
    lines = np.empty((held.size, 4), np.uint64)
    for k, number in enumerate(held):
        lines[k, 0] = base[number] + first[number]
        lines[k, 1] = (last[number] - first[number] + BLOCK - 1) // BLOCK * BLOCK
        lines[k, 2] = base[number - 1] + first[number]
        lines[k, 3] = base[number + 1] + first[number]
    return lines, size


@njit(cache=True, fastmath=REORDER, error_model="numpy")
def relax(
    lines: Array,
    size: int,
    at: Array,
    weights: tuple[float, float],
    tolerance: float,
    out: Array,
) -> int:
    """`kernels.conjugate_gradients` of one instance, and its number of iterations.

    Indices are unsigned, because the loops are made of vectors only if none can be negative.
    """
    other_row, same_row = weights
    diagonal = 2 * (other_row + same_row)
    one, whole = np.uint64(1), ~np.uint64(BLOCK - 1)
    inside, pivot, inverse = np.zeros(size), np.zeros(size), np.zeros(size)
    solution, r, p, t, w = (
        np.zeros(size),
        np.zeros(size),
        np.zeros(size),
        np.zeros(size),
        np.zeros(size),
    )
    for i in at:
        inside[i] = 1
    for here, width, west, east in lines:
        north, south = west - one, east + one
        for j in range(width & whole):
            d = diagonal - same_row * t[west + j] - other_row * t[north + j]
            ahead = same_row * inside[east + j] + other_row * inside[south + j]
            pivot[here + j] = inside[here + j] * d
            inverse[here + j] = inside[here + j] / d
            t[here + j] = inverse[here + j] * ahead
    t[:] = 0
    for here, width, west, _ in lines:
        north = west - one
        for j in range(width & whole):
            total = 1 + same_row * w[west + j] + other_row * w[north + j]
            w[here + j] = inverse[here + j] * total
    residual = 0.0
    for i in range(size):
        r[i] = w[i]
        residual += pivot[i] * r[i] * r[i]
    energy, kept, count = 0.0, 0.0, 0
    while residual > tolerance * tolerance * energy and count < 10 * at.size + 100:
        count += 1
        for here, width, _, east in lines[::-1]:
            south = east + one
            for j in range(width & whole):
                own = pivot[here + j] * r[here + j] + kept * p[here + j]
                total = own + same_row * t[east + j] + other_row * t[south + j]
                p[here + j] = own
                t[here + j] = inverse[here + j] * total
        curvature = 0.0
        for here, width, west, _ in lines:
            north = west - one
            for j in range(width & whole):
                own, change = p[here + j], t[here + j]
                total = own + (diagonal - 2 * pivot[here + j]) * change
                total += same_row * w[west + j] + other_row * w[north + j]
                after = inverse[here + j] * total
                w[here + j] = after
                curvature += own * (after + change)
        step = residual / curvature
        energy += step * residual
        previous, residual = residual, 0.0
        for i in range(size):
            solution[i] += step * t[i]
            r[i] -= step * (w[i] + t[i])
            residual += pivot[i] * r[i] * r[i]
        kept = residual / previous
    for i in range(at.size):
        out[i] = solution[at[i]]
    return count
