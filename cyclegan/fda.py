"""Fourier style exchange: the low frequencies' amplitudes of real images, the phases of ours."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft


def exchange(
    image: NDArray[np.float32], styles: Sequence[tuple[NDArray[np.float32], float]], band: float
) -> NDArray[np.float32]:
    """Give `image` the low-frequency amplitude spectrum of a style.

    Phases stay, and with them the place of every boundary.

    Parameters
    ----------
    image : ndarray (Y, X)
    styles : sequence of (ndarray (Y, X), float)
        Images of that shape with their weights in the amplitude. What these lack to 1 is the
        weight of the image's own amplitude, and negative where they go beyond.
    band : float
        Half-width of the exchanged block of frequencies, as a share of the size; 0 exchanges the
        mean alone.

    References
    ----------
    Yang and Soatto, FDA: Fourier domain adaptation, CVPR 2020, equation (3), with one style of
    weight 1.
    """
    ours = fft.rfft2(image)
    height, width = image.shape
    y = np.abs(np.fft.fftfreq(height)) <= band
    x = np.fft.rfftfreq(width) <= band
    block = np.ix_(y, x)
    amplitude = np.abs(ours[block])
    # A mode that is absent has no phase; it stays absent.
    turn = np.divide(ours[block], amplitude, out=np.zeros_like(ours[block]), where=amplitude > 0)
    target = (1 - sum(weight for _, weight in styles)) * amplitude
    for style, weight in styles:
        target += weight * np.abs(fft.rfft2(style)[block])
    ours[block] = np.maximum(target, 0) * turn
    exchanged: NDArray[np.float32] = fft.irfft2(ours, s=image.shape).astype(np.float32)
    return exchanged


def cut(
    scene: NDArray[np.float32], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Random crop of `shape`; a scene that is too small is continued by mirroring."""
    lack = [(0, max(0, n - m)) for n, m in zip(shape, scene.shape, strict=True)]
    whole = np.pad(scene, lack, mode="symmetric")
    y, x = (int(rng.integers(m - n + 1)) for n, m in zip(shape, whole.shape, strict=True))
    return whole[y : y + shape[0], x : x + shape[1]]
