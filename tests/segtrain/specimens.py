"""Labelled images in memory, and settings of runs on them that take a moment."""

from contextlib import contextmanager

import numpy as np
import torch

from segtrain import sources
from segtrain.config import Training
from segtrain.data.source import Labelled, Source, standardise

TINY = {
    "widths": (4, 8),
    "batch": 2,
    "patch": 16,
    "validation": 1,
    "steps": 4,
    "validate_every": 2,
    "device": "cpu",
}

FAST = {"widths": (4, 8), "batch": 4, "patch": 32, "validation": 2, "device": "cpu"}
LEARNING = FAST | {
    "widths": (8, 16),
    "steps": 80,
    "validate_every": 20,
    "learning_rate": 1e-2,
    "adapt_steps": 30,
    "adapt_rate": 3e-3,
}
SHORT = FAST | {"batch": 3, "steps": 8, "validate_every": 4, "adapt_steps": 6}


def balls(shape, seed, spacing=9, radius=(2.0, 3.5)):
    """Labels of balls on a grid that is shaken."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    axes = (np.arange(spacing // 2, n, spacing) for n in shape)
    places = np.moveaxis(np.indices(shape), 0, -1)
    for number, centre in enumerate(np.stack(np.meshgrid(*axes), -1).reshape(-1, len(shape)), 1):
        at = centre + rng.uniform(-1, 1, len(shape))
        labels[((places - at) ** 2).sum(-1) <= rng.uniform(*radius) ** 2] = number
    return labels


def source(
    shape=(40, 36),
    count=3,
    *,
    channels=1,
    instances=False,
    classes=("matrix", "ball"),
    labels="drawn",
    path="balls",
    noise=0.5,
    seed=0,
    **ball,
):
    """Bright balls on noise; without `instances`, of the classes in turn."""
    samples = []
    for index in range(count):
        mask = balls(shape, (seed, index), **ball)
        rng = np.random.default_rng((seed, index, 1))
        image = np.stack([(mask > 0) + rng.normal(0, noise, shape) for _ in range(channels)])
        if not instances:
            mask = np.where(mask > 0, 1 + mask % (len(classes) - 1), 0).astype(np.uint8)
        image = np.stack([standardise(one) for one in image])
        samples.append(Labelled(image, mask, np.ones(shape, np.float32)))
    record = {
        "labels": labels,
        "path": path,
        "kind": "balls",
        "samples": count,
        "digest": f"{path} {seed}",
        "parents": [],
    }
    return Source(
        tuple(classes),
        count,
        samples.__getitem__,
        record,
        channels,
        (1.0,) * len(shape),
        instances,
    )


def serve(monkeypatch, *given):
    """Let every training read these sources, whatever its configuration names."""
    monkeypatch.setattr(sources, "open_sources", lambda _: list(given))


def settings(**changes):
    return Training(**TINY | changes)


def stopping_after(phase, steps):
    """A progress display that interrupts the run."""

    @contextmanager
    def progress(name, _total, done):
        at = done

        def advance(count, _note=""):
            nonlocal at
            at += count
            if (name, at) == (phase, steps):
                raise KeyboardInterrupt

        yield advance

    return progress


def plain(value):
    """A checkpoint as nested dicts and lists of Python numbers, to be compared exactly."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, torch.Tensor) else value


def read(folder, name="best.pt"):
    """A checkpoint to be compared."""
    return plain(torch.load(folder / name, weights_only=True))


def weights(folder, name="best.pt"):
    """The tensors of a checkpoint's network."""
    return torch.load(folder / name, weights_only=True)["network"]
