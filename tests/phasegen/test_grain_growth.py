"""Grain growth against closed forms: profile, energy, curvature, angles, a plain reference."""

import itertools

import numpy as np
import pytest

from phasegen.equations import Array
from phasegen.equations.grain_growth import (
    Grains,
    energy_of,
    evolve,
    grains_from_fields,
    grains_from_labels,
    largest_step,
)
from phasegen.errors import InputError
from phasegen.kernels import grain_growth as kernels
from phasegen.stepping import BlowUpError
from phasegen.voronoi import voronoi

WIDTH = 7.0


def _sine(distance: Array, width: float = WIDTH) -> Array:
    """Closed form of the profile: 1 inside, where the distance is negative."""
    return 0.5 - 0.5 * np.sin(np.pi * np.clip(distance / width, -0.5, 0.5))


def _ball(shape: tuple[int, ...], radius: float, centre: float = 0.5) -> Grains:
    """A matrix, named 0, and a circle or sphere in it, named 1."""
    squares = [(np.arange(n) - centre * n + 0.13) ** 2 for n in shape]
    ball = _sine(np.sqrt(sum(np.ix_(*squares))) - radius)
    return grains_from_fields(np.stack([1 - ball, ball]))


def _polycrystal(grains: int, shape: tuple[int, ...], seed: int = 0) -> Grains:
    sites = np.random.default_rng(seed).uniform(0, shape, (grains, len(shape)))
    return grains_from_labels(voronoi(shape, sites))


def _volume(grains: Grains, name: int) -> float:
    return float(grains.volumes[grains.names == name].sum())


def _total(grains: Grains) -> Array:
    return sum(grains.field(g) for g in range(len(grains.names)))


@pytest.mark.parametrize("width", [5.0, 7.0, 10.0])
@pytest.mark.parametrize("offset", [0.0, 0.3, 0.5])
def test_profile_and_energy_of_a_flat_boundary(width: float, offset: float) -> None:
    x = np.arange(64) + 0.5
    slab = _sine(np.abs(x - 32 - offset) - 16, width)
    # From a boundary that is too wide: the closed form is found, not kept.
    wide = _sine(np.abs(x - 32 - offset) - 16, 1.5 * width)
    fields = np.broadcast_to(np.stack([1 - wide, wide])[:, None], (2, 8, 64))
    found = evolve(grains_from_fields(fields), 400.0, width=width)
    profile = found.field(int(np.flatnonzero(found.names == 1)[0]))
    # The profile of its width, within a tenth of a cell of its place.
    assert np.abs(profile - slab).max() < 0.1 * np.pi / 2 / width
    assert energy_of(found, 1.7, width) == pytest.approx(1.7 * 2 * 8, rel=0.01)


@pytest.mark.parametrize(("radius", "last"), [(22.0, 12.0), (34.0, 24.0), (46.0, 38.0)])
def test_circle_shrinks_at_the_rate_of_its_curvature(radius: float, last: float) -> None:
    mobility, energy = 0.7, 1.9
    time = (radius**2 - last**2) / (2 * mobility * energy)
    grains = evolve(_ball((104, 104), radius), 5.0, mobility, energy)
    before = _volume(grains, 1)
    after = _volume(evolve(grains, time, mobility, energy), 1)
    assert (after - before) / time == pytest.approx(-2 * np.pi * mobility * energy, rel=0.05)


@pytest.mark.parametrize(("radius", "last"), [(13.0, 8.0), (20.0, 16.0)])
def test_sphere_shrinks_at_the_rate_of_its_curvature(radius: float, last: float) -> None:
    """v = 2 M sigma / R, so that the square of the radius falls by 4 M sigma in a unit of time."""
    time = (radius**2 - last**2) / 4
    grains = evolve(_ball((52,) * 3, radius), 2.0)
    before = _volume(grains, 1)
    after = _volume(evolve(grains, time), 1)
    squares = [(3 * v / (4 * np.pi)) ** (2 / 3) for v in (before, after)]
    assert (squares[1] - squares[0]) / time == pytest.approx(-4, rel=0.05)


def test_three_boundaries_meet_at_120_degrees() -> None:
    """Two columns over a third grain, which then advances between them at a constant speed.

    Without flux through the sides each half of its boundary runs from the horizontal at the mirror
    to 30 degrees at the junction if three equal angles meet there. The area it sweeps in a unit of
    time is M sigma times the turn: pi/6 for each half.
    """
    period, height = 60, 120
    y, x = np.mgrid[:height, :period]
    labels = np.where(y > 60, 2, np.where(x < period // 2, 0, 1))
    grains = evolve(grains_from_labels(labels, periodic=False), 250.0)
    before = _volume(grains, 2)
    after = _volume(evolve(grains, 100.0), 2)
    assert (after - before) / 100 == pytest.approx(np.pi / 3, rel=0.05)


def test_energy_never_rises_and_fractions_add_up() -> None:
    for shape, count in (((60, 72), 40), ((20, 24, 22), 30)):
        grains = _polycrystal(count, shape)
        before = energy_of(grains)
        for _ in range(12):
            grains = evolve(grains, 3 * largest_step(len(shape)))
            assert np.abs(_total(grains) - 1).max() < 5e-6
            assert grains.phi.min() == 0
            after = energy_of(grains)
            assert after < before * (1 + 1e-8)
            before = after
        assert grains.volumes.sum() == pytest.approx(np.prod(shape), rel=1e-5)


def test_projection_finds_the_nearest_point_of_the_simplex() -> None:
    """Against the definition: sorting, as by Held, Wolfe and Crowder (1974)."""
    shape = (24, 30)
    grains = evolve(_polycrystal(70, shape), 3.0)
    after = evolve(grains, largest_step(2))
    fields = np.zeros((71, *shape))
    for g, name in enumerate(grains.names):
        fields[name] = grains.field(g)
    near = sum(np.roll(fields, side, axis) for side in (1, -1) for axis in (1, 2))
    curvature = 2 * (1 - np.cos(np.pi / WIDTH))
    moved = fields + largest_step(2) * (near - 4 * fields + curvature * fields)
    ordered = -np.sort(-moved, axis=0)
    excess = (np.cumsum(ordered, axis=0) - 1) / np.arange(1, 72)[:, None, None]
    held = (ordered > excess).sum(axis=0)
    expected = np.maximum(moved - np.take_along_axis(excess, held[None] - 1, 0), 0)
    assert ((expected > 0).sum(axis=0) > 3).any()
    for g, name in enumerate(after.names):
        np.testing.assert_allclose(after.field(g), expected[name], atol=2e-6)


@pytest.mark.parametrize("shape", [(40, 48), (18, 20, 22)])
def test_a_periodic_shift_shifts_the_result(shape: tuple[int, ...]) -> None:
    grains = _polycrystal(25, shape)
    labels, shift = grains.labels, tuple(n // 3 for n in shape)
    axes = tuple(range(len(shape)))
    after = evolve(grains, 6.0)
    again = evolve(grains_from_labels(np.roll(labels, shift, axes)), 6.0)
    np.testing.assert_allclose(np.roll(after.squares, shift, axes), again.squares, atol=1e-5)


def test_mirrors_make_the_same_as_a_mirrored_grid() -> None:
    labels = voronoi((30, 36), np.random.default_rng(3).uniform(0, (30, 36), (14, 2)))
    half = evolve(grains_from_labels(labels, periodic=False), 20.0)
    doubled = np.block([[labels, labels[:, ::-1]], [labels[::-1], labels[::-1, ::-1]]])
    whole = evolve(grains_from_labels(doubled), 20.0)
    np.testing.assert_allclose(half.squares, whole.squares[:30, :36], atol=1e-5)


def test_boxes_hold_what_a_grid_per_grain_would() -> None:
    """The names and the fields survive every change of the boxes, and labels agree with them."""
    grains = evolve(_polycrystal(60, (64, 64)), 60.0)
    assert len(grains.names) < 60
    fields = np.stack([grains.field(g) for g in range(len(grains.names))])
    np.testing.assert_allclose(fields.sum(axis=(1, 2)), grains.volumes, rtol=1e-6)
    np.testing.assert_allclose((fields**2).sum(axis=0), grains.squares, atol=1e-6)
    owner = np.searchsorted(np.sort(grains.names), grains.labels)
    chosen = fields[np.argsort(grains.names)]
    np.testing.assert_array_equal(np.take_along_axis(chosen, owner[None], 0)[0], fields.max(0))
    same, lead = grains.magnified((64, 64))
    np.testing.assert_allclose(lead, np.diff(np.sort(fields, axis=0)[-2:], axis=0)[0], atol=1e-6)
    np.testing.assert_array_equal(same, grains.labels)
    finer = grains.magnified((192, 192))[1][1::3, 1::3]
    np.testing.assert_allclose(finer, lead, atol=1e-6)


def test_work_does_not_grow_with_the_number_of_grains() -> None:
    """Ten times the grains of one size on ten times the cells: the boxes are as large per cell.

    And on one grid more grains need no more than a few grids of memory.
    """
    few, many, dense = (
        evolve(_polycrystal(n, shape), 4.0).phi.size / np.prod(shape)
        for n, shape in ((40, (120, 120)), (400, (380, 380)), (300, (300, 300)))
    )
    assert many == pytest.approx(few, rel=0.1)
    assert dense < 5


def test_same_start_same_bits() -> None:
    first, again = (evolve(_polycrystal(50, (50, 60)), 15.0) for _ in range(2))
    np.testing.assert_array_equal(first.phi, again.phi)
    np.testing.assert_array_equal(first.names, again.names)


def test_what_cannot_be_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    grains = _ball((32, 32), 8.0)
    with pytest.raises(InputError, match="mobility = -1 is not positive"):
        evolve(grains, 1.0, mobility=-1.0)
    with pytest.raises(InputError, match=r"too thin for the grid\. Make it 5 or wider"):
        evolve(grains, 1.0, width=3.0)
    with pytest.raises(InputError, match="do not add up to 1"):
        grains_from_fields(np.full((2, 8, 8), 0.4))
    with pytest.raises(InputError, match="4 axes"):
        grains_from_labels(np.zeros((2, 2, 2, 2), int))
    step = kernels.step
    calls = itertools.count()

    def spoil(phi: Array, *rest: Array) -> tuple[bool, bool]:
        inside = np.flatnonzero((phi > 0) & (phi < 1))[0]
        phi[inside] = np.nan if next(calls) == 5 else phi[inside]
        sound, spread = step(phi, *rest)
        return sound, spread

    monkeypatch.setattr(kernels, "step", spoil)
    with pytest.raises(BlowUpError, match=r"step 5 \(t = 1\) with dt = 0.2"):
        evolve(grains, 4.0)
    monkeypatch.setattr(kernels, "step", step)
    grains.phi[grains.phi < 1] = 0
    with pytest.raises(BlowUpError, match=r"a cell without a grain .* step 0"):
        evolve(grains, 4.0)
