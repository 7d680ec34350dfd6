"""Apply a function to an image of any size in tiles, without seams and in bounded memory."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray


def apply_tiled(
    image: NDArray[Any],
    function: Callable[[NDArray[Any]], NDArray[Any]],
    out: NDArray[Any],
    *,
    tile: int,
    halo: int,
    batch: int = 1,
    multiple: int = 16,
) -> None:
    """Fill `out` with ``function(image)``, computed tile by tile.

    Each tile is computed with `halo` more pixels on every side, of which the result is thrown
    away. With a halo no smaller than the function's receptive-field radius the result is that of
    the whole image, and no seam can appear; nothing is blended or accumulated. Beyond its borders
    the image is mirrored about its outermost pixels, as often as the halo asks for.

    Tiles and halo are rounded up to `multiple` and start on its grid, so that pooling layers group
    the same pixels in every tile. Tiles are made equal, and never much larger than the image. Only
    one batch is held in memory: `image` and `out` may be memory maps or lazy arrays.

    Parameters
    ----------
    image : array, shape (Y, X) or (C, Y, X)
        Anything with a shape that slices into NumPy arrays.
    function : callable
        Maps windows (B, C, T, U) to (B, K, T, U) or (B, T, U). The windows of all calls have the
        same T and U; the last batch may be smaller.
    out : array, shape (K, Y, X) or (Y, X)
        Receives the result, with its own dtype.
    tile : int
        Largest side of a tile without its halo, in pixels.
    halo : int
        Context on every side, in pixels.
    batch : int
        Windows per call.
    multiple : int
        Product of the pooling factors of `function`.

    Raises
    ------
    ValueError
        If a size is not positive, `out` does not fit the image, or `function` changes the size of
        its windows.
    """
    size = tuple(image.shape[-2:])
    if min(tile, batch, multiple, halo + 1, *size) < 1:
        raise ValueError(f"not positive: {tile=}, {halo=}, {batch=}, {multiple=}, {size=}")
    if tuple(out.shape[-2:]) != size:
        raise ValueError(f"out of shape {out.shape} does not fit an image of shape {image.shape}")
    halo = _round_up(halo, multiple)
    cores = tuple(_core(length, _round_up(tile, multiple), multiple) for length in size)
    corners = list(product(*(range(0, n, core) for n, core in zip(size, cores, strict=True))))
    for first in range(0, len(corners), batch):
        group = corners[first : first + batch]
        windows = np.stack([_window(image, corner, cores, halo) for corner in group])
        results = function(windows)
        if len(results) != len(group) or results.shape[-2:] != windows.shape[-2:]:
            raise ValueError(f"windows {windows.shape} came back as {results.shape}")
        for (y, x), result in zip(group, results, strict=True):
            height, width = min(cores[0], size[0] - y), min(cores[1], size[1] - x)
            core = result[..., halo : halo + height, halo : halo + width]
            out[..., y : y + height, x : x + width] = core.reshape(*out.shape[:-2], height, width)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _core(length: int, tile: int, multiple: int) -> int:
    count = -(-length // tile)
    return _round_up(-(-length // count), multiple)


def _window(
    image: NDArray[Any], corner: tuple[int, ...], cores: tuple[int, ...], halo: int
) -> NDArray[Any]:
    """Copy of one tile with its halo, shape (C, T, U)."""
    spans = []
    for start, core, length in zip(corner, cores, image.shape[-2:], strict=True):
        index = _mirror(np.arange(start - halo, start + core + halo), length)
        spans.append((index, int(index.min()), int(index.max()) + 1))
    (rows, top, bottom), (columns, left, right) = spans
    # One contiguous block first: lazy arrays read it at once, and few of them index like NumPy.
    block = np.asarray(image[..., top:bottom, left:right])
    window = block[..., (rows - top)[:, None], columns - left]
    return window.reshape(-1, *window.shape[-2:])


def _mirror(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Fold positions into 0..length-1 by mirroring about the outermost pixels."""
    period = max(2 * (length - 1), 1)
    folded = index % period
    return np.minimum(folded, period - folded) if length > 1 else folded
