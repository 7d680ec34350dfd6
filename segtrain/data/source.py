"""What the trainer learns from: a lazy sequence of standardised images with class masks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image with its mask.

    Attributes
    ----------
    image : ndarray (Y, X), float32
        Zero mean and unit variance over the whole image.
    mask : ndarray (Y, X), uint8
        Class index.
    weight : ndarray (Y, X), float32
        0 for pixels whose label is not to be trusted, else up to 1.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    weight: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled images that are read when they are needed.

    Attributes
    ----------
    classes : tuple of str
        Names of the mask values.
    count : int
        Number of images.
    load : callable
        ``load(index) -> Labelled``.
    record : dict
        Provenance, as checkpoint and report state it; ``record["labels"]`` is ``"simulated"``,
        ``"drawn"`` or ``"predicted"``.
    """

    classes: tuple[str, ...]
    count: int
    load: Callable[[int], Labelled]
    record: dict[str, Any]


def standardise(scene: NDArray[Any]) -> NDArray[np.float32]:
    """Zero mean and unit variance over a whole image without its info bar, never over a tile."""
    mean, deviation = float(scene.mean(dtype=np.float64)), float(scene.std(dtype=np.float64))
    result = (scene - np.float32(mean)) / np.float32(deviation or 1.0)
    return result.astype(np.float32, copy=False)
