"""Virtual scanning electron microscope: how phases and relief become grey values.

A picture is built in the order of the instrument: the specimen emits (phase contrast, edge halo,
tilt shading of the relief), the beam blurs, the detector counts (Poisson) and its amplifier adds
(Gaussian), over an uneven illumination.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from phasegen.config import AtLeastOne, Config, NotNegative, Range


class MicroscopeRanges(Config):
    """Ranges of the instrument's settings; grey values in 0..1, lengths in pixels."""

    background: Range = Field((0.55, 0.75), description="mean grey value of the matrix")
    contrast: Range = Field(
        (-0.45, -0.3), description="second phase less matrix: negative is darker, positive brighter"
    )
    halo: Range = Field((0.0, 0.15), description="brightness of the edge rim, outside the particle")
    halo_width: NotNegative = Field((3.0, 7.0), description="decay length of the rim")
    tilt: Range = Field((0.0, 0.15), description="shading of the relief towards the detector")
    tilt_angle: Range = Field((0.0, 360.0), description="direction of the detector, degrees")
    blur: NotNegative = Field((0.5, 1.5), description="standard deviation of the beam")
    dose: AtLeastOne = Field((100.0, 1000.0), description="electrons per pixel at grey value 1")
    noise: NotNegative = Field(
        (0.01, 0.05), description="standard deviation of the amplifier noise"
    )
    illumination: Range = Field((0.0, 0.1), description="grey-value change across the image")


def render(
    phase: NDArray[np.float32], settings: Mapping[str, float], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Image of a microstructure.

    Parameters
    ----------
    phase : ndarray ([Z,] Y, X)
        Fraction of the second phase in every pixel, 0..1. A volume is photographed section by
        section, as serial sectioning does: the same settings, noise and illumination of its own.
    settings : mapping
        One value for each field of `MicroscopeRanges`.
    rng : numpy.random.Generator
        For the noise and the direction of the illumination gradient.

    Returns
    -------
    ndarray of the shape of `phase`, float32, 0..1
    """
    if phase.ndim == 3:
        return np.stack([render(section, settings, rng) for section in phase])
    return detect(emit(phase, settings), settings, rng)


def emit(phase: NDArray[np.float32], settings: Mapping[str, float]) -> NDArray[np.float32]:
    """What a surface (Y, X) emits: phase contrast, rim and relief, in grey values."""
    s = settings
    image = s["background"] + s["contrast"] * phase
    # Electrons escape from the rim of a step: bright just outside the particle, decaying away.
    smooth = ndimage.gaussian_filter(phase, s["halo_width"], mode="wrap")
    image += s["halo"] * 2 * np.clip(smooth - phase, 0, None)
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(phase, 2.0, mode="wrap"))
    angle = np.deg2rad(s["tilt_angle"])
    image += s["tilt"] * 4 * (np.sin(angle) * slope_y + np.cos(angle) * slope_x)
    return image


def detect(
    emitted: NDArray[np.float32], settings: Mapping[str, float], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Image (Y, X) of what a surface emits: beam, illumination, counts and amplifier, 0..1."""
    s = settings
    image = ndimage.gaussian_filter(emitted, s["blur"], mode="wrap")
    image += s["illumination"] * _gradient(image.shape, rng)
    counts = rng.poisson(np.clip(image, 0, None) * s["dose"])
    noisy = counts / s["dose"] + s["noise"] * rng.standard_normal(image.shape)
    grey: NDArray[np.float32] = np.clip(noisy, 0, 1).astype(np.float32)
    return grey


def _gradient(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Linear ramp of random direction, -0.5..0.5 along its axis."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = (np.linspace(-0.5, 0.5, n) for n in shape)
    ramp: NDArray[Any] = np.sin(angle) * y[:, None] + np.cos(angle) * x
    return ramp
