"""Options of `segtrain predict` and `evaluate` that have no effect or do not fit are refused."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile

from phasegen import checkpoint
from segtrain.config import Training
from segtrain.predict import load_segmenter
from segtrain.train import train
from tests.segtrain.cells import folder


@contextmanager
def quiet(*_):
    yield lambda *_: None


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A folder of cells, and the checkpoint of a field that was trained a step on it."""
    place = folder(tmp_path_factory.mktemp("cells") / "data")
    config = Training(
        data=(f"folder-instances:{place}",), target="poisson", widths=(4, 8), steps=1, batch=2,
        patch=32, validation=1,
    )  # fmt: skip
    return place, train(config, place.parent / "run", quiet)


@pytest.fixture(scope="module")
def others(tmp_path_factory, simulation):
    """Checkpoints of two other names of classes, and of two channels."""
    place = tmp_path_factory.mktemp("others")
    config = Training(store=simulation, widths=(4, 8), steps=1, batch=2, patch=32, validation=1)
    state = checkpoint.load(train(config, place / "run", quiet), "segtrain")
    paths = {}
    for name, change in (("named", {"classes": ["x", "y"]}), ("wide", {"channels": 2})):
        changed = state | change
        if name == "wide":
            first = next(key for key in state["network"] if key.startswith("first"))
            assert state["network"][first].shape[1] == 1
            both = state["network"][first].repeat(1, 2, 1, 1)
            changed["network"] = state["network"] | {first: both}
        paths[name] = place / f"{name}.pt"
        checkpoint.save(paths[name], "segtrain", changed)
    return paths


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--witness {named}", "trust: knows the classes x, y"),
        ("--no-trust --witness {checkpoint}", "--witness: contradicts --no-trust"),
        ("--no-trust --witness nothere.pt", "--witness: contradicts --no-trust"),
        ("--witness nothere.pt", "nothere.pt: does not exist"),
        ("--decode h=0.2", "--decode h=0.2: is for fields, the model predicts classes"),
    ],
)
def test_a_model_of_classes(refused, others, options, says):
    line = "segtrain predict {images} --checkpoint {checkpoint} --out masks"
    assert says in refused(f"{line} {options}", **others)


@pytest.mark.parametrize("format", ["images", "ctc"])
@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--adapt", "--adapt: is for classes, the model predicts a field"),
        ("--witness {field}", "--witness: is for classes"),
        ("--trust", "--trust: is for classes"),
        ("--decode epsilon=2", "epsilon: 2.0 is out of range"),
        ("--decode depth=2", "has 'depth=2'. Give numbers for some of epsilon, h, min_size"),
        ("--decode h", "has 'h'"),
    ],
)
def test_a_model_of_a_field(refused, cells, option, says, format):
    line = f"segtrain predict {{folder}} --checkpoint {{field}} --out masks --format {format}"
    assert says in refused(f"{line} {option}", folder=cells[0] / "images", field=cells[1])


def test_a_model_of_several_channels(refused, others):
    line = "segtrain predict {images} --checkpoint {wide} --out masks"
    said = refused(line, **others)
    assert "takes images of 2 channels" in said
    assert "segtrain evaluate --data" in said


def test_a_decoding_for_one_command(command, cells, tmp_path):
    """Instances under a size are dropped, and the checkpoint stays as it is."""
    place, field = cells
    before = field.read_bytes()
    given = {"folder": place / "images", "field": field, "data": place}
    line = "segtrain predict {folder} --checkpoint {field} --out all --decode epsilon=0.001,h=0.001"
    assert command(f"{line},min_size=1", **given).code == 0
    assert command(line.replace("all", "none") + ",min_size=9999", **given).code == 0
    assert tifffile.imread(tmp_path / "all/0.tif").max() > 0
    assert tifffile.imread(tmp_path / "none/0.tif").max() == 0
    line = "segtrain evaluate --data folder-instances:{data} --checkpoint {field} --out scores"
    assert command(f"{line} --decode min_size=9999", **given).code == 0
    assert json.loads((tmp_path / "scores/metrics.json").read_text())["pooled"]["seg"] == 0
    assert field.read_bytes() == before
    assert load_segmenter(field).decoding.min_size == 10


def test_two_models_are_compared_image_by_image(command, tmp_path, others):
    line = "segtrain evaluate --images {images} --masks {masks} --checkpoint {checkpoint}"
    code, out, err = command(f"{line} --against {{named}} --out scores", **others)
    assert code == 0
    assert "against: 4/4" in err
    assert "p (Wilcoxon)" in out
    content = json.loads((tmp_path / "scores/metrics.json").read_text())["against"]
    assert content["model"] == str(others["named"])
    single = command(f"{line.replace('{checkpoint}', '{named}')} --out other", **others)
    assert single.code == 0
    ours, theirs = (
        json.loads((tmp_path / name / "metrics.json").read_text())["images"]
        for name in ("scores", "other")
    )
    mean = np.mean([ours[name]["iou"] - theirs[name]["iou"] for name in ours])
    assert content["difference"]["iou"]["mean"] == pytest.approx(mean)
    assert content["difference"]["iou"]["images"] == 4


def test_the_table_of_classes(command):
    line = "segtrain evaluate --images {images} --masks {masks} --checkpoint {checkpoint}"
    code, out, _ = command(f"{line} --out scores")
    assert code == 0
    lines = out.splitlines()
    header = next(n for n, line in enumerate(lines) if line.startswith("class "))
    assert "HD95, px" in lines[header]
    assert [line.split()[0] for line in lines[header + 1 : header + 3]] == [
        "solute-poor",
        "foreground",
    ]
