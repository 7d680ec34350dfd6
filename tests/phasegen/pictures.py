"""Pictures that the tests of images share, and ways to write them as files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage


def texture(shape: tuple[int, int] = (160, 200), seed: int = 0) -> NDArray[np.float64]:
    """Two noisy phases, grey values within 0..1."""
    rng = np.random.default_rng(seed)
    phases = ndimage.gaussian_filter(rng.normal(size=shape), 4) > 0
    return np.clip(0.3 + 0.35 * phases + rng.normal(scale=0.06, size=shape), 0.02, 0.98)


GREY8 = np.rint(texture() * 255).astype(np.uint8)
GREY16 = np.rint(texture() * 65535).astype(np.uint16)
COLOUR = np.stack([GREY8, GREY8, 255 - GREY8], axis=-1)
CLASSES = (np.arange(160 * 200).reshape(160, 200) // 7 % 4).astype(np.uint8)


def rgb(grey: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(grey[..., None], 3, axis=-1)


def with_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    pixels = np.atleast_3d(pixels)
    return np.concatenate([pixels, np.full_like(pixels[..., :1], 7)], axis=-1)


def png(path: Path, pixels: NDArray[Any]) -> None:
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


def palette(path: Path, pixels: NDArray[Any], colours: list[int]) -> None:
    image = Image.fromarray(pixels).convert("L")
    image.putpalette(colours)
    image.save(path)


def tiff(**options: Any) -> Callable[[Path, NDArray[Any]], None]:
    return lambda path, pixels: tifffile.imwrite(path, pixels, **options)
