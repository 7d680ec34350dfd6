"""Inference on volumes: a window slides over them, and overlapping results are blended."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARPNESS = 0.125
"""Standard deviation of the blending weights, as a share of the window (Isensee et al., 2021)."""

Volume = NDArray[np.float32]


def slide(
    volume: NDArray[Any],
    function: Callable[[Volume], Volume],
    window: Sequence[int],
    keep: Callable[[int, Volume], None],
    *,
    overlap: float = 0.5,
) -> None:
    """Hand ``function(volume)`` on, plane by plane, blended from overlapping windows.

    Results are weighted by a Gaussian about the middle of their window, where the network sees
    most. Windows are visited by their first plane, and planes that no later window reaches are
    handed on at once: besides the outputs for one layer of windows nothing is held in memory, so
    `volume` may be a lazy array, and `keep` may write to one.

    Parameters
    ----------
    volume : array, shape (C, Z, Y, X)
        Anything with a shape that slices into NumPy arrays.
    function : callable
        Maps windows (1, C, Z, Y, X) to (1, K, Z, Y, X).
    window : sequence of int
        Sides of the window; a smaller volume is mirrored at its far ends until it fits.
    keep : callable
        ``keep(first, planes)`` receives the blended outputs (K, planes, Y, X) from plane `first`
        on, every plane once and in order.
    overlap : float
        Share of a window that its neighbour covers again, 0 <= overlap < 1.

    Raises
    ------
    ValueError
        If the overlap is out of range, or the function changes the size of its window.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"an overlap of {overlap} is not in [0, 1)")
    size = tuple(volume.shape[1:])
    lack = [(0, max(0, side - n)) for n, side in zip(size, window, strict=True)]
    padded = tuple(n + more for n, (_, more) in zip(size, lack, strict=True))
    corners = [_corners(n, side, overlap) for n, side in zip(padded, window, strict=True)]
    weight = _weights(window)
    layer: Volume | None = None
    total = np.zeros((window[0], *padded[1:]), np.float32)
    for number, z in enumerate(corners[0]):
        for y, x in product(*corners[1:]):
            spans = [slice(a, a + side) for a, side in zip((z, y, x), window, strict=True)]
            cut = np.asarray(volume[:, *spans])
            missing = [(0, side - n) for n, side in zip(cut.shape[1:], window, strict=True)]
            cut = np.pad(cut, [(0, 0), *missing], mode="symmetric")
            result = function(cut[None])[0]
            if result.shape[1:] != weight.shape:
                raise ValueError(f"a window of {tuple(window)} came back as {result.shape[1:]}")
            if layer is None:
                layer = np.zeros((len(result), *total.shape), np.float32)
            layer[:, :, spans[1], spans[2]] += weight * result
            total[:, spans[1], spans[2]] += weight
        assert layer is not None
        last = number + 1 == len(corners[0])
        done = window[0] if last else corners[0][number + 1] - z
        inside = max(0, min(done, size[0] - z))
        blended: Volume = np.divide(layer[:, :done], total[:done])
        keep(z, blended[:, :inside, : size[1], : size[2]])
        for buffer, axis in ((layer, 1), (total, 0)):
            _advance(buffer, done, axis)


def _advance(buffer: Volume, planes: int, axis: int) -> None:
    """Drop the first planes of a buffer and append as many zeros."""
    rest = buffer.shape[axis] - planes
    moved = np.moveaxis(buffer, axis, 0)
    moved[:rest] = moved[planes:].copy()
    moved[rest:] = 0


def _corners(length: int, side: int, overlap: float) -> list[int]:
    """First pixels of windows that cover an axis, evenly spread."""
    count = 1 + int(np.ceil((length - side) / max(1, int(side * (1 - overlap)))))
    return [int(first) for first in np.unique(np.linspace(0, length - side, count).round())]


def _weights(window: Sequence[int]) -> Volume:
    """Gaussian about the middle of a window, at least a thousandth of its peak."""
    places = np.ix_(*(np.arange(n) - (n - 1) / 2 for n in window))
    squares = [(x / (SHARPNESS * n)) ** 2 for x, n in zip(places, window, strict=True)]
    weight = np.exp(-0.5 * (squares[0] + squares[1] + squares[2]))
    result: Volume = np.maximum(weight / weight.max(), 1e-3).astype(np.float32)
    return result
