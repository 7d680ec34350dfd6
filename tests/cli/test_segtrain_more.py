"""`segtrain --dry-run`, `--profile` and `--few-shot`."""

import json
import re
import runpy
import sys

import pytest
import torch

from tests.cli.conftest import TRAIN, snapshot

TINY = "segtrain " + " ".join(map(str, TRAIN))
DRAWN = (
    "segtrain --images {images} --masks {masks} --patch 32 --steps 3 --out curve "
    "--set batch=2 --set widths=[4,8] --set validation=1 --set validate_every=3"
)


def test_a_dry_run_tells_what_the_training_takes_and_writes_nothing(command, tmp_path, places):
    before = snapshot(tmp_path)
    code, out, _ = command(f"{TINY} --store {{sem}} --set freeze=[first] --dry-run")
    assert code == 0
    assert snapshot(tmp_path) == before
    best = torch.load(places["checkpoint"])
    parameters = sum(v.numel() for v in best["network"].values() if v.is_floating_point())
    statistics = sum(v.numel() for k, v in best["network"].items() if "running" in k)
    assert f"unet, {parameters - statistics:,} parameters, " in out
    assert str(places["sem"]) in out
    assert re.search(r"simulated +6 +100 %", out)
    assert "5 to learn from, 1 held out" in out
    assert re.search(r"parameters learn, the others are frozen", out)
    assert "2 patches of 32 pixels" in out
    assert "for 4 steps and 4 of self-training" in out
    assert re.search(r"step: [\d.e-]+ s, of which [\d.e-]+ s for its patches", out)
    assert re.search(r"memory: \d+\.\d\d GB", out)


def test_a_dry_run_names_the_shares_of_a_mixture(command):
    line = f"{TINY} --data {{sem}} --data {{sim}} --mix 0.75,0.25 --dry-run"
    code, out, _ = command(line)
    assert code == 0
    assert re.findall(r"(\d+) %", out) == ["75", "25"]


def test_a_profile_is_a_trace_and_a_table(command, tmp_path):
    code, out, _ = command(f"{TINY} --store {{sem}} --no-adapt --out run --profile")
    assert code == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"profile.json"}
    names = {e.get("name") for e in json.loads((tmp_path / "run/profile.json").read_text())
             ["traceEvents"]}  # fmt: skip
    assert {"aten::conv2d", "Optimizer.step#AdamW.step"} <= names
    assert "aten::" in out
    assert "open run/profile.json in" in out
    # The folder is still free for the training.
    assert command(f"{TINY} --store {{sem}} --no-adapt --out run").code == 0


def test_a_learning_curve(command, tmp_path):
    code, out, err = command(f"{DRAWN} --few-shot 2,1")
    assert code == 0
    content = json.loads((tmp_path / "curve/few_shot.json").read_text())
    assert content["metric"] == "validation IoU"
    assert [point["shots"] for point in content["points"]] == [1, 2]
    for point in content["points"]:
        best = torch.load(tmp_path / "curve" / point["checkpoint"])
        assert best["config"]["shots"] == point["shots"]
        assert best["score"] == point["score"]
        assert re.search(rf"^ *{point['shots']} .*{point['score']:.3f}", out, re.MULTILINE)
        assert f"{point['score']:.3f}" in (tmp_path / "curve/few_shot.html").read_text()
    assert "<svg" in (tmp_path / "curve/few_shot.html").read_text()
    assert out.endswith("curve/few_shot.html\n")
    assert err.count("train: 0/3") == 2
    # What is done is not done again, and one more number costs one more run.
    code, out, err = command(f"{DRAWN} --few-shot 1,2,3")
    assert code == 0
    assert err.count("train: 0/3") == 1
    again = json.loads((tmp_path / "curve/few_shot.json").read_text())
    assert again["points"][:2] == content["points"]


def test_a_learning_curve_of_several_seeds_has_an_interval_and_no_self_training(
    command, tmp_path, places
):
    line = f"{DRAWN} --adapt {{images}} --set adapt_steps=3 --seed 5 --few-shot 1,2"
    code, out, err = command(f"{line} --few-shot-seeds 2")
    assert code == 0
    points = json.loads((tmp_path / "curve/few_shot.json").read_text())["points"]
    runs = ["shots-1", "shots-1-seed-6", "shots-2", "shots-2-seed-6"]
    assert [point["checkpoint"] for point in points] == [f"{run}/best.pt" for run in runs]
    assert [point["seed"] for point in points] == [5, 6, 5, 6]
    for point in points:
        config = torch.load(tmp_path / "curve" / point["checkpoint"])["config"]
        assert (config["seed"], config["adapt"]) == (point["seed"], None)
    first, second = (point["score"] for point in points[:2])
    mean, half = re.search(r"^ *1 +([\d.]+) ± ([\d.]+)", out, re.MULTILINE).groups()
    assert float(mean) == pytest.approx((first + second) / 2, abs=1e-3)
    # Student's t of one degree of freedom is 12.706.
    assert float(half) == pytest.approx(12.706 * abs(first - second) / 2, abs=1e-3)
    assert "adapt" not in err
    assert "seeds 5 to 6" in (tmp_path / "curve/few_shot.html").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--few-shot 1,4", "1 are held out, 4 are asked for. Give more images, or at most --few-"),
        ("--few-shot-seeds 2", "--few-shot-seeds: is for a learning curve"),
        ("--few-shot 0,1", "--few-shot: is [0, 1]. Give numbers of images from 1"),
        ("--few-shot 1,x", "--few-shot: is '1,x'. Give numbers"),
        ("--few-shot 1 --set validation=0", "--few-shot: needs images that are held out"),
        ("--few-shot 1 --dry-run", "--few-shot, --dry-run: exclude each other"),
        ("--profile --dry-run", "--dry-run, --profile: exclude each other"),
    ],
)
def test_curves_that_cannot_be(refused, options, says):
    assert says in refused(f"{DRAWN} {options}")


def test_as_torchrun_starts_it(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "cli.segtrain")
    monkeypatch.setattr(sys, "argv", ["segtrain", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("cli.segtrain", run_name="__main__")
    assert stop.value.code == 0
    assert "--synthetic-only" in capsys.readouterr().out
