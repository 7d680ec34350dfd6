"""How much area two segmentations share: IoU, Dice, precision and recall over pixels.

A pair in which neither segmentation has the class in question agrees perfectly; the two-mask
functions score it 1, while the scores of classes call it undefined (see `class_overlaps` for why).
"""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Score = TypeVar("Score")
Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


class Overlap(NamedTuple, Generic[Score]):
    """Shares of area, each in [0, 1].

    Attributes
    ----------
    iou
        Intersection over union (Jaccard index).
    dice
        Dice coefficient, the harmonic mean of the next two (F1 score).
    precision, recall
        Share of the prediction that is true, share of the truth that is predicted.
    """

    iou: Score
    dice: Score
    precision: Score
    recall: Score


def overlap(prediction: NDArray[Any], truth: NDArray[Any]) -> Overlap[float]:
    """All overlap scores of two masks.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of any dimension; in other types, nonzero is foreground.

    Returns
    -------
    Overlap of float
        All 1 if both masks are empty, all 0 if exactly one is: nothing predicted is no precision.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    prediction, truth = as_masks(prediction, truth)
    shared, predicted, true = (
        np.array([np.count_nonzero(mask)]) for mask in (prediction & truth, prediction, truth)
    )
    return Overlap(*(float(score[0]) for score in _scores(shared, predicted, true, 1.0)))


def iou(prediction: NDArray[Any], truth: NDArray[Any]) -> float:
    """Intersection over union of two masks: `overlap`, of which only that."""
    return overlap(prediction, truth).iou


def dice(prediction: NDArray[Any], truth: NDArray[Any]) -> float:
    """Dice coefficient of two masks: `overlap`, of which only that."""
    return overlap(prediction, truth).dice


def class_overlaps(prediction: NDArray[Any], truth: NDArray[Any], classes: int) -> Overlap[Shares]:
    """All overlap scores of every class of two class-index masks.

    Parameters
    ----------
    prediction, truth : array of integers
        Class-index masks of one shape, of any dimension, with values in [0, classes).
    classes : int
        Number of classes.

    Returns
    -------
    Overlap of arrays of float, shape (classes,)
        NaN for a class that neither mask holds: scoring it 1 would raise the mean of a rare class
        by every image that cannot say anything about it.

    Raises
    ------
    ValueError
        If the shapes differ or a label is out of range.
    """
    return overlaps_of_counts(confusion(prediction, truth, classes))


def confusion(prediction: NDArray[Any], truth: NDArray[Any], classes: int) -> Counts:
    """Pixels of each true class, in rows, by the predicted class: (classes, classes).

    Raises
    ------
    ValueError
        As `class_overlaps`.
    """
    require_same_shape(prediction, truth)
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"the {name} holds labels {labels.min()}..{labels.max()}, "
                f"but {classes} classes allow 0..{classes - 1}"
            )
    pairs = truth.astype(np.intp).ravel() * classes + prediction.ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def overlaps_of_counts(counts: Counts, groups: Sequence[Sequence[int]] = ()) -> Overlap[Shares]:
    """All overlap scores of every class, or of every union of classes, from `confusion`.

    Counts of several images may be added before: the score is then that of all their pixels.

    Parameters
    ----------
    counts : array of int, shape (classes, classes)
        Pixels of each true class, in rows, by the predicted class.
    groups : sequence of sequences of int
        The classes of every union; each class by itself if left out.

    Returns
    -------
    Overlap of arrays of float, shape (groups,) or (classes,)
        NaN for what occurs neither in truth nor in prediction.
    """
    members = [list(group) for group in groups] or [[label] for label in range(len(counts))]
    shared = np.array([counts[np.ix_(group, group)].sum() for group in members])
    predicted = np.array([counts[:, group].sum() for group in members])
    true = np.array([counts[group].sum() for group in members])
    return _scores(shared, predicted, true, np.nan)


def class_iou(prediction: NDArray[Any], truth: NDArray[Any], classes: int) -> Shares:
    """Intersection over union of every class: `class_overlaps`, of which only that."""
    return class_overlaps(prediction, truth, classes).iou


def as_masks(
    prediction: NDArray[Any], truth: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both arrays as boolean masks; ValueError if their shapes differ."""
    require_same_shape(prediction, truth)
    return np.asarray(prediction, dtype=bool), np.asarray(truth, dtype=bool)


def require_same_shape(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    """Raise ValueError, quoting both shapes, if they differ."""
    if prediction.shape != truth.shape:
        raise ValueError(
            f"the prediction has shape {prediction.shape}, but the truth has {truth.shape}"
        )


def _scores(shared: Counts, predicted: Counts, true: Counts, absent: float) -> Overlap[Shares]:
    """Scores from numbers of pixels; `absent` where there are none at all."""
    either = predicted + true - shared

    def share(part: Counts, whole: Counts) -> Shares:
        return np.where(either > 0, part / np.maximum(whole, 1), absent)

    return Overlap(
        share(shared, either),
        share(2 * shared, predicted + true),
        share(shared, predicted),
        share(shared, true),
    )
