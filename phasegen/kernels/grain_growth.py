"""Grains in bounding boxes: one dense patch of memory for every grain, no larger than it needs.

All patches lie behind each other in one array, ``phi``. The patch of grain g starts at ``start[g]``
and holds ``size[g]`` cells of the grid from the cell ``origin[g]`` on, in a frame of one cell (in
2D none along z). Shapes are (Z, Y, X), in 2D with Z = 1. Sums over the grains, ``total`` and
``count``, have a value for every cell of the grid.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

_ONE = np.uint64(1)
# Indices are unsigned: signed ones may be negative, and the test for it would keep the compiler
# from vectorising. Slices of the rows would cost more than the short rows themselves.

SHIFT = 4
"""Blocks of 2^4 cells along the rows: the projection goes on in those only that still need it."""


@njit(cache=True)
def fill_frames(
    phi: Array, start: Array, origin: Array, size: Array, shape: Array, periodic: bool
) -> None:
    """Frames of the patches that reach around the grid or to its edge; all others stay zero.

    A patch as long as the periodic grid is its own neighbour; without periodicity what lies beyond
    the edge of the grid is the mirror image.
    """
    frame = 1 if shape[0] > 1 else 0
    for g in range(len(start)):
        nz, ny, nx = size[g] + 2 * np.array([frame, 1, 1])
        patch = phi[start[g] : start[g] + nz * ny * nx].reshape((nz, ny, nx))
        for axis in range(3):
            length = size[g, axis]
            whole = periodic and length == shape[axis]
            low = whole or (not periodic and origin[g, axis] == 0)
            high = whole or (not periodic and origin[g, axis] + length == shape[axis])
            first, last = (length, 1) if periodic else (1, length)
            if axis == 0 and frame:
                if low:
                    patch[0] = patch[first]
                if high:
                    patch[nz - 1] = patch[last]
            elif axis == 1:
                if low:
                    patch[:, 0] = patch[:, first]
                if high:
                    patch[:, ny - 1] = patch[:, last]
            elif axis == 2:
                if low:
                    patch[:, :, 0] = patch[:, :, first]
                if high:
                    patch[:, :, nx - 1] = patch[:, :, last]


@njit(cache=True, fastmath=True)
def _diffuse_row(
    phi: Array,
    out: Array,
    p: int,
    width: int,
    up: int,
    deep: int,
    centre: float,
    side: float,
    floor: float,
    total: Array,
    count: Array,
    c: int,
) -> None:
    # Several loops: over too many arrays at once the compiler cannot prove that none overlap.
    for i in range(p, p + width):
        near = phi[i - _ONE] + phi[i + _ONE] + phi[i - up] + phi[i + up]
        out[i] = centre * phi[i] + side * near
    if deep:
        for i in range(p, p + width):
            out[i] += side * (phi[i - deep] + phi[i + deep])
    for i in range(width):
        y = out[p + i]
        held = y > floor
        total[c + i] += y if held else np.float32(0)
        count[c + i] += np.float32(1) if held else np.float32(0)


@njit(cache=True)
def diffuse(
    phi: Array,
    out: Array,
    start: Array,
    origin: Array,
    size: Array,
    shape: Array,
    centre: float,
    side: float,
    floor: float,
    total: Array,
    count: Array,
) -> None:
    """out = centre phi + side (sum of the 4 or 6 neighbours), before the projection.

    In `total` and `count` goes what exceeds `floor`.
    """
    frame = 1 if shape[0] > 1 else 0
    total[:] = 0
    count[:] = 0
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        first = min(size[g, 2], shape[2] - origin[g, 2])
        for z in range(size[g, 0]):
            cz = (origin[g, 0] + z) % shape[0]
            for y in range(size[g, 1]):
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                c = (cz * shape[1] + (origin[g, 1] + y) % shape[1]) * shape[2]
                # A row that reaches around the grid comes in two parts.
                for q, cell, width in (
                    (p, c + origin[g, 2], first),
                    (p + first, c, size[g, 2] - first),
                ):
                    _diffuse_row(
                        phi,
                        out,
                        np.uint64(q),
                        np.uint64(width),
                        np.uint64(up),
                        np.uint64(plane * frame),
                        centre,
                        side,
                        floor,
                        total,
                        count,
                        np.uint64(cell),
                    )


@njit(cache=True, error_model="numpy")
def threshold(total: Array, count: Array, excess: Array) -> bool:
    """Per cell, what to subtract from each grain held to make their sum 1.

    Returns False for a cell that no grain holds, or which is not finite.
    """
    lost = 0
    for i in range(excess.size):
        e = (total[i] - np.float32(1)) / count[i]
        excess[i] = max(e, np.float32(0))
        # Without a grain this is -1/0; the comparison also fails for what is not a number.
        lost += 0 if abs(e) < np.float32(2) else 1
    return lost == 0


@njit(cache=True, error_model="numpy")
def remaining(total: Array, count: Array, excess: Array, busy: Array, tolerance: float) -> bool:
    """The same in the busy blocks of cells; those with no more than `tolerance` are busy no more.

    Returns whether any block still is; there `total` and `count` are 0 for the next round.
    """
    left = False
    for block in range(busy.size):
        if not busy[block]:
            continue
        first, last = block << SHIFT, min((block + 1) << SHIFT, excess.size)
        most = np.float32(0)
        for i in range(first, last):
            e = max((total[i] - np.float32(1)) / count[i], np.float32(0))
            excess[i] = e
            most = max(most, e)
        busy[block] = most > tolerance
        if busy[block]:
            left = True
            total[first:last] = 0
            count[first:last] = 0
    return left


@njit(cache=True, fastmath=True)
def _subtract_row(
    phi: Array, p: int, width: int, excess: Array, total: Array, count: Array, c: int
) -> None:
    for i in range(width):
        x = phi[p + i] - excess[c + i]
        held = x > 0
        x = x if held else np.float32(0)
        phi[p + i] = x
        total[c + i] += x
        count[c + i] += np.float32(1) if held else np.float32(0)


@njit(cache=True)
def subtract(
    phi: Array,
    start: Array,
    origin: Array,
    size: Array,
    shape: Array,
    excess: Array,
    total: Array,
    count: Array,
) -> None:
    """phi = max(phi - excess, 0) in place, with its sum and the number of grains in every cell."""
    frame = 1 if shape[0] > 1 else 0
    total[:] = 0
    count[:] = 0
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        first = min(size[g, 2], shape[2] - origin[g, 2])
        for z in range(size[g, 0]):
            cz = (origin[g, 0] + z) % shape[0]
            for y in range(size[g, 1]):
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                c = (cz * shape[1] + (origin[g, 1] + y) % shape[1]) * shape[2]
                for q, cell, width in (
                    (p, c + origin[g, 2], first),
                    (p + first, c, size[g, 2] - first),
                ):
                    _subtract_row(
                        phi, np.uint64(q), np.uint64(width), excess, total, count, np.uint64(cell)
                    )


@njit(cache=True)
def subtract_busy(
    phi: Array,
    start: Array,
    origin: Array,
    size: Array,
    shape: Array,
    excess: Array,
    total: Array,
    count: Array,
    busy: Array,
) -> None:
    """The same in the busy blocks of cells."""
    frame = 1 if shape[0] > 1 else 0
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        first = min(size[g, 2], shape[2] - origin[g, 2])
        for z in range(size[g, 0]):
            cz = (origin[g, 0] + z) % shape[0]
            for y in range(size[g, 1]):
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                c = (cz * shape[1] + (origin[g, 1] + y) % shape[1]) * shape[2]
                for q, cell, width in (
                    (p, c + origin[g, 2], first),
                    (p + first, c, size[g, 2] - first),
                ):
                    for block in range(cell >> SHIFT, ((cell + width - 1) >> SHIFT) + 1):
                        if busy[block]:
                            low = max(cell, block << SHIFT)
                            high = min(cell + width, (block + 1) << SHIFT)
                            _subtract_row(
                                phi,
                                np.uint64(q + low - cell),
                                np.uint64(high - low),
                                excess,
                                total,
                                count,
                                np.uint64(low),
                            )
