# mypy: disallow-untyped-decorators=False
"""The Numba inner loops of `segtrain.metrics.nearest`."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True)
def scan(pixels: Array, steps: Array) -> None:
    """Steps along the first axis to the nearest marked pixel; infinite if its column has none.

    Row by row, so that both sweeps are vector operations. Float32 counts without error up to
    2^24, more than any side, and knows infinity.
    """
    rows, columns = pixels.shape
    for x in range(columns):
        steps[0, x] = 0 if pixels[0, x] else np.inf
    for y in range(1, rows):
        for x in range(columns):
            steps[y, x] = np.float32(0) if pixels[y, x] else steps[y - 1, x] + np.float32(1)
    for y in range(rows - 2, -1, -1):
        for x in range(columns):
            steps[y, x] = min(steps[y, x], steps[y + 1, x] + np.float32(1))


@njit(cache=True)
def spread(steps: Array, across: float, along: float, squares: Array) -> None:
    """Squared distances within every line, from `steps` at right angles to it.

    The lower envelope of the parabolas above the pixels of a line (Felzenszwalb and Huttenlocher,
    "Distance transforms of sampled functions", Theory of Computing 8:415, 2012); `across` and
    `along` are the pixel spacings.
    """
    lines, size = steps.shape
    apexes, heights, ends = np.empty(size), np.empty(size), np.empty(size)
    for line in range(lines):
        count = 0
        for x in range(size):
            height = (across * steps[line, x]) ** 2
            if height == np.inf:
                continue
            apex = along * x
            while count > 0:
                # Where the new parabola falls below the last of the envelope.
                last = count - 1
                gap = apex - apexes[last]
                start = 0.5 * ((height - heights[last]) / gap + apex + apexes[last])
                if last == 0 or start > ends[last - 1]:
                    ends[last] = start
                    break
                count -= 1
            apexes[count], heights[count] = apex, height
            count += 1
        if count == 0:
            squares[line] = np.inf
            continue
        ends[count - 1] = np.inf
        lowest = 0
        for x in range(size):
            while ends[lowest] < along * x:
                lowest += 1
            squares[line, x] = (along * x - apexes[lowest]) ** 2 + heights[lowest]


@njit(cache=True)
def square(distance: float, across: float) -> float:
    """The square of `distance` pixels `across` apart; 0 apart says that it is one already.

    Roots are never squared again: that of 5 gives a little more, and a tolerance of 3 pixels would
    not hold what is (2, 1, 2) away.
    """
    return (across * distance) ** 2 if across > 0 else distance


@njit(cache=True)
def search(
    points: Array, distances: Array, size: int, stride: int, across: float, along: float
) -> Array:
    """Distance of every point, from the `distances` at right angles to one axis (see `square`).

    Looks to both sides along that axis, of `size` pixels `stride` apart in memory, and no farther
    than the nearest found so far: where two outlines nearly coincide that is a few pixels.
    """
    found = np.empty(points.size)
    for i in range(points.size):
        point = points[i]
        at = point // stride % size
        best = square(distances[point], across)
        for step in range(1, max(at, size - 1 - at) + 1):
            sideways = (along * step) ** 2
            if sideways >= best:
                break
            near = np.inf
            if step <= at:
                near = min(near, distances[point - step * stride])
            if step < size - at:
                near = min(near, distances[point + step * stride])
            best = min(best, sideways + square(near, across))
        found[i] = np.sqrt(best)
    return found
