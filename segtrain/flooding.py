# mypy: disallow-untyped-decorators=False
"""The Numba inner loops of `segtrain.decode`; arrays come flattened."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True)
def descending(values: Array, lowest: float) -> Array:
    """Indices of the values from `lowest` up, the highest first; equal ones keep their order.

    Radix sort by digits of 11 bits: the bits of positive floats are ordered as they are.
    """
    count = 0
    for i in range(values.size):
        count += values[i] >= lowest
    bits = values.view(np.uint32)
    order, other = np.empty(count, np.int32), np.empty(count, np.int32)
    keys, other_keys = np.empty(count, np.uint32), np.empty(count, np.uint32)
    at = 0
    for i in range(values.size):
        if values[i] >= lowest:
            order[at], keys[at] = i, ~bits[i]
            at += 1
    for shift in (0, 11, 22):
        places = np.zeros(2049, np.int64)
        for i in range(count):
            places[((keys[i] >> np.uint32(shift)) & np.uint32(2047)) + np.uint32(1)] += 1
        places = np.cumsum(places)
        for i in range(count):
            digit = (keys[i] >> np.uint32(shift)) & np.uint32(2047)
            to = places[digit]
            places[digit] += 1
            other[to], other_keys[to] = order[i], keys[i]
        order, other, keys, other_keys = other, order, other_keys, keys
    return order


@njit(cache=True)
def root(parents: Array, basin: int) -> int:
    """Basin that has swallowed this one; halves the paths on the way."""
    while parents[basin] != basin:
        parents[basin] = parents[parents[basin]]
        basin = parents[basin]
    return basin


@njit(cache=True)
def flood(
    field: Array, order: Array, offsets: Array, h: float, basins: Array
) -> tuple[Array, Array]:
    """Basin of every pixel of `order`, and what became of the basins: parents and peaks.

    `basins` must be zero.
    """
    parents = np.zeros(order.size + 1, np.int32)
    peaks = np.zeros(order.size + 1, np.float32)
    count = 0
    for pixel in order:
        value = field[pixel]
        own, best = 0, np.float32(0)
        for offset in offsets:
            basin = basins[pixel + offset]
            if basin == 0:
                continue
            if own == 0 or field[pixel + offset] > best:
                own, best = basin, field[pixel + offset]
        if own == 0:
            count += 1
            own = count
            parents[own], peaks[own] = own, value
        basins[pixel] = own
        for offset in offsets:
            basin = basins[pixel + offset]
            if basin == 0 or basin == own:
                continue
            one, two = root(parents, own), root(parents, basin)
            if one == two:
                continue
            if peaks[one] < peaks[two] or (peaks[one] == peaks[two] and one > two):
                one, two = two, one
            if peaks[two] - value < h:
                parents[two] = one
    return parents[: count + 1], peaks[: count + 1]


@njit(cache=True)
def resolve(basins: Array, parents: Array, peaks: Array, h: float) -> None:
    """Replace every basin by the one that swallowed it, and by 0 if its peak is below `h`."""
    final = np.zeros(parents.size, np.int32)
    for basin in range(1, parents.size):
        top = root(parents, basin)
        final[basin] = top if peaks[top] >= h else 0
    for i in range(basins.size):
        basins[i] = final[basins[i]]


@njit(cache=True)
def number(labels: Array, smallest: int) -> Array:
    """Labels 1, 2, ... in order of appearance; those of fewer than `smallest` pixels become 0."""
    largest = 0
    for i in range(labels.size):
        largest = max(largest, labels[i])
    sizes, names = np.zeros(largest + 1, np.int64), np.zeros(largest + 1, np.uint32)
    for i in range(labels.size):
        sizes[labels[i]] += 1
    out = np.zeros(labels.size, np.uint32)
    count = 0
    for i in range(labels.size):
        label = labels[i]
        if label == 0 or sizes[label] < smallest:
            continue
        if names[label] == 0:
            count += 1
            names[label] = count
        out[i] = names[label]
    return out
