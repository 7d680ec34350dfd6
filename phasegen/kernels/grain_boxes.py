"""The bounding boxes of grains: fitting, filling and reading them; see `grain_growth`."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True)
def touch(
    phi: Array, start: Array, origin: Array, size: Array, shape: Array, periodic: bool
) -> bool:
    """Whether a grain has reached the outermost cells of its patch, and the grid goes on."""
    frame = 1 if shape[0] > 1 else 0
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        open_low = np.empty(3, np.bool_)
        open_high = np.empty(3, np.bool_)
        for axis in range(3):
            part = size[g, axis] < shape[axis]
            open_low[axis] = part and (periodic or origin[g, axis] > 0)
            open_high[axis] = part and (periodic or origin[g, axis] + size[g, axis] < shape[axis])
        for z in range(size[g, 0]):
            edge_z = (z == 0 and open_low[0]) or (z == size[g, 0] - 1 and open_high[0])
            for y in range(size[g, 1]):
                edge = edge_z or (y == 0 and open_low[1]) or (y == size[g, 1] - 1 and open_high[1])
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                last = p + size[g, 2] - 1
                if (open_low[2] and phi[p] > 0) or (open_high[2] and phi[last] > 0):
                    return True
                if edge:
                    for i in range(p, last + 1):
                        if phi[i] > 0:
                            return True
    return False


@njit(cache=True)
def _arc(held: Array, cyclic: bool) -> tuple[int, int]:
    """First index and length of the shortest run, around the end if `cyclic`, with all held."""
    n = held.size
    first, last, gap, gap_end, previous = -1, -1, 0, -1, -1
    for i in range(n):
        if held[i]:
            if first < 0:
                first = i
            elif i - previous - 1 > gap:
                gap, gap_end = i - previous - 1, i
            previous = i
            last = i
    if first < 0:
        return 0, 0
    if not cyclic or first + n - last - 1 >= gap:
        return first, last - first + 1
    return gap_end, n - gap


@njit(cache=True)
def extents(
    phi: Array, start: Array, size: Array, shape: Array, periodic: bool
) -> tuple[Array, Array]:
    """Per patch and axis, the first cell that is not zero and the number of cells; 0: no grain."""
    frame = 1 if shape[0] > 1 else 0
    first, length = np.zeros_like(size), np.zeros_like(size)
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        in_z = np.zeros(size[g, 0], np.bool_)
        in_y = np.zeros(size[g, 1], np.bool_)
        in_x = np.zeros(size[g, 2], np.bool_)
        for z in range(size[g, 0]):
            for y in range(size[g, 1]):
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                for x in range(size[g, 2]):
                    if phi[p + x] > 0:
                        in_z[z] = in_y[y] = in_x[x] = True
        for axis, held in enumerate((in_z, in_y, in_x)):
            cyclic = periodic and size[g, axis] == shape[axis]
            first[g, axis], length[g, axis] = _arc(held, cyclic)
    return first, length


@njit(cache=True)
def label_extents(labels: Array, grains: int, periodic: bool) -> tuple[Array, Array]:
    """The same for grains 0, 1, ... of a map `labels` (Z, Y, X)."""
    first, length = np.zeros((grains, 3), np.int64), np.zeros((grains, 3), np.int64)
    for axis in range(3):
        held = np.zeros((grains, labels.shape[axis]), np.bool_)
        for cell in np.ndindex(labels.shape):
            held[labels[cell], cell[axis]] = True
        for g in range(grains):
            first[g, axis], length[g, axis] = _arc(held[g], periodic)
    return first, length


@njit(cache=True)
def paint(
    phi: Array, labels: Array, names: Array, start: Array, origin: Array, size: Array
) -> None:
    """phi = 1 where the map `labels` (Z, Y, X) has the grain of the patch."""
    nz, ny, nx = labels.shape
    frame = 1 if nz > 1 else 0
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        for z in range(size[g, 0]):
            for y in range(size[g, 1]):
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                row = labels[(origin[g, 0] + z) % nz, (origin[g, 1] + y) % ny]
                for x in range(size[g, 2]):
                    phi[p + x] = row[(origin[g, 2] + x) % nx] == names[g]


@njit(cache=True)
def move(
    old: Array,
    old_start: Array,
    old_origin: Array,
    old_size: Array,
    phi: Array,
    start: Array,
    origin: Array,
    size: Array,
    shape: Array,
) -> None:
    """Copy every patch to another place and size."""
    frame = 1 if shape[0] > 1 else 0
    for g in range(len(start)):
        up, old_up = size[g, 2] + 2, old_size[g, 2] + 2
        plane, old_plane = up * (size[g, 1] + 2), old_up * (old_size[g, 1] + 2)
        shift = (origin[g] - old_origin[g]) % shape
        for z in range(size[g, 0]):
            oz = (z + shift[0]) % shape[0]
            for y in range(size[g, 1]):
                oy = (y + shift[1]) % shape[1]
                if oz >= old_size[g, 0] or oy >= old_size[g, 1]:
                    continue
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                q = old_start[g] + (oz + frame) * old_plane + (oy + 1) * old_up + 1
                for x in range(size[g, 2]):
                    ox = x + shift[2]
                    ox -= shape[2] if ox >= shape[2] else 0
                    if ox < old_size[g, 2]:
                        phi[p + x] = old[q + ox]


@njit(cache=True)
def gather(
    phi: Array,
    start: Array,
    origin: Array,
    size: Array,
    shape: Array,
    volume: Array,
    largest: Array,
    owner: Array,
    squares: Array,
) -> None:
    """Volume of every grain; in every cell the largest phi, its patch, and the sum of phi^2."""
    frame = 1 if shape[0] > 1 else 0
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        for z in range(size[g, 0]):
            cz = (origin[g, 0] + z) % shape[0]
            for y in range(size[g, 1]):
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                c = (cz * shape[1] + (origin[g, 1] + y) % shape[1]) * shape[2]
                for x in range(size[g, 2]):
                    value = phi[p + x]
                    cell = c + (origin[g, 2] + x) % shape[2]
                    volume[g] += value
                    squares[cell] += value * value
                    if value > largest[cell]:
                        largest[cell] = value
                        owner[cell] = g


@njit(cache=True)
def coupling(phi: Array, start: Array, size: Array, shape: Array, curvature: float) -> float:
    """Half the sum of phi (-laplacian - curvature) phi, the frames filled."""
    frame = 1 if shape[0] > 1 else 0
    centre = 4.0 + 2.0 * frame - curvature
    total = 0.0
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        for z in range(size[g, 0]):
            for y in range(size[g, 1]):
                p = start[g] + (z + frame) * plane + (y + 1) * up + 1
                for i in range(p, p + size[g, 2]):
                    near = phi[i - 1] + phi[i + 1] + phi[i - up] + phi[i + up]
                    if frame:
                        near += phi[i - plane] + phi[i + plane]
                    total += 0.5 * phi[i] * (centre * phi[i] - near)
    return total


@njit(cache=True)
def interpolate(
    phi: Array,
    start: Array,
    origin: Array,
    size: Array,
    shape: Array,
    fine: Array,
    largest: Array,
    second: Array,
    owner: Array,
) -> None:
    """The two largest phi and the patch of the first on a grid of `fine` pixels (Z, Y, X).

    Between the cells phi is linear. The frames are filled and the grid is periodic.
    """
    frame = 1 if shape[0] > 1 else 0
    # Of every pixel, the cell before its centre and how far it lies behind that.
    before = np.zeros((3, fine.max()), np.int64)
    weight = np.zeros((3, fine.max()), np.float32)
    for axis in range(3):
        for i in range(fine[axis]):
            position = (i + 0.5) * shape[axis] / fine[axis] - 0.5
            before[axis, i] = int(np.floor(position)) % shape[axis]
            weight[axis, i] = position - np.floor(position)
    for g in range(len(start)):
        up = size[g, 2] + 2
        plane = up * (size[g, 1] + 2)
        for z in range(fine[0]):
            oz = (before[0, z] - origin[g, 0] + frame) % shape[0]
            if oz > size[g, 0]:
                continue
            wz = weight[0, z]
            for y in range(fine[1]):
                oy = (before[1, y] - origin[g, 1] + 1) % shape[1]
                if oy > size[g, 1]:
                    continue
                wy = weight[1, y]
                for x in range(fine[2]):
                    ox = (before[2, x] - origin[g, 2] + 1) % shape[2]
                    if ox > size[g, 2]:
                        continue
                    wx = weight[2, x]
                    p = start[g] + oz * plane + oy * up + ox
                    value = np.float32(0)
                    for deep in range(1 + frame):
                        q = p + deep * plane
                        upper = (1 - wx) * phi[q] + wx * phi[q + 1]
                        lower = (1 - wx) * phi[q + up] + wx * phi[q + up + 1]
                        part = wz if deep else 1 - wz
                        value += part * ((1 - wy) * upper + wy * lower)
                    if value > largest[z, y, x]:
                        second[z, y, x] = largest[z, y, x]
                        largest[z, y, x] = value
                        owner[z, y, x] = g
                    elif value > second[z, y, x]:
                        second[z, y, x] = value
