"""Scores of a segmentation against its truth; `evaluate` gives all of them for one image."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics.bootstrap import Comparison, Summary, compare, interval, summarise
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
    join_overlaps,
    overlaps,
    panoptic_quality,
    pool,
    score_instances,
    score_overlaps,
    seg,
)
from segtrain.metrics.nearest import as_spacing
from segtrain.metrics.overlap import (
    Overlap,
    class_iou,
    class_overlaps,
    confusion,
    dice,
    iou,
    overlap,
    overlaps_of_counts,
)
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
    "confusion",
    "dice",
    "evaluate",
    "inner_boundary",
    "interval",
    "iou",
    "join_overlaps",
    "overlap",
    "overlaps",
    "overlaps_of_counts",
    "panoptic_quality",
    "pool",
    "pooled_overlaps",
    "score_instances",
    "score_overlaps",
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
    regions: Mapping[str, Sequence[int]] | None = None,
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
    regions : mapping of str to sequence of int, optional
        Unions of classes that are scored as classes are, by name.

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
        - ``iou_``, ``dice_``, ``precision_``, ``recall_``, ``bf1_``, ``biou_``, ``hd_``, ``hd95_``
          and ``assd_<region>``: the same of each region.

    Raises
    ------
    ValueError
        If the shapes differ, the spacing does not fit them, a label has no name in `classes`, or a
        class or region is called "diag", so that ``bf1_diag`` would mean two things.
    """
    regions = regions or {}
    if "diag" in (*classes, *regions):
        raise ValueError('a class cannot be called "diag": the score bf1_diag is another')
    spacing = as_spacing(spacing, truth.ndim)
    counts = confusion(prediction, truth, len(classes))
    per_label = overlaps_of_counts(counts)
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
    rows = {
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
    for name, members in regions.items():
        shares = overlaps_of_counts(counts, [members])
        region = dict.fromkeys(SHAPES, nan)
        if not np.isnan(shares.iou[0]):
            parts = np.isin(prediction, members), np.isin(truth, members)
            region, _ = _outlines(*parts, (near, far), spacing)
        region = {key: float(value[0]) for key, value in shares._asdict().items()} | region
        rows |= {f"{score}_{name}": value for score, value in region.items()}
    return rows


def pooled_overlaps(
    counts: NDArray[np.int64],
    classes: Sequence[str],
    regions: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, float]:
    """Overlaps of all pixels of several images, in which large images and objects weigh more.

    Parameters
    ----------
    counts : array of int, shape (classes, classes)
        Sum of their `confusion`.
    classes, regions
        As `evaluate` has them.

    Returns
    -------
    dict of str to float
        ``iou`` and ``dice`` of the foreground, 1 if there is none, and ``iou_`` and ``dice_`` of
        each class and region, NaN for those that do not occur.
    """
    groups = {"": range(1, len(classes))}
    groups |= {f"_{name}": range(k, k + 1) for k, name in enumerate(classes)}
    members = [*groups.values(), *(regions or {}).values()]
    names = [*groups, *(f"_{name}" for name in regions or {})]
    shares = overlaps_of_counts(counts, members)
    result = {
        f"{score}{name}": float(value)
        for score in ("iou", "dice")
        for name, value in zip(names, getattr(shares, score), strict=True)
    }
    empty = not (counts.sum() - counts[0, 0])
    return result | ({"iou": 1.0, "dice": 1.0} if empty else {})


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
