"""Campaigns: every sample from its own seed, whoever simulates it and however often it stops."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from phasegen import campaign
from phasegen.errors import InputError
from phasegen.recipes import RECIPES
from phasegen.stepping import BlowUpError
from phasegen.store import digest, open_store, verify

ROOT = Path(__file__).parents[2]

TINY = campaign.Simulation(
    recipe="spinodal",
    samples=3,
    shape=64,
    seed=7,
    parameters={"magnification": 1.0, "time": [150, 200]},
)


def complete(path, settings=TINY, workers=1):
    target = campaign.prepare(path, settings)
    return sorted(campaign.run(target, workers))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("campaign") / "a.zarr"
    assert complete(path) == [0, 1, 2]
    return path


def test_the_store_is_sound_and_says_how_it_was_made(whole):
    assert verify(whole) == []
    store = open_store(whole)
    assert (store.kind, store.shape, store.samples) == ("simulation", (64, 64), 3)
    assert store.classes == ["solute-poor", "solute-rich"]
    assert len(set(store.seeds.tolist())) == 3
    assert store.config["parameters"]["composition"] == [0.4, 0.6]  # filled in by the recipe
    for drawn in store.parameters:
        assert drawn["magnification"] == 1.0
        assert 150 <= drawn["time"] <= 200
        assert "blur" in drawn
    assert len({drawn["time"] for drawn in store.parameters}) == 3


def test_a_sample_shows_what_its_mask_says(whole):
    store = open_store(whole)
    for index in range(3):
        sample, drawn = store.read(index), store.parameters[index]
        inside, outside = (
            ndimage.binary_erosion(m, iterations=3) for m in (sample.mask == 1, sample.mask == 0)
        )
        contrast = sample.image[0][inside].mean() - sample.image[0][outside].mean()
        assert contrast == pytest.approx(drawn["contrast"], abs=0.08)


def test_a_sample_is_a_function_of_its_parameters_and_seed(whole):
    store = open_store(whole)
    (alone,) = campaign.samples(TINY.resolve(), [store.parameters[1]], int(store.seeds[1]))
    np.testing.assert_array_equal(alone["image"], store.load("image", 1))
    np.testing.assert_array_equal(alone["instance"], store.load("instance", 1))


def test_two_workers_make_the_same_store_as_one(whole, tmp_path):
    assert complete(tmp_path / "b.zarr", workers=2) == [0, 1, 2]
    assert digest(tmp_path / "b.zarr") == digest(whole)


def test_an_interrupted_campaign_goes_on_and_equals_the_whole_one(whole, tmp_path):
    path = tmp_path / "b.zarr"
    first = campaign.run(campaign.prepare(path, TINY), workers=1)
    assert next(first) == 0
    first.close()
    assert open_store(path).complete().tolist() == [0]
    assert complete(path) == [1, 2]
    assert complete(path) == []
    assert digest(path) == digest(whole)


@pytest.mark.parametrize(
    ("change", "key"),
    [({"seed": 8}, "seed"), ({"samples": 4}, "samples"), ({"recipe": "gamma-prime"}, "recipe")],
)
def test_a_campaign_does_not_go_on_with_other_settings(whole, change, key):
    parameters = TINY.parameters if "recipe" not in change else {}
    other = TINY.model_copy(update=change | {"parameters": parameters})
    with pytest.raises(InputError, match=rf"other settings \(.*{key}.*\).*--out"):
        campaign.prepare(whole, other)


def test_kept_fields_are_the_order_parameters_of_the_mask(tmp_path):
    complete(tmp_path / "a.zarr", TINY.model_copy(update={"keep_fields": True, "samples": 1}))
    store = open_store(tmp_path / "a.zarr")
    field = store.load("field", 0)
    assert field.shape == (1, 64, 64)
    clear = np.abs(field[0] - 0.5) > 1e-3  # float16 rounds
    np.testing.assert_array_equal((field[0] > 0.5)[clear], store.load("mask", 0)[clear] == 1)
    assert clear.mean() > 0.99


def test_gamma_prime_makes_its_three_classes(tmp_path):
    settings = campaign.Simulation(samples=1, shape=128, parameters={"magnification": 1.0})
    complete(tmp_path / "a.zarr", settings)
    assert verify(tmp_path / "a.zarr") == []
    mask = open_store(tmp_path / "a.zarr").load("mask", 0)
    assert np.unique(mask).tolist() == [0, 1, 2]


def test_a_sample_that_diverges_is_named_and_not_kept(tmp_path, monkeypatch):
    """A torn run ends the campaign in one clear line, and nothing is complete."""
    recipe = "spinodal"

    def torn(parameters, shape, rng):
        raise BlowUpError("fields not finite at t = 3 (step 7) with dt = 0.5")

    monkeypatch.setitem(RECIPES, recipe, replace(RECIPES[recipe], grow=torn))
    target = campaign.prepare(tmp_path / "a.zarr", campaign.Simulation(recipe=recipe, samples=2))
    with pytest.raises(InputError, match=rf"{recipe}: a sample diverged \(.*step 7.*dt = 0\.5"):
        next(campaign.run(target, workers=1))
    assert open_store(tmp_path / "a.zarr").complete().size == 0


def test_a_sample_of_a_single_class_is_refused(tmp_path):
    """One phase alone teaches a segmenter nothing."""
    simulation = campaign.Simulation(
        recipe="gamma-prime", shape=64, samples=1, parameters={"nucleus_radius": 200}
    )
    target = campaign.prepare(tmp_path / "a.zarr", simulation)
    with pytest.raises(InputError, match=r"a sample of \(64, 64\) pixels is all secondary"):
        next(campaign.run(target, workers=1))
    assert open_store(tmp_path / "a.zarr").complete().size == 0


def test_one_microstructure_without_a_store():
    first = campaign.simulate("spinodal", shape=64, seed=2, magnification=1.0, time=60)
    again = campaign.simulate("spinodal", shape=64, seed=2, magnification=1.0, time=60)
    np.testing.assert_array_equal(first.phase, again.phase)
    assert first.parameters["time"] == 60
    assert first.phase.dtype == np.float32
    assert 0 <= first.phase.min() < 0.05 < 0.95 < first.phase.max() <= 1
    np.testing.assert_array_equal(first.phase > 0.5, first.mask == 1)
    np.testing.assert_array_equal(first.instance > 0, first.mask > 0)
    share = first.mask.mean()
    assert repr(first) == (
        f"<Microstructure 64 x 64: {1 - share:.1%} solute-poor, {share:.1%} solute-rich; "
        f"{first.instance.max()} instances>"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"recipe": "gama-prime"}, r"gama-prime.*Did you mean 'gamma-prime'"),
        ({"recipe": "steel"}, r"Known recipes: gamma-prime, .*spinodal"),
        ({"recipe": "spinodal", "compositon": 0.5}, r"compositon.*Did you mean 'composition'"),
        ({"recipe": "spinodal", "time": "long"}, r"time = 'long'"),
        ({"shape": 8}, r"shape = 8: every side must be at least 32"),
        ({"shape": (64,) * 4}, r"shape = .*: is not N, Y,X or Z,Y,X"),
    ],
)
def test_unknown_recipes_and_parameters_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        campaign.simulate(**{"shape": 64} | call)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_worker_that_is_killed_is_told_and_its_samples_are_still_to_come(whole, tmp_path):
    settings = TINY.model_copy(update={"samples": 40})
    running = campaign.run(campaign.prepare(tmp_path / "a.zarr", settings), workers=2)
    next(running)
    os.kill(active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(InputError, match="--workers: a process was killed"):
        list(running)
    assert verify(tmp_path / "a.zarr")[0].endswith("run the same simulate command again")
    rest = complete(tmp_path / "a.zarr", settings)
    assert 0 < len(rest) < 40
    for name in ("image", "mask"):
        first = open_store(tmp_path / "a.zarr").load(name, 2)
        np.testing.assert_array_equal(first, open_store(whole).load(name, 2))


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    program = (
        "from pathlib import Path\n"
        "from phasegen import campaign\n"
        "if __name__ == '__main__':\n"
        "    settings = campaign.Simulation(recipe='spinodal', samples=999, shape=64)\n"
        "    for _ in campaign.run(campaign.prepare(Path('a.zarr'), settings), 2):\n"
        "        print(flush=True)\n"
    )
    (tmp_path / "program.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with process:
        process.stdout.readline()
        process.kill()
        process.wait()
        # Writers of the pipe are the process and its workers: it ends when the last has gone.
        deadline = time.monotonic() + 120
        os.set_blocking(process.stdout.fileno(), False)
        while (rest := process.stdout.raw.read()) != b"" and time.monotonic() < deadline:
            time.sleep(0.05)
        if rest != b"":
            os.killpg(process.pid, signal.SIGKILL)
    assert rest == b""
