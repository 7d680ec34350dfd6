"""Euclidean distance to the border of the instance: the classical field, for comparison."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.targets import kernels
from segtrain.targets.instances import check_spacing, compact


def distance_field(
    labels: NDArray[Any], spacing: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Distance to the nearest pixel outside the instance, divided by its maximum.

    Other instances are outside, and so is what lies beyond the image, as for the Poisson field. All
    instances are done in one pass over each axis.

    Parameters and errors are those of `poisson.poisson_field`.

    Returns
    -------
    array of float32, the shape of `labels`
        In [0, 1]: 0 outside, positive inside, with maximum 1 in every instance.
    """
    labels = compact(labels)
    squared = np.full(labels.shape, np.inf)
    for axis, size in enumerate(check_spacing(labels, spacing)):
        lines = np.ascontiguousarray(np.moveaxis(labels, axis, -1))
        before = np.ascontiguousarray(np.moveaxis(squared, axis, -1))
        after = np.empty_like(before)
        rows = (-1, max(labels.shape[axis], 1))
        kernels.nearest_along(lines.reshape(rows), before.reshape(rows), size, after.reshape(rows))
        squared = np.moveaxis(after, -1, axis)
    field = np.zeros(labels.shape, np.float32)
    largest = np.zeros(int(labels.max(initial=0)) + 1)
    squared = np.ascontiguousarray(squared)
    kernels.root_over_largest(labels.ravel(), squared.ravel(), largest, field.ravel())
    return field
