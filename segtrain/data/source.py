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


def standardise(pixels: NDArray[Any], scene: NDArray[Any] | None = None) -> NDArray[np.float32]:
    """Zero mean and unit variance, by the statistics of `scene` (default: all of `pixels`).

    Statistics belong to a whole image, never to a tile, and leave out the info bar.
    """
    scene = pixels if scene is None else scene
    mean, deviation = float(scene.mean(dtype=np.float64)), float(scene.std(dtype=np.float64))
    result: NDArray[np.float32] = ((pixels - mean) / max(deviation, 1e-6)).astype(np.float32)
    return result
