"""Distances between samples: closed forms, an oracle by loops, and what chance gives."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from cyclegan.gap.classifier import classifier_test
from cyclegan.gap.distances import (
    LIMIT,
    exchanged,
    histogram_distances,
    kernel_distance,
    kolmogorov_smirnov,
    log_spectral,
    standardised,
)
from cyclegan.gap.features import octaves


def draw(seed, images, patches, shift=0.0, features=3, between=0.0):
    """Gaussian features; `between` is the spread of the images' means."""
    rng = np.random.default_rng(seed)
    means = rng.normal(shift, between, (images, 1, features))
    return means + rng.normal(size=(images, patches, features))


def loops(x, y):
    """Equation (4) of Binkowski et al. by explicit loops, pairs of one image left out."""

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def mean(one, other, apart):
        found = [
            kernel(a, b)
            for i, first in enumerate(one)
            for j, second in enumerate(other)
            if not (apart and i == j)
            for a in first
            for b in second
        ]
        return sum(found) / len(found)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("patches", [1, 3])
def test_kernel_distance_is_that_of_explicit_loops(patches):
    x, y = draw(0, 5, patches), draw(1, 7, patches, shift=0.5)
    assert kernel_distance(x, y).value == pytest.approx(loops(x, y), rel=1e-12)


def closed_form(mu, d):
    """Squared discrepancy of N(mu, I) and N(0, I) under ``(x.y / d + 1)^3``, from the moments of
    Gaussians."""

    def mean(a, b):
        ab, aa, bb = a @ b, a @ a, b @ b
        first, second = ab, d + aa + bb + ab**2
        third = ab**3 + 3 * ab * aa + 3 * ab * (d + 2 + bb)
        return third / d**3 + 3 * second / d**2 + 3 * first / d + 1

    zero = np.zeros(d)
    return mean(mu, mu) + mean(zero, zero) - 2 * mean(mu, zero)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_kernel_distance_of_gaussians_is_the_closed_form(shift):
    expected = closed_form(np.full(3, shift), 3)
    found = [
        kernel_distance(draw(seed, 40, 2, shift), draw(100 + seed, 40, 2)) for seed in range(12)
    ]
    values, errors = np.array([(one.value, one.error) for one in found]).T
    # Unbiased: the mean of twelve has a twelfth of the variance.
    assert abs(values.mean() - expected) < 3 * values.std(ddof=1) / np.sqrt(12)
    assert 0.5 < errors.mean() / values.std(ddof=1) < 2
    assert (shift == 0) == (expected == 0)


def test_patches_of_one_image_do_not_pass_for_independent_ones():
    """Images that differ among themselves are no gap, however many patches they give."""
    pairs = [(draw(s, 8, 16, between=1.0), draw(50 + s, 8, 16, between=1.0)) for s in range(20)]
    kernels = [kernel_distance(x, y) for x, y in pairs]
    values = np.array([one.value for one in kernels])
    assert abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(20)
    assert sum(one.p <= 0.05 for one in kernels) <= 4
    shifts = [kolmogorov_smirnov(x[..., 0], y[..., 0]) for x, y in pairs]
    assert sum(one.p <= 0.05 for one in shifts) > 8
    assert sum(one.p_images <= 0.05 for one in shifts) <= 4


def test_without_three_images_there_is_no_error():
    assert np.isnan(kernel_distance(draw(0, 2, 4), draw(1, 6, 4)).error)


def test_kolmogorov_smirnov_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, (6, 5)), rng.integers(2, 11, (9, 5))
    found = kolmogorov_smirnov(x, y)
    assert found.statistic == pytest.approx(ks_2samp(x.ravel(), y.ravel()).statistic)
    # Of images with one value each the exchange is the exact test.
    x, y = rng.normal(size=(12, 1)), rng.normal(0.6, 1, (14, 1))
    exact = ks_2samp(x.ravel(), y.ravel(), method="exact").pvalue
    assert kolmogorov_smirnov(x, y).p_images == pytest.approx(exact, abs=0.05)
    assert kolmogorov_smirnov(x, x).statistic == 0


def test_the_least_p_is_that_of_the_number_of_exchanges():
    found = exchanged(lambda side: float(side[:4].sum()), 4, 4, 0)
    # One grouping of 70 reaches it.
    assert found == pytest.approx(1 / 70, abs=0.015)


def test_histogram_distances():
    bins = np.eye(64)
    assert histogram_distances(bins[3], bins[3], 1.0) == (0.0, 0.0)
    moved = histogram_distances(bins[0], bins[32], 1.0)
    assert moved == (pytest.approx(0.5), pytest.approx(1.0))
    assert histogram_distances(bins[0], bins[32], 0.3)[0] == pytest.approx(0.15)


def test_log_spectral_distance_counts_octaves_alike():
    frequency = np.arange(2, 64) / 128
    bands = octaves(frequency)
    power = np.ones(62)
    distance, excess = log_spectral(power, 100 * power, bands)
    assert distance == pytest.approx(20)
    assert list(excess.values()) == pytest.approx([20] * len(bands))
    coarse = np.where(frequency <= 1 / 32, 0.1, 1.0)
    distance, excess = log_spectral(power, coarse, bands)
    assert excess["2-4 px"] == 0
    assert excess["32-64 px"] == pytest.approx(-10)
    assert distance == pytest.approx(np.sqrt(2 * 10**2 / 6))


def test_features_are_in_units_of_the_reference_and_limited():
    x = draw(0, 30, 4, shift=7.0) * [1, 100, 0]
    score = standardised(x, x)
    assert np.abs(score.mean(axis=(0, 1))).max() < 0.1
    assert 0.9 < score[..., 1].std() < 1
    assert np.abs(standardised(x, x + 1e6)[..., :2]).max() <= LIMIT


def test_a_classifier_is_at_chance_for_one_distribution():
    tests = [
        classifier_test(draw(s, 8, 6, between=0.7), draw(90 + s, 20, 6, between=0.7))
        for s in range(8)
    ]
    assert abs(np.mean([one.accuracy for one in tests]) - 0.5) < 0.12
    assert sum(one.p <= 0.05 for one in tests) <= 2
    for one in tests:
        assert one.chance[0] < 0.5 < one.chance[1]


def test_a_classifier_tells_what_is_apart():
    found = classifier_test(draw(0, 8, 6, shift=2.0), draw(1, 20, 6))
    assert found.accuracy > 0.95
    assert found.p == 0.01
    assert found.chance[1] < found.accuracy


def test_an_image_never_is_on_both_sides_of_the_fold():
    """Images that are alike within and unlike among themselves: by heart all would be told."""
    x, y = (draw(s, 12, 30, features=24, between=20.0) for s in (0, 1))
    assert classifier_test(x, y).accuracy < 0.8


def test_many_features_are_reduced():
    x, y = draw(0, 6, 4, shift=1.0, features=200), draw(1, 6, 4, features=200)
    assert classifier_test(x, y).accuracy > 0.9
