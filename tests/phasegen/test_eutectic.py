"""Eutectic solidification against the closed forms of lamellar growth, and its recipe."""

import numpy as np
import pytest

from phasegen.equations import Array
from phasegen.equations.eutectic import eutectic, lamellar_energy, partitionless
from phasegen.errors import InputError
from phasegen.recipes import eutectic as recipe
from phasegen.stepping import energy, run, trajectory

PROFILE = 1.7


def _slab(spacing: int, cells: int = 128, half: float = 12.0) -> Array:
    """A solid slab across a box of one lamella each of alpha and beta, (2, cells, spacing)."""
    y, x = np.arange(cells) + 0.5 - cells / 2, np.arange(spacing) + 0.5 - spacing / 2
    solid = 0.5 * (np.tanh((y + half) / PROFILE) - np.tanh((y - half) / PROFILE))
    lamella = np.tanh((spacing / 4 - np.abs(x)) / PROFILE)
    u = np.empty((2, cells, spacing))
    u[0], u[1] = np.outer(solid, lamella), solid[:, None]
    u[0] -= u[0].mean()
    return u


def _front_velocity(spacing: int, driving_force: float, advance: float = 24.0) -> float:
    """Steady velocity of the two fronts of a slab that thickens by `advance` cells, or thins."""
    path = trajectory(
        eutectic(driving_force), _slab(spacing), 1500.0, tolerance=1e-3, relative_tolerance=0.05
    )
    times, widths = [], []
    for time, u in path:
        times.append(time)
        widths.append(u[1].sum() / spacing)
        if abs(widths[-1] - widths[0]) > advance:
            break
    late = np.abs(np.array(widths) - widths[0]) > 0.4 * abs(widths[-1] - widths[0])
    return float(np.polyfit(np.array(times)[late], np.array(widths)[late], 1)[0] / 2)


def test_energy_falls_and_the_concentration_stays() -> None:
    flow, u = eutectic(0.2), _slab(24, 64, 10.0)
    u[0] += 0.1 * np.random.default_rng(1).standard_normal(u[0].shape)
    u[0] += 0.1 - u[0].mean()
    before, first = energy(flow, u), u[1].mean()
    for _, after in trajectory(flow, u, 60.0, dt=0.1, adaptive=False, dtype="float64"):
        now = energy(flow, after)
        assert now <= before + 1e-8 * abs(before)
        assert after[0].mean() == pytest.approx(0.1, rel=1e-12)
        before = now
    assert after[1].mean() > first + 0.1


def test_three_phases_have_their_concentrations() -> None:
    """At rest, at almost no undercooling, the phases lie at -1, the eutectic point and 1."""
    point, cells = 0.2, 192
    flow = eutectic(1e-6, point)
    x = np.arange(cells) + 0.5
    u = np.full((2, 1, cells), point)
    u[1, 0] = 0.5 * (np.tanh((x - 48) / PROFILE) - np.tanh((x - 144) / PROFILE))
    u[0, 0] = np.where(x < 48, point, np.where(x < 96, -1, np.where(x < 144, 1, point)))
    after = run(flow, u, 300.0, tolerance=1e-4, relative_tolerance=0.05, dtype="float64")
    for cell, concentration in ((8, point), (72, -1.0), (120, 1.0)):
        assert after[0, 0, cell] == pytest.approx(concentration, abs=0.01)


def test_energy_of_the_interface_between_the_solids() -> None:
    flow = eutectic(0.1, gradient=2.0, well=1.2)
    x = np.arange(96) + 0.5
    u = np.ones((2, 1, 96))
    u[0, 0] = np.tanh((x - 24) / 2) - np.tanh((x - 72) / 2) - 1
    after = run(flow, u, 1e4, tolerance=1e-4, dtype="float64")
    assert energy(flow, after) == pytest.approx(2 * lamellar_energy(2.0, 1.2), rel=2e-3)


def test_lamellae_grow_above_the_least_spacing_alone() -> None:
    """Their interfaces take up the whole driving force at spacing 2 sigma / dg."""
    force = 2 * lamellar_energy() / 20
    assert _front_velocity(18, force, 4.0) < 0 < _front_velocity(23, force, 4.0)


def test_velocity_follows_jackson_and_hunt() -> None:
    """(dg - 2 sigma / spacing) / v is linear in the spacing, and the same at any undercooling."""
    resistance: dict[int, list[float]] = {}
    for force in (0.14, 0.18):
        for spacing in (24, 32, 48):
            velocity = _front_velocity(spacing, force)
            left = force - 2 * lamellar_energy() / spacing
            resistance.setdefault(spacing, []).append(left / velocity)
    for first, second in resistance.values():
        assert first == pytest.approx(second, rel=0.03)
    spacings, means = np.array(list(resistance)), np.mean(list(resistance.values()), axis=1)
    fit = np.polynomial.Polynomial.fit(spacings, means, 1)
    np.testing.assert_allclose(fit(spacings), means, rtol=0.02)


@pytest.mark.slow
def test_fastest_spacing_is_twice_the_least_and_its_square_times_velocity_constant() -> None:
    """The factor two is that of a thin interface: a tenth of the spacing takes some of it away."""
    products = []
    for force in (0.12, 0.2):
        least = 2 * lamellar_energy() / force
        spacings = np.round(least * np.arange(1.5, 2.8, 0.3)).astype(int)
        velocities = [_front_velocity(int(s), force) for s in spacings]
        peak = np.polynomial.Polynomial.fit(spacings, velocities, 3)
        fine = np.linspace(spacings[0], spacings[-1], 500)
        best = fine[np.argmax(peak(fine))]
        assert 1.6 < best / least < 2.1
        products.append(best**2 * peak(best))
    # While the velocity itself changes by a factor of 3.3.
    assert max(products) / min(products) < 1.15


def test_refuses_what_cannot_be_simulated() -> None:
    with pytest.raises(InputError, match=r"driving_force = 0 is not positive"):
        eutectic(0.0)
    with pytest.raises(InputError, match=r"point = 1\.2 lies outside the two solids"):
        eutectic(0.1, 1.2)
    with pytest.raises(InputError, match=r"alpha and beta: an interface of .* is too thin"):
        eutectic(0.1, gradient=1.0, well=1.2)


def _grow(seed: int, shape: tuple[int, ...], **ranges: float) -> tuple[Array, ...]:
    rng = np.random.default_rng(seed)
    return recipe.RECIPE.grow(recipe.Ranges.load(**ranges).draw(rng), shape, rng)


def test_recipe_keeps_its_fraction_and_has_the_fastest_spacing() -> None:
    undercooling, fraction = 0.9, 0.46
    phase, mask, _, fields = _grow(
        2,
        (128, 128),
        magnification=1.0,
        undercooling=undercooling,
        volume_fraction=fraction,
        ageing_time=0.0,
        colony_spacing=100.0,
    )
    assert phase.mean() == pytest.approx(fraction, abs=0.01)
    assert mask.mean() == pytest.approx(fraction, abs=0.015)
    assert fields[1].mean() > 0.995
    # Boundary per area is 2 / spacing, and the variation of the phase, which runs from 0 to 1.
    slopes = [(np.roll(phase, -1, axis) - np.roll(phase, 1, axis)) / 2 for axis in (0, 1)]
    spacing = 2 / np.hypot(*slopes).mean()
    force = undercooling * partitionless(2 * fraction - 1)
    fastest = 4 * lamellar_energy(recipe.GRADIENT) / force
    assert spacing == pytest.approx(fastest, rel=0.1)
    parameters = {"undercooling": undercooling, "volume_fraction": fraction}
    assert recipe.RECIPE.length(parameters) == pytest.approx(fastest)


def test_recipe_grows_volumes() -> None:
    phase, mask, instance, _ = _grow(0, (32, 40, 36), magnification=1.0, ageing_time=0.0)
    assert phase.shape == mask.shape == instance.shape == (32, 40, 36)
    assert 0.3 < mask.mean() < 0.6
