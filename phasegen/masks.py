"""From order parameters to labels: exact class masks and instances, periodic-aware."""

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from phasegen.errors import InputError

Array = NDArray[Any]

LEAST_CELLS = 8
"""Fewer cells hold no interface, let alone a particle with two."""


def coarse(shape: tuple[int, ...], magnification: float) -> tuple[int, ...]:
    """Cells per axis of the simulation behind an image of `shape`: about shape / magnification.

    All of them are numbers that transform fast (no prime factor above 7), chosen so that a cell is
    as many pixels high as wide, to 0.5 %, and then nearest to the magnification: a circle must stay
    one. Above 100 cells the magnification is met to 1 % on average and 4 % at worst.

    Raises
    ------
    InputError
        If an axis would have fewer than `LEAST_CELLS`.
    """
    if min(shape) < LEAST_CELLS * magnification:
        raise InputError(
            f"magnification = {magnification:.3g}",
            f"leaves {min(shape) / magnification:.3g} grid cells to {min(shape)} pixels",
            f"Simulate {math.ceil(LEAST_CELLS * magnification)} pixels or more, or magnify less",
        )
    lengths, sides = _fast_lengths(), np.array(shape)
    choices = []
    for first in lengths[np.abs(np.log(lengths * magnification / shape[0])) < 0.13]:
        wanted = sides * first / shape[0]
        cells = lengths[np.abs(np.log(lengths / wanted[:, None])).argmin(axis=1)]
        off = np.log(sides / cells / magnification)
        choices.append((4 * np.ptp(off) + np.abs(off).max(), *cells.tolist()))
    return tuple(min(choices)[1:])


@cache
def _fast_lengths() -> NDArray[np.intp]:
    """Numbers from `LEAST_CELLS` to 2^16 without a prime factor above 7."""
    numbers = np.arange(LEAST_CELLS, 1 << 16)
    rest = numbers.copy()
    for prime in 16 * (2, 3, 5, 7):
        rest = np.where(rest % prime == 0, rest // prime, rest)
    fast: NDArray[np.intp] = numbers[rest == 1]
    return fast


def magnify(fields: Array, shape: tuple[int, ...]) -> Array:
    """Interpolate periodic fields to another grid by zero-padding or cropping their spectrum.

    The trigonometric interpolant is what the spectral solver computed with, so an interface lies
    where the simulation put it, to a fraction of a cell.

    Parameters
    ----------
    fields : ndarray (fields, [Z,] Y, X)
    shape : tuple of int
        Cells per axis of the result; what a coarser one cannot hold is filtered out.

    Returns
    -------
    ndarray (fields, *shape), of the dtype of `fields`
    """
    coarse = fields.shape[1:]
    if shape == coarse:
        return fields
    axes = tuple(range(1, fields.ndim))
    spectrum = fft.rfftn(fields, axes=axes)
    padded = np.zeros((len(fields), *shape[:-1], shape[-1] // 2 + 1), spectrum.dtype)
    # The modes strictly below the Nyquist frequency of the coarser grid, as signed indices.
    limits = [(min(axis) - 1) // 2 for axis in zip(shape, coarse, strict=True)]
    kept = [np.arange(-n, n + 1) for n in limits[:-1]] + [np.arange(limits[-1] + 1)]
    modes = np.ix_(np.arange(len(fields)), *kept)
    padded[modes] = spectrum[modes]
    fine: Array = fft.irfftn(padded, s=shape, axes=axes)
    fine *= math.prod(shape) / math.prod(coarse)
    return fine


def label_periodic(mask: Array) -> NDArray[np.uint32]:
    """Connected components of a periodic mask; one that wraps around an edge counts once.

    Faces connect, corners do not. Components are numbered from 1 in the order of their first
    cell.
    """
    labels, count = ndimage.label(mask)
    pairs = []
    for axis in range(mask.ndim):
        first, last = labels.take(0, axis).ravel(), labels.take(-1, axis).ravel()
        touching = (first > 0) & (last > 0)
        pairs.append(np.stack([first[touching], last[touching]]))
    i, j = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(i), bool), (i, j)), shape=(count + 1, count + 1))
    merged = connected_components(graph, directed=False)[1]
    return renumber(np.where(labels > 0, merged[labels] + 1, 0))


def renumber(labels: Array) -> NDArray[np.uint32]:
    """Number the nonzero labels from 1 without gaps, in the order of their first cell."""
    values, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    foreground = np.flatnonzero(values)
    numbers = np.zeros(len(values), np.uint32)
    numbers[foreground[np.argsort(first[foreground])]] = np.arange(1, len(foreground) + 1)
    return numbers[inverse].reshape(labels.shape)


def label_variants(phases: Array, threshold: float = 0.5) -> NDArray[np.uint32]:
    """Instances of particles that touch only where their variants differ.

    Parameters
    ----------
    phases : ndarray (variants, [Z,] Y, X)
        Fraction of each variant in each cell; a particle is where their sum exceeds `threshold`,
        and belongs to the largest of them.
    """
    inside = phases.sum(axis=0) > threshold
    variant = phases.argmax(axis=0)
    labels = np.zeros(inside.shape, np.int64)
    for v in range(len(phases)):
        found = label_periodic(inside & (variant == v)).astype(np.int64)
        labels = np.where(found > 0, found + labels.max(), labels)
    return renumber(labels)


def label_regions(labels: Array) -> NDArray[np.uint32]:
    """Instances of a periodic map of labels: the largest connected region of each.

    Faces connect, corners do not; what a label has elsewhere becomes 0.
    """
    numbers = np.arange(labels.size).reshape(labels.shape)
    pairs = []
    for axis in range(labels.ndim):
        same = labels == np.roll(labels, -1, axis)
        pairs.append(np.stack([numbers[same], np.roll(numbers, -1, axis)[same]]))
    i, j = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(i), bool), (i, j)), shape=(labels.size, labels.size))
    region = connected_components(graph, directed=False)[1]
    size = np.bincount(region)
    owner = np.zeros(len(size), labels.dtype)
    owner[region] = labels.ravel()
    # Sorted by label and size, the last region of a label is its largest.
    order = np.lexsort((size, owner))
    last = np.append(owner[order][1:] != owner[order][:-1], True)
    largest = np.zeros(len(size), bool)
    largest[order[last]] = True
    return renumber(np.where(largest[region].reshape(labels.shape), labels, 0))
