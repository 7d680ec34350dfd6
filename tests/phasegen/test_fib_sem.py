"""The FIB-SEM: each effect by itself, against what it is meant to do; stores of milled volumes."""

import numpy as np
import pytest
from scipy.stats import qmc

from phasegen import campaign
from phasegen.errors import InputError
from phasegen.fib_sem import FibSem, curtains, photograph
from phasegen.masks import renumber
from phasegen.microscope import MicroscopeRanges, render
from phasegen.recipes import RECIPES, Microstructure
from phasegen.store import digest, open_store, verify

PERFECT = {
    "background": 0.7,
    "contrast": -0.4,
    "halo": 0.0,
    "halo_width": 4.0,
    "tilt": 0.0,
    "tilt_angle": 0.0,
    "blur": 0.0,
    "dose": 1e12,
    "noise": 0.0,
    "illumination": 0.0,
}

OFF = {
    "curtaining": 0.0,
    "curtain_width": 2.0,
    "curtain_slices": 3.0,
    "shine_through": 0.0,
    "pore_depth": 0.0,
    "flicker": 0.0,
    "drift": 0.0,
}


def specimen(phase):
    phase = np.asarray(phase, np.float32)
    mask = (phase > 0.5).astype(np.uint8)
    # Every plane has an instance of its own, so that planes left out leave gaps.
    number = np.arange(1, len(phase) + 1, dtype=np.uint32)[:, None, None]
    instance = renumber(mask * number)
    return Microstructure(phase, mask, instance, phase[None] * 2, ("matrix", "phase"), {})


def blobs(shape=(12, 24, 20), seed=0):
    return specimen(np.random.default_rng(seed).random(shape) ** 2)


def stack(made, thickness=1, seed=0, **changes):
    rng = np.random.default_rng(seed)
    return photograph(made, PERFECT | OFF | changes, thickness, rng)


def test_without_its_effects_it_photographs_serial_sections():
    made, settings = blobs(), MicroscopeRanges().draw(np.random.default_rng(1))
    image, seen = photograph(made, settings | OFF, 1, np.random.default_rng(2))
    np.testing.assert_array_equal(image, render(made.phase, settings, np.random.default_rng(2)))
    for name in ("phase", "mask", "instance", "fields"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(made, name))


def test_curtains_run_along_y_with_the_amplitude_that_was_set():
    image, _ = stack(specimen(np.zeros((40, 8, 64))), curtaining=0.05)
    np.testing.assert_allclose(image, image[:, :1].repeat(8, axis=1), atol=1e-5)
    assert image.std() == pytest.approx(0.05, rel=1e-3)
    assert image.mean() == pytest.approx(0.7, abs=1e-5)
    assert np.abs(np.diff(image[:, 0], axis=1)).max() > 0.02


@pytest.mark.parametrize(("width", "slices"), [(1.5, 4.0), (3.0, 2.0)])
def test_curtains_are_as_wide_and_last_as_long_as_was_set(width, slices):
    """White noise smoothed by a Gaussian of s has the autocorrelation exp(-d^2 / 4 s^2)."""
    settings = {"curtain_width": width, "curtain_slices": slices}
    found = curtains(600, 600, settings, np.random.default_rng(0))
    for lag in (1, 3):
        across = (found[:, lag:] * found[:, :-lag]).mean()
        down = (found[lag:] * found[:-lag]).mean()
        assert across == pytest.approx(np.exp(-(lag**2) / (4 * width**2)), abs=0.03)
        assert down == pytest.approx(np.exp(-(lag**2) / (4 * slices**2)), abs=0.03)


def test_a_buried_layer_shines_through_as_the_closed_form_says():
    phase = np.zeros((20, 4, 4))
    phase[12] = 1
    image, seen = stack(specimen(phase), shine_through=2.5)
    passed = np.exp(-1 / 2.5)
    above = 12 - np.arange(13)
    np.testing.assert_allclose(
        image[:13, 1, 1], 0.7 - 0.4 * (1 - passed) * passed**above, atol=1e-5
    )
    np.testing.assert_allclose(image[13:], 0.7, atol=1e-5)
    np.testing.assert_array_equal(seen.mask, phase)


def test_an_empty_pore_shows_its_floor_and_the_solid_shows_nothing():
    phase = np.zeros((16, 4, 4))
    phase[:10, :, :2] = 1
    image, _ = stack(specimen(phase), pore_depth=6.0)
    left = np.exp(-(10 - np.arange(10)) / 6.0)
    np.testing.assert_allclose(image[:10, 1, 0], 0.3 + 0.4 * left, atol=1e-5)
    np.testing.assert_allclose(image[:, 1, 3], 0.7, atol=1e-5)


@pytest.mark.parametrize("thickness", [2, 3, 5])
def test_a_thick_slice_leaves_out_planes_of_picture_and_labels_alike(thickness):
    made = blobs()
    image, seen = stack(made, thickness, shine_through=1.5)
    whole, _ = stack(made, shine_through=1.5)
    np.testing.assert_allclose(image, whole[::thickness], atol=1e-5)
    for name in ("phase", "mask"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(made, name)[::thickness])
    np.testing.assert_array_equal(seen.fields, made.fields[:, ::thickness])
    kept = made.instance[::thickness]
    np.testing.assert_array_equal(np.unique(seen.instance), np.arange(len(kept) + 1))
    pairs = set(zip(kept.ravel().tolist(), seen.instance.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(kept))


def test_drift_moves_picture_and_labels_alike():
    made = blobs((30, 24, 20))
    image, seen = stack(made, drift=1.0)
    np.testing.assert_allclose(image, 0.7 - 0.4 * seen.phase, atol=1e-5)
    np.testing.assert_array_equal(image < 0.5, seen.mask == 1)
    np.testing.assert_array_equal(seen.fields[0], 2 * seen.phase)
    np.testing.assert_array_equal(seen.instance > 0, seen.mask > 0)
    np.testing.assert_array_equal(seen.mask[0], made.mask[0])
    assert (seen.mask != made.mask).mean() > 0.2
    # Nothing is interpolated: the pixels of every plane are those of the specimen.
    np.testing.assert_array_equal(
        np.sort(seen.phase.reshape(30, -1), axis=1), np.sort(made.phase.reshape(30, -1), axis=1)
    )


def test_drift_is_a_random_walk_of_the_step_that_was_set():
    phase = np.zeros((600, 33, 33), np.float32)
    phase[:, 16, 16] = 1
    _, seen = stack(specimen(phase), drift=2.0)
    at = np.stack(np.nonzero(seen.phase)[1:], axis=1)
    steps = (np.diff(at, axis=0) + 16) % 33 - 16
    # Rounding of both ends adds the variance of a pixel, 1/12, twice.
    np.testing.assert_allclose(steps.std(axis=0), np.sqrt(4 + 1 / 6), rtol=0.08)
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=0.25)


def test_flicker_changes_the_brightness_of_whole_slices():
    image, _ = stack(specimen(np.zeros((500, 4, 4))), background=0.5, flicker=0.1)
    np.testing.assert_allclose(image, image[:, :1, :1].repeat(4, 1).repeat(4, 2), atol=1e-5)
    assert (image[:, 0, 0] / 0.5).std() == pytest.approx(0.1, rel=0.1)
    assert np.corrcoef(image[1:, 0, 0], image[:-1, 0, 0])[0, 1] == pytest.approx(0, abs=0.15)


def test_the_generator_decides_everything_that_is_random():
    given = {"curtaining": 0.05, "flicker": 0.1, "drift": 1.0, "dose": 100, "noise": 0.02}
    first, seen = stack(blobs(), seed=3, **given)
    again, seen_again = stack(blobs(), seed=3, **given)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(seen.instance, seen_again.instance)
    assert np.abs(first - stack(blobs(), seed=4, **given)[0]).mean() > 0.01


def test_settings_have_names_of_their_own():
    own = set(FibSem().ranges())
    assert own == set(OFF)
    assert own.isdisjoint(MicroscopeRanges().ranges())
    for recipe in RECIPES.values():
        assert own.isdisjoint(recipe.ranges().ranges()), recipe.name


PLAIN = campaign.Simulation(
    recipe="spinodal",
    samples=2,
    shape=(33, 32, 36),
    seed=5,
    pixel_size=0.02,
    parameters={"magnification": 2.0, "time": [60, 90]},
)

WORN = {
    "slice_thickness": 2,
    "curtaining": [0.02, 0.05],
    "shine_through": 1.0,
    "flicker": 0.05,
    "drift": 0.4,
}


def milled(**fib_sem):
    return PLAIN.model_copy(update={"fib_sem": FibSem(**fib_sem)})


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fib")
    settings = {"plain": PLAIN, "thick": milled(slice_thickness=2), "worn": milled(**WORN)}
    for name, one in settings.items():
        list(campaign.run(campaign.prepare(folder / name, one), workers=1))
    return {name: open_store(folder / name) for name in settings}


def test_a_milled_store_says_how_far_apart_its_slices_are(stores):
    thick, plain = stores["thick"], stores["plain"]
    assert verify(thick.path) == verify(stores["worn"].path) == []
    assert (thick.shape, thick.spacing) == ((17, 32, 36), pytest.approx((0.04, 0.02, 0.02)))
    assert (plain.shape, plain.spacing) == ((33, 32, 36), (0.02, 0.02, 0.02))
    assert thick.attributes["z_spacing"] == 0.04
    assert thick.config["fib_sem"]["slice_thickness"] == 2


def test_the_same_seed_gives_every_instrument_the_same_specimens(stores):
    plain, thick = stores["plain"], stores["thick"]
    own = FibSem().ranges()
    for index in range(2):
        drawn = {k: v for k, v in thick.parameters[index].items() if k not in own}
        assert drawn == plain.parameters[index]
        for name in ("mask", "image"):
            found, whole = (one.load(name, index) for one in (thick, plain))
            if name == "mask":
                np.testing.assert_array_equal(found, whole[::2])
            else:  # the noise of a slice is that of its number, not of its place
                np.testing.assert_array_equal(found[:, 0], whole[:, 0])
    assert (stores["worn"].load("mask", 0) != thick.load("mask", 0)).any()


def test_a_milled_store_is_made_again_bit_for_bit(stores, tmp_path):
    again = campaign.prepare(tmp_path / "again", milled(**WORN))
    list(campaign.run(again, workers=1))
    assert digest(again.path) == digest(stores["worn"].path)


def test_without_a_fib_a_store_is_what_it_was_before_there_was_one(stores):
    plain = stores["plain"]
    assert "fib_sem" not in plain.config
    assert "z_spacing" not in plain.attributes
    assert plain.config == PLAIN.resolve().model_dump(mode="json")
    ranges = {
        **RECIPES["spinodal"].ranges(**PLAIN.parameters).ranges(),
        **PLAIN.microscope.ranges(),
    }
    assert list(plain.parameters[0]) == list(ranges)
    rng = np.random.default_rng(np.random.SeedSequence(PLAIN.seed).spawn(1)[0])
    points = qmc.Sobol(len(ranges), rng=rng).random_base2(1)
    low, high = np.transpose(list(ranges.values()))
    for index, drawn in enumerate(plain.parameters):
        np.testing.assert_array_equal(list(drawn.values()), low + (high - low) * points[index])


def test_other_settings_of_the_fib_are_another_store(stores):
    for name, other in (("worn", PLAIN), ("plain", milled(flicker=0.1)), ("thick", milled())):
        with pytest.raises(InputError, match=r"other settings \(fib_sem\)"):
            campaign.prepare(stores[name].path, other)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["shape=64", "fib_sem.flicker=0.1"], "whole volumes"),
        (["shape=[32,32,32]", "slice=4", "fib_sem.slice_thickness=2"], "whole volumes"),
        (["shape=[32,32,32]", "fib_sem.slice_thickness=33"], "thicker than the volume"),
        (["shape=[32,32,32]", "fib_sem.slice_thickness=0"], "slice_thickness"),
        (["shape=[32,32,32]", "fib_sem.drift=-1"], "drift"),
        (["shape=[32,32,32]", "fib_sem.curtain=1"], "Did you mean 'curtaining'"),
    ],
)
def test_impossible_settings_are_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        campaign.Simulation.load(None, settings)
