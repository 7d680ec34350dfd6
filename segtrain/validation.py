"""The score on held-out images by which the best network is chosen."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from segtrain.config import CLASSES
from segtrain.data.source import Labelled
from segtrain.decode import decode
from segtrain.metrics.instance import overlaps, panoptic_quality
from segtrain.metrics.overlap import iou
from segtrain.predict import Segmenter, outputs
from segtrain.steps import Run

WATCHED = {2: 256, 3: 96}
"""Largest side of the middle of an image or volume that validation looks at, pixels."""


def validate(run: Run, network: nn.Module, show: Callable[..., None] | None = None) -> float:
    """Mean score on the middle of the held-out images; 0 if there are none.

    Foreground IoU of classes, panoptic quality of instances. The first image with its truth and
    prediction is handed to `show`.
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
    scores = []
    for number, index in enumerate(run.data.validation):
        sample = middle(truth.load(index), WATCHED[truth.axes], multiple)
        response = outputs(segmenter, sample.image[None])
        known = sample.weight > 0
        predicted: NDArray[Any]
        if config.target == CLASSES:
            predicted = response.argmax(dim=1)[0].cpu().numpy()
            scores.append(iou((predicted > 0) & known, (sample.mask > 0) & known))
        else:
            predicted = decode(response[0, 0].cpu().numpy())
            scores.append(panoptic_quality(overlaps(predicted * known, sample.mask * known)).pq)
        if show and not number:
            show(sample.image, sample.mask, predicted, response[0].cpu().numpy())
    return float(np.mean(scores)) if scores else 0.0


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
