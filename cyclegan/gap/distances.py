"""Distances between two samples of patches, and how far chance alone would bring them.

Patches of one image resemble each other, so that many patches say less than as many images would.
Samples therefore come as arrays (images, patches, ...): statistics are taken over patches, while
standard errors and permutations are over whole images.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

Array = NDArray[Any]

PERMUTATIONS = 499
"""Random exchanges of the labels of the images."""

LIMIT = 5.0
"""Standard deviations to which a feature is softly limited, lest a single one that is far off make
the whole distance."""


class Shift(NamedTuple):
    """Two-sample Kolmogorov-Smirnov test.

    Attributes
    ----------
    statistic : float
        Largest distance of the two cumulative distributions, 0..1.
    p : float
        As if all values were independent.
    p_images : float
        Under exchange of whole images.
    """

    statistic: float
    p: float
    p_images: float


class Kernel(NamedTuple):
    """Kernel distance with its standard error (NaN below 3 images a side) and p under exchange
    of whole images."""

    value: float
    error: float
    p: float


def kolmogorov_smirnov(x: Array, y: Array, seed: int = 0) -> Shift:
    """Whether values x (images, patches) and y are drawn from one distribution."""
    statistic, p = ks_2samp(x.ravel(), y.ravel(), method="asymp")
    values = np.concatenate([x.ravel(), y.ravel()])
    order = np.argsort(values, kind="stable")
    # A step of the distributions ends where the value changes.
    last = np.append(np.diff(values[order]) > 0, True)
    image = np.repeat(np.arange(len(x) + len(y)), x.shape[1])[order]

    def largest(ours: Array) -> float:
        side = ours[image]
        steps = np.where(side, 1 / side.sum(), -1 / (~side).sum()).cumsum()
        return float(np.abs(steps[last]).max())

    return Shift(float(statistic), float(p), exchanged(largest, len(x), len(y), seed))


def histogram_distances(x: Array, y: Array, width: float) -> tuple[float, float]:
    """Wasserstein-1 distance in units of `width`, the range of all bins, and Jensen-Shannon
    distance (0..1, the root of the divergence in bits) of two histograms of sum 1.

    References
    ----------
    Endres and Schindelin, IEEE Trans. Inf. Theory 49, 1858 (2003).
    """
    at = (np.arange(len(x)) + 0.5) / len(x) * width
    wasserstein = wasserstein_distance(at, at, x, y)
    return float(wasserstein), float(np.nan_to_num(jensenshannon(x, y, base=2)))


def log_spectral(x: Array, y: Array, octaves: dict[str, Array]) -> tuple[float, dict[str, float]]:
    """Log-spectral distance of two power spectra (rings,), and y's excess per octave, in dB.

    The distance is the root mean square, each octave counted alike: the finest holds half of all
    rings.
    """
    decibel = 10 * np.log10((y + 1e-12) / (x + 1e-12))
    squares = [(decibel[rings] ** 2).mean() for rings in octaves.values()]
    excess = {label: float(decibel[rings].mean()) for label, rings in octaves.items()}
    return float(np.sqrt(np.mean(squares))), excess


def standardised(reference: Array, values: Array) -> Array:
    """Features (..., F) in units of the standard deviation that they have in `reference` (..., F),
    whose mean is taken off, softly limited to `LIMIT`."""
    flat = reference.reshape(-1, reference.shape[-1])
    # A feature that hardly varies would make a unit of its rounding.
    spread = np.maximum(flat.std(axis=0), 1e-3 * np.abs(flat).mean(axis=0) + 1e-9)
    score = (values - flat.mean(axis=0)) / spread
    return np.asarray(score / np.sqrt(1 + (score / LIMIT) ** 2))


def kernel_distance(x: Array, y: Array, seed: int = 0) -> Kernel:
    """Unbiased squared maximum mean discrepancy with the kernel ``(x.y / F + 1)^3``.

    Pairs of patches of one image are left out, which are no independent pairs; with one patch an
    image it is the published estimator. The standard error is that of the jackknife, over the
    subsets that leave out one image.

    Parameters
    ----------
    x, y : ndarray (images, patches, F)
        At least two images each.

    References
    ----------
    Binkowski, Sutherland, Arbel and Gretton, ICLR 2018, equation (4) and section 4.
    """
    m, patches, features = x.shape
    flat = np.concatenate([x, y]).reshape(-1, features)
    kernel = (flat @ flat.T / features + 1) ** 3
    images = len(flat) // patches
    between = kernel.reshape(images, patches, images, patches).mean(axis=(1, 3))
    np.fill_diagonal(between, 0.0)

    def discrepancy(ours: Array, theirs: Array) -> float:
        a, b = len(ours), len(theirs)
        return float(
            between[np.ix_(ours, ours)].sum() / (a * (a - 1))
            + between[np.ix_(theirs, theirs)].sum() / (b * (b - 1))
            - 2 * between[np.ix_(ours, theirs)].mean()
        )

    ours, theirs = np.arange(m), np.arange(m, images)
    variance = float("nan")
    if min(m, images - m) > 2:
        without = [discrepancy(np.delete(ours, i), theirs) for i in range(m)]
        others = [discrepancy(ours, np.delete(theirs, i)) for i in range(images - m)]
        variance = sum((len(part) - 1) * float(np.var(part)) for part in (without, others))
    p = exchanged(
        lambda side: discrepancy(np.flatnonzero(side), np.flatnonzero(~side)), m, images - m, seed
    )
    return Kernel(discrepancy(ours, theirs), float(np.sqrt(variance)), p)


def exchanged(statistic: Callable[[Array], float], ours: int, theirs: int, seed: int) -> float:
    """Share of random exchanges of the images' labels whose statistic reaches that of the true
    ones, which count among them.

    Parameters
    ----------
    statistic : callable
        Of the labels, bool (images,): True for the first sample.
    ours, theirs : int
        Images of either sample.
    seed : int
        Of the exchanges.
    """
    value = statistic(np.arange(ours + theirs) < ours)
    null = permuted(statistic, ours, theirs, seed, PERMUTATIONS)
    # Exchanges that end in the same grouping are equal, whatever the order of a sum.
    return float((1 + (null >= value - 1e-9 * abs(value)).sum()) / (1 + len(null)))


def permuted(
    statistic: Callable[[Array], float], ours: int, theirs: int, seed: int, number: int
) -> Array:
    """The statistic for `number` random labels, as in `exchanged`."""
    rng = np.random.default_rng(seed)
    side = np.arange(ours + theirs) < ours
    return np.array([statistic(rng.permutation(side)) for _ in range(number)])
