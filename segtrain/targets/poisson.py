"""Deflection of a membrane clamped at the border of its instance: the Poisson field.

Ruiz Vargas et al., "Single tensor cell segmentation using scalar field representations" (2025),
section 2.1.2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.targets import kernels
from segtrain.targets.diagonals import solve_on_diagonals
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
    Instances of images are solved by diagonals, those of volumes and scattered ones by pixels: each
    instance by itself chooses, so that its field does not depend on its company.

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
    sizes = np.diff(instances.starts)
    solution = np.empty(instances.pixels.size)
    iterations = np.zeros(sizes.size, np.int64)
    if labels.ndim == 2:
        solve_on_diagonals(
            instances.starts,
            instances.pixels,
            instances.padded[-1],
            (weights[0], row_weight),
            TOLERANCE,
            solution,
            iterations,
        )
    left = (sizes > 0) & (iterations == 0)
    if left.any():
        rest = group(np.where(left[labels], labels, 0)) if iterations.any() else instances
        found, counts = np.empty(rest.pixels.size), np.zeros(rest.starts.size - 1, np.int64)
        kernels.conjugate_gradients(
            rest.starts,
            rest.pixels,
            *neighbours(rest),
            row_weight,
            tuple(weights),
            np.full(found.size, 2 * (sum(weights) + row_weight)),
            np.ones(found.size),
            1.0,
            TOLERANCE,
            found,
            counts,
        )
        solution[np.repeat(left, sizes)] = found
        iterations[: counts.size] += counts
    return instances, solution, iterations
