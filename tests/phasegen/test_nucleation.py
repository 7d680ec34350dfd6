"""Sites keep their distance, nuclei their profile; rates give Poisson counts and Avrami growth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from phasegen.errors import InputError
from phasegen.nucleation import (
    Array,
    add_nuclei,
    nucleate,
    nucleation_rate,
    seed_sites,
    stamp_nuclei,
)


def _nearest(sites: Array, shape: tuple[int, ...]) -> float:
    """Least distance of two sites or of their periodic images."""
    box = np.array(shape, float)
    offset = sites[:, None] - sites
    offset -= box * np.round(offset / box)
    distance = np.sqrt((offset**2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    return float(distance.min(initial=np.inf))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(3, 24), min_size=1, max_size=3).map(tuple),
    st.floats(1, 12),
    st.integers(0, 99),
)
def test_sites_keep_their_distance(shape: tuple[int, ...], spacing: float, seed: int) -> None:
    sites = seed_sites(shape, max(spacing, 3.0), np.random.default_rng(seed))
    assert len(sites) >= 1
    assert _nearest(sites, shape) >= max(spacing, 3.0)
    assert (sites >= -0.5).all()
    assert (sites <= np.array(shape) - 0.5).all()


def test_sites_fill_the_grid() -> None:
    """Random sequential addition of discs ends near the jamming fraction 0.547 in the plane."""
    sites = seed_sites((64, 64), 6.0, np.random.default_rng(0))
    assert 0.43 < len(sites) * np.pi * 3.0**2 / 64**2 < 0.56


def test_sites_are_reproducible_and_differ_by_seed() -> None:
    first, again, other = (seed_sites((32, 32), 5.0, np.random.default_rng(s)) for s in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_sites_lie_where_allowed() -> None:
    allowed = np.zeros((20, 30), bool)
    allowed[:4, 25:] = True
    sites = seed_sites(allowed.shape, 3.0, np.random.default_rng(1), allowed)
    assert len(sites) > 1
    assert allowed[tuple(np.round(sites).astype(int).T)].all()
    nowhere = seed_sites((20, 30), 3.0, np.random.default_rng(1), np.zeros((20, 30), bool))
    assert nowhere.shape == (0, 2)


@pytest.mark.parametrize("site", [(16.0, 16.0), (0.3, 31.6), (-0.4, 8.2)])
def test_nucleus_has_its_profile_wherever_it_lies(site: tuple[float, float]) -> None:
    order = np.zeros((3, 32, 32))
    add_nuclei(order, np.array([site]), np.array([6.0]), np.array([1]), width=1.5)
    y, x = np.mgrid[:32, :32]
    distance = np.hypot((y - site[0] + 16) % 32 - 16, (x - site[1] + 16) % 32 - 16)
    expected = 0.5 * (1 - np.tanh((distance - 6.0) / 1.5))
    # The nucleus is cut off four lengths from its surface.
    np.testing.assert_allclose(order[1], expected, atol=4e-4)
    assert not order[[0, 2]].any()


def test_overlapping_nuclei_of_one_variant_are_limited_to_one() -> None:
    order = np.zeros((1, 24, 24), np.float32)
    add_nuclei(order, np.array([[10, 10], [13, 12]]), np.array([5.0, 5.0]), np.array([0, 0]))
    assert order.max() == 1


def test_nucleus_in_three_dimensions_has_the_volume_of_its_sphere() -> None:
    order = np.zeros((1, 32, 32, 32))
    add_nuclei(order, np.array([[15.5, 2.2, 30.1]]), np.array([8.0]), np.array([0]), width=1.0)
    # Integral of the tanh profile: 4/3 pi R^3 (1 + pi^2 / 4 (width / R)^2).
    volume = 4 / 3 * np.pi * 8**3 * (1 + (np.pi / 2 / 8) ** 2)
    assert order.sum() == pytest.approx(volume, rel=2e-3)


def test_stamped_nuclei_know_their_cells() -> None:
    order, index = np.zeros((24, 40)), np.zeros((24, 40), np.int32)
    sites = np.array([[12.0, 10.0], [0.4, 31.0], [12.0, 15.0]])
    stamp_nuclei(order, index, sites, np.array([5.0, 4.0, 3.0]), np.array([7, 8, 9]), width=1.2)
    assert order.max() <= 1
    y, x = np.mgrid[:24, :40]
    profiles = []
    for (cy, cx), radius in zip(sites, (5.0, 4.0, 3.0), strict=True):
        distance = np.hypot((y - cy + 12) % 24 - 12, (x - cx + 20) % 40 - 20)
        profiles.append(0.5 * (1 - np.tanh((distance - radius) / 1.2)))
    np.testing.assert_allclose(order, np.max(profiles, axis=0), atol=4e-4)
    inside = order > 0.5
    np.testing.assert_array_equal(index[inside], 7 + np.argmax(profiles, axis=0)[inside])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_classical_rate_has_the_barrier_of_the_critical_nucleus(dimensions: int) -> None:
    """The barrier is the largest work of a disc or sphere of any radius."""
    force, energy, thermal = 0.7, 0.4, 0.3
    r = np.linspace(0, 5, 200_001)
    if dimensions == 2:
        work = 2 * np.pi * r * energy - np.pi * r**2 * force
    else:
        work = 4 * np.pi * r**2 * energy - 4 / 3 * np.pi * r**3 * force
    rate = nucleation_rate(np.array([force, 0.0, -1.0]), 5.0, energy, thermal, dimensions)
    assert rate[0] == pytest.approx(5 * np.exp(-work.max() / thermal), rel=1e-6)
    assert not rate[1:].any()


def test_counts_are_poisson_and_follow_the_rate() -> None:
    rng = np.random.default_rng(0)
    rate = np.zeros((24, 30))
    rate[:12], rate[12:, :10] = 0.002, 0.01
    counts, places = [], []
    for _ in range(2000):
        sites = nucleate(rate, 2.5, rng)
        counts.append(len(sites))
        places.append(sites)
    expected = 2.5 * rate.sum()
    assert np.mean(counts) == pytest.approx(expected, abs=4 * np.sqrt(expected / 2000))
    # The variance of a Poisson count is its mean; that of its estimate is 2 mean^2 / samples.
    assert np.var(counts) == pytest.approx(expected, abs=4 * expected * np.sqrt(2.2 / 2000))
    cells = np.rint(np.concatenate(places)).astype(int) % rate.shape
    found = np.zeros(rate.shape)
    np.add.at(found, tuple(cells.T), 1)
    assert not found[rate == 0].any()
    # Chi squared per degree of freedom over the cells where nuclei form.
    mean = 2000 * 2.5 * rate[rate > 0]
    assert ((found[rate > 0] - mean) ** 2 / mean).mean() == pytest.approx(1, abs=0.25)


def test_sites_are_independent_in_space() -> None:
    """Complete randomness: the share of points with no neighbour within r is exp(-n pi r^2)."""
    shape, radius = (200, 200), 4.0
    sites = nucleate(np.full(shape, 0.01), 1.0, np.random.default_rng(4))
    offset = np.abs(sites[:, None] - sites)
    distance = np.hypot(*np.moveaxis(np.minimum(offset, 200 - offset), 2, 0))
    np.fill_diagonal(distance, np.inf)
    alone = (distance.min(axis=1) > radius).mean()
    assert alone == pytest.approx(np.exp(-len(sites) / 200**2 * np.pi * radius**2), abs=0.05)


def test_depletion_zones_are_kept_across_the_edges_and_over_time() -> None:
    rng, shape = np.random.default_rng(2), (20, 24, 18)
    sites = np.empty((0, 3))
    for _ in range(6):
        new = nucleate(np.full(shape, 2e-3), 2.0, rng, 5.0, sites)
        sites = np.concatenate([sites, new])
    assert len(sites) > 10
    assert _nearest(sites, shape) >= 5.0
    # Without zones there would be several times more.
    assert len(sites) < 0.5 * 6 * 4e-3 * np.prod(shape)


def test_no_rate_no_nuclei_and_no_nonsense() -> None:
    rng = np.random.default_rng(0)
    assert nucleate(np.zeros((8, 8)), 1.0, rng).shape == (0, 2)
    assert nucleate(np.zeros((8, 8)), 1.0, rng, 3.0).shape == (0, 2)
    for wrong in (-1.0, np.nan):
        with pytest.raises(InputError, match="negative or not finite"):
            nucleate(np.full((8, 8), wrong), 1.0, rng)


def _avrami_exponent(shape: tuple[int, ...], continuous: bool, seed: int) -> float:
    """Slope of ln(-ln(1 - X)) over ln t, of spheres that grow at unit velocity until they meet."""
    rng, dimensions = np.random.default_rng(seed), len(shape)
    cells = np.argwhere(np.ones(shape, bool))
    arrival = np.full(shape, np.inf)
    density = 250 / np.prod(shape)
    span = 1.6 * density ** (-1 / dimensions)
    steps = 40 if continuous else 1
    for step in range(steps):
        time = (step + 0.5) * span / steps if continuous else 0.0
        # Nuclei form only where nothing has been transformed.
        rate = np.where(arrival > time, density, 0.0)
        sites = nucleate(rate, 6.0 / steps if continuous else 1.0, rng)
        if len(sites):
            distance = cKDTree(sites % shape, boxsize=shape).query(cells)[0].reshape(shape)
            np.minimum(arrival, time + distance, out=arrival)
    times = np.linspace(0.02, 1.0, 200) * span
    fraction = np.array([(arrival <= t).mean() for t in times])
    middle = (fraction > 0.05) & (fraction < 0.95)
    logs = np.log(-np.log(1 - fraction[middle]))
    return float(np.polyfit(np.log(times[middle]), logs, 1)[0])


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("shape", [(200, 200), (36, 36, 36)])
def test_transformation_follows_johnson_mehl_avrami_kolmogorov(
    shape: tuple[int, ...], continuous: bool
) -> None:
    """Exponent d if all nuclei are there from the start, d + 1 at a constant rate."""
    exponents = [_avrami_exponent(shape, continuous, seed) for seed in range(3)]
    assert np.mean(exponents) == pytest.approx(len(shape) + continuous, abs=0.1)
