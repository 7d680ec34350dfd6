"""Every recipe is reproducible and exact; each shows the physics it claims."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from phasegen import campaign
from phasegen.equations import interface_width
from phasegen.errors import InputError
from phasegen.masks import label_periodic
from phasegen.microscope import MicroscopeRanges
from phasegen.recipes import (
    RECIPES,
    find,
    gamma_prime,
    gamma_prime_rafted,
    porous,
    precipitates,
    spinodal,
)
from phasegen.recipes.recipe import Recipe

SIZE = 150
"""No multiple of any grid: the magnification never divides it."""


def _grow(recipe: Recipe, seed: int = 0, size: int = SIZE, **ranges: float):
    rng = np.random.default_rng(seed)
    return recipe.grow(recipe.ranges.load(**ranges).draw(rng), (size, size), rng)


@pytest.fixture(scope="module")
def grown() -> Mapping[str, tuple[NDArray[np.generic], ...]]:
    return {name: _grow(recipe) for name, recipe in RECIPES.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_shapes_types_and_values(name: str, grown) -> None:
    recipe = RECIPES[name]
    phase, mask, instance, fields = grown[name]
    assert (phase.shape, mask.shape, instance.shape) == ((SIZE, SIZE),) * 3
    assert fields.shape == (recipe.fields, SIZE, SIZE)
    assert (phase.dtype, mask.dtype) == (np.float32, np.uint8)
    assert (instance.dtype, fields.dtype) == (np.uint32, np.float32)
    assert phase.min() >= 0
    assert phase.max() <= 1
    assert {0, len(recipe.classes) - 1} <= set(np.unique(mask)) <= set(range(len(recipe.classes)))


@pytest.mark.parametrize("name", RECIPES)
def test_no_parameter_is_named_as_one_of_the_microscope(name: str) -> None:
    taken = {*MicroscopeRanges().ranges(), "section"}
    assert not taken & RECIPES[name].ranges.model_fields.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_same_seed_same_bits(name: str, grown) -> None:
    for first, again in zip(grown[name], _grow(RECIPES[name]), strict=True):
        np.testing.assert_array_equal(first, again)
    assert (_grow(RECIPES[name], seed=1)[1] != grown[name][1]).any()


# The phase of a polycrystal is the contrast of its grains, whose classes are no fractions.
@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"grains"}))
def test_mask_phase_and_instances_agree(name: str, grown) -> None:
    phase, mask, instance, _ = grown[name]
    np.testing.assert_array_equal(instance > 0, mask > 0)
    np.testing.assert_array_equal(mask > 0, phase > 0.5)
    # The threshold halves the interface, so the pixels counted are the phase integrated, but for
    # the solute that curved interfaces leave in the matrix.
    assert (mask > 0).mean() == pytest.approx(phase.mean(), abs=0.06)
    for number in range(1, instance.max() + 1):
        particle = instance == number
        assert label_periodic(particle).max() == 1
        assert len(np.unique(mask[particle])) == 1


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(("size", "magnification"), [(67, 1.0), (40, 1.7)])
def test_any_size_and_magnification(name: str, size: int, magnification: float) -> None:
    phase, mask, *_ = _grow(RECIPES[name], size=size, magnification=magnification)
    assert phase.shape == mask.shape == (size, size)
    assert 0.05 < phase.mean() < 0.95


@pytest.mark.parametrize("recipe", [gamma_prime, porous, precipitates, spinodal])
def test_interfaces_are_resolved(recipe) -> None:
    assert interface_width(recipe.GRADIENT, barrier=1.0) > 3


def test_gamma_prime_keeps_its_fraction_and_precipitate_free_zone() -> None:
    zone = 14.0
    fixed = {"magnification": 2.0, "volume_fraction": 0.42, "second_time": 2.0}
    fixed |= {"tertiary_radius": 4.0, "tertiary_spacing": 10.0}
    for seed in range(2):
        _, mask, instance, fields = _grow(
            gamma_prime.RECIPE, seed, size=256, free_zone=zone, **fixed
        )
        mean = gamma_prime.MATRIX + 0.42 * (gamma_prime.PRECIPITATE - gamma_prime.MATRIX)
        assert fields[0].mean() == pytest.approx(mean, rel=1e-5)
        secondary = mask == 2
        assert 0.35 < secondary.mean() < 0.55
        assert (mask == 1).any()
        # Tertiary particles nucleated `zone` cells from the others, which have grown little since.
        far = ndimage.distance_transform_edt(np.tile(~secondary, (3, 3)))[256:512, 256:512]
        tertiary = np.unique(instance[mask == 1])
        nearest = ndimage.minimum(far, instance, tertiary)
        centres = ndimage.maximum(far, instance, tertiary)
        assert nearest.min() > 3
        assert centres.min() > 2.0 * zone / 2
        # They are an order of magnitude smaller in area.
        areas = np.bincount(instance.ravel())
        large = np.setdiff1d(np.arange(1, len(areas)), tertiary)
        assert np.median(areas[tertiary]) < 0.2 * np.median(areas[large])


def test_tertiary_nuclei_keep_the_free_zone() -> None:
    """Before they grow, their centres are the zone away from the secondary particles."""
    fixed = {"magnification": 1.0, "volume_fraction": 0.42, "ageing_time": 5.0, "cluster": 26.0}
    fixed |= {"nucleus_spacing": 14.0, "nucleus_radius": 7.0, "free_zone": 12.0}
    fixed |= {"tertiary_spacing": 8.0, "tertiary_radius": 3.5, "second_time": 0.05}
    _, mask, instance, _ = gamma_prime.grow(fixed, (128, 128), np.random.default_rng(0))
    far = ndimage.distance_transform_edt(np.tile(mask != 2, (3, 3)))[128:256, 128:256]
    tertiary = np.unique(instance[mask == 1])
    # Distance falls off evenly across a nucleus, but for the middle of a matrix channel.
    centres = ndimage.mean(far, instance, tertiary)
    assert len(tertiary) > 3
    assert 0.75 * 12.0 < centres.min() < 1.1 * 12.0


@pytest.mark.slow
def test_gamma_prime_has_the_length_asked_for_in_micrometres() -> None:
    """Mean distance along lines from one secondary particle to the next, within 12 %."""
    asked = campaign.Simulation(
        recipe="gamma-prime", samples=3, shape=(192, 192), pixel_size=0.02, length=1.4, seed=4
    )
    walls = 0.0
    for drawn, seed in zip(asked.draws(), asked.seeds().tolist(), strict=True):
        secondary = campaign.samples(asked, [drawn], seed)[0]["mask"] == 2
        walls += sum((secondary != np.roll(secondary, 1, axis)).mean() for axis in (0, 1)) / 2 / 3
    # A line enters and leaves every particle.
    assert 0.02 * 2 / walls == pytest.approx(1.4, rel=0.12)


def test_elastic_energy_is_that_of_the_cell_and_of_the_interface() -> None:
    """Elastic energy of a cell over that of its face, in joules as in the model."""
    c11, c12, c44, strain, cell, face = 210e9, 146e9, 97e9, 0.0025, 18e-9, 0.015
    stress = (c11 + 2 * c12) * strain
    # Khachaturyan's B for plates normal to [100] and to [110] of a dilatational misfit.
    stiffness = np.array([c11, (c11 + c12 + 2 * c44) / 2])
    physical = (3 * stress * strain - stress**2 / stiffness) * cell / face
    kernel = gamma_prime_rafted._misfit(0.25, 0.0, 0.0).kernel(np.array([[0.0, 1.0], [1.0, 1.0]]))
    np.testing.assert_allclose(kernel / gamma_prime_rafted.MODEL_ENERGY, physical, rtol=1e-9)


def test_spinodal_keeps_its_composition_and_coarsens() -> None:
    fixed = {"magnification": 1.0, "composition": 0.45, "fluctuation": 0.05}
    boundary = []
    for time in (150.0, 1500.0):
        phase, mask, _, fields = _grow(spinodal.RECIPE, size=128, time=time, **fixed)
        assert fields[0].mean() == pytest.approx(0.45, rel=1e-5)
        assert mask.mean() == pytest.approx(0.45, abs=0.02)
        # The two phases have their equilibrium concentrations, also at the earliest time.
        assert np.quantile(phase, 0.05) < 0.06
        assert np.quantile(phase, 0.95) > 0.94
        edges = sum((mask != np.roll(mask, 1, axis)).mean() for axis in (0, 1))
        boundary.append(edges)
    # Cube-root coarsening would give 10^(1/3) = 2.15; the transient is a little slower.
    assert 1.5 < boundary[0] / boundary[1] < 2.6


def test_spinodal_length_is_that_of_the_fastest_wave() -> None:
    """Early on the spectrum peaks at k^2 = |f''| / 2 kappa: a wave of 12.6 cells."""
    fixed = {"magnification": 1.0, "composition": 0.5, "fluctuation": 0.001, "time": 40.0}
    spectrum = np.zeros((128, 128))
    for seed in range(3):
        field = _grow(spinodal.RECIPE, seed, size=128, **fixed)[3][0]
        spectrum += np.abs(np.fft.fft2(field - field.mean())) ** 2
    k = 2 * np.pi * np.hypot(*np.meshgrid(*[np.fft.fftfreq(128)] * 2))
    bins = np.arange(0.1, 1.2, 0.1)
    power = [spectrum[(k >= low) & (k < low + 0.1)].mean() for low in bins]
    assert bins[int(np.argmax(power))] + 0.05 == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("time", "shape"), [(150.0, (128, 128)), (1500.0, (160, 160))])
def test_spinodal_wavelength_is_the_one_it_states(time: float, shape: tuple[int, ...]) -> None:
    measured = []
    for seed in range(3):
        given = {"magnification": 1.0, "composition": 0.5, "fluctuation": 0.05, "time": time}
        field = spinodal.grow(given, shape, np.random.default_rng(seed))[3][0]
        power = np.abs(np.fft.fft2(field - field.mean())) ** 2
        k = 2 * np.pi * np.hypot(*np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"))
        measured.append(2 * np.pi * power.sum() / (power * k).sum())
    assert np.mean(measured) == pytest.approx(spinodal.wavelength(given), rel=0.12)


@pytest.mark.parametrize(
    ("shape", "share"), [((160, 160), 0.1), ((160, 160), 0.25), ((56, 56, 56), 0.15)]
)
def test_precipitates_have_the_fraction_and_the_diameter_asked_for(
    shape: tuple[int, ...], share: float
) -> None:
    given = {"magnification": 1.0, "volume_fraction": share, "nuclei": 10.0, "diameter": 14.0}
    _, mask, instance, _ = precipitates.grow(given, shape, np.random.default_rng(0))
    assert mask.mean() == pytest.approx(share, abs=0.01)
    mean = mask.sum() / instance.max()
    diameter = (4 / np.pi * mean) ** (1 / 2) if len(shape) == 2 else (6 / np.pi * mean) ** (1 / 3)
    assert diameter == pytest.approx(14.0, rel=0.08)


def test_precipitates_ripen() -> None:
    """The large grow and the small vanish, and those that are left were there from the start."""
    given = {"magnification": 1.0, "volume_fraction": 0.15, "nuclei": 10.0}
    labels = []
    for diameter in (11.0, 18.0):
        grown = precipitates.grow(given | {"diameter": diameter}, (192, 192), _rng())
        labels.append(grown[2])
    early, late = labels
    sizes = [np.bincount(label.ravel())[1:] for label in labels]
    assert len(sizes[1]) < 0.6 * len(sizes[0])
    assert np.ptp(sizes[1]) > np.ptp(sizes[0])
    centres = ndimage.center_of_mass(late > 0, late, range(1, late.max() + 1))
    inner = [c for c in centres if all(12 < x < 180 for x in c)]
    assert np.mean([early[tuple(np.round(c).astype(int))] > 0 for c in inner]) > 0.8


@pytest.mark.parametrize(("shape", "share"), [((160, 160), 0.2), ((40, 40, 40), 0.35)])
def test_porous_solid_keeps_its_porosity_and_coarsens(shape: tuple[int, ...], share: float) -> None:
    given = {"magnification": 1.0, "porosity": share, "particle": 16.0}
    surface = []
    for sintering in (0.005, 0.1):
        mask = porous.grow(given | {"sintering": sintering}, shape, _rng())[1]
        assert mask.mean() == pytest.approx(share, abs=0.01)
        surface.append(sum((mask != np.roll(mask, 1, axis)).mean() for axis in range(mask.ndim)))
    assert surface[1] < 0.85 * surface[0]


def test_powder_particles_are_as_far_apart_as_stated() -> None:
    sites = np.argwhere(porous._distance((200, 200), 18.0, _rng()) < 0.5)
    offset = np.abs(sites[:, None] - sites)
    distance = np.hypot(*np.moveaxis(np.minimum(offset, 200 - offset), 2, 0))
    nearest = np.where(distance < 2, np.inf, distance).min(axis=1)
    assert nearest.mean() == pytest.approx(18.0, rel=0.06)


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_unknown_recipe_or_parameter_is_explained() -> None:
    assert find("spinodal") is spinodal.RECIPE
    with pytest.raises(InputError, match="Did you mean 'spinodal'"):
        find("spinodl")
    with pytest.raises(InputError, match=r"Known recipes: .*gamma-prime"):
        find("zzz")
    with pytest.raises(InputError, match="Did you mean 'composition'"):
        spinodal.Ranges.load(compositon=0.5)
