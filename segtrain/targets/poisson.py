"""Deflection of a membrane clamped at the border of its instance: the Poisson field.

Ruiz Vargas et al., "Single tensor cell segmentation using scalar field representations" (2025),
section 2.1.2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.targets import kernels
from segtrain.targets.instances import Instances, check_spacing, compact, group, neighbours

TOLERANCE = 3e-8
"""Bound on the error of the solution relative to the solution, both in the energy norm."""


def poisson_field(
    labels: NDArray[Any], spacing: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Poisson field of every instance, divided by its maximum.

    Parameters
    ----------
    labels : array of integers, shape ([Z,] Y, X)
        0 is background; instances may touch, have holes and consist of several components.
    spacing : sequence of float, optional
        Pixel size along every axis; 1 by default. Only ratios matter.

    Returns
    -------
    array of float32, the shape of `labels`
        In [0, 1]: 0 outside, positive inside, with maximum 1 in every instance.

    Raises
    ------
    InputError
        If `labels` is no label image or `spacing` does not fit it.
    """
    labels = compact(labels)
    instances, solution, _ = deflection(labels, check_spacing(labels, spacing))
    kernels.divide_by_largest(instances.starts, solution)
    return instances.image(solution)


def deflection(
    labels: NDArray[np.int32], spacing: tuple[float, ...]
) -> tuple[Instances, NDArray[np.float64], NDArray[np.int64]]:
    """Solve -laplace(u) = 1 in every instance with u = 0 at the pixels outside.

    The Laplacian has the 5-point (in three dimensions 7-point) stencil of the paper's equation 2.
    Outside of an instance are the background, all other instances, and what lies beyond the image:
    the paper clamps every cell at its border without exception, so a cell that the frame cuts off
    is clamped at the frame. (The paper prints A u = -1; with A positive definite it is A u = 1.)

    Returns
    -------
    instances : Instances
    solution : array of float64, shape (pixels,)
        At the pixels of `instances`, in the squared unit of `spacing`.
    iterations : array of int64
        Of the conjugate gradients, for every label; 0 where there is none.
    """
    instances = group(labels)
    *weights, row_weight = (1 / (size * size) for size in spacing)
    count = instances.pixels.size
    solution = np.empty(count)
    iterations = np.zeros(instances.starts.size - 1, np.int64)
    kernels.conjugate_gradients(
        instances.starts,
        instances.pixels,
        *neighbours(instances),
        row_weight,
        tuple(weights),
        np.full(count, 2 * (sum(weights) + row_weight)),
        np.ones(count),
        1.0,
        TOLERANCE,
        solution,
        iterations,
    )
    return instances, solution, iterations
