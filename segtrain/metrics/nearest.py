"""Exact Euclidean distances between two sets of pixels.

A distance transform, separable into the axes, that stops short of the last of them: along that one
only the pixels asked for are served, and those search no farther than they must.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics import kernels


def nearest(
    pixels: NDArray[np.bool_], others: NDArray[np.bool_], spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each pixel of either set to the nearest of the other.

    Parameters
    ----------
    pixels, others : array of bool
        Of one shape, of one to three axes.
    spacing : sequence of float
        Distance of pixels along every axis, see `as_spacing`.

    Returns
    -------
    of_pixels, of_others : array of float
        In row-major order; infinite if there are no others.

    Raises
    ------
    ValueError
        If there are more axes.
    """
    if pixels.ndim > 3:
        raise ValueError(f"distances are for masks of one to three axes, not {pixels.ndim}")
    points, targets = np.flatnonzero(pixels), np.flatnonzero(others)
    if not (points.size and targets.size):
        return np.full(points.size, np.inf), np.full(targets.size, np.inf)
    missing = 3 - pixels.ndim
    shape, scale = (*pixels.shape, *(1,) * missing), (*map(float, spacing), *(1.0,) * missing)
    return (
        _distances(points, others.reshape(shape), scale),
        _distances(targets, pixels.reshape(shape), scale),
    )


def as_spacing(spacing: Sequence[float] | None, axes: int) -> tuple[float, ...]:
    """One pixel spacing per axis, 1 if left out.

    Raises
    ------
    ValueError
        If there is not one positive, finite spacing per axis.
    """
    spacing = (1.0,) * axes if spacing is None else tuple(spacing)
    if len(spacing) != axes or not all(0 < step < np.inf for step in spacing):
        raise ValueError(
            f"a mask of {axes} axes needs as many positive spacings, not {tuple(spacing)}"
        )
    return spacing


def crop(*masks: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The part of all masks that holds their foreground, and one pixel more where there is one.

    The order of the foreground pixels and what touches what remain. Empty masks stay as they are.
    """
    either = np.logical_or.reduce(masks)
    box = []
    for axis in range(either.ndim):
        rest = tuple(other for other in range(either.ndim) if other != axis)
        places = np.flatnonzero(either.any(axis=rest))
        if places.size:
            box.append(slice(max(places[0] - 1, 0), places[-1] + 2))
    return [mask[tuple(box)] for mask in masks]


def _distances(
    points: NDArray[np.intp], marked: NDArray[np.bool_], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """Distance of the `points` to the nearest `marked` pixel; three axes, searching the second."""
    depth, size, width = marked.shape
    steps: NDArray[Any] = np.empty(marked.shape, np.float32)
    kernels.scan(marked.reshape(depth, -1), steps.reshape(depth, -1))
    if width == 1:
        return np.asarray(kernels.search(points, steps.ravel(), size, 1, *spacing[:2]))
    # Slice by slice, so that the squares stay in the cache; slices without a point have none.
    found, squares = np.empty(points.size), np.empty((size, width))
    ends = np.searchsorted(points, squares.size * np.arange(depth + 1))
    for z, (start, stop) in enumerate(pairwise(ends)):
        if start < stop:
            kernels.spread(steps[z], spacing[0], spacing[2], squares)
            within = points[start:stop] - z * squares.size
            found[start:stop] = kernels.search(
                within, squares.ravel(), size, width, 0.0, spacing[1]
            )
    return found
