"""What a campaign draws: even cover, first samples that stay, and a length asked for."""

import numpy as np
import pytest
from scipy.stats import qmc

from phasegen.campaign import Simulation
from phasegen.errors import InputError
from phasegen.recipes import find

TINY = Simulation(recipe="spinodal", samples=48, shape=64, seed=7).resolve()


def unit(settings):
    """The draws as points of the unit cube."""
    bounds = find(settings.recipe).ranges.load(**settings.parameters).ranges()
    bounds |= settings.microscope.ranges()
    low, high = np.array(list(bounds.values())).T
    drawn = [[d[name] for name in bounds] for d in settings.draws()]
    return (np.array(drawn) - low) / (high - low)


def test_every_range_is_covered_evenly():
    """Of 32 points of a Sobol sequence, one lies in every 32nd of every range."""
    points = unit(TINY.model_copy(update={"samples": 32}))
    assert points.shape == (32, 14)
    for column in points.T:
        np.testing.assert_array_equal(np.sort(np.floor(32 * column)), np.arange(32))


def test_cover_is_better_than_that_of_independent_draws():
    independent = [
        qmc.discrepancy(np.random.default_rng(seed).random((48, 14))) for seed in range(9)
    ]
    assert qmc.discrepancy(unit(TINY)) < 0.8 * min(independent)


def test_more_samples_leave_the_first_as_they_are():
    more = TINY.model_copy(update={"samples": 100})
    assert more.draws()[:48] == TINY.draws()
    np.testing.assert_array_equal(more.seeds()[:48], TINY.seeds())


def test_another_seed_makes_other_draws():
    other = TINY.model_copy(update={"seed": 8})
    assert not any(a == b for a, b in zip(other.draws(), TINY.draws(), strict=True))
    assert not set(other.seeds().tolist()) & set(TINY.seeds().tolist())


def test_a_fixed_parameter_stays_as_it_is():
    fixed = TINY.model_copy(update={"parameters": {"time": [90, 90]}})
    assert {d["time"] for d in fixed.draws()} == {90.0}


def test_a_length_in_micrometres_sets_the_magnification():
    settings = TINY.model_copy(update={"pixel_size": 0.02, "length": (0.6, 0.8)})
    recipe = find("spinodal")
    lengths = [0.02 * d["magnification"] * recipe.length(d) for d in settings.draws()]
    assert 0.6 <= min(lengths) < 0.62
    assert 0.78 < max(lengths) < 0.8001
    in_pixels = TINY.model_copy(update={"length": (40.0, 40.0)})
    for drawn in in_pixels.draws():
        assert drawn["magnification"] * recipe.length(drawn) == pytest.approx(40)


def test_a_length_that_cannot_be_had_is_refused():
    tiny = TINY.model_copy(update={"pixel_size": 0.1, "length": (0.6, 0.8)})
    with pytest.raises(InputError, match=r"[67]\.\d+ pixels are too few for the wavelength.*more"):
        tiny.draws()
