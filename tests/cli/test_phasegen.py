"""`phasegen`: every subcommand does what it says, and refuses settings that do not exist."""

import numpy as np
import pytest
import yaml
from PIL import Image

from phasegen.recipes import RECIPES
from phasegen.store import digest, open_store, verify
from tests.cli.conftest import snapshot

TINY = "phasegen simulate spinodal --n 2 --size 64 --workers 1 --set parameters.time=20"


def test_simulate_show_and_verify_by_their_defaults(command, tmp_path):
    done = command(TINY)
    assert (done.code, done.out) == (0, "2 samples of spinodal in data/sim.zarr\n")
    assert done.err.startswith("simulate spinodal: 0/2 (0 %)\nsimulate spinodal: 2/2 (100 %)")
    assert verify(tmp_path / "data/sim.zarr") == []
    shown = command("phasegen show data/sim.zarr")
    assert (shown.code, shown.out, shown.err) == (0, "data/sim.png\n", "")
    sheet = np.asarray(Image.open(tmp_path / "data/sim.png"))
    assert sheet.shape == (2 * (64 + 6) + 6, 2 * (64 + 6 + 6), 3)
    checked = command("phasegen verify data/sim.zarr")
    assert (checked.code, checked.out) == (0, "data/sim.zarr: sound, 2 samples\n")


def test_options_reach_the_simulation(command):
    line = f"{TINY} --seed 5 --keep-fields --set microscope.blur=[1,1.5] --out a.zarr"
    assert command(line).code == 0
    store = open_store("a.zarr")
    assert (store.config["seed"], store.shape, store.samples) == (5, (64, 64), 2)
    assert "field" in store.arrays
    assert all(p["time"] == 20 and 1 <= p["blur"] <= 1.5 for p in store.parameters)


def test_options_stand_above_a_file_and_set_above_both(command, tmp_path):
    given = {"recipe": "spinodal", "samples": 1, "seed": 3, "shape": 64, "parameters": {"time": 30}}
    (tmp_path / "given.yaml").write_text(yaml.safe_dump(given))
    line = "phasegen simulate --config given.yaml --out a.zarr --workers 1"
    assert command(f"{line} --seed 4 --set parameters.fluctuation=0.05 --set seed=6").code == 0
    config = open_store("a.zarr").config
    assert (config["samples"], config["seed"], config["shape"]) == (1, 6, [64, 64])
    assert config["parameters"]["time"] == [30, 30]
    assert config["parameters"]["fluctuation"] == [0.05, 0.05]


def test_overwrite_starts_afresh(command):
    assert command(f"{TINY} --out a.zarr").code == 0
    first = digest("a.zarr")
    assert command(f"{TINY} --out a.zarr --seed 1 --overwrite").code == 0
    assert digest("a.zarr") != first
    assert command(f"{TINY} --out a.zarr --overwrite").code == 0
    assert digest("a.zarr") == first


def test_a_dry_run_tells_and_writes_nothing(command, tmp_path):
    code, out, _ = command(f"{TINY} --dry-run")
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (code, list(told)) == (0, ["samples", "time", "memory", "disk"])
    assert told["samples"] == "2 of 64 x 64 pixels from 2 simulations"
    assert list(tmp_path.iterdir()) == []


def test_volumes_sections_and_lengths(command):
    line = TINY.replace("--size 64", "--shape 32,40,48")
    assert command(f"{line} --out volume.zarr").code == 0
    assert open_store("volume.zarr").shape == (32, 40, 48)
    assert command(f"{line} --slice 2 --pixel-size 0.05 --length 1.2 --out cut.zarr").code == 0
    store = open_store("cut.zarr")
    assert store.shape == (40, 48)
    assert (store.attributes["pixel_size"], store.attributes["unit"]) == (0.05, "micrometer")
    assert store.parameters[0]["magnification"] == pytest.approx(24 / 2200 ** (1 / 3))


def test_list_names_recipes_classes_and_ranges(command):
    code, text, _ = command("phasegen list")
    assert code == 0
    for recipe in RECIPES.values():
        of_recipe = text[text.index(f"{recipe.name}: {recipe.summary}") :]
        assert all(name in of_recipe for name in recipe.classes)
        for name, field in recipe.ranges.model_fields.items():
            row = next(line for line in of_recipe.splitlines() if line.startswith(f"{name} "))
            assert row.split()[1:3] == [f"{bound:g}" for bound in field.default]
            assert row.rstrip().endswith(field.description.rstrip())


def test_show_as_many_samples_as_asked_for(command, places, tmp_path):
    before = snapshot(places["sim"])
    for number, width in ((1, 1), (3, 3), (6, 4)):
        assert command(f"phasegen show {{sim}} --n {number} --out deep/{number}.png").code == 0
        with Image.open(tmp_path / f"deep/{number}.png") as sheet:
            assert sheet.size[0] == width * (96 + 2 * 6)
    assert snapshot(places["sim"]) == before


def test_a_film_of_a_recipe(command, tmp_path):
    line = "phasegen movie spinodal --size 64 --frames 3 --set parameters.time=[20,60]"
    done = command(line)
    assert (done.code, done.out) == (0, "spinodal.gif\n")
    with Image.open(tmp_path / "spinodal.gif") as animation:
        assert animation.n_frames == 3


def test_verify_tells_every_problem(command, places, tmp_path):
    assert command(f"{TINY} --out a.zarr").code == 0
    store = open_store("a.zarr", "r+")
    store.arrays["mask"][0] = 7
    store.arrays["state"][1] = 0
    code, out, err = command("phasegen verify a.zarr")
    assert code == 2
    assert "sample 0: mask value 7 has no class among 2" in out
    assert "1 of 2 samples are incomplete: run the same simulate command again" in out
    assert err == f"error: a.zarr: has {len(out.splitlines())} problems. See the lines above.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("gama-prime", "'gama-prime': is unknown. Did you mean 'gamma-prime'"),
        ("steel", "'steel': is unknown. Known recipes: gamma-prime, "),
        ("spinodal --set parameters.tme=3", "unknown key 'tme'. Did you mean 'time'"),
        ("--set microscope.blurr=1", "unknown key 'microscope.blurr'. Did you mean 'blur'"),
        ("--set parmeters.time=1", "unknown key 'parmeters'. Did you mean 'parameters'"),
        ("spinodal --set parameters.time=[9,1]", "time = [9, 1]: "),
        ("--n 0", "samples = 0: Input should be greater than or equal to 1. Correct the value"),
        ("--set size", "--set size: has no '='. Write it as --set key=value"),
        ("--set size=[1", "--set size=[1: cannot be read"),
        ("--config here.toml", "here.toml: unknown key 'sample'. Did you mean 'samples'"),
        ("--config torn.toml", "torn.toml: cannot be read"),
        ("--config none.toml", "none.toml: cannot be read"),
    ],
)
def test_settings_that_do_not_exist_or_fit(refused, tmp_path, arguments, says):
    (tmp_path / "here.toml").write_text("sample = 4\n")
    (tmp_path / "torn.toml").write_text("samples = \n")
    assert says in refused(f"phasegen simulate {arguments}")


@pytest.mark.parametrize(
    ("line", "mentions"),
    [
        ("phasegen --help", "simulate list show movie verify"),
        (
            "phasegen simulate --help",
            "RECIPE --out --n --size --shape --slice --pixel-size --length --seed --workers "
            "--scheduler --keep-fields --config --set --overwrite --dry-run",
        ),
        ("phasegen list --help", "ranges"),
        ("phasegen show --help", "STORE --out --n"),
        ("phasegen movie --help", "RECIPE --out --size --over --frames --seed --set"),
        ("phasegen verify --help", "STORE"),
    ],
)
def test_help(command, line, mentions):
    code, text, _ = command(line)
    assert code == 0
    assert [word for word in mentions.split() if word not in text] == []
