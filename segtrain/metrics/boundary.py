"""How well the boundaries of two segmentations coincide: boundary F1 and boundary IoU.

Overlap scores hardly notice a ragged outline of a large object; these look at nothing else.
"""

from collections.abc import Sequence
from math import hypot
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics.nearest import as_spacing, crop, nearest
from segtrain.metrics.overlap import as_masks, iou

BAND_FRACTION = 0.02
"""Width of the band of Cheng et al. (2021), as a share of the image diagonal."""


class BoundaryScore(NamedTuple):
    """Agreement of two boundaries, each value in [0, 1]."""

    precision: float
    recall: float
    f1: float


def inner_boundary(mask: NDArray[Any], *, frame: bool = False) -> NDArray[np.bool_]:
    """Foreground pixels that touch the background.

    This is the mask minus its erosion by the 4-connected cross (in three dimensions the 6-connected
    one), which leaves an 8-connected outline one pixel wide. What lies outside the image counts as
    foreground: where an object is cut off by the frame nobody knows its boundary.

    Parameters
    ----------
    mask : array of bool
        Any dimension; in other types, nonzero is foreground.
    frame : bool
        Whether what lies outside counts as background instead, so that the frame is a boundary.

    Returns
    -------
    array of bool
        Same shape as `mask`.
    """
    mask = np.asarray(mask, dtype=bool)
    boundary = np.zeros_like(mask)
    for axis in range(mask.ndim):
        inside, edge = np.moveaxis(mask, axis, 0), np.moveaxis(boundary, axis, 0)
        edge[1:] |= inside[1:] > inside[:-1]
        edge[:-1] |= inside[:-1] > inside[1:]
        if frame:
            edge[:1] |= inside[:1]
            edge[-1:] |= inside[-1:]
    return boundary


def boundary_distances(
    prediction: NDArray[Any], truth: NDArray[Any], spacing: Sequence[float] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from each boundary pixel of one mask to the boundary of the other.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of one to three axes; in other types, nonzero is foreground.
    spacing : sequence of float, optional
        Distance of pixels along every axis; 1 if left out.

    Returns
    -------
    of_prediction, of_truth : array of float
        Euclidean distances in the unit of the spacing, in the order in which
        ``mask[inner_boundary(mask)]`` lists the boundary pixels; infinite if the other mask has no
        boundary.

    Raises
    ------
    ValueError
        If the shapes differ or the spacing does not fit them.
    """
    prediction, truth = crop(*as_masks(prediction, truth))
    spacing = as_spacing(spacing, truth.ndim)
    return nearest(inner_boundary(prediction), inner_boundary(truth), spacing)


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
        Largest distance, in their unit, at which a boundary pixel still counts as matched.

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

    After Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic
    segmentation?", BMVC 2013.

    Precision is the share of predicted boundary pixels within `tolerance` of a true one, recall the
    share of true boundary pixels within `tolerance` of a predicted one, F1 their harmonic mean.
    Boundaries are those of `inner_boundary`: the image frame is none.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of one to three axes; in other types, nonzero is foreground.
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


def boundary_iou(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    width: float | None = None,
    spacing: Sequence[float] | None = None,
) -> float:
    """Boundary IoU: overlap of the bands along the inside of the two outlines.

    Cheng et al., "Boundary IoU: Improving object-centric image segmentation evaluation", CVPR 2021,
    equation 1, with the band of its reference code: the mask minus its erosion by a box, where
    what lies outside the image is background.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of any dimension; in other types, nonzero is foreground.
    width : float, optional
        Width of the band in the unit of the spacing; 2 % of the image diagonal if left out. Along
        every axis it is rounded to full pixels, at least one.
    spacing : sequence of float, optional
        Distance of pixels along every axis; 1 if left out.

    Returns
    -------
    float
        In [0, 1]; 1 if both masks are empty. Of objects no thicker than twice the band it is the
        IoU.

    Raises
    ------
    ValueError
        If the shapes differ or the spacing does not fit them.
    """
    prediction, truth = as_masks(prediction, truth)
    spacing = as_spacing(spacing, truth.ndim)
    if width is None:
        width = BAND_FRACTION * diagonal(truth.shape, spacing)
    pixels = [max(round(width / step), 1) for step in spacing]
    return iou(*(_band(mask, pixels) for mask in crop(prediction, truth)))


def diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Length of the diagonal of an image from corner to corner."""
    return hypot(*(size * step for size, step in zip(shape, spacing, strict=True)))


def _band(mask: NDArray[np.bool_], pixels: Sequence[int]) -> NDArray[np.bool_]:
    """Foreground within as many `pixels` from the background, in the sense of a box."""
    core = mask
    for axis, reach in enumerate(pixels):
        core = np.moveaxis(core, axis, 0)
        core = np.pad(core, [(reach, reach)] + [(0, 0)] * (mask.ndim - 1))
        # Windows of 1, 2, 4, ... pixels, each joined from two, up to the full one.
        length = 1
        while length < 2 * reach + 1:
            step = min(length, 2 * reach + 1 - length)
            core = core[:-step] & core[step:]
            length += step
        core = np.moveaxis(core, 0, axis)
    return mask & ~core
