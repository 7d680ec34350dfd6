"""Misfit turns rounded particles into aligned cubes and plates, and a load turns cubes to rafts."""

import numpy as np
import pytest

from phasegen.elasticity import Cubic, Misfit
from phasegen.equations import Array
from phasegen.equations.ordered_precipitates import ordered_precipitates
from phasegen.nucleation import add_nuclei, seed_sites
from phasegen.recipes import gamma_prime_rafted as rafted
from phasegen.stepping import energy, run

NICKEL = Cubic(210.0, 146.0, 97.0)


def _misfit(strength: float, stress: float = 0.0, stiffer: float = 0.0, angle: float = 0) -> Misfit:
    """Misfit for which plates normal to [110] cost `strength` more than those normal to [100]."""
    anisotropy = 502**2 * (1 / 210 - 2 / 550) * 0.002**2
    matrix, particle = Cubic(210 - stiffer / 2, 146, 97), Cubic(210 + stiffer / 2, 146, 97)
    load = (0.0, stress, 0.0)
    return Misfit(-0.002, matrix, particle, load, angle, scale=strength / anisotropy)


def _particle(cells: int, radius: float, dimensions: int, matrix: float) -> Array:
    """One particle at the centre, a tenth longer along x."""
    centre = (np.indices((cells,) * dimensions) - cells / 2) * 1.05
    centre[-1] /= 1.05**2
    u = np.zeros((5, *centre.shape[1:]))
    u[1] = 0.5 * (1 - np.tanh((np.sqrt((centre**2).sum(axis=0)) - radius) / 2))
    # Supersaturated, for elastic energy and curvature raise the solubility.
    u[0] = matrix + (0.7 - matrix) * u[1]
    return u


def _shape(order: Array) -> tuple[float, float]:
    """Aspect ratio x : y, and mean of r^4 cos 4 theta over that of r^4.

    The latter is 0 for a disc, -0.43 for a square with its sides along the axes.
    """
    weight = np.clip(2 * order - 0.5, 0, 1)
    y, x = np.indices(order.shape, float)
    z = x - (weight * x).sum() / weight.sum() + 1j * (y - (weight * y).sum() / weight.sum())
    aspect = np.sqrt((weight * z.real**2).sum() / (weight * z.imag**2).sum())
    return float(aspect), float((weight * (z**4).real).sum() / (weight * np.abs(z) ** 4).sum())


def test_particle_goes_from_round_to_cuboidal_to_plate_as_the_misfit_grows() -> None:
    """In the spirit of PFHub benchmark 4, with the shape at rest."""
    shapes = []
    for strength in (0.0, 0.1, 0.3, 1.0):
        misfit = _misfit(strength) if strength else None
        flow = ordered_precipitates(gradient=4.0, stiffness=4.0, misfit=misfit)
        shapes.append(_shape(run(flow, _particle(64, 15, 2, 0.35), 600.0, tolerance=3e-4)[1]))
    aspect, square = np.array(shapes).T
    # Without misfit the start, 1.1 : 1, becomes a disc, and with some of it a square.
    assert aspect[:2] == pytest.approx(1, abs=0.01)
    assert square[0] == pytest.approx(0, abs=0.005)
    assert (np.diff(square[:3]) < -0.03).all()
    # Then the square gives way to a plate.
    assert (np.diff(aspect[1:]) > 0.02).all()
    assert aspect[2] < 1.1
    assert aspect[3] > 3


@pytest.mark.slow
def test_particle_in_a_volume_becomes_a_cube() -> None:
    """x^4 + y^4 + z^4 - 3/5 r^4 over r^4: 0 for a ball, -0.116 for a cube."""
    shapes = []
    # Misfit raises the solubility: only the supersaturated particle lasts.
    for misfit, matrix in ((None, 0.36), (_misfit(0.6), 0.45)):
        flow = ordered_precipitates(gradient=2.0, misfit=misfit)
        order = run(flow, _particle(32, 11, 3, matrix), 25.0)[1]
        inside = np.clip(2 * order - 0.5, 0, 1)
        square = (np.indices(inside.shape) - 16.0) ** 2
        fourth = square.sum(axis=0) ** 2
        shapes.append((inside * ((square**2).sum(axis=0) - 0.6 * fourth)).sum())
        shapes[-1] /= (inside * fourth).sum()
    ball, cube = shapes
    assert ball == pytest.approx(0, abs=0.01)
    assert cube < -0.025


def _many(cells: int, seed: int) -> Array:
    """Particles of one variant at random, of 0.4 of the area."""
    rng = np.random.default_rng(seed)
    u = np.zeros((5, cells, cells))
    sites = seed_sites((cells, cells), 15.0, rng)
    add_nuclei(u[1:], sites, np.full(len(sites), 6.0), np.zeros(len(sites), int), 2.0)
    u[0] = 0.3 + 0.4 * u[1]
    return u


def _normals(order: Array) -> tuple[float, complex]:
    """Share of the interface normals along y less that along x, and mean of exp(4 i theta)."""
    slope = [(np.roll(order, -1, axis) - np.roll(order, 1, axis)) / 2 for axis in (0, 1)]
    z = slope[1] - 1j * slope[0]
    weight = np.abs(z) ** 2
    tensor = float(-(z**2).real.sum() / weight.sum())
    fourth = (z**4).sum() / (weight**2).sum()
    return tensor, complex(fourth)


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_interfaces_align_with_the_cube_axes(angle: float) -> None:
    misfits = (None, _misfit(0.8, angle=angle))
    plain, aligned = (
        np.mean([_normals(run(flow, _many(64, seed), 20.0)[1])[1] for seed in range(3)])
        for flow in (ordered_precipitates(gradient=2.0, misfit=m) for m in misfits)
    )
    # What little direction there is without misfit is that of the finite differences.
    assert abs(plain) < 0.15
    assert abs(aligned - plain) > 0.35
    turn = np.rad2deg(np.angle(aligned - plain)) / 4
    assert (turn - angle + 45) % 90 - 45 == pytest.approx(0, abs=3)


def test_rafts_turn_with_the_sign_of_the_stress_and_of_the_mismatch() -> None:
    found = {}
    for stress in (-0.3, 0.3):
        for stiffer in (-10.0, 10.0):
            flow = ordered_precipitates(gradient=2.0, misfit=_misfit(0.5, stress, stiffer))
            found[stress, stiffer] = _normals(run(flow, _many(64, 0), 40.0)[1])[0]
    # Negative misfit, tension along y, stiffer particles: normals along y (N-type).
    for (stress, stiffer), along in found.items():
        assert abs(along) > 0.3
        assert (along > 0) == (stress * stiffer > 0)


def test_energy_of_the_interface_that_sets_the_scale() -> None:
    flow = ordered_precipitates(rafted.MATRIX, rafted.PRECIPITATE, gradient=rafted.GRADIENT)
    x = np.arange(96) + 0.5
    u = np.zeros((5, 1, 96))
    u[1] = 0.5 * (np.tanh((x - 24) / 2) - np.tanh((x - 72) / 2))
    u[0] = rafted.MATRIX + (rafted.PRECIPITATE - rafted.MATRIX) * u[1]
    found = run(flow, u, 300.0, tolerance=1e-4, dtype="float64")
    assert energy(flow, found) / 2 == pytest.approx(rafted.MODEL_ENERGY, rel=2e-3)


FIXED = {"magnification": 1.0, "volume_fraction": 0.65, "spacing": 20.0, "misfit": -0.25}
FIXED |= {"ageing_time": 50.0, "creep_time": 30.0, "angle": 0.0}


def _grow(shape: tuple[int, ...], **parameters: float) -> tuple[Array, ...]:
    return rafted.grow(FIXED | parameters, shape, np.random.default_rng(0))


def test_recipe_makes_cubes_and_both_types_of_rafts() -> None:
    made = {
        (stress, rafting): _grow((144, 144), stress=stress, rafting=rafting)
        for stress, rafting in ((0.0, 0.0), (200.0, 1.0), (-200.0, 1.0))
    }
    tensor, particles = {}, {}
    for key, (phase, mask, instance, fields) in made.items():
        tensor[key] = _normals(phase)[0]
        particles[key] = instance.max()
        assert mask.mean() == pytest.approx(0.62, abs=0.06)
        assert fields[0].mean() == pytest.approx(0.3 + 0.4 * 0.65, rel=1e-5)
    assert abs(tensor[0.0, 0.0]) < 0.2
    assert tensor[200.0, 1.0] > 0.4
    assert tensor[-200.0, 1.0] < -0.4
    assert max(particles[200.0, 1.0], particles[-200.0, 1.0]) < 0.6 * particles[0.0, 0.0]


def test_cubes_are_as_far_apart_as_stated() -> None:
    *_, instance, _ = _grow((200, 200), stress=0.0, rafting=0.0, creep_time=0.0, ageing_time=10.0)
    pitch = np.sqrt(instance.size / instance.max())
    assert rafted.RECIPE.length is not None
    assert pitch == pytest.approx(rafted.RECIPE.length(FIXED), rel=0.08)


def test_matched_neighbours_keep_their_shapes_until_the_load_acts() -> None:
    rng = np.random.default_rng(0)
    u = rafted._nucleate((96, 96), 20.0, 0.65, rng)
    u = rafted._anneal(u, rafted._misfit(-0.25, 0.0, 0.0), 20.0)
    before = u.copy()
    rafted._match(u, rafted._misfit(-0.25, 200.0, 0.0), 1.0, rng)
    np.testing.assert_array_equal(u[1:].max(axis=0), before[1:].max(axis=0))
    np.testing.assert_array_equal(u[0], before[0])
    assert (u[1:].argmax(axis=0) != before[1:].argmax(axis=0)).mean() > 0.2


@pytest.mark.slow
def test_recipe_makes_a_volume() -> None:
    cubes = {"stress": 0.0, "rafting": 0.0, "creep_time": 0.0, "spacing": 17.0}
    phase, mask, instance, fields = _grow((40, 40, 40), **cubes)
    assert phase.shape == mask.shape == instance.shape == fields.shape[1:] == (40, 40, 40)
    assert 0.45 < mask.mean() < 0.75
    assert instance.max() > 1
