"""Segmentation of volumes larger than memory, from one lazy array to another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.errors import InputError
from segtrain.config import CLASSES
from segtrain.predict import Segmenter, outputs
from segtrain.sliding import slide


def predict_volume(segmenter: Segmenter, source: Any, out: Any, *, overlap: float = 0.5) -> None:
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
    overlap : float
        See `segtrain.sliding.slide`.

    Raises
    ------
    InputError
        If the network is for images, or `source` or `out` has another shape, or holds NaN.
    """
    if segmenter.axes != 3:
        raise InputError("the model", "is for images, not volumes", "Give one trained on volumes")
    planes = _Planes(source)
    if len(planes.shape) != 4 or planes.shape[0] != segmenter.channels:
        problem = f"has shape {tuple(source.shape)}, the model {segmenter.channels} channels"
        raise InputError("the volume", problem, "Give (C, Z, Y, X), or (Z, Y, X) for one channel")
    if tuple(out.shape) != planes.shape[1:]:
        problem = f"has shape {tuple(out.shape)}, the volume {planes.shape[1:]}"
        raise InputError("the result", problem, "Create it with the shape of the volume")
    planes.measure(segmenter.window[0])
    chosen = segmenter.target == CLASSES

    def respond(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return outputs(segmenter, windows).cpu().numpy()

    def keep(first: int, blended: NDArray[np.float32]) -> None:
        labels = blended.argmax(axis=0).astype(np.uint8) if chosen else blended[0]
        out[first : first + len(labels)] = labels

    slide(planes, respond, segmenter.window, keep, overlap=overlap)  # type: ignore[arg-type]


class _Planes:
    """A lazy array (C, Z, Y, X) of mean 0 and variance 1, of which some planes are in memory.

    Windows are cut from what was read of their planes, so that chunks are not decoded for each.
    """

    def __init__(self, source: Any) -> None:
        self.source, self.single = source, len(source.shape) == 3
        self.shape = (1, *source.shape) if self.single else tuple(source.shape)
        self.mean: NDArray[np.float32] = np.zeros((self.shape[0], 1, 1, 1), np.float32)
        self.deviation: NDArray[np.float32] = np.ones_like(self.mean)
        self.span = slice(0)
        self.held: NDArray[np.float32] = np.zeros(0, np.float32)

    def read(self, span: slice) -> NDArray[Any]:
        """Planes (C, planes, Y, X) as they are stored."""
        return (
            np.asarray(self.source[span])[None] if self.single else np.asarray(self.source[:, span])
        )

    def measure(self, thickness: int) -> None:
        """Mean and deviation of every channel, by so many planes at a time (Chan et al., 1983)."""
        count, mean, squares = 0, np.zeros(self.shape[0]), np.zeros(self.shape[0])
        for first in range(0, self.shape[1], thickness):
            part = self.read(slice(first, first + thickness))
            more = part[0].size
            new = part.mean(axis=(1, 2, 3), dtype=np.float64)
            step = new - mean
            squares += more * part.var(axis=(1, 2, 3), dtype=np.float64)
            squares += step**2 * (count * more / (count + more))
            count, mean = count + more, mean + step * (more / (count + more))
        if not np.isfinite(squares).all():
            raise InputError("the volume", "holds NaN or infinity", "Replace them")
        deviation = np.sqrt(squares / count)
        self.mean = mean.astype(np.float32)[:, None, None, None]
        self.deviation = np.where(deviation, deviation, 1).astype(np.float32)[:, None, None, None]

    def __getitem__(self, spans: tuple[slice, slice, slice, slice]) -> NDArray[np.float32]:
        channels, z, y, x = spans
        if z != self.span:
            self.span = z
            self.held = (self.read(z).astype(np.float32) - self.mean) / self.deviation
        return self.held[channels, :, y, x]
