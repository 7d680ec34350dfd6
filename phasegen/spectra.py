"""What the spectrum of a micrograph says: its length scale, its noise, its direction.

Frequencies are in cycles per pixel. A spectrum is taken of the scene less its uneven illumination,
through a Hann window, so that edges of the picture do not count as structure.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Array = NDArray[Any]

NOISE_BAND = 0.4
"""Frequency above which a micrograph holds nothing but noise, cycles per pixel."""

HIGHEST = 4.0
"""Multiple of the mean frequency up to which it is averaged: what is beyond is rims and noise."""

OCTAVE = 0.17
"""Width (standard deviation) of the smoothing in which a peak is sought, octaves."""


def flatten(scene: Array, order: int = 2) -> Array:
    """The scene less the polynomial of `order` that fits it best: uneven illumination.

    Parameters
    ----------
    scene : ndarray (Y, X)
    order : int
        Highest total power of y and x.

    Returns
    -------
    ndarray (Y, X), float64
        Of mean zero.
    """
    y, x = (np.linspace(-1, 1, n) for n in scene.shape)
    rows, columns = y ** np.arange(order + 1)[:, None], x ** np.arange(order + 1)[:, None]
    powers = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    # The normal equations factorise, as the grid is a product of two axes.
    over_y, over_x = rows @ rows.T / len(y), columns @ columns.T / len(x)
    moments = rows @ scene.astype(float) @ columns.T / scene.size
    normal = [[over_y[i, k] * over_x[j, m] for k, m in powers] for i, j in powers]
    fitted = np.zeros((order + 1, order + 1))
    fitted[tuple(zip(*powers, strict=True))] = np.linalg.solve(
        normal, [moments[i, j] for i, j in powers]
    )
    flat: Array = scene - rows.T @ fitted @ columns
    return flat


def power_spectrum(flat: Array) -> tuple[Array, Array, Array]:
    """Power of every wave of a flat scene.

    Parameters
    ----------
    flat : ndarray (Y, X)
        From `flatten`.

    Returns
    -------
    power, fy, fx : ndarray
        Power (Y, X // 2 + 1), such that white noise has its variance everywhere, and the
        frequencies of its rows (Y, 1) and columns (X // 2 + 1).
    """
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in flat.shape))
    level = flat - (flat * window).sum() / window.sum()
    power: Array = np.abs(fft.rfft2(level * window)) ** 2 / (window * window).sum()
    return power, fft.fftfreq(flat.shape[0])[:, None], fft.rfftfreq(flat.shape[1])


def radial_average(power: Array, fy: Array, fx: Array) -> tuple[Array, Array]:
    """Mean power on rings around the origin, one wave per picture apart.

    Returns
    -------
    frequency, power : ndarray (rings,)
        From two waves per (shorter) side to half a cycle per pixel; slower ones are illumination.
    """
    side = min(power.shape[0], 2 * (power.shape[1] - 1))
    ring = np.rint(np.hypot(fy, fx) * side).astype(int).ravel()
    waves = np.bincount(ring)
    mean = np.bincount(ring, power.ravel()) / np.maximum(waves, 1)
    rings = np.arange(2, side // 2)
    return rings / side, mean[rings]


def noise_floor(frequency: Array, power: Array) -> float:
    """Power of white noise: the median of what is left at the highest frequencies."""
    return float(np.median(power[frequency > NOISE_BAND]))


def peak_wavelength(frequency: Array, power: Array) -> float:
    """Wavelength with the most power, in pixels: the period of what repeats.

    The power per unit of frequency, ``f * power(f)``, above the noise floor is smoothed over about
    a third of an octave, and the peak is that of the parabola through its highest three points. A
    structure without a period has a broad peak, which is worth little.
    """
    energy = frequency * np.clip(power - noise_floor(frequency, power), 0, None)
    octave = np.log2(frequency)
    at = np.arange(octave[0], octave[-1], OCTAVE / 4)
    weight = np.exp(-0.5 * ((at[:, None] - octave) / OCTAVE) ** 2) / frequency
    smooth = np.log(weight @ energy / weight.sum(axis=1) + 1e-30)
    top = int(np.clip(smooth.argmax(), 1, len(at) - 2))
    left, middle, right = smooth[top - 1 : top + 2]
    bend = left - 2 * middle + right
    shift = np.clip((left - right) / (2 * bend), -1, 1) if bend < 0 else 0.0
    return float(2.0 ** -(at[top] + shift * (at[1] - at[0])))


def mean_wavelength(frequency: Array, power: Array) -> float:
    """Reciprocal of the mean frequency of the structure, pixels; steadier than the peak.

    The mean weights ``f * (power - noise)`` and leaves out what lies above `HIGHEST` times itself,
    so that it follows the structure and not the noise when a picture is magnified.
    """
    energy = frequency * np.clip(power - noise_floor(frequency, power), 0, None)
    limit = np.inf
    for _ in range(50):
        within = frequency < limit
        total = energy[within].sum()
        mean = (energy * frequency)[within].sum() / total if total > 0 else frequency[0]
        # The band must hold something; a scene of nothing but noise ends at the lowest ring.
        if HIGHEST * mean >= limit or HIGHEST * mean < frequency[1]:
            break
        limit = HIGHEST * mean
    return float(1 / mean)


def noise_level(scene: Array) -> float:
    """Standard deviation of the pixel noise, in the units of the scene.

    From the median absolute response to a mask that cancels whatever is locally a plane.

    References
    ----------
    Immerkaer, Comput. Vis. Image Underst. 64, 300 (1996), with a median for the mean, lest edges
    count.
    """
    mask = np.outer([1, -2, 1], [1, -2, 1])
    response = ndimage.convolve(scene.astype(float), mask, mode="reflect")
    return float(np.median(np.abs(response)) / 0.6745 / 6)


def elongation(smooth: Array) -> tuple[float, float]:
    """How much longer than wide the structure is, and along which direction.

    Parameters
    ----------
    smooth : ndarray (Y, X)
        Scene, smoothed so that its gradients are those of boundaries.

    Returns
    -------
    coherence : float
        0: no direction is preferred; 1: all boundaries are parallel. It is
        ``(l1 - l2) / (l1 + l2)`` with the eigenvalues of the mean structure tensor.
    direction : float
        Direction of the boundaries in degrees, 0..180, from the x axis (columns) towards the y axis
        (rows, downwards).

    References
    ----------
    Bigun and Granlund, Proc. 1st ICCV, 433 (1987).
    """
    gy, gx = np.gradient(smooth)
    xx, xy, yy = (gx * gx).mean(), (gx * gy).mean(), (gy * gy).mean()
    coherence = np.hypot(xx - yy, 2 * xy) / (xx + yy)
    across = np.rad2deg(np.arctan2(2 * xy, xx - yy)) / 2
    return float(coherence), float((across + 90) % 180)


def fourfold(power: Array, fy: Array, fx: Array, wavelength: float) -> tuple[float, float]:
    """How far the waves of a picture keep to two axes at right angles, as those of cuboids do.

    Parameters
    ----------
    power, fy, fx : ndarray
        From `power_spectrum`.
    wavelength : float
        Length scale, pixels; waves from half to four times its frequency count.

    Returns
    -------
    strength : float
        0: all directions alike; 1: all waves along the two axes. It is the fourth harmonic of the
        angular power spectrum.
    direction : float
        Direction of the nearer axis in degrees, 0..90, from x towards y.
    """
    frequency = np.hypot(fy, fx)
    band = (frequency * wavelength > 0.5) & (frequency * wavelength < HIGHEST)
    angle = np.arctan2(fy, fx + 0 * fy)
    # Waves count by the steepness of their flanks, as in the structure tensor.
    weight = (power * frequency * frequency)[band]
    harmonic = (weight * np.exp(4j * angle[band])).sum() / max(weight.sum(), 1e-30)
    return float(abs(harmonic)), float(np.rad2deg(np.angle(harmonic)) / 4 % 90)
