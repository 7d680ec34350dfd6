"""Descriptors of a micrograph that no label is needed for: lengths, fractions, polarity, direction.

The two phases are told apart by grey value alone, dark and bright. That is no segmentation to be
relied on pixel by pixel, but lengths and fractions average over the picture, and every uncertain
number comes with its interval. Simulated images go through the same functions as real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_li, threshold_otsu

from phasegen import spectra
from phasegen.images import grey_range

Array = NDArray[Any]

SMOOTHING = 12.0
"""Parts of the mean wavelength that make the standard deviation of the smoothing."""

SPECK = 8.0
"""Parts of the mean wavelength that make the side of the smallest patch of a phase to count."""

LINE_BLUR = 1.0
"""Standard deviation of the smoothing before thin lines are sought, pixels."""

COMMON, BEYOND = 0.02, 0.25
"""Grey values are cut beyond the range that leaves out this share of the pixels at either end, and
this much of the range more: an inclusion or a charged spot is no third phase."""


@dataclass(frozen=True, eq=False)
class Descriptors:
    """What one picture looks like; lengths in pixels.

    Attributes
    ----------
    period : float
        Wavelength of the highest peak of the power spectrum (`spectra.peak_wavelength`).
    wavelength : float
        Reciprocal mean frequency of the power spectrum (`spectra.mean_wavelength`).
    chord_dark, chord_bright : float
        Mean length of the rows and columns that lie in one phase (`chords`).
    dark : tuple of float
        Lowest, middle and highest estimate of the dark phase's share of the area, 0..1.
    polarity : float
        -1: dark particles in a bright matrix; 1: bright ones in a dark matrix; near 0: neither
        phase encloses the other, as in lamellae or a symmetric spinodal.
    elongation, direction : float
        Coherence (0..1) and direction (degrees) of the boundaries (`spectra.elongation`).
    intercept : float
        Mean length of the rows and columns between thin lines (`mean_intercept`): the size of
        grains, whose boundaries are all that their grey values have in common.
    unevenness_dark, unevenness_bright : float
        Standard deviation of the logarithm of a phase's chords: large and small side by side.
    fourfold, axis : float
        Strength (0..1) and direction (degrees) of a cuboidal alignment (`spectra.fourfold`).
    separation : float
        Share of the variance of the grey values, noise smoothed away, that two values explain:
        2 / pi for a single blurred grey (a normal distribution), 1 for two flat ones.
    noise : float
        Standard deviation of the pixel noise, as a share of the contrast between the phases.
    shape : tuple of int
        Rows and columns of the picture.
    frequency, power : ndarray (rings,)
        Radially averaged power spectrum of the scene in units of its standard deviation.
    lengths_dark, lengths_bright : ndarray
        All chords that do not touch the border.
    """

    period: float
    wavelength: float
    chord_dark: float
    chord_bright: float
    intercept: float
    dark: tuple[float, float, float]
    polarity: float
    unevenness_dark: float
    unevenness_bright: float
    elongation: float
    direction: float
    fourfold: float
    axis: float
    separation: float
    noise: float
    shape: tuple[int, ...]
    frequency: Array = field(repr=False)
    power: Array = field(repr=False)
    lengths_dark: Array = field(repr=False)
    lengths_bright: Array = field(repr=False)

    def inverted(self) -> "Descriptors":
        """Those of the same picture with dark and bright exchanged."""
        low, middle, high = self.dark
        return replace(
            self,
            chord_dark=self.chord_bright,
            chord_bright=self.chord_dark,
            lengths_dark=self.lengths_bright,
            lengths_bright=self.lengths_dark,
            unevenness_dark=self.unevenness_bright,
            unevenness_bright=self.unevenness_dark,
            dark=(1 - high, 1 - middle, 1 - low),
            polarity=-self.polarity,
        )


def describe(scene: Array) -> Descriptors:
    """Descriptors of a greyscale picture.

    Parameters
    ----------
    scene : ndarray (Y, X)
        Grey values in any unit, info bar left out; not all equal.
    """
    low, high = np.quantile(scene, (COMMON, 1 - COMMON))
    if low == high:
        low, high = grey_range(scene)
    grey = (scene.astype(float) - low) / (high - low)
    flat = spectra.flatten(np.clip(grey, -BEYOND, 1 + BEYOND))
    spectrum = spectra.power_spectrum(flat)
    frequency, power = spectra.radial_average(*spectrum)
    wavelength = spectra.mean_wavelength(frequency, power)
    smooth = ndimage.gaussian_filter(flat, wavelength / SMOOTHING, mode="nearest")
    dark = without_specks(smooth < threshold_otsu(smooth), (wavelength / SPECK) ** 2)
    chord_dark, chord_bright = mean_chords(dark)
    contrast = flat[~dark].mean() - flat[dark].mean() if 0 < dark.mean() < 1 else np.ptp(flat)
    lengths_dark, lengths_bright = chords(dark), chords(~dark)
    coherence, direction = spectra.elongation(smooth)
    fourfold, axis = spectra.fourfold(*spectrum, wavelength)
    polarity = connectivity(dark) - connectivity(~dark)
    if polarity <= 0:
        share = dark_share(flat, wavelength)
    else:  # the same picture with its particles dark, lest the thresholds treat them unlike
        low, middle, high = dark_share(-flat, wavelength)
        share = 1 - high, 1 - middle, 1 - low
    return Descriptors(
        period=spectra.peak_wavelength(frequency, power),
        wavelength=wavelength,
        chord_dark=chord_dark,
        chord_bright=chord_bright,
        intercept=mean_intercept(flat, wavelength, dark=polarity > 0),
        dark=share,
        polarity=polarity,
        unevenness_dark=unevenness(lengths_dark, wavelength),
        unevenness_bright=unevenness(lengths_bright, wavelength),
        elongation=coherence,
        direction=direction,
        fourfold=fourfold,
        axis=axis,
        separation=separation(smooth),
        noise=spectra.noise_level(flat) / float(contrast),
        shape=scene.shape,
        frequency=frequency,
        power=power / flat.var(),
        lengths_dark=lengths_dark,
        lengths_bright=lengths_bright,
    )


def dark_share(flat: Array, wavelength: float) -> tuple[float, float, float]:
    """Lowest, middle and highest estimate of the dark phase's share of a flat scene.

    Three thresholds that err in different directions, each at two degrees of smoothing: the one
    between the classes of least variance (Otsu, IEEE Trans. SMC 9, 62 (1979)), which a bright rim
    draws upwards; the one of least cross-entropy (Li and Lee, Pattern Recognit. 26, 617 (1993));
    and the grey value at the edges, weighted by their gradient (Kittler, Illingworth and Foglein,
    CVGIP 30, 125 (1985)), which shading of the relief draws downwards. The lowest and the highest
    estimate allow for boundaries that lie a pixel elsewhere.
    """
    estimates = []
    thresholds: tuple[Callable[[Array], float], ...] = (threshold_otsu, _cross_entropy, _at_edges)
    for part in (SMOOTHING, 2 * SMOOTHING):
        smooth = ndimage.gaussian_filter(flat, wavelength / part, mode="nearest")
        for threshold in thresholds:
            estimates.append(float((smooth < threshold(smooth)).mean()))
    smooth = ndimage.gaussian_filter(flat, wavelength / SMOOTHING, mode="nearest")
    # Boundary per area is pi over the mean distance between boundaries along a line (Cauchy).
    reach = np.pi / sum(mean_chords(smooth < threshold_otsu(smooth)))
    low, high = max(min(estimates) - reach, 0.0), min(max(estimates) + reach, 1.0)
    return low, float(np.median(estimates)), high


def _cross_entropy(smooth: Array) -> float:
    # Defined for positive grey values only.
    lowest = smooth.min() - 1e-3
    return float(threshold_li(smooth - lowest) + lowest)


def _at_edges(smooth: Array) -> float:
    gradient = ndimage.gaussian_gradient_magnitude(smooth, 1.0)
    edge = gradient >= np.median(gradient)
    return float(np.average(smooth[edge], weights=gradient[edge]))


def without_specks(dark: Array, area: float) -> Array:
    """The mask with patches of either phase smaller than `area` given to the other."""
    for phase in (True, False):
        labels, _ = ndimage.label(dark == phase)
        small = np.bincount(labels.ravel()) < area
        small[0] = False
        dark = dark ^ small[labels]
    return dark


def mean_chords(dark: Array) -> tuple[float, float]:
    """Mean chord of the mask and of the rest, pixels: length of the phase per piece of it.

    Rows and columns count alike. Pieces are counted by their ends, so the border, which cuts chords
    short, does not bias the mean.
    """
    ends = sum(int((np.diff(dark, axis=axis)).sum()) for axis in (0, 1))
    pieces = max(ends / 2, 0.5)
    inside = int(dark.sum())
    return 2 * inside / pieces, 2 * (dark.size - inside) / pieces


def chords(mask: Array) -> Array:
    """Length of every piece of a row or column inside the mask that does not touch the border."""
    found = []
    for lines in (mask, mask.T):
        # One line after another: a step is a start or an end, a piece at a border is dropped.
        row, start = np.nonzero(~lines[:, :-1] & lines[:, 1:])
        other, end = np.nonzero(lines[:, :-1] & ~lines[:, 1:])
        width = lines.shape[1]
        starts, ends = row * width + start, other * width + end
        following = np.searchsorted(ends, starts)
        kept = following < len(ends)
        starts, following = starts[kept], following[kept]
        same = starts // width == ends[following] // width
        found.append((ends[following] - starts)[same])
    return np.concatenate(found)


def mean_intercept(flat: Array, wavelength: float, dark: bool) -> float:
    """Mean length, pixels, of the rows and columns between thin lines, as ASTM E112 counts them.

    Lines are what a top hat of half the wavelength keeps, whatever the grey of the grains beside
    them; `dark` ones or bright ones.
    """
    smooth = ndimage.gaussian_filter(-flat if dark else flat, LINE_BLUR, mode="nearest")
    side = 2 * round(wavelength / 4) + 1
    lines = ndimage.white_tophat(smooth, size=(side, side))
    return mean_chords(lines > threshold_otsu(lines))[1] if np.ptp(lines) > 0 else float(side)


def unevenness(lengths: Array, wavelength: float) -> float:
    """Standard deviation of the logarithm of chords, specks left out; 0 if there are none."""
    kept = lengths[lengths >= wavelength / SPECK]
    return float(np.log(kept).std()) if len(kept) else 0.0


def separation(smooth: Array) -> float:
    """Variance between the two classes of Otsu's threshold over all variance, 0..1."""
    dark = smooth < threshold_otsu(smooth)
    share = dark.mean()
    if not 0 < share < 1:
        return 0.0
    step = smooth[~dark].mean() - smooth[dark].mean()
    return float(share * (1 - share) * step * step / smooth.var())


def connectivity(mask: Array) -> float:
    """Chance that two random pixels of the mask lie in one connected piece of it, 0..1."""
    labels, _ = ndimage.label(mask)
    areas = np.bincount(labels.ravel())[1:].astype(float)
    return float((areas * areas).sum() / max(areas.sum(), 1.0) ** 2)
