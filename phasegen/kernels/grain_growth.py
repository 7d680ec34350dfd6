"""Grains in bounding boxes: one dense patch of memory for every grain, no larger than it needs.

All patches lie behind each other in one array, ``phi``. The patch of grain g starts at ``start[g]``
and holds ``size[g]`` cells of the grid from the cell ``origin[g]`` on, in a frame of one cell (in
2D none along z). Shapes are (Z, Y, X), in 2D with Z = 1.

The rows of the grid are cut into blocks of as many cells as a vector has lanes; the last of a row
may overlap the one before. Patches hold whole blocks, and a block is settled at once, with all its
grains, in registers and a little memory. Deep in a grain and far from it a step changes nothing: it
goes through a table of the blocks on the boundaries and beside them.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from phasegen.kernels.lanes import LANES, above, larger, load, smaller, splat, store, where_above

Array = NDArray[Any]

# Lanes to watch: none, or by the bits of the row all (1), the first (2), the last (4).
_WATCH = np.zeros((8, LANES), np.float32)
_WATCH[1::2] = 1
_WATCH[[2, 3, 6, 7], 0] = 1
_WATCH[4:, -1] = 1


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
def _offset(origin: int, k: int, length: int) -> int:
    """Cell of its patch at which block k of a row begins."""
    block, blocks = origin // LANES + k, (length + LANES - 1) // LANES
    if block < blocks:
        return min(block * LANES, length - LANES) - origin
    return length + (block - blocks) * LANES - origin


@njit(cache=True)
def _mark(
    phi: Array,
    start: Array,
    origin: Array,
    size: Array,
    shape: Array,
    marks: Array,
    places: Array,
    blocks: Array,
) -> None:
    """Bit l of a mark: the cell in lane l and its 4 or 6 neighbours are neither all 0 nor all 1.

    What is not marked stays as it is in a step. The frames of `phi` are filled.
    """
    zero, one = splat(np.float32(0)), splat(np.float32(1))
    frame = 1 if shape[0] > 1 else 0
    for g in range(len(start)):
        stride, width = size[g, 2] + 2, blocks[g, 2] + 2
        layer = stride * (size[g, 1] + 2)
        for z in range(size[g, 0]):
            for y in range(size[g, 1]):
                row = (z + frame) * (size[g, 1] + 2) + y + 1
                for k in range(blocks[g, 2]):
                    i = start[g] + row * stride + 1 + _offset(origin[g, 2], k, shape[2])
                    left, right = load(phi, i - 1), load(phi, i + 1)
                    front, back = load(phi, i - stride), load(phi, i + stride)
                    here = load(phi, i)
                    low = smaller(here, smaller(smaller(left, right), smaller(front, back)))
                    high = larger(here, larger(larger(left, right), larger(front, back)))
                    if frame:
                        below, over = load(phi, i - layer), load(phi, i + layer)
                        low = smaller(low, smaller(below, over))
                        high = larger(high, larger(below, over))
                    marks[places[g] + row * width + 1 + k] = above(one, low) & above(high, zero)


@njit(cache=True)
def find_blocks(
    phi: Array, start: Array, origin: Array, size: Array, shape: Array, periodic: bool
) -> tuple[Array, Array]:
    """Blocks that a step may change, with the grains in them: those marked and their neighbours.

    Returns the table, rows of (place in phi, strides of y and z in phi, the last 0 in 2D, place in
    the table of the lanes to watch), in the order of the blocks of the grid; and the first row of
    every block. While no boundary reaches a lane to watch, next to a block left out, it holds.
    """
    frame = 1 if shape[0] > 1 else 0
    grid = shape.copy()
    grid[2] = (shape[2] + LANES - 1) // LANES
    first = origin.copy()
    first[:, 2] //= LANES
    blocks = size.copy()
    places = np.zeros(len(start) + 1, np.int64)
    for g in range(len(start)):
        end = origin[g, 2] + size[g, 2]
        beyond = max(end - shape[2], 0) // LANES
        blocks[g, 2] = (min(end, shape[2]) + LANES - 1) // LANES - first[g, 2] + beyond
        places[g + 1] = places[g] + np.prod(blocks[g] + 2 * np.array([frame, 1, 1]))
    marks, chosen = np.zeros(places[-1], np.uint8), np.zeros(places[-1], np.uint8)
    _mark(phi, start, origin, size, shape, marks, places, blocks)
    fill_frames(marks, places[:-1], first, blocks, grid, periodic)
    for g in range(len(start)):
        up = blocks[g, 2] + 2
        plane = up * (blocks[g, 1] + 2)
        overlapping = grid[2] - 1 - first[g, 2]
        for z in range(size[g, 0]):
            for y in range(size[g, 1]):
                row = places[g] + (z + frame) * plane + (y + 1) * up + 1
                for i in range(row, row + blocks[g, 2]):
                    near = marks[i] | marks[i - up] | marks[i + up]
                    near |= (marks[i - 1] >> (LANES - 1)) | (marks[i + 1] & 1)
                    if frame:
                        near |= marks[i - plane] | marks[i + plane]
                    chosen[i] = near > 0
                if shape[2] % LANES and overlapping < blocks[g, 2]:
                    last = row + overlapping
                    chosen[last - 1] = chosen[last] = chosen[last - 1] | chosen[last]
    fill_frames(chosen, places[:-1], first, blocks, grid, periodic)
    firsts = np.zeros(grid.prod() + 1, np.int64)
    table = np.empty((np.sum(chosen), 4), np.uint32)
    for fill in range(2):
        for g in range(len(start)):
            up, stride = blocks[g, 2] + 2, size[g, 2] + 2
            plane, layer = up * (blocks[g, 1] + 2), stride * (size[g, 1] + 2)
            for z in range(size[g, 0]):
                cz = (origin[g, 0] + z) % shape[0]
                for y in range(size[g, 1]):
                    c = (cz * grid[1] + (origin[g, 1] + y) % grid[1]) * grid[2]
                    p = start[g] + (z + frame) * layer + (y + 1) * stride + 1
                    row = places[g] + (z + frame) * plane + (y + 1) * up + 1
                    for k in range(blocks[g, 2]):
                        i = row + k
                        if not chosen[i]:
                            continue
                        block = c + (first[g, 2] + k) % grid[2]
                        if not fill:
                            firsts[block + 1] += 1
                            continue
                        inside = chosen[i - up] & chosen[i + up]
                        if frame:
                            inside &= chosen[i - plane] & chosen[i + plane]
                        lanes = (1 - inside) + 2 * (1 - chosen[i - 1]) + 4 * (1 - chosen[i + 1])
                        s = firsts[block]
                        table[s, 0] = p + _offset(origin[g, 2], k, shape[2])
                        table[s, 1] = stride
                        table[s, 2] = layer * frame
                        table[s, 3] = LANES * lanes
                        firsts[block] += 1
        firsts = np.cumsum(firsts) if not fill else firsts
    firsts[1:] = firsts[:-1].copy()
    firsts[0] = 0
    return table, firsts


@njit(cache=True)
def step(
    phi: Array,
    out: Array,
    table: Array,
    firsts: Array,
    centre: float,
    side: float,
    floor: float,
    tolerance: float,
) -> tuple[bool, bool]:
    """out = centre phi + side (sum of the 4 or 6 neighbours), put back on the simplex.

    Outside the blocks of the table `out` is left as it is. The nearest point of the simplex is
    found as by Michelot, J. Optim. Theory Appl. 50, 195 (1986): every round subtracts the excess
    evenly from the grains held; one that would be negative is dropped, and the next round subtracts
    its share from the others, until that is no more than `tolerance`. The first round holds what
    exceeds `floor`. Returns whether every cell is finite and has a grain, and whether a boundary
    has reached a lane to watch.
    """
    zero, one, four = splat(np.float32(0)), splat(np.float32(1)), splat(np.float32(4))
    here, beside = splat(centre), splat(side)
    least, enough = splat(floor), splat(tolerance)
    watch = _WATCH.ravel()
    reached = zero
    moved = np.empty(np.diff(firsts).max() * LANES, np.float32)
    for block in range(len(firsts) - 1):
        low, high = firsts[block], firsts[block + 1]
        if low == high:
            continue
        total, count = zero, zero
        for s in range(low, high):
            p, up, plane = np.int64(table[s, 0]), np.int64(table[s, 1]), np.int64(table[s, 2])
            near = (load(phi, p - 1) + load(phi, p + 1)) + (load(phi, p - up) + load(phi, p + up))
            if plane:
                near = near + (load(phi, p - plane) + load(phi, p + plane))
            value = here * load(phi, p) + beside * near
            store(moved, (s - low) * LANES, value)
            total = total + where_above(value, least, value)
            count = count + where_above(value, least, one)
        excess = (total - one) / count
        # Without a grain this is -1/0.
        if above(excess * excess, four):
            return False, False
        excess, more = larger(excess, zero), one
        while above(more, enough):
            total, count = zero, zero
            for k in range(high - low):
                value = load(moved, k * LANES) - excess
                total = total + larger(value, zero)
                count = count + where_above(value, zero, one)
            more = larger((total - one) / count, zero)
            excess = excess + more
        for s in range(low, high):
            value = larger(load(moved, (s - low) * LANES) - excess, zero)
            store(out, np.int64(table[s, 0]), value)
            lanes = load(watch, np.int64(table[s, 3]))
            reached = larger(reached, value * (one - value) * lanes)
    return True, above(reached, zero) > 0
