"""``phasegen match`` writes what ``phasegen simulate`` takes; bad input is one line."""

import numpy as np
import pytest
import yaml

from phasegen import calibrate
from phasegen.images import write_image
from phasegen.store import open_store


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(calibrate, "ROUNDS", (3, 2, 3))
    monkeypatch.setattr(calibrate, "PILOT", 128)
    monkeypatch.setattr(calibrate, "PILOT_CELLS", 64)


def test_match_then_simulate(command, few, tmp_path):
    code, out, err = command("phasegen match {images} --recipe spinodal --out made/match.yaml")
    assert code == 0, err
    assert "match spinodal: 12/12 (100 %)" in err
    assert "wavelength" in out
    assert out.splitlines()[-1] == "made/match.yaml, made/match.json, made/match.png"
    command("phasegen simulate --config made/match.yaml --n 1 --size 64 --workers 1 --out s.zarr")
    store = open_store(tmp_path / "s.zarr")
    assert store.config["recipe"] == "spinodal"
    assert len(store.complete()) == 1


def test_match_and_simulate_at_once(command, few, tmp_path):
    line = "phasegen simulate spinodal --match {images} --n 1 --size 64 --workers 1 --out s.zarr"
    code, out, err = command(line)
    assert code == 0, err
    assert "s.match.yaml, s.match.json, s.match.png" in out
    command("phasegen match {images} --recipe spinodal")
    assert (tmp_path / "s.match.yaml").read_text() == (tmp_path / "match.yaml").read_text()
    chosen = yaml.safe_load((tmp_path / "match.yaml").read_text())
    config = open_store(tmp_path / "s.zarr").config
    assert config["parameters"] == chosen["parameters"]
    assert config["shape"] == [64, 64]
    assert command(line).code == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("phasegen match {images} --recipe spinodl", "Did you mean 'spinodal'"),
        (
            "phasegen simulate --match {images} --config a.yaml",
            "--match: is given besides --config",
        ),
        ("phasegen match nowhere", "nowhere: does not exist"),
        ("phasegen match empty", "holds no image"),
        ("phasegen match grey", "shows nothing"),
        ("phasegen match tiny", "smaller than the patch size of 64"),
        ("phasegen match text", "a.png: cannot be read"),
    ],
)
def test_bad_input(refused, tmp_path, line, said):
    folders = {name: tmp_path / name for name in ("empty", "grey", "tiny", "text")}
    for folder in folders.values():
        folder.mkdir()
    write_image(folders["grey"] / "a.png", np.full((80, 80), 7, np.uint8))
    write_image(folders["tiny"] / "a.png", np.eye(40, dtype=np.uint8))
    (folders["text"] / "a.png").write_text("no image")
    assert said in refused(line)
