"""What the trainer learns from: a lazy sequence of standardised images with their masks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.descriptors import connectivity
from phasegen.errors import InputError
from segtrain.data.cache import cached

PLACES = 1000
"""Pixels of a class among which those to centre patches on are drawn."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image or volume with its mask.

    Attributes
    ----------
    image : ndarray (C, [Z,] Y, X), float32
        Every channel of zero mean and unit variance over the whole image.
    mask : ndarray ([Z,] Y, X)
        Class index (uint8), number of the instance (0: background) where the source has instances,
        or the field (float32) that `with_field` made of them.
    weight : ndarray ([Z,] Y, X), float32
        0 for pixels whose label is not to be trusted, else up to 1.
    """

    image: NDArray[np.float32]
    mask: NDArray[Any]
    weight: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.image.nbytes + self.mask.nbytes + self.weight.nbytes


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled images that are read when they are needed.

    Attributes
    ----------
    classes : tuple of str
        Names of the mask values; of instances, what background and instances are.
    count : int
        Number of images.
    load : callable
        ``load(index) -> Labelled``.
    record : dict
        Provenance, as checkpoint and report state it; ``record["labels"]`` is ``"simulated"``,
        ``"drawn"`` or ``"predicted"``.
    channels : int
        Channels of every image.
    spacing : tuple of float
        Size of a pixel along every axis, in one unit: two for images, three for volumes.
    instances : bool
        Whether masks number instances.
    sections : bool
        Whether instances of volumes are known slice by slice alone, as sections of bodies.
    oriented : bool
        Whether all images are turned alike and this means something, as it does for parts of a
        body. They are mirrored along x alone then, and turned little.
    names : tuple of str
        What a report calls the images; numbers if empty.
    """

    classes: tuple[str, ...]
    count: int
    load: Callable[[int], Labelled]
    record: dict[str, Any]
    channels: int = 1
    spacing: tuple[float, ...] = (1.0, 1.0)
    instances: bool = False
    sections: bool = False
    oriented: bool = False
    names: tuple[str, ...] = ()

    @property
    def axes(self) -> int:
        """2 for images, 3 for volumes."""
        return len(self.spacing)

    def name(self, index: int) -> str:
        """Name of an image."""
        return self.names[index] if self.names else f"{self.record['path']} {index}"

    @cached_property
    def places(self) -> Callable[[int], NDArray[np.int64]]:
        """``places(index)``: where the classes of an image are, see `places_of`."""
        return cached(lambda index: places_of(self.load(index).mask))


def places_of(mask: NDArray[Any]) -> NDArray[np.int64]:
    """Random pixels of every class of a mask but the first.

    As nnU-Net does (Isensee et al., Nature Methods 18, 203 (2021)): the whole mask is looked
    through once, not for every patch.

    Parameters
    ----------
    mask : ndarray ([Z,] Y, X)
        Class indices (uint8); of anything else, instances or a field, what is not 0 is one class.

    Returns
    -------
    ndarray (classes that occur, PLACES), int64
        Flat indices, drawn with replacement from a seed of their own.
    """
    kinds = mask.ravel() if mask.dtype == np.uint8 else mask.ravel() > 0
    rng = np.random.default_rng(0)
    drawn = [rng.choice(np.flatnonzero(kinds == k), PLACES) for k in np.unique(kinds) if k]
    return np.array(drawn, np.int64).reshape(-1, PLACES)


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


def as_classes(source: Source) -> Source:
    """A source of instances as one of background and foreground."""

    def load(index: int) -> Labelled:
        sample = source.load(index)
        return replace(sample, mask=(sample.mask > 0).astype(np.uint8))

    return replace(source, load=load, instances=False)


def with_field(
    source: Source, target: Callable[[NDArray[Any], Sequence[float]], NDArray[np.float32]]
) -> Source:
    """A source of instances whose masks are the scalar field of `segtrain.targets` instead.

    Every field is computed once, of the whole image: an instance that a patch cuts keeps the field
    that it has as a whole. Of sections it is that of each slice: between slices that nobody has
    drawn, an instance has no border.
    """

    @cached
    def field(index: int) -> NDArray[np.float32]:
        mask = source.load(index).mask
        if not source.sections:
            return target(mask, source.spacing)
        result = np.zeros(mask.shape, np.float32)
        for z in np.flatnonzero(mask.any(axis=(1, 2))):
            result[z] = target(mask[z], source.spacing[1:])
        return result

    def load(index: int) -> Labelled:
        return replace(source.load(index), mask=field(index))

    return replace(source, load=load, instances=False)


def join(sources: Sequence[Source]) -> Source:
    """Several sources one behind the other as one, with the names of the first one's classes.

    Raises
    ------
    InputError
        If they differ in the number of classes, channels or axes.
    """
    first = sources[0]
    for other in sources[1:]:
        for what, ours, theirs in (
            ("classes", len(first.classes), len(other.classes)),
            ("channels", first.channels, other.channels),
            ("axes", first.axes, other.axes),
        ):
            if ours != theirs:
                problem = f"has {theirs} {what}, {first.record['path']} {ours}"
                raise InputError(other.record["path"], problem, "Give sources that are alike")
    if len(sources) == 1:
        return first
    places = [(source, index) for source in sources for index in range(source.count)]

    def load(index: int) -> Labelled:
        source, place = places[index]
        return source.load(place)

    names = tuple(source.name(index) for source, index in places)
    return replace(first, count=len(places), load=load, names=names)


def standardise(scene: NDArray[Any]) -> NDArray[np.float32]:
    """Zero mean and unit variance over a whole image without its info bar, never over a tile."""
    mean, deviation = float(scene.mean(dtype=np.float64)), float(scene.std(dtype=np.float64))
    result = (scene - np.float32(mean)) / np.float32(deviation or 1.0)
    return result.astype(np.float32, copy=False)
