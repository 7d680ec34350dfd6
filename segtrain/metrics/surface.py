"""How far the surface of a segmentation lies from the true one, in the unit of the pixel spacing.

The definitions are those of the medical challenges (Taha and Hanbury, BMC Medical Imaging 15:29,
2015): distances between surfaces, the percentile taken in each direction by itself.
"""

from collections.abc import Sequence
from math import hypot
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from segtrain.metrics.boundary import inner_boundary
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
        Masks of one shape, of any dimension; in other types, nonzero is foreground.
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
    spacing = (1.0,) * truth.ndim if spacing is None else spacing
    if len(spacing) != truth.ndim or not all(0 < step < np.inf for step in spacing):
        raise ValueError(
            f"a mask of {truth.ndim} axes needs as many positive spacings, not {tuple(spacing)}"
        )
    predicted, true = (_surface(mask, spacing) for mask in (prediction, truth))
    diagonal = hypot(*(n * step for n, step in zip(truth.shape, spacing, strict=True)))
    return _nearest(predicted, true, diagonal), _nearest(true, predicted, diagonal)


def surface_scores(
    prediction: NDArray[Any], truth: NDArray[Any], spacing: Sequence[float] | None = None
) -> SurfaceScore:
    """Hausdorff distance, its 95th percentile and the average surface distance.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of any dimension; in other types, nonzero is foreground.
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


def _surface(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Places of the surface pixels, (number, axes)."""
    pixels = np.argwhere(inner_boundary(np.pad(mask, 1)))
    return pixels.astype(np.float64) * np.asarray(spacing, dtype=np.float64)


def _nearest(
    points: NDArray[np.float64], others: NDArray[np.float64], none: float
) -> NDArray[np.float64]:
    if not len(others):
        return np.full(len(points), none)
    # Points on a grid need no balanced tree, and large leaves are quicker to build.
    tree = KDTree(others, leafsize=32, compact_nodes=False, balanced_tree=False)
    distances, _ = tree.query(points)
    return np.asarray(distances, dtype=np.float64)
