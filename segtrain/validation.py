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
from segtrain.metrics.instance import overlaps, panoptic_quality
from segtrain.metrics.overlap import iou
from segtrain.predict import Segmenter, outputs
from segtrain.steps import Run

WATCHED = {2: 256, 3: 96}
"""Largest side of the middle of an image or volume that validation looks at, pixels."""

DECODINGS = tuple(Decoding(e, h) for e, h in product((0.05, 0.01, 0.1, 0.2), (0.1, 0.2)))
"""Decodings tried of a field, the default first: fields differ in how steeply they rise.

`segtrain.tune` looks closer, at whole images.
"""


class Verdict(NamedTuple):
    """Mean score of a network, and the decoding of its field with which it has that."""

    score: float
    decoding: Decoding


def validate(run: Run, network: nn.Module, show: Callable[..., None] | None = None) -> Verdict:
    """Mean score on the middle of the held-out images; 0 if there are none.

    Foreground IoU of classes; panoptic quality of instances, by the best of `DECODINGS`. The first
    image with its truth and prediction is handed to `show`.
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
    tried = DECODINGS if config.target != CLASSES else (Decoding(),)
    scores = np.zeros((len(tried), len(run.data.validation)))
    first: list[NDArray[Any]] = []
    for number, index in enumerate(run.data.validation):
        sample = middle(truth.load(index), WATCHED[truth.axes], multiple)
        response = outputs(segmenter, sample.image[None])[0].cpu().numpy()
        found = [_judge(response, sample, config.target, decoding) for decoding in tried]
        scores[:, number] = [score for _, score in found]
        if not number:
            shown, first = (sample.image, sample.mask, response), [labels for labels, _ in found]
    if not first:
        return Verdict(0.0, tried[0])
    means = scores.mean(axis=1)
    best = int(means.argmax())
    if show:
        image, mask, response = shown
        show(image, mask, first[best], response)
    return Verdict(float(means[best]), tried[best])


def _judge(
    response: NDArray[Any], sample: Labelled, target: str, decoding: Decoding
) -> tuple[NDArray[Any], float]:
    """What the outputs (C, [Z,] Y, X) say of a sample, and the score of that."""
    known = sample.weight > 0
    if target == CLASSES:
        classes: NDArray[Any] = response.argmax(axis=0)
        return classes, iou((classes > 0) & known, (sample.mask > 0) & known)
    labels = decode(response[0], **asdict(decoding))
    return labels, panoptic_quality(overlaps(labels * known, sample.mask * known)).pq


def multiples(network: nn.Module, axes: int) -> tuple[int, ...]:
    """What the sides of a network's input must be multiples of."""
    multiple: Any = network.multiple
    return (multiple,) * axes if isinstance(multiple, int) else tuple(multiple)


def middle(sample: Labelled, most: int, multiple: tuple[int, ...]) -> Labelled:
    """The middle of a sample, of sides at most `most` that are multiples of `multiple`.

    What is shorter than a multiple is mirrored to that length, with weight 0.
    """
    sizes = sample.mask.shape
    sides = [max(m, min(n, most) // m * m) for n, m in zip(sizes, multiple, strict=True)]
    starts = [max(n - side, 0) // 2 for n, side in zip(sizes, sides, strict=True)]
    spans = tuple(slice(a, a + side) for a, side in zip(starts, sides, strict=True))
    lack = [(0, max(side - n, 0)) for n, side in zip(sizes, sides, strict=True)]
    return Labelled(
        np.pad(sample.image[:, *spans], [(0, 0), *lack], mode="symmetric"),
        np.pad(sample.mask[spans], lack, mode="symmetric"),
        np.pad(sample.weight[spans], lack),
    )
