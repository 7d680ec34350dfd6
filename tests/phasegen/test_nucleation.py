"""Sites keep their distance across the edges; nuclei have the profile they claim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegen.nucleation import Array, add_nuclei, seed_sites


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
