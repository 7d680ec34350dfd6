"""Polycrystals and dual-phase steel: exact labels, and the structure they claim."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from phasegen.masks import Array, label_periodic, label_regions
from phasegen.recipes import dual_phase, grains
from phasegen.recipes.recipe import Recipe
from phasegen.voronoi import johnson_mehl, voronoi


def _grow(
    recipe: Recipe, shape: tuple[int, ...], seed: int = 0, **ranges: float
) -> tuple[Array, ...]:
    rng = np.random.default_rng(seed)
    return recipe.grow(recipe.ranges.load(**ranges).draw(rng), shape, rng)


@pytest.fixture(scope="module")
def polycrystal() -> Mapping[str, Any]:
    fixed = {"magnification": 2.0, "grain_size": 20.0, "growth": 2.0, "groove": 3.0}
    names = ("phase", "mask", "instance", "fields")
    return dict(zip(names, _grow(grains.RECIPE, (300, 300), **fixed), strict=True))


def test_grains_are_connected_and_have_the_size_asked_for(polycrystal: Mapping[str, Any]) -> None:
    instance, mask = polycrystal["instance"], polycrystal["mask"]
    np.testing.assert_array_equal(instance > 0, mask == 1)
    count = instance.max()
    for number in range(1, count + 1):
        assert label_periodic(instance == number).max() == 1
    # Mean area of circles of 20 cells of 2 pixels; the groove hides grains about to vanish.
    assert 300**2 / count == pytest.approx(math.pi / 4 * 40**2, rel=0.12)


def test_boundaries_part_all_grains_and_are_as_wide_as_the_groove(
    polycrystal: Mapping[str, Any],
) -> None:
    instance, mask = polycrystal["instance"], polycrystal["mask"]
    for axis in (0, 1):
        after = np.roll(instance, -1, axis)
        touching = (instance > 0) & (after > 0) & (instance != after)
        assert touching.mean() < 1e-3
    # Area of the boundary over the length of its two sides (Cauchy-Crofton: pi/4 of the steps), to
    # which the junctions add a tenth.
    sides = sum((mask != np.roll(mask, 1, axis)).sum() for axis in (0, 1)) * math.pi / 4
    assert (mask == 0).sum() / (sides / 2) == pytest.approx(1.1 * 3.0, rel=0.12)


def test_grain_contrast_is_one_per_grain_and_grooves_stand_out(
    polycrystal: Mapping[str, Any],
) -> None:
    phase, mask, instance = (polycrystal[k] for k in ("phase", "mask", "instance"))
    assert phase[mask == 0].min() > 0.5
    core = ndimage.binary_erosion(mask == 1, iterations=4)
    brightness = [phase[core & (instance == n)] for n in np.unique(instance[core])]
    assert max(np.ptp(values) for values in brightness) < 0.02
    assert np.std([values.mean() for values in brightness]) > 0.05
    assert phase[core].max() < 0.5


def test_a_grain_across_the_edge_counts_once() -> None:
    """A shift of the nuclei by half the box would be a shift of the labels: no edge is special."""
    shape = (40, 50)
    sites = np.random.default_rng(0).uniform(0, shape, (12, 2))
    shifted = voronoi(shape, sites + [20, 25])
    np.testing.assert_array_equal(np.roll(voronoi(shape, sites), (20, 25), (0, 1)), shifted)
    assert label_regions(shifted + 1).max() == 12


def test_regions_keep_the_largest_piece_of_a_label() -> None:
    labels = np.array([[5, 0, 5, 5], [0, 0, 2, 2], [0, 0, 0, 2], [0, 5, 0, 2]])
    # The first 5 continues the last two around the edge; the lower one stands alone.
    expected = [[1, 0, 1, 1], [0, 0, 2, 2], [0, 0, 0, 2], [0, 0, 0, 2]]
    np.testing.assert_array_equal(label_regions(labels), expected)


@pytest.mark.parametrize("shape", [(160, 160), (44, 44, 44)])
def test_continuous_nucleation_obeys_johnson_mehl_and_avrami(shape: tuple[int, ...]) -> None:
    """Exponent d + 1; the number of grains is the density asked for."""
    exponents, counts = [], []
    for seed in range(4):
        labels, arrival = johnson_mehl(shape, 250 / math.prod(shape), np.random.default_rng(seed))
        time = np.quantile(arrival, [0.1, 0.9])
        share = np.array([(arrival <= t).mean() for t in np.linspace(*time, 20)])
        avrami = np.log(-np.log(1 - share))
        exponents.append(np.polyfit(np.log(np.linspace(*time, 20)), avrami, 1)[0])
        counts.append(len(np.unique(labels)))
    assert np.mean(exponents) == pytest.approx(len(shape) + 1, rel=0.08)
    assert np.mean(counts) == pytest.approx(250, rel=0.08)


@pytest.mark.parametrize("share", [0.18, 0.35, 0.5])
def test_martensite_has_its_share_and_sits_on_the_boundaries(share: float) -> None:
    fixed = {"magnification": 1.6, "martensite": share, "grain_size": 24.0, "island_size": 9.0}
    phase, mask, instance, fields = _grow(dual_phase.RECIPE, (240, 240), **fixed)
    assert mask.mean() == pytest.approx(share, abs=1e-3)
    np.testing.assert_array_equal(mask == 1, phase > 0.5)
    np.testing.assert_array_equal(instance, label_periodic(mask == 1))
    assert fields[0].mean() == pytest.approx(share, abs=0.02)
    # Most of the boundary is martensite long before most of the grains is.
    on_boundary = mask[fields[1] < 0.2].mean()
    assert on_boundary > 1.6 * share


ISLANDS = {"magnification": 1.0, "martensite": 0.12, "grain_size": 24.0, "island_size": 8.0}
ISLANDS |= {"groove": 2.0, "laths": 0.2}


def _corners(seed: int) -> Array:
    """Number of ferrite grains that meet in every square of four cells (120, 120)."""
    rng = np.random.default_rng(seed)
    labels = dual_phase.polycrystal((120, 120), 24.0, dual_phase.GROWTH, rng).labels
    four = [np.roll(labels, step, (0, 1)) for step in ((0, 0), (-1, 0), (0, -1), (-1, -1))]
    return 1 + (np.diff(np.sort(four, axis=0), axis=0) > 0).sum(axis=0)


def test_martensite_takes_the_triple_junctions_first() -> None:
    mask = dual_phase.grow(ISLANDS | {"wetting": 1.0}, (120, 120), np.random.default_rng(0))[1]
    meeting = _corners(0)
    assert (meeting >= 3).sum() > 30
    assert mask[meeting >= 3].mean() > 1.75 * mask[meeting == 2].mean()


def test_martensite_that_wets_spreads_along_the_boundaries() -> None:
    meeting, covered = _corners(0), []
    for wetting in (0.0, 4.0):
        given = ISLANDS | {"wetting": wetting}
        mask = dual_phase.grow(given, (120, 120), np.random.default_rng(0))[1]
        covered.append(mask[meeting >= 2].mean())
    assert covered[1] > 1.1 * covered[0]


@pytest.mark.parametrize("recipe", [grains.RECIPE, dual_phase.RECIPE], ids=lambda r: r.name)
def test_volumes(recipe: Recipe) -> None:
    shape = (30, 36, 42)
    made = _grow(recipe, shape, magnification=1.2, grain_size=14.0)
    phase, mask, instance, fields = made
    assert phase.shape == mask.shape == instance.shape == fields.shape[1:] == shape
    assert 0 <= phase.min() < phase.max() <= 1
    np.testing.assert_array_equal(instance > 0, mask == 1)
    assert instance.max() > 1
    for first, again in zip(
        made, _grow(recipe, shape, magnification=1.2, grain_size=14.0), strict=True
    ):
        np.testing.assert_array_equal(first, again)
