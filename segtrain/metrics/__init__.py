"""Scores of a segmentation against its truth; `evaluate` gives all of them for one image."""

from collections.abc import Sequence
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics.bootstrap import Summary, summarise
from segtrain.metrics.boundary import (
    BoundaryScore,
    boundary_distances,
    boundary_f1,
    boundary_scores,
    inner_boundary,
    score_at,
)
from segtrain.metrics.overlap import class_iou, dice, iou

__all__ = [
    "BoundaryScore",
    "Summary",
    "boundary_f1",
    "boundary_scores",
    "class_iou",
    "dice",
    "evaluate",
    "inner_boundary",
    "iou",
    "summarise",
]

DIAGONAL_FRACTION = 0.0075
"""Tolerance of Csurka et al. (2013): 0.75 % of the image diagonal, so that scale drops out."""


def evaluate(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    classes: Sequence[str],
    *,
    tolerance: float = 2.0,
) -> dict[str, float]:
    """Score one predicted class-index mask.

    A truth that only tells foreground from background is compared with ``prediction > 0`` and two
    class names.

    Parameters
    ----------
    prediction, truth : array of uint8
        Class-index masks of one shape, of any dimension; 0 is background, all else foreground.
    classes : sequence of str
        Name of every class, the background first.
    tolerance : float
        Distance in pixels within which boundaries match.

    Returns
    -------
    dict of str to float
        Always in this order:

        - ``iou``, ``dice``: overlap of the foreground; 1 if there is none in either mask.
        - ``bf1``: Boundary F1 of the foreground at `tolerance`.
        - ``bf1_diag``: the same at 0.75 % of the image diagonal.
        - ``miou``: mean of the following over the classes that occur in either mask.
        - ``iou_<class>``: overlap of each class, the background included; NaN if it occurs in
          neither mask.

    Raises
    ------
    ValueError
        If the shapes differ or a label has no name in `classes`.
    """
    per_class = class_iou(prediction, truth, len(classes))
    distances = boundary_distances(prediction, truth)
    return {
        "iou": iou(prediction, truth),
        "dice": dice(prediction, truth),
        "bf1": score_at(distances, tolerance).f1,
        "bf1_diag": score_at(distances, DIAGONAL_FRACTION * hypot(*truth.shape)).f1,
        "miou": float(np.nanmean(per_class)),
        **{f"iou_{name}": float(value) for name, value in zip(classes, per_class, strict=True)},
    }
