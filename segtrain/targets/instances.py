"""Pixels of a label image sorted by instance, with their neighbours: where targets start."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_components

from phasegen.errors import InputError
from segtrain.targets import kernels


@dataclass(frozen=True)
class Instances:
    """Pixels instance by instance, in raster order within each.

    Attributes
    ----------
    shape : tuple of int
        Of the label image.
    padded : tuple of int
        The same with the frame of zeros that stands for what lies outside.
    pixels : array of int64, shape (pixels,)
        Index of every foreground pixel in the flattened padded image.
    starts : array of int64, shape (instances + 2,)
        Instance k is ``pixels[starts[k] : starts[k + 1]]``; 0 is the background, without pixels.
    labels : array of int32, shape (pixels of the padded image,)
        The padded label image.
    """

    shape: tuple[int, ...]
    padded: tuple[int, ...]
    pixels: NDArray[np.int64]
    starts: NDArray[np.int64]
    labels: NDArray[np.int32]

    @cached_property
    def coordinates(self) -> NDArray[np.int64]:
        """Coordinates of every pixel in the padded image, shape (pixels, axes)."""
        return np.stack(np.unravel_index(self.pixels, self.padded), axis=1)

    def image(self, values: NDArray[Any], dtype: type = np.float32) -> NDArray[Any]:
        """Values of the pixels as an image, 0 outside."""
        image: NDArray[Any] = np.zeros(self.padded, dtype)
        image.ravel()[self.pixels] = values
        return np.ascontiguousarray(image[(slice(1, -1),) * image.ndim])


def compact(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Label image as int32 whose largest value does not exceed the number of pixels.

    Raises
    ------
    InputError
        If `labels` is not a label image: 2D or 3D, of integers, none negative.
    """
    labels = np.asarray(labels)
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iub":
        raise InputError(
            "labels",
            f"an array of {labels.dtype} with {labels.ndim} axes is no label image",
            "Give integers in two or three dimensions, 0 for the background",
        )
    if labels.size and labels.min() < 0:
        raise InputError("labels", f"holds {labels.min()}", "Number the instances from 1")
    if labels.size and labels.max() > labels.size:
        values, inverse = np.unique(labels, return_inverse=True)
        labels = inverse.reshape(labels.shape) + (values[0] != 0)
    return labels.astype(np.int32)


def check_spacing(labels: NDArray[Any], spacing: Sequence[float] | None) -> tuple[float, ...]:
    """Pixel size along every axis, 1 by default.

    Raises
    ------
    InputError
        If there is not one positive number for every axis.
    """
    sizes = (1.0,) * labels.ndim if spacing is None else tuple(float(s) for s in spacing)
    if len(sizes) != labels.ndim or not all(isfinite(s) and s > 0 for s in sizes):
        raise InputError(
            "spacing",
            f"{sizes} for an image of {labels.ndim} axes",
            "Give one positive pixel size for every axis",
        )
    return sizes


def group(labels: NDArray[np.int32]) -> Instances:
    """Sort the pixels of a label image, from `compact`, by instance."""
    padded = np.pad(labels, 1)
    starts = np.zeros(int(labels.max(initial=0)) + 2, np.int64)
    kernels.count_pixels(labels.ravel(), starts)
    pixels = np.empty(starts[-1], np.int64)
    kernels.group_pixels(padded.ravel(), starts, pixels)
    return Instances(labels.shape, padded.shape, pixels, starts, padded.ravel())


def neighbours(
    instances: Instances, corners: bool = False
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Places within the instance of the neighbours in other rows.

    Parameters
    ----------
    instances : Instances
        From `group`.
    corners : bool
        Whether pixels that share no more than a corner or an edge are neighbours too.

    Returns
    -------
    earlier, later : arrays of uint32, shape (pixels, neighbours)
        Before and after the pixel in raster order; the size of the instance where there is none.
        Without corners they are the neighbours along each axis but the last.
    """
    shape = instances.padded
    strides = np.array([int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))])
    offsets = strides[:-1]
    if corners:
        offsets = np.array([strides @ step for step in product((-1, 0, 1), repeat=len(shape))])
        offsets = offsets[offsets > 1]
    starts, pixels = instances.starts, instances.pixels
    place = np.empty(instances.labels.size, np.int32)
    place[pixels] = np.arange(pixels.size) - np.repeat(starts[:-1], np.diff(starts))
    found = np.empty((2, pixels.size, offsets.size), np.uint32)
    for signed, out in zip((-offsets, offsets), found, strict=True):
        kernels.find_neighbours(instances.labels, pixels, starts, place, signed, out)
    return found[0], found[1]


def components(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Label image in which every connected piece of an instance, corners included, has a number."""
    pieces = connected_components(labels, background=0, connectivity=labels.ndim)
    return np.asarray(pieces, dtype=np.int32)
