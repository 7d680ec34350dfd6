"""What a patch looks like in numbers: histograms, spectrum and texture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

from phasegen import spectra

Array = NDArray[Any]

BINS = 64
"""Bins of a histogram; an entropy is at most 6 bits."""

STEEPEST = 0.3
"""Gradient at which its histogram ends, grey scale (0..1) per pixel; steeper ones count there."""

LEVELS, DISTANCES = 16, (1, 2, 4, 8)
"""Grey levels and distances in pixels of the co-occurrence matrices."""

PROPERTIES = ("contrast", "homogeneity", "energy", "correlation")

RADII = (1, 4)
"""Radii in pixels of the local binary patterns, of eight neighbours each."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is measured of N patches.

    Attributes
    ----------
    entropy : ndarray (N,)
        Shannon entropy of the grey-value histogram, bits.
    grey, gradient : ndarray (N, BINS)
        Histograms of grey values in 0..1 and of gradients in 0..`STEEPEST`, of sum 1.
    frequency : ndarray (rings,)
        Cycles per pixel.
    power : ndarray (N, rings)
        Radially averaged power spectra.
    cooccurrence : ndarray (N, properties, distances)
        Of `PROPERTIES` and `DISTANCES`, mean over four directions.
    patterns : ndarray (N, radii, 10)
        Histograms of the uniform local binary patterns, of sum 1.
    """

    entropy: Array
    grey: Array
    gradient: Array
    frequency: Array
    power: Array
    cooccurrence: Array
    patterns: Array

    def bank(self) -> tuple[list[str], Array]:
        """All of it as features: their names and (N, features)."""
        quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
        labels = octaves(self.frequency)
        columns: dict[str, Array] = {"entropy": self.entropy}
        for name, histogram in (("grey", self.grey), ("gradient", self.gradient)):
            reached = histogram.cumsum(axis=1)
            for q in quantiles:
                columns[f"{name}, {q:.0%} quantile"] = (reached < q).sum(axis=1) / BINS
        for label, rings in labels.items():
            columns[f"power at {label}"] = np.log(self.power[:, rings].mean(axis=1) + 1e-12)
        for i, name in enumerate(PROPERTIES):
            for j, distance in enumerate(DISTANCES):
                columns[f"{name} at {distance} px"] = self.cooccurrence[:, i, j]
        for i, radius in enumerate(RADII):
            for pattern in range(self.patterns.shape[2]):
                columns[f"pattern {pattern} at {radius} px"] = self.patterns[:, i, pattern]
        return list(columns), np.stack(list(columns.values()), axis=1)


def measure(patches: Array) -> Statistics:
    """Statistics of patches (N, P, P) in 0..1.

    References
    ----------
    Haralick, Shanmugam and Dinstein, IEEE Trans. SMC 3, 610 (1973): co-occurrence; Ojala,
    Pietikainen and Maenpaa, IEEE Trans. PAMI 24, 971 (2002), equation (9): uniform patterns.
    """
    grey = histograms(patches, 1.0)
    slopes = [ndimage.gaussian_gradient_magnitude(patch, 1.0) for patch in patches]
    averaged = [
        spectra.radial_average(*spectra.power_spectrum(spectra.flatten(patch))) for patch in patches
    ]
    return Statistics(
        entropy=entropy(grey),
        grey=grey,
        gradient=histograms(np.stack(slopes), STEEPEST),
        frequency=averaged[0][0],
        power=np.stack([power for _, power in averaged]),
        cooccurrence=np.stack([_cooccurrence(patch) for patch in patches]),
        patterns=np.stack([_patterns(patch) for patch in patches]),
    )


def histograms(values: Array, top: float) -> Array:
    """Histogram (N, BINS) of each of N arrays between 0 and `top`, of sum 1; larger ones count
    in the last bin."""
    flat = values.reshape(len(values), -1)
    bins = np.clip((flat * (BINS / top)).astype(int), 0, BINS - 1)
    bins += BINS * np.arange(len(flat))[:, None]
    counts = np.bincount(bins.ravel(), minlength=BINS * len(flat)).reshape(-1, BINS)
    return counts / flat.shape[1]


def entropy(histogram: Array) -> Array:
    """Shannon entropy in bits of histograms (N, BINS) of sum 1."""
    safe = np.where(histogram > 0, histogram, 1.0)
    return np.asarray(-(histogram * np.log2(safe)).sum(axis=1))


def octaves(frequency: Array) -> dict[str, Array]:
    """Rings of each octave of wavelengths, the finest first: ``{"2-4 px": mask}``."""
    found, finest = {}, 2
    while (rings := (1 / frequency >= finest) & (1 / frequency < 2 * finest)).any():
        found[f"{finest}-{2 * finest} px"] = rings
        finest *= 2
    return found


def _cooccurrence(patch: Array) -> Array:
    levels = np.minimum((patch * LEVELS).astype(np.uint8), LEVELS - 1)
    angles = np.arange(4) * np.pi / 4
    matrix = graycomatrix(levels, DISTANCES, angles, LEVELS, symmetric=True, normed=True)
    return np.stack([graycoprops(matrix, name).mean(axis=1) for name in PROPERTIES])


def _patterns(patch: Array) -> Array:
    grey = np.round(patch * 255).astype(np.uint8)
    found = [local_binary_pattern(grey, 8, radius, "uniform").astype(int) for radius in RADII]
    return np.stack([np.bincount(one.ravel(), minlength=10) / one.size for one in found])
