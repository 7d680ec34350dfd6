"""Grains in bounding boxes: one dense patch of memory for every grain, no larger than it needs.

All patches lie behind each other in one array, ``phi``. The patch of grain g starts at ``start[g]``
and holds ``size[g]`` cells of the grid from the cell ``origin[g]`` on, in a frame of one cell (in
2D none along z). Shapes are (Z, Y, X), in 2D with Z = 1.

Deep in a grain and far from it a step changes nothing, so it goes along spans: runs of cells along
the rows of the patches, on the boundaries and one cell beyond. The spans of one strip of the grid
after the other are taken through all of the step, while the sums over the grains are in the cache.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

_ONE = np.uint64(1)
# Indices are unsigned: signed ones may be negative, and the test for it would keep the compiler
# from vectorising. Slices of the rows would cost more than the short rows themselves.

LANES = 8
"""Spans are that many cells long or a multiple where there is room, for the vector registers."""

SHIFT = 4
"""Blocks of 2^4 cells along the rows: the projection goes on in those only that still need it."""

STRIP = 1 << 14
"""Cells of the grid, about, that are settled at a time: what they need stays in the cache."""


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


@njit(cache=True)
def _mark(phi: Array, marks: Array, start: Array, size: Array, shape: Array) -> None:
    """In `marks`, whether the cell and its 4 or 6 neighbours are neither all 0 nor all 1.

    What is not marked stays as it is in a step. The frames of `phi` are filled.
    """
    frame = 1 if shape[0] > 1 else 0
    for g in range(len(start)):
        up = np.uint64(size[g, 2] + 2)
        plane = up * np.uint64(size[g, 1] + 2)
        for z in range(size[g, 0]):
            for y in range(size[g, 1]):
                p = (
                    np.uint64(start[g])
                    + np.uint64(z + frame) * plane
                    + np.uint64(y + 1) * up
                    + _ONE
                )
                for i in range(p, p + np.uint64(size[g, 2])):
                    low = min(min(phi[i - _ONE], phi[i + _ONE]), min(phi[i - up], phi[i + up]))
                    high = max(max(phi[i - _ONE], phi[i + _ONE]), max(phi[i - up], phi[i + up]))
                    if frame:
                        low = min(low, min(phi[i - plane], phi[i + plane]))
                        high = max(high, max(phi[i - plane], phi[i + plane]))
                    marks[i] = (min(low, phi[i]) < 1) & (max(high, phi[i]) > 0)


@njit(cache=True)
def find_spans(
    phi: Array,
    start: Array,
    origin: Array,
    size: Array,
    shape: Array,
    periodic: bool,
    strip: int,
) -> tuple[Array, Array, Array, Array]:
    """Runs of cells along the rows that a step may change, the marked ones and their neighbours.

    Returns the spans, rows of (place in phi, cell of the grid, length, strides of y and z in phi;
    the last is 0 in 2D), in the order of the strips of `strip` cells; the first span of every
    strip; per cell of the grid, 1 where a grain fills it without a span, else 0; and the rim,
    places in phi beside the marked ones: while these do not change, the spans hold.
    """
    frame = 1 if shape[0] > 1 else 0
    spans = np.empty((1024, 5), np.uint32)
    rim = np.empty(1024, np.uint32)
    found, rims = 0, 0
    full = np.zeros(shape.prod(), np.float32)
    marks = np.zeros(len(phi), np.bool_)
    _mark(phi, marks, start, size, shape)
    fill_frames(marks, start, origin, size, shape, periodic)
    strips = (full.size + strip - 1) // strip
    firsts = np.zeros(strips + 1, np.int64)
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        first = min(size[g, 2], shape[2] - origin[g, 2])
        if found + plane * size[g, 0] > len(spans):
            spans = np.concatenate((spans, np.empty((found + plane * size[g, 0], 5), np.uint32)))
        if rims + plane * size[g, 0] > len(rim):
            rim = np.concatenate((rim, np.empty(rims + plane * size[g, 0], np.uint32)))
        for z in range(size[g, 0]):
            cz = (origin[g, 0] + z) % shape[0]
            for y in range(size[g, 1]):
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                c = (cz * shape[1] + (origin[g, 1] + y) % shape[1]) * shape[2]
                for q, cell, width in (
                    (p, c + origin[g, 2], first),
                    (p + first, c, size[g, 2] - first),
                ):
                    x, end = 0, 0
                    while x < width:
                        # The next run, over gaps no longer than LANES.
                        low, last = -1, -1
                        while x < width and (last < 0 or x - last <= LANES):
                            i = q + x
                            near = marks[i - 1] | marks[i + 1] | marks[i - up] | marks[i + up]
                            if frame:
                                near |= marks[i - plane] | marks[i + plane]
                            if marks[i] | near:
                                low = x if last < 0 else low
                                last = x
                                if not marks[i]:
                                    rim[rims] = i
                                    rims += 1
                            x += 1
                        if last < 0:
                            low, length = width, 0
                        else:
                            length = (last - low) // LANES * LANES + LANES
                            low = max(end, min(low, width - length))
                            length = min(length, width - low)
                        for k in range(end, low):
                            if phi[q + k] == 1:
                                full[cell + k] = 1
                        if length:
                            spans[found, 0] = q + low
                            spans[found, 1] = cell + low
                            spans[found, 2] = length
                            spans[found, 3] = up
                            spans[found, 4] = plane * frame
                            firsts[(cell + low) // strip + 1] += 1
                            found += 1
                            end = low + length
                            x = end
                    for k in range(end, width):
                        if phi[q + k] == 1:
                            full[cell + k] = 1
    firsts = np.cumsum(firsts)
    ordered = np.empty((found, 5), np.uint32)
    place = firsts.copy()
    for s in range(found):
        k = spans[s, 1] // strip
        ordered[place[k]] = spans[s]
        place[k] += 1
    return ordered, firsts, full, rim[:rims].copy()


@njit(cache=True)
def spread(phi: Array, rim: Array) -> bool:
    """Whether a boundary has reached a cell of the rim of the spans."""
    reached = 0
    for i in rim:
        reached += 1 if 0 < phi[i] < 1 else 0
    return reached > 0


@njit(cache=True, fastmath=True)
def _diffuse(
    phi: Array,
    work: Array,
    w: int,
    p: int,
    width: int,
    up: int,
    deep: int,
    centre: float,
    side: float,
) -> None:
    if deep:
        for i in range(width):
            j = p + i
            near = phi[j - _ONE] + phi[j + _ONE] + phi[j - up] + phi[j + up]
            work[w + i] = centre * phi[j] + side * (near + phi[j - deep] + phi[j + deep])
    else:
        for i in range(width):
            j = p + i
            near = phi[j - _ONE] + phi[j + _ONE] + phi[j - up] + phi[j + up]
            work[w + i] = centre * phi[j] + side * near


@njit(cache=True, fastmath=True)
def _add(work: Array, w: int, width: int, floor: float, total: Array, count: Array, c: int) -> None:
    for i in range(width):
        y = work[w + i]
        held = y > floor
        total[c + i] += y if held else np.float32(0)
        count[c + i] += np.float32(1) if held else np.float32(0)


@njit(cache=True, fastmath=True)
def _add_rest(
    work: Array, w: int, width: int, excess: Array, total: Array, count: Array, c: int
) -> None:
    for i in range(width):
        x = work[w + i] - excess[c + i]
        held = x > 0
        total[c + i] += x if held else np.float32(0)
        count[c + i] += np.float32(1) if held else np.float32(0)


@njit(cache=True, error_model="numpy")
def _threshold(total: Array, count: Array, excess: Array, cells: int) -> bool:
    """Per cell, what to subtract from each grain held to make their sum 1.

    Returns False for a cell that no grain holds, or which is not finite.
    """
    lost = 0
    for i in range(cells):
        e = (total[i] - np.float32(1)) / count[i]
        excess[i] = max(e, np.float32(0))
        # Without a grain this is -1/0; the comparison also fails for what is not a number.
        lost += 0 if abs(e) < np.float32(2) else 1
    return lost == 0


@njit(cache=True, error_model="numpy")
def _lower(
    total: Array, count: Array, excess: Array, busy: Array, cells: int, tolerance: float
) -> bool:
    """Add the same in the busy blocks; those with no more than `tolerance` are busy no more.

    Returns whether any block still is.
    """
    left = False
    for block in range(((cells - 1) >> SHIFT) + 1):
        if not busy[block]:
            continue
        over = 0
        for i in range(block << SHIFT, min((block + 1) << SHIFT, cells)):
            e = max((total[i] - np.float32(1)) / count[i], np.float32(0))
            excess[i] += e
            over += 1 if e > tolerance else 0
        busy[block] = over > 0
        left |= busy[block]
    return left


@njit(cache=True)
def _narrow(parts: Array, number: int, busy: Array) -> int:
    """Cut the parts of spans to their busy blocks, leave out those without; how many are left."""
    left = 0
    for k in range(number):
        w, c, n = parts[k, 0], parts[k, 1], parts[k, 2]
        first, last = c >> SHIFT, (c + n - 1) >> SHIFT
        while first <= last and not busy[first]:
            first += 1
        if first > last:
            continue
        while not busy[last]:
            last -= 1
        low, high = max(c, first << SHIFT), min(c + n, (last + 1) << SHIFT)
        parts[left, 0], parts[left, 1], parts[left, 2] = w + low - c, low, high - low
        left += 1
    return left


@njit(cache=True, fastmath=True)
def _finish(out: Array, p: int, width: int, work: Array, w: int, excess: Array, c: int) -> None:
    for i in range(width):
        out[p + i] = max(work[w + i] - excess[c + i], np.float32(0))


@njit(cache=True)
def step(
    phi: Array,
    out: Array,
    spans: Array,
    firsts: Array,
    full: Array,
    strip: int,
    centre: float,
    side: float,
    floor: float,
    tolerance: float,
) -> bool:
    """out = centre phi + side (sum of the 4 or 6 neighbours), put back on the simplex.

    Outside the spans `out` is left as it is. The nearest point of the simplex is found as by
    Michelot, J. Optim. Theory Appl. 50, 195 (1986): every round subtracts the excess evenly from
    the grains held; one that would be negative is dropped, and the next round subtracts its share
    from the others, until that is no more than `tolerance`. The first round holds what exceeds
    `floor`. Returns False if a cell is not finite or without a grain.
    """
    place = np.zeros(len(spans) + 1, np.int64)
    place[1:] = np.cumsum(spans[:, 2])
    work = np.empty(np.diff(place[firsts]).max(), np.float32)
    parts = np.empty((np.diff(firsts).max(), 3), np.int64)
    busy = np.empty((strip >> SHIFT) + 1, np.bool_)
    total, count, excess = np.empty((3, strip), np.float32)
    for k in range(len(firsts) - 1):
        corner = k * strip
        alone = full[corner : corner + strip]
        cells = len(alone)
        total[:cells] = alone
        count[:cells] = alone
        for s in range(firsts[k], firsts[k + 1]):
            p, n = np.uint64(spans[s, 0]), np.uint64(spans[s, 2])
            w, c = np.uint64(place[s] - place[firsts[k]]), np.uint64(spans[s, 1] - corner)
            up, deep = np.uint64(spans[s, 3]), np.uint64(spans[s, 4])
            _diffuse(phi, work, w, p, n, up, deep, centre, side)
            _add(work, w, n, floor, total, count, c)
        if not _threshold(total, count, excess, cells):
            return False
        total[:cells] = alone
        count[:cells] = alone
        number = 0
        for s in range(firsts[k], firsts[k + 1]):
            w, c = np.uint64(place[s] - place[firsts[k]]), np.uint64(spans[s, 1] - corner)
            n = np.uint64(spans[s, 2])
            _add_rest(work, w, n, excess, total, count, c)
            parts[number, 0], parts[number, 1], parts[number, 2] = w, c, n
            number += 1
        busy[:] = True
        while _lower(total, count, excess, busy, cells, tolerance):
            for block in range(len(busy)):
                if busy[block]:
                    for i in range(block << SHIFT, min((block + 1) << SHIFT, cells)):
                        total[i] = count[i] = alone[i]
            number = _narrow(parts, number, busy)
            for j in range(number):
                w, c, n = np.uint64(parts[j, 0]), np.uint64(parts[j, 1]), np.uint64(parts[j, 2])
                _add_rest(work, w, n, excess, total, count, c)
        for s in range(firsts[k], firsts[k + 1]):
            p, n = np.uint64(spans[s, 0]), np.uint64(spans[s, 2])
            w, c = np.uint64(place[s] - place[firsts[k]]), np.uint64(spans[s, 1] - corner)
            _finish(out, p, n, work, w, excess, c)
    return True
