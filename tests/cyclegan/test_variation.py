"""Variations of the style: off by default, seeded by the sample, and no boundary is moved."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from cyclegan.fda import exchange
from cyclegan.geometry import boundary_drift, edge_agreement
from cyclegan.model import Model, translate
from cyclegan.settings import Translation
from cyclegan.variation import shares, slope, vary
from tests.cyclegan.specimens import SCENES, SIMULATED

IMAGE, MASK = SIMULATED[0]
EVERY = {"mix": 1.0, "extrapolate": 1.0, "relief": 0.2, "flip": 0.5}


def settings(**changes):
    return Translation(real=Path("sem"), **changes)


def model(**changes):
    return Model(settings(**changes), SCENES, None, {}, torch.device("cpu"))


def amplitude(image):
    return np.abs(np.fft.fft2(image.astype(float)))


def draws(config, number=400):
    return np.array([shares(config, np.random.default_rng(seed)) for seed in range(number)])


def test_a_mixture_of_two_amplitudes_lies_between_them():
    band = 0.2
    low = np.abs(np.fft.fftfreq(len(IMAGE))) <= band
    block = np.ix_(low, low)
    one, two = (amplitude(scene)[block] for scene in SCENES[:2])
    for share in (0.0, 0.3, 1.0):
        mixed = exchange(IMAGE, [(SCENES[0], share), (SCENES[1], 1 - share)], band)
        found, faint = amplitude(mixed)[block], amplitude(IMAGE)[block] < 1e-2
        np.testing.assert_allclose(found[~faint], (share * one + (1 - share) * two)[~faint], 1e-3)
        assert (found >= np.minimum(one, two) - 0.01)[~faint].all()
        assert (found <= np.maximum(one, two) + 0.01)[~faint].all()


@pytest.mark.parametrize(("reach", "factor"), [(0.5, 0.5), (1.0, 1.0), (1.5, 1.5), (9.0, 9.0)])
def test_beyond_the_real_amplitudes_they_go_on_in_a_line_and_stop_at_none(reach, factor):
    found = amplitude(exchange(IMAGE, [(SCENES[0], reach)], 0.1))
    ours, theirs = amplitude(IMAGE), amplitude(SCENES[0])
    low = np.abs(np.fft.fftfreq(len(IMAGE))) <= 0.1
    expected = np.maximum(ours + factor * (theirs - ours), 0)
    np.testing.assert_allclose(found[np.ix_(low, low)], expected[np.ix_(low, low)], atol=0.02)
    assert (expected == 0)[np.ix_(low, low)].any() == (reach > 1)


def test_weights_are_drawn_as_told():
    np.testing.assert_array_equal(draws(settings()), [(1.0, 0.0)] * 400)
    mixed = draws(settings(mix=0.4))
    np.testing.assert_allclose(mixed.sum(axis=1), 1)
    assert (mixed >= 0).all()
    assert np.mean(mixed[:, 1] > 0) == pytest.approx(0.4, abs=0.07)
    assert mixed[mixed[:, 1] > 0, 0].mean() == pytest.approx(0.5, abs=0.07)
    beyond = draws(settings(extrapolate=0.8))
    np.testing.assert_array_equal(beyond[:, 1], 0)
    assert 1 <= beyond[:, 0].min() < 1.05
    assert 1.75 < beyond[:, 0].max() <= 1.8


def test_without_options_nothing_varies():
    assert vary(IMAGE, settings(), np.random.default_rng(0)) is IMAGE


@pytest.mark.parametrize("changes", [EVERY, {"extrapolate": 8.0}, {"relief": 1.0}])
def test_grey_values_stay_in_their_range_and_type(changes):
    for seed in range(8):
        found = translate(model(**changes), IMAGE, seed)
        assert found.dtype == np.float32
        assert 0 <= found.min() < found.max() <= 1


def test_the_same_seed_gives_the_same_bits_and_another_one_another_image():
    for option in ({name: value} for name, value in EVERY.items()):
        varied, plain = model(**option), model()
        again = [translate(varied, IMAGE, seed) for seed in range(8)]
        assert all(np.array_equal(translate(varied, IMAGE, n), one) for n, one in enumerate(again))
        changed = [not np.array_equal(translate(plain, IMAGE, n), x) for n, x in enumerate(again)]
        assert sum(changed) > 1, option


def test_a_flip_is_the_exact_negative_of_what_is_translated_without():
    seen = set()
    for seed in range(12):
        plain, flipped = (translate(model(flip=p), IMAGE, seed) for p in (0.0, 0.5))
        negative = np.array_equal(flipped, 1 - plain)
        assert negative or np.array_equal(flipped, plain)
        seen.add(negative)
        np.testing.assert_array_equal(translate(model(flip=1.0), IMAGE, seed), 1 - plain)
    assert seen == {False, True}


def test_a_flip_moves_no_boundary_and_makes_no_edge():
    plain, flipped = (translate(model(flip=p), IMAGE, 1) for p in (0.0, 1.0))
    assert boundary_drift([(flipped, MASK)]) == pytest.approx(boundary_drift([(plain, MASK)]))
    assert edge_agreement([(flipped, MASK)]) == pytest.approx(edge_agreement([(plain, MASK)]))


@pytest.mark.parametrize("turn", [0.0, 0.25, 0.5])
def test_relief_is_bright_on_one_flank_and_dark_on_the_other(turn):
    y, x = np.mgrid[:64, :64]
    disc = ndimage.gaussian_filter((np.hypot(y - 32, x - 32) < 16).astype(float), 1)
    shading = slope(disc, 2 * np.pi * turn)
    assert np.abs(shading).max() == pytest.approx(1)
    step = np.round([16 * np.sin(2 * np.pi * turn), 16 * np.cos(2 * np.pi * turn)]).astype(int)
    # The grey value rises where one enters the disc, and falls where one leaves it.
    assert shading[tuple(32 - step)] > 0.9
    assert shading[tuple(32 + step)] < -0.9
    assert shading[32, 32] == pytest.approx(0, abs=1e-3)
    np.testing.assert_array_equal(slope(np.full((8, 8), 0.3), 1.0), 0)


def test_relief_changes_grey_values_by_no_more_than_told():
    changes = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        changes.append(np.abs(vary(IMAGE, settings(relief=0.1), rng) - IMAGE).max())
    assert 0.05 < max(changes) <= 0.1 + 1e-6
