"""Segmentation of volumes larger than memory, from one lazy array to another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.errors import InputError
from segtrain.predict import Segmenter, segment_planes
from segtrain.preparation import Preparation


def predict_volume(
    segmenter: Segmenter,
    source: Any,
    out: Any,
    confidence: Any = None,
    *,
    overlap: float = 0.5,
    advance: Callable[[int], object] = lambda planes: None,
    name: str | Path = "the volume",
) -> None:
    """Segment a volume on disk, and write the result to disk as it comes.

    At any time one layer of windows is in memory: 4 (C + 2 K + 1) bytes for each of its voxels
    (window sides along z times Y times X), with C channels and K classes, besides the activations
    of one window. The depth of the volume does not matter.

    Parameters
    ----------
    segmenter : Segmenter
        A network for volumes.
    source : array, shape (C, Z, Y, X), or (Z, Y, X) for one channel
        Anything with a shape that slices into NumPy arrays, such as a Zarr array or ``np.memmap``,
        of any real type. It is read twice: for the mean and deviation of every channel, by which
        training normalises too, and for the segmentation.
    out : array, shape (Z, Y, X)
        Anything that can be assigned slices: class indices, or the values of the field if the
        network predicts one. Chunks of whole planes, as many as half a window is deep, suit it
        best.
    confidence : array, shape (Z, Y, X), optional
        The same for the probability of the predicted class, 0..255; of a network for classes.
    overlap : float
        See `segtrain.sliding.slide`.
    advance : callable
        Called with a number of planes when they are done.
    name : str or Path
        What an error calls the volume.

    Raises
    ------
    InputError
        If the network is for images, or `source` or `out` has another shape, or `source` cannot be
        read or holds NaN.
    """
    shape = require_shape(segmenter, source.shape, name)[1:]
    if tuple(out.shape) != shape:
        problem = f"has shape {tuple(out.shape)}, the volume {shape}"
        raise InputError("the result", problem, "Create it with the shape of the volume")
    planes = _Planes(source, segmenter.prepared, name)
    planes.measure(segmenter.window[0])
    segment_planes(segmenter, planes, out, confidence, overlap=overlap, advance=advance)


def require_shape(
    segmenter: Segmenter, shape: tuple[int, ...], name: str | Path
) -> tuple[int, ...]:
    """The shape (C, Z, Y, X) of a volume whose array may leave out the axis of a single channel.

    Raises
    ------
    InputError
        If the network is for images, or for volumes of another shape.
    """
    if segmenter.axes != 3:
        raise InputError("the model", "is for images, not volumes", "Give one trained on volumes")
    full = (1, *shape) if len(shape) == 3 else tuple(shape)
    if len(full) != 4 or full[0] != segmenter.channels or not all(full):
        channels = f"{segmenter.channels} channel{'s' * (segmenter.channels > 1)}"
        problem = f"has shape {tuple(shape)}, the model {channels}"
        raise InputError(name, problem, "Give (C, Z, Y, X), or (Z, Y, X) for one channel")
    return full


class _Planes:
    """A lazy array (C, Z, Y, X) of mean 0 and variance 1, of which some planes are in memory.

    Windows are cut from what was read of their planes, so that chunks are not decoded for each.
    """

    def __init__(self, source: Any, prepared: Preparation, name: str | Path) -> None:
        self.source, self.single = source, len(source.shape) == 3
        self.prepared, self.name = prepared, name
        self.shape = (1, *source.shape) if self.single else tuple(source.shape)
        self.mean: NDArray[np.float32] = np.zeros((self.shape[0], 1, 1, 1), np.float32)
        self.deviation: NDArray[np.float32] = np.ones_like(self.mean)
        self.span = slice(0)
        self.held: NDArray[np.float32] = np.zeros(0, np.float32)

    def read(self, span: slice) -> NDArray[Any]:
        """Planes (C, planes, Y, X) as they are stored, clipped if those of the training were."""
        try:
            part = np.asarray(self.source[(span,) if self.single else (slice(None), span)])
        except Exception as error:  # a damaged chunk may fail anywhere inside a codec
            problem = " ".join(f"cannot be read ({error})".split())
            raise InputError(self.name, problem, "Copy or export it again") from None
        part = part[None] if self.single else part
        window = self.prepared.window
        return part if window is None else part.astype(np.float32).clip(*window)

    def measure(self, thickness: int) -> None:
        """Mean and deviation of every channel, by so many planes at a time (Chan et al., 1983)."""
        count, mean, squares = np.zeros((3, self.shape[0]))
        for first in range(0, self.shape[1], thickness):
            for channel, part in enumerate(self.read(slice(first, first + thickness))):
                values = part[part != 0] if self.prepared.nonzero else part
                if not values.size:
                    continue
                total = count[channel] + values.size
                step = values.mean(dtype=np.float64) - mean[channel]
                squares[channel] += values.size * values.var(dtype=np.float64)
                squares[channel] += step**2 * (count[channel] * values.size / total)
                mean[channel] += step * (values.size / total)
                count[channel] = total
        if not np.isfinite(squares).all():
            raise InputError(self.name, "holds NaN or infinity", "Replace them")
        deviation = np.sqrt(squares / np.maximum(count, 1))
        self.mean = mean.astype(np.float32)[:, None, None, None]
        self.deviation = np.where(deviation, deviation, 1).astype(np.float32)[:, None, None, None]

    def __getitem__(self, spans: tuple[slice, slice, slice, slice]) -> NDArray[np.float32]:
        channels, z, y, x = spans
        if z != self.span:
            self.span, part = z, self.read(z).astype(np.float32)
            self.held = (part - self.mean) / self.deviation
            if self.prepared.nonzero:
                self.held[part == 0] = 0
        return self.held[channels, :, y, x]
