"""Self-training: a teacher's own confident predictions on unlabelled images as labels."""

from pathlib import Path

import numpy as np

from phasegen.images import digest_files, read_micrograph
from segtrain.config import Training
from segtrain.data.source import Labelled, Source, standardise
from segtrain.loop import Progress
from segtrain.predict import Segmenter, segment_with_confidence

LABELLED = 1024
"""Largest side of the part of an unlabelled image that is used, pixels."""


def pseudo_labels(
    teacher: Segmenter, images: list[Path], config: Training, progress: Progress
) -> Source:
    """The teacher's own predictions on unlabelled images, without what it is unsure of."""
    rng = np.random.default_rng((config.seed, len(images)))
    samples = []
    with progress("label", len(images), 0) as advance:
        for path in images:
            scene = standardise(read_micrograph(path).scene)
            corner = [int(rng.integers(max(n - LABELLED, 0) + 1)) for n in scene.shape]
            image = scene[tuple(slice(start, start + LABELLED) for start in corner)][None]
            mask, probability = segment_with_confidence(teacher, image)
            weight = (probability >= 255 * config.confidence).astype(np.float32)
            samples.append(Labelled(image, mask, weight))
            advance(1)
    record = {
        "labels": "predicted",
        "path": str(config.adapt),
        "kind": "unlabelled images",
        "samples": len(images),
        "digest": digest_files(images),
        "parents": [],
    }
    return Source(teacher.classes, len(samples), samples.__getitem__, record)
