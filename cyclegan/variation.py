"""Styles that the real folder does not hold: between and beyond its images, in relief, inverted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cyclegan.settings import Translation

Image = NDArray[np.float32]

SMOOTHING = 2.0
"""Standard deviation of the filter that takes the slope, pixels: grain has no relief."""


def shares(config: Translation, rng: np.random.Generator) -> tuple[float, float]:
    """Weights of the amplitudes of two real crops in the exchange (`fda.exchange`).

    With probability `mix` both take part, in any proportion. Their sum is 1 + u with u uniform in
    0..`extrapolate`: the style then lies beyond the real one, seen from the image.

    References
    ----------
    Xu, Zhang, Zhang, Wang and Tian, A Fourier-based framework for domain generalization, CVPR 2021:
    amplitude mix, there of the image and one other, and never beyond either.
    """
    chance, share, beyond = map(float, rng.random(3))
    first = share if chance < config.mix else 1.0
    reach = 1 + config.extrapolate * beyond
    return reach * first, reach * (1 - first)


def vary(image: Image, config: Translation, rng: np.random.Generator) -> Image:
    """Relief and polarity of a translated image (Y, X) in 0..1, in which it stays.

    Relief of a random direction changes grey values by up to a random share of `relief`; with
    probability `flip` the image becomes its negative.
    """
    chance, share, turn = map(float, rng.random(3))
    if config.relief:
        image = np.clip(image + config.relief * share * slope(image, 2 * np.pi * turn), 0, 1)
    return 1 - image if chance < config.flip else image


def slope(image: NDArray[Any], angle: float) -> Image:
    """Slope of the image along a direction, over the largest of its magnitudes: -1..1.

    A detector on one side sees what faces it brighter, and the other flank of a particle darker.
    What stands out is taken from the grey values, so that both flanks are shaded in their places.

    Parameters
    ----------
    image : ndarray (Y, X)
    angle : float
        From x (columns) towards y (rows), radians.
    """
    along_y, along_x = (
        ndimage.gaussian_filter(image.astype(float), SMOOTHING, order=order, mode="nearest")
        for order in ((1, 0), (0, 1))
    )
    along = np.sin(angle) * along_y + np.cos(angle) * along_x
    steepest: Image = (along / max(float(np.abs(along).max()), 1e-9)).astype(np.float32)
    return steepest
