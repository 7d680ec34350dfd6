"""`cyclegan`: every subcommand does what it says, and refuses settings that do not exist."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml

from cyclegan.settings import Translation
from phasegen.errors import InputError
from phasegen.images import list_images
from phasegen.store import digest, open_store, verify
from tests.cli.conftest import FIT

CYCLEGAN = " ".join(map(str, FIT))


@pytest.fixture
def project(tmp_path, places):
    """The folder of the command with nothing but what the defaults look for."""
    shutil.copytree(places["sim"], tmp_path / "data/sim.zarr")
    shutil.copytree(places["images"], tmp_path / "sem")
    return tmp_path


def test_fit_by_its_defaults(command, project):
    code, out, err = command("cyclegan fit --real sem")
    assert code == 0
    assert out.startswith("model: runs/cyclegan/model.pt\n")
    assert out.endswith("6 translated samples in data/sem.zarr\n")
    assert [line.split()[0] for line in out.splitlines()[1:4]] == [
        "boundaries",
        "simulated",
        "translated",
    ]
    assert err.startswith("translate: 0/6 (0 %)")
    assert verify("data/sem.zarr") == []
    simulated, translated = open_store("data/sim.zarr"), open_store("data/sem.zarr")
    store, translation = translated.attributes["parents"]
    assert store["digest"] == digest("data/sim.zarr")
    assert translation["method"] == "fda"
    assert translation["real"]["folder"] == str(project / "sem")
    for index in range(6):
        np.testing.assert_array_equal(translated.load("mask", index), simulated.load("mask", index))
        assert np.any(translated.load("image", index) != simulated.load("image", index))


def test_what_is_odd_about_the_folder_is_said_once_on_stderr(command, project):
    image = tifffile.imread(project / "sem/0.tif")
    tifffile.imwrite(project / "sem/0.tif", image[:, :-8])
    code, out, err = command("cyclegan fit --real sem")
    assert code == 0
    assert "warning" not in out
    assert err.count("warning: images of 2 sizes ([96, 72], [96, 80])") == 1


def test_settings_by_file_option_and_set_in_this_order(command, project):
    (project / "given.yaml").write_text(
        yaml.safe_dump({"method": "cyclegan", "seed": 1, "steps": 9, "width": 6})
    )
    line = f"cyclegan fit --real sem --config given.yaml {CYCLEGAN} --seed 2 --set seed=3"
    assert command(f"{line} --no-translate").code == 0
    written = yaml.safe_load((project / "runs/cyclegan/config.yaml").read_text())
    assert [written[key] for key in ("method", "seed", "steps", "width")] == ["cyclegan", 3, 4, 4]
    assert torch.load(project / "runs/cyclegan/model.pt")["config"] == written
    assert list(project.glob("runs/cyclegan/events.out.tfevents*"))
    assert not (project / "data/sem.zarr").exists()


def test_a_generator_that_has_learned_nothing_is_told(command, project):
    line = f"cyclegan fit --real sem --method cyclegan {CYCLEGAN} --set learning_rate={{}}"
    for rate, told in ((1e-6, True), (0.1, False)):
        code, out, err = command(f"{line.format(rate)} --overwrite")
        assert code == 0, err
        assert "the generator changes grey values by 0." in out
        assert ("warning: the generator has learned nothing" in out) == told


@pytest.fixture
def resolved(command, project, monkeypatch):
    """Function that gives the settings with which a command line would fit."""
    found = []

    def take(config, *_):
        found.append(config)
        raise InputError("fit", "is not wanted", "Stop here")

    monkeypatch.setattr("cli.cyclegan.fit_model", take)

    def resolved(line):
        assert "fit: is not wanted" in command(line).err
        return found.pop()

    return resolved


def test_full_size_is_a_starting_point_for_the_other_settings(resolved):
    found = resolved("cyclegan fit --real sem --size full --method cut --set blocks=8")
    assert (found.width, found.blocks, found.patch) == (64, 8, 256)


def test_full_size_lies_below_file_and_options(resolved, project):
    (project / "given.yaml").write_text("width: 6\nsteps: 7\nmethod: cyclegan\n")
    found = resolved("cyclegan fit --real sem --size full --config given.yaml --steps 9")
    assert (found.width, found.steps, found.blocks) == (6, 9, 9)


def test_the_real_folder_may_be_named_by_a_file(resolved, project):
    (project / "given.yaml").write_text("real: sem\n")
    assert resolved("cyclegan fit --config given.yaml").real == Path("sem")
    assert resolved("cyclegan fit --config given.yaml --real other").real == Path("other")
    assert resolved("cyclegan fit --set real=other").real == Path("other")


def test_settings_of_a_run_are_a_file_for_the_next(command, project, resolved):
    """They hold all settings, also those that the method does not use."""
    for settings in ({"method": "fda"}, {"method": "cyclegan", "steps": 5, "start": "none"}):
        Translation(real="sem", **settings).save(project / "run.yaml")
        assert (
            resolved("cyclegan fit --config run.yaml").model_dump()
            == Translation(real="sem", **settings).model_dump()
        )


def test_stores_whose_names_look_like_suffixes_have_reports_of_their_own(command, project):
    for out in ("a.1", "a.2", "a.zarr"):
        assert command(f"cyclegan translate data/sim.zarr --model {{model}} --out {out}").code == 0
    names = [path.name for path in project.glob("*.geometry.json")]
    assert sorted(names) == ["a.1.geometry.json", "a.2.geometry.json", "a.geometry.json"]


def test_overwrite_starts_afresh(command, project):
    assert command("cyclegan fit --real sem").code == 0
    first = digest("data/sem.zarr")
    assert command("cyclegan fit --real sem --seed 1 --overwrite").code == 0
    assert digest("data/sem.zarr") != first
    assert command("cyclegan fit --real sem --overwrite").code == 0
    assert digest("data/sem.zarr") == first


@pytest.mark.parametrize("option", ["", " --overwrite"])
def test_translate_a_store_as_fit_does(command, places, tmp_path, option):
    if option:
        shutil.copytree(places["sim"], tmp_path / "again.zarr")
    line = "cyclegan translate {sim} --model {model} --out again.zarr"
    code, out, _ = command(line + option)
    assert code == 0
    assert out.endswith("6 translated samples in again.zarr\n")
    assert digest("again.zarr") == digest(places["sem"])


def test_translate_a_folder(command, places, tmp_path):
    code, out, _ = command("cyclegan translate {images} --model {model} --out new")
    images = list_images(places["images"])
    assert code == 0
    assert out.splitlines() == [f"new/{path.name}" for path in images]
    for path in images:
        before, after = tifffile.imread(path), tifffile.imread(tmp_path / "new" / path.name)
        assert (after.shape, after.dtype) == (before.shape, np.uint16)
        assert after.std() > 0


def test_translate_a_folder_over_files_that_are_there(command, refused, tmp_path, places):
    line = "cyclegan translate {images} --model {model} --out new"
    first = list_images(places["images"])[-1].name
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / first).write_text("precious")
    assert refused(line).startswith(f"error: new/{first}: exists already. Choose another --out")
    assert command(f"{line} --overwrite").code == 0
    assert len(list_images(tmp_path / "new")) == len(list_images(places["images"]))


def test_without_boundaries_there_is_no_drift(command, places, tmp_path):
    source = open_store(shutil.copytree(places["sim"], tmp_path / "blank.zarr"), "r+")
    for index in range(source.samples):
        sample = source.read(index)
        blank = np.zeros_like(sample.mask)
        instance = None if sample.instance is None else blank.astype(np.uint32)
        source.write(index, image=sample.image, mask=blank, instance=instance)
    code, out, _ = command("cyclegan translate blank.zarr --model {model} --out sem.zarr")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["simulated", *5 * "-"] in rows
    assert ["translated", *5 * "-"] in rows
    empty = dict.fromkeys(("shift", "median", "p95", "found", "invented"))
    kept = json.loads((tmp_path / "sem.geometry.json").read_text(), parse_constant=pytest.fail)
    assert kept == {"simulated": empty, "translated": empty}


def test_volumes_are_translated(command, tmp_path):
    made = "phasegen simulate spinodal --n 1 --shape 32,32,32 --out vol.zarr --workers 1"
    assert command(f"{made} --set parameters.time=20").code == 0
    assert command("cyclegan translate vol.zarr --model {model} --out new.zarr").code == 0
    old, new = (open_store(tmp_path / name) for name in ("vol.zarr", "new.zarr"))
    assert new.shape == (32, 32, 32)
    np.testing.assert_array_equal(new.read(0).mask, old.read(0).mask)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--method fdda", "method = 'fdda': is unknown; did you mean 'fda'. Correct"),
        ("--set stpes=1", "unknown key 'stpes'. Did you mean 'steps'"),
        ("--set patch=30", "patch = 30: Input should be a multiple of 4. Correct the value"),
        ("--set patch=many", "patch = 'many': Input should be a valid integer"),
        ("--set band=[0.1,0.9]", "between 0 and 0.5"),
        ("--steps 0", "steps = 0: Input should be greater"),
        ("--config here.toml", "here.toml: unknown key 'widht'. Did you mean 'width'"),
        ("--steps 1000", "--steps: has no effect with method fda; it is used by cyclegan and cut"),
        ("--set ema=0.5", "--set ema=0.5: has no effect with method fda; it is used by"),
        ("--set noise=1", "--set noise=1: has no effect with method fda; it is used by"),
        ("--method histogram --set mix=1", "method histogram; it is used by fda, and cyclegan"),
        ("--method cut --set cycle=1", "no effect with method cut; it is used by cyclegan. Leave"),
        ("--config unused.yaml", "unused.yaml: bound: has no effect with method fda; it is used"),
        ("--size full", "--size full: is for networks, and fda has none. Leave it out, or choose"),
        ("--size full --method histogram", "and histogram has none. Leave it out, or choose"),
        ("--size full --method cut", "smaller than the patches of 256 of --size full. Simulate"),
    ],
)
def test_settings_that_do_not_exist_or_fit(refused, tmp_path, arguments, says):
    (tmp_path / "here.toml").write_text("widht = 4\n")
    (tmp_path / "unused.yaml").write_text("bound: 0.5\nsteps: 1000\n")
    assert says in refused(f"cyclegan fit --real {{images}} --sim {{sim}} {arguments}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "configuration: names no folder of real images: give --real, or real in --config."),
        ("--config no.yaml", "no.yaml: names no folder of real images: give --real"),
        ("--config misspelt.yaml", "misspelt.yaml: unknown key 'rael'. Did you mean 'real'"),
    ],
)
def test_fit_without_a_real_folder(refused, tmp_path, arguments, says):
    (tmp_path / "no.yaml").write_text("seed: 1\n")
    (tmp_path / "misspelt.yaml").write_text("rael: sem\n")
    assert says in refused(f"cyclegan fit --sim {{sim}} {arguments}")


def test_what_an_earlier_command_should_have_made(refused):
    said = refused("cyclegan fit --real {images}")
    assert said.startswith("error: data/sim.zarr: does not exist. Give")
    said = refused("cyclegan translate {images} --out new")
    assert said.startswith("error: runs/cyclegan/model.pt: does not exist. Give")


@pytest.mark.parametrize(
    ("line", "mentions"),
    [
        ("cyclegan --help", "fit translate"),
        (
            "cyclegan fit --help",
            "--real --sim --method --out --run --size --steps --seed --device --translate "
            "--config --set --overwrite data/sim.zarr data/sem.zarr runs/cyclegan",
        ),
        ("cyclegan translate --help", "SOURCE --out --model --device --overwrite"),
    ],
)
def test_help(command, line, mentions):
    code, text, _ = command(line)
    assert code == 0
    assert [word for word in mentions.split() if word not in text] == []
