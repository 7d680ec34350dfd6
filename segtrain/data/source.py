"""What the trainer learns from: a lazy sequence of standardised images with class masks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.descriptors import connectivity


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


def describe_masks(masks: Sequence[NDArray[np.uint8]], classes: int) -> dict[str, Any]:
    """What the masks of a source look like, by which another prediction can be judged.

    Returns
    -------
    dict
        ``shares``: mean share of every class. ``polarity``: mean chance that two background pixels
        lie in one connected piece, less that of two foreground pixels; 1 for separate particles in
        a matrix, -1 for a network with islands between.
    """
    counts = [np.bincount(mask.ravel(), minlength=classes)[:classes] / mask.size for mask in masks]
    polarity = [connectivity(mask == 0) - connectivity(mask > 0) for mask in masks]
    return {"shares": np.mean(counts, axis=0).tolist(), "polarity": float(np.mean(polarity))}


def standardise(scene: NDArray[Any]) -> NDArray[np.float32]:
    """Zero mean and unit variance over a whole image without its info bar, never over a tile."""
    mean, deviation = float(scene.mean(dtype=np.float64)), float(scene.std(dtype=np.float64))
    result = (scene - np.float32(mean)) / np.float32(deviation or 1.0)
    return result.astype(np.float32, copy=False)
