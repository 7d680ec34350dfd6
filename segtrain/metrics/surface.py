"""How far the surface of a segmentation lies from the true one, in the unit of the pixel spacing.

The definitions are those of the medical challenges (Taha and Hanbury, BMC Medical Imaging 15:29,
2015): distances between surfaces, the percentile taken in each direction by itself.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics.boundary import diagonal, inner_boundary
from segtrain.metrics.nearest import as_spacing, crop, nearest
from segtrain.metrics.overlap import as_masks


class SurfaceScore(NamedTuple):
    """Distances of two surfaces, 0 if they coincide.

    Attributes
    ----------
    hausdorff : float
        Largest distance of a surface pixel of either mask from the other surface.
    hd95 : float
        The same with the 95th percentile, interpolated, for the largest: the larger of the two
        directions.
    average : float
        Average symmetric surface distance: mean over all surface pixels of both masks.
    """

    hausdorff: float
    hd95: float
    average: float


def surface_distances(
    prediction: NDArray[Any], truth: NDArray[Any], spacing: Sequence[float] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from each surface pixel of one mask to the surface of the other.

    The surface are the foreground pixels that share a face with background. What lies outside the
    image is background here, unlike for `boundary_f1`: so a filled image has a surface, and a hole
    in it a distance.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of one to three axes; in other types, nonzero is foreground.
    spacing : sequence of float, optional
        Distance of pixels along every axis; 1 if left out.

    Returns
    -------
    of_prediction, of_truth : array of float
        Euclidean distances between centres of pixels, for the surface pixels in row-major order.
        If the other mask is empty, each is the diagonal of the image from corner to corner, which
        no two pixels are apart: an object that is missed altogether costs more than any that is
        found.

    Raises
    ------
    ValueError
        If the shapes differ or the spacing does not fit them.
    """
    prediction, truth = as_masks(prediction, truth)
    spacing = as_spacing(spacing, truth.ndim)
    farthest = diagonal(truth.shape, spacing)
    surfaces = [inner_boundary(mask, frame=True) for mask in crop(prediction, truth)]
    of_prediction, of_truth = nearest(surfaces[0], surfaces[1], spacing)
    return np.minimum(of_prediction, farthest), np.minimum(of_truth, farthest)


def surface_scores(
    prediction: NDArray[Any], truth: NDArray[Any], spacing: Sequence[float] | None = None
) -> SurfaceScore:
    """Hausdorff distance, its 95th percentile and the average surface distance.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of one to three axes; in other types, nonzero is foreground.
    spacing : sequence of float, optional
        Distance of pixels along every axis; 1 if left out.

    Returns
    -------
    SurfaceScore
        In the unit of the spacing. All 0 if both masks are empty; all the diagonal of the image,
        see `surface_distances`, if one is; never NaN or infinite.

    Raises
    ------
    ValueError
        If the shapes differ or the spacing does not fit them.
    """
    found = [d for d in surface_distances(prediction, truth, spacing) if d.size]
    if not found:
        return SurfaceScore(0.0, 0.0, 0.0)
    return SurfaceScore(
        max(float(d.max()) for d in found),
        max(float(np.percentile(d, 95)) for d in found),
        float(np.concatenate(found).mean()),
    )
