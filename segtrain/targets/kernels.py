# mypy: disallow-untyped-decorators=False
"""The Numba inner loops of the targets: instance after instance, each in the cache.

Instances do not see one another, so every one of them is solved by itself: it takes as many
iterations as it needs, not as many as the largest, and its values do not depend on its company.
Arrays come flattened. `earlier` and `later` hold the places within the instance of the neighbours
before and after a pixel in raster order, and the size of the instance where there is none: one
dummy place behind the last pixel saves every branch. The neighbours in the same row are not among
them, for they are the pixels just before and after.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
REORDER = {"reassoc", "contract", "nsz"}


@njit(cache=True)
def count_pixels(labels: Array, starts: Array) -> None:
    """Where every label begins if pixels are sorted by label and 0 takes no place."""
    for pixel in range(labels.size):
        if labels[pixel] > 0:
            starts[labels[pixel] + 1] += 1
    for label in range(1, starts.size):
        starts[label] += starts[label - 1]


@njit(cache=True)
def group_pixels(labels: Array, starts: Array, pixels: Array) -> None:
    """Counting sort of the pixels by label; `starts[k]` is where label k begins, 0 is left out."""
    filled = starts.copy()
    for pixel in range(labels.size):
        label = labels[pixel]
        if label > 0:
            pixels[filled[label]] = pixel
            filled[label] += 1


@njit(cache=True)
def find_neighbours(
    labels: Array, pixels: Array, starts: Array, place: Array, offsets: Array, out: Array
) -> None:
    """Place within the instance of the pixel at each of the offsets, or the instance's size."""
    for label in range(1, starts.size - 1):
        none = starts[label + 1] - starts[label]
        for i in range(starts[label], starts[label + 1]):
            for k in range(offsets.size):
                other = pixels[i] + offsets[k]
                out[i, k] = place[other] if labels[other] == label else none


@njit(cache=True)
def sum_over_neighbours(
    starts: Array, pixels: Array, earlier: Array, later: Array, values: Array, out: Array
) -> None:
    """Sum of the values of all neighbours within the instance, the pixel itself not among them."""
    for label in range(1, starts.size - 1):
        start, stop = starts[label], starts[label + 1]
        own = np.zeros(stop - start + 1)
        own[:-1] = values[start:stop]
        for i in range(stop - start):
            total = 0.0
            if i > 0 and pixels[start + i] - pixels[start + i - 1] == 1:
                total += own[i - 1]
            if i + 1 < stop - start and pixels[start + i + 1] - pixels[start + i] == 1:
                total += own[i + 1]
            for k in range(earlier.shape[1]):
                total += own[earlier[start + i, k]] + own[later[start + i, k]]
            out[start + i] = total


@njit(cache=True)
def find_sources(starts: Array, coordinates: Array, spacing: Array, source: Array) -> None:
    """Write the unit of heat into `source` at the pixel nearest to each centroid.

    Pixels at the same distance share it: any choice among them would depend on how the image lies.
    """
    for label in range(1, starts.size - 1):
        start, stop = starts[label], starts[label + 1]
        if start == stop:
            continue
        count = stop - start
        total = np.zeros(coordinates.shape[1])
        for i in range(start, stop):
            for axis in range(total.size):
                total[axis] += coordinates[i, axis]
        distance = np.zeros(count)
        for i in range(count):
            for axis in range(total.size):
                # Multiplied by the count all is integer: equal distances compare as equal.
                step = (count * coordinates[start + i, axis] - total[axis]) * spacing[axis]
                distance[i] += step * step
        nearest = distance.min()
        ties = 0
        for i in range(count):
            ties += distance[i] <= nearest
        for i in range(count):
            if distance[i] <= nearest:
                source[start + i] = 1.0 / ties


@njit(cache=True, fastmath=REORDER)
def conjugate_gradients(
    starts: Array,
    pixels: Array,
    earlier: Array,
    later: Array,
    row_weight: float,
    weights: tuple[float, ...],
    diagonal: Array,
    rhs: Array,
    relaxation: float,
    tolerance: float,
    u: Array,
    iterations: Array,
) -> None:
    """Solve A u = rhs in every instance, A = diagonal - weights * neighbours.

    Modified incomplete Cholesky (Gustafsson 1978) of which only the pivots d differ from A:
    M = (d - L) (1/d) (d - L^T), L the weights of the earlier neighbours. With `relaxation` 1 its
    row sums are those of A, whence M <= A, and r^T M^-1 r bounds the squared energy of the error;
    that is what `tolerance` is compared with. The product with A costs nothing but the two sweeps
    (Eisenstat 1981): r and p are those of (d - L)^-1 A (d - L^T)^-1. What a sweep takes from the
    pixel just done is one multiplication and addition, the rest does not wait for it.
    """
    neighbours = len(weights)
    longest = 0
    for label in range(starts.size - 1):
        longest = max(longest, starts[label + 1] - starts[label])
    work = np.empty((9, longest + 1))
    for label in range(1, starts.size - 1):
        start, stop = starts[label], starts[label + 1]
        n = stop - start
        if n == 0:
            continue
        before, after, pixel = earlier[start:stop], later[start:stop], pixels[start:stop]
        solution = u[start:stop]
        pivot, inverse, excess, onward, backward = work[0], work[1], work[2], work[3], work[4]
        ahead, r, p, t, w = work[5], work[5], work[6], work[7], work[8]
        ahead[n] = inverse[n] = t[n] = w[n] = 0
        west = 0.0
        for i in range(n):
            east = row_weight if i + 1 < n and pixel[i + 1] - pixel[i] == 1 else 0.0
            d = diagonal[start + i]
            if west > 0:
                d -= relaxation * west * ahead[i - 1] * inverse[i - 1]
            ahead[i] = east
            for k in range(neighbours):
                if after[i, k] < n:
                    ahead[i] += weights[k]
                other = before[i, k]
                d -= relaxation * weights[k] * ahead[other] * inverse[other]
            pivot[i], inverse[i], excess[i] = d, 1 / d, diagonal[start + i] - 2 * d
            onward[i], backward[i] = west / d, east / d
            west = east
        last, residual = 0.0, 0.0
        for i in range(n):
            total = rhs[start + i]
            for k in range(neighbours):
                total += weights[k] * w[before[i, k]]
            last = total * inverse[i] + onward[i] * last
            w[i] = last
        for i in range(n):
            r[i] = w[i]
            p[i] = 0
            residual += pivot[i] * r[i] * r[i]
            solution[i] = 0
        energy, kept, count = 0.0, 0.0, 0
        while residual > tolerance * tolerance * energy and count < 10 * n + 100:
            count += 1
            last = 0.0
            for j in range(n):
                i = n - 1 - j
                p[i] = pivot[i] * r[i] + kept * p[i]
                total = p[i]
                for k in range(neighbours):
                    total += weights[k] * t[after[i, k]]
                last = total * inverse[i] + backward[i] * last
                t[i] = last
            last, curvature = 0.0, 0.0
            for i in range(n):
                total = p[i] + excess[i] * t[i]
                for k in range(neighbours):
                    total += weights[k] * w[before[i, k]]
                last = total * inverse[i] + onward[i] * last
                w[i] = last
                # `w` is (d - L)^-1 (p + (A_d - 2 d) t); the rest of the product is t itself.
                curvature += p[i] * (last + t[i])
            step = residual / curvature
            energy += step * residual
            previous, residual = residual, 0.0
            for i in range(n):
                solution[i] += step * t[i]
                r[i] -= step * (w[i] + t[i])
                residual += pivot[i] * r[i] * r[i]
            kept = residual / previous
        iterations[label] = count


@njit(cache=True, fastmath=REORDER)
def diffuse(
    starts: Array,
    coordinates: Array,
    source: Array,
    threshold: float,
    u: Array,
    iterations: Array,
) -> None:
    """Add the source, then average over the 3x3 (3x3x3) neighbours, 0 outside; until still.

    `coordinates` has two or three columns. Every component is copied into its bounding box with a
    frame of zeros, in which the sum over the neighbours is one long loop for each axis. Components
    without a source stay cold.
    """
    axes = coordinates.shape[1]
    low, shape, strides = (
        np.zeros(axes, np.int64),
        np.zeros(axes, np.int64),
        np.ones(axes, np.int64),
    )
    for label in range(1, starts.size - 1):
        start, stop = starts[label], starts[label + 1]
        hot = np.flatnonzero(source[start:stop])
        if hot.size == 0:
            continue
        for axis in range(axes):
            low[axis] = coordinates[start:stop, axis].min() - 1
            shape[axis] = coordinates[start:stop, axis].max() - low[axis] + 2
        for axis in range(axes - 1, 0, -1):
            strides[axis - 1] = strides[axis] * shape[axis]
        size = strides[0] * shape[0]
        at = np.zeros(stop - start, np.int64)
        for i in range(stop - start):
            for axis in range(axes):
                at[i] += (coordinates[start + i, axis] - low[axis]) * strides[axis]
        share, heat, after = np.zeros(size), np.zeros(size), np.zeros(size)
        rows, columns = np.zeros(size), np.zeros(size)
        for i in at:
            share[i] = 1 / 3**axes
        change, count = np.inf, 0
        while change >= threshold * threshold:
            count += 1
            for k in hot:
                heat[at[k]] += source[start + k]
            if axes == 3:
                sum_of_three(heat, strides[0], rows)
                sum_of_three(rows, strides[1], columns)
            else:
                sum_of_three(heat, strides[0], columns)
            for k in hot:
                heat[at[k]] -= source[start + k]
            left, middle, right = columns[:-2], columns[1:-1], columns[2:]
            old, new, weight = heat[1:-1], after[1:-1], share[1:-1]
            change = 0.0
            for i in range(middle.size):
                value = weight[i] * (left[i] + middle[i] + right[i])
                step = value - old[i]
                change += step * step
                new[i] = value
            heat, after = after, heat
        iterations[label] = count
        for i in range(stop - start):
            u[start + i] = heat[at[i]]


@njit(cache=True)
def sum_of_three(values: Array, stride: int, out: Array) -> None:
    """Every value, the one `stride` before it and the one after it, but at both ends."""
    before, here, after = values[: -2 * stride], values[stride:-stride], values[2 * stride :]
    inner = out[stride:-stride]
    for i in range(inner.size):
        inner[i] = before[i] + here[i] + after[i]


@njit(cache=True)
def nearest_along(labels: Array, squared: Array, spacing: float, out: Array) -> None:
    """One axis of the squared distance transform of all labels at once; lines are the rows.

    Beyond the two ends of a run of one label the distance is 0; what lies farther cannot be nearer.
    """
    length = labels.shape[1]
    for row in range(labels.shape[0]):
        for i in range(length):
            label = labels[row, i]
            if label == 0:
                out[row, i] = 0
                continue
            best = squared[row, i]
            for side in (-1, 1):
                for j in range(1, length + 1):
                    step = (j * spacing) * (j * spacing)
                    if step >= best:
                        break
                    at = i + side * j
                    if at < 0 or at >= length or labels[row, at] != label:
                        best = step
                        break
                    best = min(best, squared[row, at] + step)
            out[row, i] = best


@njit(cache=True)
def root_over_largest(labels: Array, squared: Array, largest: Array, out: Array) -> None:
    """Square root of the values, divided by that of the largest of the same label."""
    for i in range(labels.size):
        largest[labels[i]] = max(largest[labels[i]], squared[i])
    for i in range(labels.size):
        if labels[i] > 0:
            out[i] = np.sqrt(squared[i] / largest[labels[i]])


@njit(cache=True)
def divide_by_largest(starts: Array, values: Array) -> None:
    """Scale every instance to a maximum of 1; one that is 0 throughout stays so."""
    for label in range(1, starts.size - 1):
        largest = 0.0
        for i in range(starts[label], starts[label + 1]):
            largest = max(largest, values[i])
        if largest > 0:
            for i in range(starts[label], starts[label + 1]):
                values[i] /= largest


@njit(cache=True)
def scale_to_range(starts: Array, values: Array, source: Array) -> None:
    """Map every component linearly onto [0, 1]: 1 if it is constant, 0 if it holds no heat."""
    for label in range(1, starts.size - 1):
        start, stop = starts[label], starts[label + 1]
        if start == stop:
            continue
        if not source[start:stop].any():
            values[start:stop] = 0
            continue
        low = values[start:stop].min()
        extent = values[start:stop].max() - low
        for i in range(start, stop):
            values[i] = (values[i] - low) / extent if extent > 0 else 1.0
