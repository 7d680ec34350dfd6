"""Boundary F1: how well the boundaries of two segmentations coincide.

After Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?",
BMVC 2013. Overlap scores hardly notice a ragged outline of a large object; this one looks at
nothing else.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from segtrain.metrics.overlap import as_masks


class BoundaryScore(NamedTuple):
    """Agreement of two boundaries, each value in [0, 1]."""

    precision: float
    recall: float
    f1: float


def inner_boundary(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Foreground pixels that touch the background.

    This is the mask minus its erosion by the 4-connected cross (in three dimensions the 6-connected
    one), which leaves an 8-connected outline one pixel wide. What lies outside the image counts as
    foreground: where an object is cut off by the frame nobody knows its boundary.

    Parameters
    ----------
    mask : array of bool
        Any dimension; in other types, nonzero is foreground.

    Returns
    -------
    array of bool
        Same shape as `mask`.
    """
    mask = np.asarray(mask, dtype=bool)
    boundary = np.zeros_like(mask)
    for axis in range(mask.ndim):
        inside, edge = np.moveaxis(mask, axis, 0), np.moveaxis(boundary, axis, 0)
        edge[1:] |= inside[1:] & ~inside[:-1]
        edge[:-1] |= inside[:-1] & ~inside[1:]
    return boundary


def boundary_distances(
    prediction: NDArray[Any], truth: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from each boundary pixel of one mask to the boundary of the other.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of any dimension; in other types, nonzero is foreground.

    Returns
    -------
    of_prediction, of_truth : array of float
        Euclidean distances in pixels, in the order in which ``mask[inner_boundary(mask)]`` lists
        the boundary pixels; infinite if the other mask has no boundary.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    prediction, truth = as_masks(prediction, truth)
    predicted, true = (np.argwhere(inner_boundary(mask)) for mask in (prediction, truth))
    return _nearest(predicted, true), _nearest(true, predicted)


def score_at(
    distances: tuple[NDArray[np.float64], NDArray[np.float64]], tolerance: float
) -> BoundaryScore:
    """Score the distances found by `boundary_distances`.

    Apart from `boundary_scores` so that several tolerances share one search for neighbours.

    Parameters
    ----------
    distances : pair of arrays
        Distances of the predicted and of the true boundary pixels to the other boundary.
    tolerance : float
        Largest distance, in pixels, at which a boundary pixel still counts as matched.

    Returns
    -------
    BoundaryScore
        As for `boundary_scores`.
    """
    of_prediction, of_truth = distances
    if not (of_prediction.size or of_truth.size):
        return BoundaryScore(1.0, 1.0, 1.0)
    if not (of_prediction.size and of_truth.size):
        return BoundaryScore(0.0, 0.0, 0.0)
    precision = float(np.mean(of_prediction <= tolerance))
    recall = float(np.mean(of_truth <= tolerance))
    matched = precision + recall
    return BoundaryScore(precision, recall, 2 * precision * recall / matched if matched else 0.0)


def boundary_scores(
    prediction: NDArray[Any], truth: NDArray[Any], tolerance: float = 2.0
) -> BoundaryScore:
    """Boundary precision, recall and F1 of a predicted mask.

    Precision is the share of predicted boundary pixels within `tolerance` of a true one, recall the
    share of true boundary pixels within `tolerance` of a predicted one, F1 their harmonic mean.
    Boundaries are those of `inner_boundary`: the image frame is none.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of any dimension; in other types, nonzero is foreground.
    tolerance : float
        Euclidean distance in pixels, inclusive.

    Returns
    -------
    BoundaryScore
        All 1 if neither mask has a boundary, all 0 if exactly one has. An entirely filled mask has
        no boundary, as has an empty one: `iou` tells these two apart.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    return score_at(boundary_distances(prediction, truth), tolerance)


def boundary_f1(prediction: NDArray[Any], truth: NDArray[Any], tolerance: float = 2.0) -> float:
    """Boundary F1 of a predicted mask: `boundary_scores`, of which only the harmonic mean."""
    return boundary_scores(prediction, truth, tolerance).f1


def _nearest(points: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
    # Exactly the distances of a distance transform, but at boundary pixels only: several times
    # faster, and without arrays of the size of a volume. Points on a grid need no balanced tree.
    distances, _ = KDTree(others, compact_nodes=False, balanced_tree=False).query(points)
    return np.asarray(distances, dtype=np.float64)
