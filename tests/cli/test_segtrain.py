"""`segtrain`: training, evaluation, prediction, and the three commands one after the other."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from phasegen.images import list_images, read_mask, read_micrograph
from tests.cli.conftest import TRAIN, snapshot

TINY = "segtrain " + " ".join(map(str, TRAIN))


def test_three_commands_in_a_folder_that_holds_only_images(command, tmp_path, places):
    """As a new user would, but for the sizes: no option names a file that a command has made."""
    shutil.copytree(places["images"], tmp_path / "sem")
    simulate = "phasegen simulate spinodal --n 3 --size 64 --workers 1 --set parameters.time=20"
    assert command(simulate).code == 0
    assert command("cyclegan fit --real sem").code == 0
    trained = command(TINY)
    assert (trained.code, trained.out) == (0, "runs/segtrain/best.pt\n")
    phases = [line.split(":")[0] for line in trained.err.splitlines()]
    assert list(dict.fromkeys(phases)) == ["train", "label", "adapt"]
    predicted = command("segtrain predict sem")
    assert predicted.code == 0
    masks = tmp_path / predicted.out.strip()
    scored = command("segtrain evaluate --images sem --masks {masks}")
    assert scored.code == 0
    assert scored.out.endswith("runs/segtrain/evaluation/report.html\n")
    for path in list_images(tmp_path / "sem"):
        mask = read_mask(masks / path.name, read_micrograph(path).pixels.shape)
        assert mask.max() <= 1
    report = (tmp_path / "runs/segtrain/evaluation/report.html").read_text()
    assert "exact labels from simulation" in report
    assert "the model&#x27;s own predictions" in report or "the model's own predictions" in report
    assert "drawn by hand" not in report


def test_the_run_holds_settings_and_weights_in_three_forms(places):
    folder = places["checkpoint"].parent
    written = yaml.safe_load((folder / "config.yaml").read_text())
    best = torch.load(folder / "best.pt")
    assert best["config"] == written
    assert (written["synthetic_only"], written["widths"], written["steps"]) == (True, [4, 8], 4)
    assert [source["labels"] for source in best["sources"]] == ["simulated", "predicted"]
    plain = load_file(folder / "best.safetensors")
    assert plain.keys() == best["network"].keys()
    assert all(torch.equal(plain[name], best["network"][name]) for name in plain)


def test_settings_by_file_option_and_set_in_this_order(command, tmp_path):
    (tmp_path / "given.toml").write_text("seed = 1\nsteps = 2\nbatch = 3\nadapt_rate = 0.01\n")
    line = f"{TINY} --store {{sem}} --no-adapt --config given.toml --seed 2 --set steps=3"
    assert command(line).code == 0
    written = yaml.safe_load((tmp_path / "runs/segtrain/config.yaml").read_text())
    assert [written[key] for key in ("seed", "steps", "batch", "adapt_rate", "adapt")] == [
        2,
        3,
        2,
        0.01,
        None,
    ]


def test_training_on_drawn_masks(command, tmp_path):
    line = "segtrain --images {images} --masks {masks} --patch 32 --steps 2 --set batch=2"
    sizes = "--set widths=[4,8] --set validation=1 --set classes=[matrix,particle]"
    assert command(f"{line} {sizes} --out run").code == 0
    best = torch.load(tmp_path / "run/best.pt")
    assert best["classes"] == ["matrix", "particle"]
    assert [source["labels"] for source in best["sources"]] == ["drawn"]


def test_overwrite_starts_afresh_and_leaves_other_files(command, tmp_path):
    line = f"{TINY} --store {{sem}} --no-adapt --out run --steps 1"
    assert command(line).code == 0
    first = torch.load(tmp_path / "run/best.pt")["network"]["head.bias"]
    (tmp_path / "run/notes.txt").write_text("mine")
    assert command(f"{line} --seed 1 --overwrite").code == 0
    assert not torch.equal(torch.load(tmp_path / "run/best.pt")["network"]["head.bias"], first)
    assert (tmp_path / "run/notes.txt").read_text() == "mine"
    assert command(f"{line} --overwrite").code == 0
    assert torch.equal(torch.load(tmp_path / "run/best.pt")["network"]["head.bias"], first)


def test_evaluate_prints_and_writes_the_same_scores(command, tmp_path, places):
    line = "segtrain evaluate --images {images} --masks {masks} --checkpoint {checkpoint}"
    code, out, err = command(f"{line} --tolerance 3 --out scores")
    assert code == 0
    assert err.startswith("evaluate: 0/4 (0 %)\n")
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {
        "metrics.json",
        "metrics.csv",
        "report.html",
    }
    content = json.loads((tmp_path / "scores/metrics.json").read_text())
    names = [path.name for path in list_images(places["images"])]
    assert content["tolerance"] == 3
    assert list(content["images"]) == names
    with (tmp_path / "scores/metrics.csv").open() as file:
        rows = {row.pop("image"): row for row in csv.DictReader(file)}
    assert {name: float(row["iou"]) for name, row in rows.items()} == {
        name: scores["iou"] for name, scores in content["images"].items()
    }
    mean = np.mean([scores["iou"] for scores in content["images"].values()])
    assert content["summary"]["iou"]["mean"] == pytest.approx(mean)
    lines = out.splitlines()
    for name in names:
        row = next(line for line in lines if line.startswith(name)).split()
        assert row[1 + lines[0].split()[1:].index("iou")] == f"{content['images'][name]['iou']:.3f}"
    assert any(line.startswith("foreground IoU") and f"{mean:.3f}" in line for line in lines)
    assert any(line.startswith("boundary F1, 3 px") for line in lines)


def test_predict_writes_a_mask_of_the_same_name_and_size(command, tmp_path, places):
    shutil.copytree(places["images"], tmp_path / "sem")
    with Image.open(tmp_path / "sem/0.tif") as image:
        grey = (np.asarray(image) >> 8).astype(np.uint8)[:50, :70]
    Image.fromarray(grey).save(tmp_path / "sem/odd.jpg")
    line = "segtrain predict sem --checkpoint {checkpoint} --out masks"
    assert command(line).code == 0
    assert {p.name for p in (tmp_path / "masks").iterdir()} == {
        "odd.png",
        "confidence",
        "trust.csv",
        *(path.name for path in list_images(places["images"])),
    }
    assert read_mask(tmp_path / "masks/odd.png").shape == (50, 70)
    assert read_mask(tmp_path / "masks/0.tif").shape == (96, 80)
    first = snapshot(tmp_path / "masks")
    assert command(f"{line} --overwrite").code == 0
    assert snapshot(tmp_path / "masks") == first


def test_predict_does_not_replace_what_is_there(refused, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/3.tif").write_text("drawn by hand")
    said = refused("segtrain predict {images} --checkpoint {checkpoint} --out masks")
    assert "masks/3.tif: exists already" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--store {sem} --model unett", "did you mean 'unet'"),
        ("--store {sem} --loss dice", "did you mean 'ce-dice'"),
        ("--store {sem} --set adapt_step=1", "'adapt_step'. Did you mean 'adapt_steps'"),
        ("--store {sem} --patch 92", "patch 92: has a side that is no multiple of 8"),
        ("--store {sem} --set widths=[]", "widths = []: "),
        ("--store {sem} --set widths=[4,-8]", "widths.1 = -8: Input should be greater than 0"),
        ("--store {sem} --set batch=0", "batch = 0: Input should be greater than or equal to 1"),
        ("--store {sem} --set batch=1", "batch = 1, but adapt takes half of a batch"),
        (
            "--store {sem} --patch 64 --set validation=6",
            "has 6 images: 6 are held out, none is left. Give more",
        ),
        ("--images {images}", "needs both --images and --masks"),
        ("--images {images} --masks {masks} --synthetic-only", "which --synthetic-only refuses"),
        ("--images {images} --masks nowhere --synthetic-only", "nowhere: holds drawn masks"),
        ("--synthetic-only", "data/sem.zarr: does not exist. Give"),
        ("--store {sem} --adapt {images} --no-adapt", "contradicts --no-adapt"),
        ("--store {sem} predict {images}", "--store: is an option of the training, not of predict"),
        ("predict {images}", "runs/segtrain/best.pt: does not exist. Give"),
        ("evaluate --images {images} --masks {masks}", "runs/segtrain/best.pt: does not exist."),
    ],
)
def test_settings_that_do_not_exist_or_fit(refused, arguments, says):
    assert says in refused(f"segtrain {arguments}")


@pytest.mark.parametrize(
    ("line", "mentions"),
    [
        (
            "segtrain --help",
            "evaluate predict --synthetic-only --store --images --masks --adapt --no-adapt --out "
            "--steps --seed --model --loss --patch --device --config --set --overwrite "
            "--data --mix --target --start --few-shot --dry-run --profile",
        ),
        ("segtrain", "evaluate predict --synthetic-only"),
        (
            "segtrain evaluate --help",
            "--images --masks --checkpoint --tolerance --out --device runs/segtrain/best.pt",
        ),
        ("segtrain predict --help", "FOLDER --checkpoint --out --device --overwrite"),
    ],
)
def test_help(command, line, mentions):
    code, text, _ = command(line)
    assert code == (0 if "help" in line else 2)
    assert [word for word in mentions.split() if word not in text] == []
