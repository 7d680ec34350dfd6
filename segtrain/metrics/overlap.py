"""How much area two segmentations share: intersection over union and the Dice coefficient.

A pair in which neither segmentation has the class in question agrees perfectly; the two-mask
functions score it 1, while `class_iou` calls it undefined (see there for why).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def iou(prediction: NDArray[Any], truth: NDArray[Any]) -> float:
    """Intersection over union (Jaccard index) of two masks.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of any dimension; in other types, nonzero is foreground.

    Returns
    -------
    float
        In [0, 1]; 1 if both masks are empty.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    prediction, truth = as_masks(prediction, truth)
    union = np.count_nonzero(prediction | truth)
    return float(np.count_nonzero(prediction & truth) / union) if union else 1.0


def dice(prediction: NDArray[Any], truth: NDArray[Any]) -> float:
    """Dice coefficient (F1 score over pixels) of two masks.

    Parameters
    ----------
    prediction, truth : array of bool
        Masks of one shape, of any dimension; in other types, nonzero is foreground.

    Returns
    -------
    float
        In [0, 1]; 1 if both masks are empty.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    prediction, truth = as_masks(prediction, truth)
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    return float(2 * np.count_nonzero(prediction & truth) / total) if total else 1.0


def class_iou(prediction: NDArray[Any], truth: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Intersection over union of every class of two class-index masks.

    Parameters
    ----------
    prediction, truth : array of integers
        Class-index masks of one shape, of any dimension, with values in [0, classes).
    classes : int
        Number of classes.

    Returns
    -------
    array of float, shape (classes,)
        NaN for a class that neither mask holds: scoring it 1 would raise the mean of a rare class
        by every image that cannot say anything about it.

    Raises
    ------
    ValueError
        If the shapes differ or a label is out of range.
    """
    require_same_shape(prediction, truth)
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"the {name} holds labels {labels.min()}..{labels.max()}, "
                f"but {classes} classes allow 0..{classes - 1}"
            )
    pairs = truth.astype(np.intp).ravel() * classes + prediction.ravel()
    confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    shared = np.diagonal(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - shared
    scores = np.full(classes, np.nan)
    np.divide(shared, union, out=scores, where=union > 0)
    return scores


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
