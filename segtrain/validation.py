"""The score on held-out images, which chooses the best network and how its field is decoded."""

from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from segtrain.config import CLASSES
from segtrain.data.source import Labelled
from segtrain.decode import Decoding, decode
from segtrain.log import Shown
from segtrain.metrics.instance import PanopticScore, overlaps, panoptic_quality, pool
from segtrain.predict import Segmenter, outputs
from segtrain.steps import Run

SHOWN = 4
"""Held-out images that the log shows."""

WATCHED = {2: 256, 3: 96}
"""Largest side of the part of an image or volume that validation looks at, pixels."""

DECODINGS = tuple(Decoding(e, h) for e, h in product((0.05, 0.01, 0.1, 0.2), (0.1, 0.2)))
"""Decodings tried of a field, the default first: fields differ in how steeply they rise.

`segtrain.tune` looks closer, at whole images.
"""


class Verdict(NamedTuple):
    """Score of a network, and the decoding of its field with which it has that."""

    score: float
    decoding: Decoding


def validate(run: Run, network: nn.Module, show: Callable[..., None] | None = None) -> Verdict:
    """Score on the held-out images, all taken for one; 0 if there are none.

    Of classes the mean IoU over all but the first that occur, so that one that is small or taken
    for another counts like any; of instances panoptic quality, by the best of `DECODINGS`. The
    first `SHOWN` images with their truths and predictions are handed to `show`.
    """
    truth, config = run.data.truth, run.config
    segmenter = Segmenter(
        network.eval(),
        truth.classes,
        run.device,
        (),
        target=config.target,
        channels=truth.channels,
        spacing=truth.spacing,
        window=config.sides(truth.axes),
    )
    multiple = multiples(network, truth.axes)
    of_classes = config.target == CLASSES
    tried = (Decoding(),) if of_classes else DECODINGS
    count = len(truth.classes)
    confusion = np.zeros(count**2, np.int64)
    scores: list[list[PanopticScore]] = [[] for _ in tried]
    pictures: list[list[Shown]] = [[] for _ in tried]
    for number, index in enumerate(run.data.validation):
        sample = window(truth.load(index), WATCHED[truth.axes], multiple)
        response = outputs(segmenter, sample.image[None])[0].cpu().numpy()
        known = sample.weight > 0
        if of_classes:
            found: list[NDArray[Any]] = [response.argmax(axis=0)]
            pairs = count * sample.mask[known].astype(np.int64) + found[0][known]
            confusion += np.bincount(pairs, minlength=count**2)
        else:
            found = [decode(response[0], **asdict(decoding)) for decoding in tried]
            for labels, each in zip(found, scores, strict=True):
                each.append(panoptic_quality(overlaps(labels * known, sample.mask * known)))
        if number < SHOWN:
            for labels, shown in zip(found, pictures, strict=True):
                shown.append(Shown(sample.image, sample.mask, labels, response))
    if not run.data.validation:
        return Verdict(0.0, tried[0])
    if of_classes:
        values = [mean_iou(confusion.reshape(count, count))]
    else:
        values = [pool(each).pq for each in scores]
    best = int(np.argmax(values))
    if show:
        show(pictures[best])
    return Verdict(values[best], tried[best])


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Mean IoU over all classes but the first that are true or predicted anywhere.

    Parameters
    ----------
    confusion : ndarray of int (classes, classes)
        Pixels of each true class, in rows, by the predicted class.
    """
    common = np.diag(confusion)[1:]
    either = (confusion.sum(axis=0) + confusion.sum(axis=1))[1:] - common
    occurs = either > 0
    return float((common[occurs] / either[occurs]).mean()) if occurs.any() else 1.0


def multiples(network: nn.Module, axes: int) -> tuple[int, ...]:
    """What the sides of a network's input must be multiples of."""
    multiple: Any = network.multiple
    return (multiple,) * axes if isinstance(multiple, int) else tuple(multiple)


def window(sample: Labelled, most: int, multiple: tuple[int, ...]) -> Labelled:
    """A part of a sample, of sides at most `most` that are multiples of `multiple`.

    It lies about the median of the foreground, as near as the borders allow, lest it miss an organ
    that is small or to one side. What is shorter than a multiple is mirrored to that length, with
    weight 0.
    """
    sizes = sample.mask.shape
    sides = [max(m, min(n, most) // m * m) for n, m in zip(sizes, multiple, strict=True)]
    starts = []
    for axis, (n, side) in enumerate(zip(sizes, sides, strict=True)):
        others = tuple(other for other in range(len(sizes)) if other != axis)
        cumulated = np.count_nonzero(sample.mask, axis=others).cumsum()
        at = int(np.searchsorted(2 * cumulated, cumulated[-1])) if cumulated[-1] else (n - 1) // 2
        starts.append(min(max(at - (side - 1) // 2, 0), max(n - side, 0)))
    spans = tuple(slice(a, a + side) for a, side in zip(starts, sides, strict=True))
    lack = [(0, max(side - n, 0)) for n, side in zip(sizes, sides, strict=True)]
    return Labelled(
        np.pad(sample.image[:, *spans], [(0, 0), *lack], mode="symmetric"),
        np.pad(sample.mask[spans], lack, mode="symmetric"),
        np.pad(sample.weight[spans], lack),
    )
