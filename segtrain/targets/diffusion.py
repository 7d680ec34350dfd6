"""Heat fed in at the centroid of an instance and averaged until it is still: the diffusion field.

Ruiz Vargas et al., "Single tensor cell segmentation using scalar field representations" (2025),
section 2.1.1. Its formula divides the sum over the neighbours within the instance by 9 throughout,
so that heat leaks out at the border; its text speaks of masked averaging and zero flux. `leaky` is
the formula, `neumann` the text.

Both know pixels only, as the paper does: `spacing` decides which pixel is nearest to the centroid,
and nothing else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.targets import kernels
from segtrain.targets.instances import (
    Instances,
    check_spacing,
    compact,
    components,
    group,
    neighbours,
)

THRESHOLD = 0.01
"""2-norm of the change of an instance in one iteration below which it has converged."""

RELAXATION = 0.97
"""Share of the elimination that the pivots take part in; with all of it the last would be 0."""

TOLERANCE = 1e-9


def leaky_diffusion_field(
    labels: NDArray[Any], spacing: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Diffusion field of the paper's formula, divided by the maximum of every instance.

    Parameters and errors are those of `poisson.poisson_field`.

    Returns
    -------
    array of float32, the shape of `labels`
        In [0, 1]: 0 outside, with maximum 1 in every instance. Inside it is positive except where
        no heat arrives: in components apart from the centroid, and farther from it than there are
        iterations.
    """
    labels = compact(labels)
    pieces, heat, _ = leaky_heat(labels, check_spacing(labels, spacing))
    kernels.divide_by_largest(pieces.starts, heat)
    return pieces.image(heat)


def leaky_heat(
    labels: NDArray[np.int32], spacing: tuple[float, ...]
) -> tuple[Instances, NDArray[np.float64], NDArray[np.int64]]:
    """Heat when every instance has converged, and its iterations.

    In each iteration the pixel nearest to the centroid receives 1, pixels equally near share it;
    then every pixel becomes the sum over its 3x3 (3x3x3) neighbourhood within the instance,
    divided by 9 (27). An instance, or each of its pieces if it has several, stops when the 2-norm
    of its change is below `THRESHOLD`.

    Returns
    -------
    pieces : Instances
        The connected components.
    heat : array of float64, shape (pixels,)
        At the pixels of `pieces`.
    iterations : array of int64
        For every label; 0 where there is none.
    """
    pieces, source, owner = _heated(labels, spacing)
    heat = np.zeros(pieces.pixels.size)
    iterations = np.zeros(pieces.starts.size - 1, np.int64)
    kernels.diffuse(
        pieces.starts,
        pieces.coordinates,
        source,
        THRESHOLD,
        heat,
        iterations,
    )
    of_labels = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    np.maximum.at(of_labels, owner, iterations)
    return pieces, heat, of_labels


def neumann_diffusion_field(
    labels: NDArray[Any], spacing: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Diffusion field without flux through the border, mapped linearly onto [0, 1].

    Averaging over the neighbours inside keeps all heat, so it grows without bound and the increment
    tends to a constant whose 2-norm is about 1 / sqrt(area): the paper's test never passes in
    instances below some 10,000 pixels. But the shape becomes stationary, and that is what is
    solved for: with D the number of neighbours inside (the pixel among them), N their sum, s the
    source and c = s.D / sum(D) the increment, (D - N) u = N s - c D. It is singular, u being
    defined up to a constant, which the linear map removes.

    Parameters and errors are those of `poisson.poisson_field`.

    Returns
    -------
    array of float32, the shape of `labels`
        In [0, 1]: 0 outside, from 0 at the coldest pixel to 1 in every instance; 1 throughout where
        there is but one value, 0 in components apart from the centroid.
    """
    labels = compact(labels)
    pieces, source, _ = _heated(labels, check_spacing(labels, spacing))
    graph = (pieces.starts, pieces.pixels, *neighbours(pieces, corners=True))
    degree, fed = np.empty_like(source), np.empty_like(source)
    kernels.sum_over_neighbours(*graph, np.ones_like(source), degree)
    kernels.sum_over_neighbours(*graph, source, fed)
    sizes = np.diff(pieces.starts)
    piece = np.repeat(np.arange(sizes.size), sizes)
    heat = np.bincount(piece, fed + source, sizes.size)
    increment = heat / np.maximum(np.bincount(piece, degree + 1, sizes.size), 1)
    load = fed + source - increment[piece] * (degree + 1)
    # Where heat spreads evenly, rounding leaves a load that no field without flux can carry.
    load[np.abs(load) < 1e-12] = 0
    shape = np.empty_like(source)
    kernels.conjugate_gradients(
        *graph,
        1.0,
        (1.0,) * graph[2].shape[1],
        # A lone pixel has no neighbours; its equation reads u = 0, not 0 = 0.
        np.maximum(degree, 1),
        load,
        RELAXATION,
        TOLERANCE,
        shape,
        np.zeros(sizes.size, np.int64),
    )
    kernels.scale_to_range(pieces.starts, shape, source)
    return pieces.image(shape)


def _heated(
    labels: NDArray[np.int32], spacing: tuple[float, ...]
) -> tuple[Instances, NDArray[np.float64], NDArray[np.int32]]:
    """Connected pieces of the instances, the source at their pixels, the label of each piece."""
    instances = group(labels)
    source = np.zeros(instances.pixels.size)
    kernels.find_sources(instances.starts, instances.coordinates, np.array(spacing), source)
    numbers = components(labels)
    pieces = group(numbers)
    spread = np.zeros(instances.padded)
    spread.ravel()[instances.pixels] = source
    owner = np.zeros(pieces.starts.size - 1, np.int32)
    owner[numbers.ravel()] = labels.ravel()
    return pieces, spread.ravel()[pieces.pixels], owner
