"""How well instances are found and outlined: panoptic quality, average precision, SEG, AJI.

All of it follows from the overlaps of predicted with true instances. Two instances match if their
intersection over union (IoU) exceeds a threshold of at least 0.5, exactly that being no match: then
no instance can match two others, and nothing needs to be assigned.

Two segmentations without any instance agree perfectly and score 1, as in `segtrain.metrics.overlap`
(PQ, SQ, RQ, AP, AJI); if only one of them is empty they score 0. SEG, a mean over true instances,
is NaN where there are none: an image without reference says nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics.overlap import require_same_shape

AP_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU 0.5, 0.55, ..., 0.95."""


@dataclass(frozen=True)
class Overlaps:
    """All pairs of a predicted and a true instance that share a pixel.

    Attributes
    ----------
    predicted, true : array of int64, shapes (P,) and (T,)
        Pixels of every instance, in the order of their labels.
    pairs : array of int64, shape (pairs, 2)
        Places in `predicted` and `true`, sorted by the latter.
    shared : array of int64, shape (pairs,)
        Pixels in common.
    """

    predicted: NDArray[np.int64]
    true: NDArray[np.int64]
    pairs: NDArray[np.int64]
    shared: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """Pixels in either instance of every pair."""
        return self.predicted[self.pairs[:, 0]] + self.true[self.pairs[:, 1]] - self.shared

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of every pair."""
        return self.shared / self.union

    @property
    def both_empty(self) -> bool:
        """Whether there is no instance in either segmentation."""
        return self.predicted.size == self.true.size == 0


class PanopticScore(NamedTuple):
    """Panoptic quality with the counts it comes from, which `pool` adds up."""

    iou_sum: float
    matched: int
    predicted: int
    true: int

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matches; 0 without any, 1 of two empty images."""
        if self.predicted == self.true == 0:
            return 1.0
        return self.iou_sum / self.matched if self.matched else 0.0

    @property
    def rq(self) -> float:
        """Recognition quality: F1 score of the instances."""
        instances = self.predicted + self.true
        return 2 * self.matched / instances if instances else 1.0

    @property
    def pq(self) -> float:
        """Panoptic quality, SQ times RQ."""
        return self.sq * self.rq


def overlaps(prediction: NDArray[Any], truth: NDArray[Any]) -> Overlaps:
    """Count the pixels that predicted and true instances share.

    Parameters
    ----------
    prediction, truth : array of integers
        Label images of one shape, of any dimension; 0 is background, labels need not be
        consecutive.

    Raises
    ------
    ValueError
        If the shapes differ, or one is not of integers from 0 up.
    """
    require_same_shape(prediction, truth)
    (names, mine), (true_names, yours) = (
        _places(labels, name) for labels, name in ((prediction, "prediction"), (truth, "truth"))
    )
    keys, counts = np.unique(yours * (names + 1) + mine, return_counts=True)
    i, j = keys % (names + 1), keys // (names + 1)
    both = (i > 0) & (j > 0)
    return Overlaps(
        np.bincount(i, counts, names + 1)[1:].astype(np.int64),
        np.bincount(j, counts, true_names + 1)[1:].astype(np.int64),
        np.stack([i[both], j[both]], axis=1) - 1,
        counts[both],
    )


def panoptic_quality(found: Overlaps, threshold: float = 0.5) -> PanopticScore:
    """Panoptic quality of Kirillov et al. (2019), "Panoptic segmentation", equation 1.

    Parameters
    ----------
    found : Overlaps
        Of one image.
    threshold : float
        Instances match if their IoU exceeds it; from 0.5 up.

    Raises
    ------
    ValueError
        If the threshold is below 0.5, where matches would not be unique.
    """
    if not 0.5 <= threshold < 1:
        raise ValueError(f"the threshold {threshold} is not in [0.5, 1)")
    matches = found.iou[found.iou > threshold]
    return PanopticScore(float(matches.sum()), matches.size, found.predicted.size, found.true.size)


def pool(scores: Iterable[PanopticScore]) -> PanopticScore:
    """Score of several images as if they were one: large ones count for more than in a mean.

    The mean over images of PQ is not that of SQ times that of RQ; of the pooled score PQ = SQ RQ
    holds.
    """
    iou_sum, matched, predicted, true = 0.0, 0, 0, 0
    for score in scores:
        iou_sum += score.iou_sum
        matched += score.matched
        predicted += score.predicted
        true += score.true
    return PanopticScore(iou_sum, matched, predicted, true)


def average_precision(
    found: Overlaps, thresholds: Iterable[float] = AP_THRESHOLDS
) -> NDArray[np.float64]:
    """Matches / (matches + missed + spurious) at every IoU threshold; 1 if both are empty.

    The "average precision" of the Data Science Bowl 2018 and of the papers on cells, also known as
    threat score or critical success index; its mean over the thresholds is the bowl's score. It is
    not the area below a precision-recall curve: a label image ranks nothing.
    """
    values = []
    for threshold in thresholds:
        score = panoptic_quality(found, threshold)
        either = score.predicted + score.true - score.matched
        values.append(score.matched / either if either else 1.0)
    return np.array(values)


def seg(found: Overlaps) -> NDArray[np.float64]:
    """SEG of the Cell Tracking Challenge, for every true instance; its mean is the measure.

    A true instance is matched by the prediction that covers more than half of it, and scores their
    IoU, or 0 without one (Maska et al. 2014). Predictions without a true instance cost nothing, so
    that sparse annotation does no harm. Over several images the challenge takes the mean of all
    true instances: concatenate.

    Returns
    -------
    array of float, shape (T,)
        Empty without a true instance.
    """
    scores = np.zeros(found.true.size)
    truths = found.pairs[:, 1]
    majority = 2 * found.shared > found.true[truths]
    scores[truths[majority]] = found.iou[majority]
    return scores


def aggregated_jaccard(found: Overlaps) -> float:
    """Aggregated Jaccard index (AJI) of Kumar et al. (2017), algorithm 1.

    Every true instance takes the prediction of largest IoU, which another may take as well; the sum
    of the intersections is divided by that of the unions, plus the pixels of the predictions nobody
    took. Of equal IoU the prediction of the lower label is taken. 1 if both are empty.
    """
    if found.both_empty:
        return 1.0
    # Stable, last key first: by true instance, the largest IoU first.
    order = np.lexsort((-found.iou, found.pairs[:, 1]))
    taken_truths, first = np.unique(found.pairs[order, 1], return_index=True)
    best = order[first]
    unused = np.ones(found.predicted.size, dtype=bool)
    unused[found.pairs[best, 0]] = False
    missed = np.ones(found.true.size, dtype=bool)
    missed[taken_truths] = False
    either = found.union[best].sum() + found.predicted[unused].sum() + found.true[missed].sum()
    return float(found.shared[best].sum() / either)


def join_overlaps(images: Iterable[Overlaps]) -> Overlaps:
    """Overlaps of several images as if they were parts of one."""
    parts = [Overlaps(*(np.zeros(shape, np.int64) for shape in ((0,), (0,), (0, 2), (0,))))]
    parts += images
    predicted, true = (
        np.cumsum([0, *(sizes.size for sizes in column)])
        for column in zip(*((part.predicted, part.true) for part in parts), strict=True)
    )
    starts = np.column_stack([predicted, true])
    return Overlaps(
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.true for part in parts]),
        np.concatenate([part.pairs + start for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.shared for part in parts]),
    )


def score_instances(prediction: NDArray[Any], truth: NDArray[Any]) -> dict[str, float]:
    """Score one predicted label image: `score_overlaps` of its `overlaps`.

    Parameters
    ----------
    prediction, truth : array of integers
        Label images of one shape, of any dimension; 0 is background.

    Raises
    ------
    ValueError
        If the shapes differ, or one is not of integers from 0 up.
    """
    return score_overlaps(overlaps(prediction, truth))


def score_overlaps(found: Overlaps) -> dict[str, float]:
    """All scores of instances, of one image or of several that `join_overlaps` has joined.

    Returns
    -------
    dict of str to float
        Always in this order: ``pq``, ``sq``, ``rq``, ``ap50``, ``ap`` (mean over `AP_THRESHOLDS`),
        ``seg`` (NaN without a true instance), ``aji``.
    """
    panoptic = panoptic_quality(found)
    precision = average_precision(found)
    covered = seg(found)
    return {
        "pq": panoptic.pq,
        "sq": panoptic.sq,
        "rq": panoptic.rq,
        "ap50": float(precision[0]),
        "ap": float(precision.mean()),
        "seg": float(covered.mean()) if covered.size else float("nan"),
        "aji": aggregated_jaccard(found),
    }


def _places(labels: NDArray[Any], name: str) -> tuple[int, NDArray[np.int64]]:
    """Number of instances, and the labels replaced by 1, 2, ... in their order."""
    if labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        raise ValueError(f"the {name} ({labels.dtype}) must hold integers from 0 up")
    values, inverse = np.unique(labels, return_inverse=True)
    background = values.size > 0 and values[0] == 0
    places = inverse.ravel().astype(np.int64) + (not background)
    return values.size - background, places
