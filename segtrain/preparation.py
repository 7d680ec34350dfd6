"""How volumes were prepared for the training, as those to be segmented must be, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.config import Training
from segtrain.data.cases import Layout, normalise, resampled_size, zoom
from segtrain.data.medical import LITS_WINDOW

METRIC = ("msd", "nnunet", "brats", "lits")
"""Formats of ``--data`` whose voxels have a size in mm, to which volumes may be resampled."""


@dataclass(frozen=True)
class Preparation:
    """What the training did to volumes before the network saw them.

    Attributes
    ----------
    window : tuple of float, optional
        Intensities are clipped to this range first.
    nonzero : bool
        Whether they are normalised over the voxels that are not 0, which stay 0; else over all.
    spacing : tuple of float
        Voxel size (z, y, x) of the training; empty if it is unknown.
    resampled : bool
        Whether volumes were resampled to this size; else they had it.
    """

    window: tuple[float, float] | None = None
    nonzero: bool = False
    spacing: tuple[float, ...] = ()
    resampled: bool = False

    def normalised(self, channel: NDArray[np.float32]) -> NDArray[np.float32]:
        """A channel (Z, Y, X) of mean 0 and variance 1."""
        layout = Layout("", (), (), {}, self.nonzero, self.window)
        return normalise(channel, layout, slice(None))

    def shape(self, stored: Sequence[int], spacing: Sequence[float]) -> tuple[int, ...]:
        """Sides of a volume (z, y, x) of this voxel size as the network is shown it."""
        if not self.resampled:
            return tuple(stored)
        sizes = zip(stored, spacing, self.spacing, strict=True)
        return tuple(resampled_size(n, old, new) for n, old, new in sizes)


def preparation(config: Training, spacing: tuple[float, ...]) -> Preparation:
    """The preparation of a training, of whose sources the last one counts.

    Parameters
    ----------
    config : Training
        Its configuration.
    spacing : tuple of float
        Pixel size of the first of its sources, 1 where none is known.
    """
    names = [text.partition(":")[0] for text in config.data]
    first = "" if config.store or config.images else "".join(names[:1])
    last = "".join(names[-1:])
    given = dict(one.partition("=")[::2] for text in config.data[-1:] for one in text.split(","))
    resampled = last in METRIC and "spacing" in given
    if resampled:
        spacing = tuple(float(size) for size in given["spacing"].split(":"))
    elif first not in METRIC and set(spacing) == {1.0}:
        spacing = ()
    window = LITS_WINDOW if last == "lits" else None
    return Preparation(window, last == "brats", spacing, resampled)


def zoomed(volume: NDArray[Any], shape: Sequence[int], order: int) -> NDArray[Any]:
    """A volume (Z, Y, X) on another grid of voxels: linearly (order 1), or the nearest (0)."""
    if volume.shape == tuple(shape):
        return volume
    factors = [new / old for new, old in zip(shape, volume.shape, strict=True)]
    return zoom(volume, factors, order)
