"""Scores of a segmentation against its truth; `evaluate` gives all of them for one image."""

from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics.bootstrap import Comparison, Summary, compare, summarise
from segtrain.metrics.boundary import (
    BoundaryScore,
    boundary_distances,
    boundary_f1,
    boundary_iou,
    boundary_scores,
    diagonal,
    inner_boundary,
    score_at,
)
from segtrain.metrics.instance import (
    PanopticScore,
    average_precision,
    overlaps,
    panoptic_quality,
    pool,
    score_instances,
    seg,
)
from segtrain.metrics.nearest import as_spacing
from segtrain.metrics.overlap import Overlap, class_iou, class_overlaps, dice, iou, overlap
from segtrain.metrics.surface import SurfaceScore, surface_scores

__all__ = [
    "BoundaryScore",
    "Comparison",
    "Overlap",
    "PanopticScore",
    "Summary",
    "SurfaceScore",
    "average_precision",
    "boundary_f1",
    "boundary_iou",
    "boundary_scores",
    "class_iou",
    "class_overlaps",
    "compare",
    "dice",
    "evaluate",
    "inner_boundary",
    "iou",
    "overlap",
    "overlaps",
    "panoptic_quality",
    "pool",
    "score_instances",
    "seg",
    "summarise",
    "surface_scores",
]

DIAGONAL_FRACTION = 0.0075
"""Tolerance of Csurka et al. (2013): 0.75 % of the image diagonal, so that scale drops out."""

SHAPES = ("bf1", "biou", "hd", "hd95", "assd")
"""What `evaluate` says of the outline of every class."""


def evaluate(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    classes: Sequence[str],
    *,
    tolerance: float = 2.0,
    spacing: Sequence[float] | None = None,
) -> dict[str, float]:
    """Score one predicted class-index mask.

    A truth that only tells foreground from background is compared with ``prediction > 0`` and two
    class names.

    Parameters
    ----------
    prediction, truth : array of uint8
        Class-index masks of one shape, of one to three axes; 0 is background, all else foreground.
    classes : sequence of str
        Name of every class, the background first.
    tolerance : float
        Distance in pixels within which boundaries match; where the spacings differ, in pixels of
        the finest axis.
    spacing : sequence of float, optional
        Distance of pixels along every axis; 1 if left out.

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
        - ``precision``, ``recall``: of the pixels of the foreground; 1 if there is none in either
          mask, 0 if there is in one.
        - ``biou``: Boundary IoU of the foreground, the band 2 % of the image diagonal wide.
        - ``hd``, ``hd95``, ``assd``: Hausdorff distance, its 95th percentile and the average
          symmetric surface distance of the foreground, in the unit of the spacing; 0 if there is
          none in either mask, the diagonal of the image from corner to corner if there is in one:
          what is missed altogether, or found where nothing is, counts more than any other mistake.
        - ``dice_``, ``precision_``, ``recall_``, ``bf1_``, ``biou_``, ``hd_``, ``hd95_`` and
          ``assd_<class>``: the same of each class, all classes of one score together; NaN if the
          class occurs in neither mask.

    Raises
    ------
    ValueError
        If the shapes differ, the spacing does not fit them, a label has no name in `classes`, or a
        class is called "diag", so that ``bf1_diag`` would mean two things.
    """
    if "diag" in classes:
        raise ValueError('a class cannot be called "diag": the score bf1_diag is another')
    spacing = as_spacing(spacing, truth.ndim)
    per_label = class_overlaps(prediction, truth, len(classes))
    per_class = per_label.iou
    whole = overlap(prediction, truth)
    near, far = tolerance * min(spacing), DIAGONAL_FRACTION * diagonal(truth.shape, spacing)
    shape, bf1_diag = _outlines(prediction > 0, truth > 0, (near, far), spacing)
    # Of two classes the second is the foreground.
    shapes = [
        dict.fromkeys(SHAPES, nan)
        if np.isnan(per_class[label])
        else shape
        if (label, len(classes)) == (1, 2)
        else _outlines(prediction == label, truth == label, (near, far), spacing)[0]
        for label in range(len(classes))
    ]
    return {
        "iou": whole.iou,
        "dice": whole.dice,
        "bf1": shape["bf1"],
        "bf1_diag": bf1_diag,
        "miou": float(np.nanmean(per_class)),
        **_named("iou", classes, per_class),
        "precision": whole.precision,
        "recall": whole.recall,
        **{score: shape[score] for score in SHAPES[1:]},
        **_named("dice", classes, per_label.dice),
        **_named("precision", classes, per_label.precision),
        **_named("recall", classes, per_label.recall),
        **{
            key: value
            for score in SHAPES
            for key, value in _named(score, classes, [shape[score] for shape in shapes]).items()
        },
    }


def _outlines(
    prediction: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    tolerances: tuple[float, float],
    spacing: tuple[float, ...],
) -> tuple[dict[str, float], float]:
    """The scores named `SHAPES`, and Boundary F1 at the second tolerance as well."""
    distances = boundary_distances(prediction, truth, spacing)
    surface = surface_scores(prediction, truth, spacing)
    near, far = (score_at(distances, tolerance).f1 for tolerance in tolerances)
    biou = boundary_iou(prediction, truth, spacing=spacing)
    return dict(zip(SHAPES, (near, biou, *surface), strict=True)), far


def _named(score: str, classes: Sequence[str], values: Any) -> dict[str, float]:
    return {f"{score}_{name}": float(value) for name, value in zip(classes, values, strict=True)}
