"""``cyclegan gap`` writes a page and its figures, says what is off, and refuses bad input."""

import html
import json
import re
import shutil
import sys

import numpy as np
import pytest

from cyclegan.gap import classifier, distances
from phasegen.images import write_image
from phasegen.store import open_store

GAP = "cyclegan gap {images} {sim} {sem} --patch 48 --patches 3"


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(classifier, "PERMUTATIONS", 9)
    monkeypatch.setattr(distances, "PERMUTATIONS", 19)


def test_page_and_figures(command, tmp_path):
    code, out, err = command(f"{GAP} --model {{model}} --out made/gap.html")
    assert code == 0, err
    assert "gap: 9/9 (100 %)" in err
    header, *rows = out.splitlines()
    assert header.split("  ")[0] == "gap to the real images"
    assert [name for name in ("sim.zarr", "sem.zarr", "real halves") if name not in header] == []
    assert any(row.startswith("KID, texture") for row in rows)
    assert any(row.startswith("classifier, discriminator") for row in rows)
    assert "From sim.zarr to sem.zarr: KID of texture features" in out
    assert rows[-1] == "made/gap.html, made/gap.json"
    assert sum(row.startswith(("sim.zarr: ", "sem.zarr: ")) for row in rows) == 2
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["gap.html", "gap.json"]
    page = (tmp_path / "made/gap.html").read_text()
    for line in [row for row in rows if row.startswith(("sim.zarr: ", "sem.zarr: "))]:
        name, verdict = line.split(": ", 1)
        before, _, after = page.partition(f"<b>{name}</b> {html.escape(verdict)}</p>")
        assert after, "the page does not say what the command does"
        assert "<h2>" not in before  # it is what is read first
    assert page.count("<svg") == 6  # with the t-SNE map
    assert page.count("data:image/png") == 18
    assert not re.search(r"(src|href)=.https?:", page)
    kept = json.loads((tmp_path / "made/gap.json").read_text(), parse_constant=pytest.fail)
    assert [one["name"] for one in kept["gaps"]] == ["sim.zarr", "sem.zarr"]
    assert set(kept["gaps"][0]["kernel"]) == {"texture", "discriminator", "segmenter"}
    assert set(kept["gaps"][0]["kernel"]["texture"]) == {"value", "error", "p"}
    assert kept["real"]["images"] == 4


def test_the_same_command_gives_the_same_page_without_scikit_learn(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in ("a", "b"):
        code, out, err = command(f"cyclegan gap {{images}} {{sim}} --patch 48 --out {name}.html")
        assert code == 0, err
        assert "no t-SNE map: scikit-learn is not installed" in out
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_store_and_its_copy_under_one_name(command, places, tmp_path):
    shutil.copytree(places["sim"], tmp_path / "sim.zarr")
    line = "cyclegan gap {images} {sim} sim.zarr --patch 48 --patches 1"
    code, out, err = command(line)
    assert code == 0, err
    assert str(places["sim"]) in out.splitlines()[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nowhere {sim}", "nowhere: does not exist"),
        ("{images} nowhere.zarr --patch 48", "nowhere.zarr: does not exist"),
        ("{images} empty --patch 48", "empty: holds no image"),
        ("{images} single --patch 48", "single: holds 1 image. Give at least two"),
        ("{images} {sim}", "smaller than the patch size of 128"),
        ("{images} {sim} --patch 96", "smaller than the patch size of 96"),
        ("{images} unfinished.zarr --patch 48", "unfinished.zarr: is unfinished"),
        ("{images} {sim} --out gap.txt", "gap.txt: is no name of a page"),
        ("{images} {sim} --model none.pt", "none.pt: does not exist"),
        ("{images} {sim} --inception none.pt", "none.pt: does not exist"),
    ],
)
def test_bad_input(refused, places, tmp_path, line, said):
    for name in ("empty", "single"):
        (tmp_path / name).mkdir()
    grey = np.random.default_rng(0).integers(0, 255, (160, 160)).astype(np.uint8)
    write_image(tmp_path / "single/a.png", grey)
    shutil.copytree(places["sim"], tmp_path / "unfinished.zarr")
    open_store(tmp_path / "unfinished.zarr", "r+").arrays["state"][3] = 0
    assert said in refused(f"cyclegan gap {line}")


def test_help(command):
    code, out, _ = command("cyclegan gap --help")
    assert code == 0
    mentions = "REAL SYNTH... --out --patch --patches --seed --model --inception --pixel-size"
    assert [word for word in mentions.split() if word not in out] == []
