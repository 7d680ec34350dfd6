"""Blobs photographed with weak and with strong contrast: a style that takes seconds to learn."""

from contextlib import contextmanager

import numpy as np
from scipy import ndimage

from cyclegan.settings import Translation


def specimen(seed, size=96):
    field = np.random.default_rng(seed).standard_normal((size, size))
    return ndimage.gaussian_filter(field, 5, mode="wrap") > 0


def photograph(mask, contrast, seed):
    rng = np.random.default_rng(seed)
    image = 0.6 - contrast * ndimage.gaussian_filter(mask.astype(float), 1)
    return np.clip(image + rng.normal(0, 0.02, mask.shape), 0, 1).astype(np.float32)


SIMULATED = [
    (photograph(specimen(seed), 0.2, seed), specimen(seed).astype(np.uint8)) for seed in range(6)
]
SCENES = [photograph(specimen(seed), 0.5, seed) for seed in range(10, 16)]

SHORT = {"width": 4, "critic_width": 4, "batch": 1, "pool": 2, "steps": 10, "checkpoint_every": 4}


def settings(**changes):
    given = {"real": "sem", "method": "cyclegan", "width": 8, "blocks": 1, "critic_width": 16}
    given |= {"patch": 32, "batch": 4, "pool": 8, "learning_rate": 1e-3, "device": "cpu"}
    return Translation(**given | changes)


@contextmanager
def silent(*_):
    """A progress display that shows nothing."""
    yield lambda *_: None


def eager(_p, confidence, _target):
    """A steering of augmentation that sets in at once, and that hangs on every score."""
    return 0.5 + 0.3 * confidence


class Stop(Exception):  # noqa: N818
    """What interrupts a run."""


def stopping_after(steps):
    """A progress display that interrupts the run after so many steps."""

    @contextmanager
    def progress(_phase, _total, done):
        def advance(count, _note):
            nonlocal done
            done += count
            if done == steps:
                raise Stop

        yield advance

    return progress
