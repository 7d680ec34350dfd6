"""Table 1 of the PDE-UNet paper: the whole path on files in the layout of BraTS."""

import json
import math
import sys

import numpy as np
import pytest
import torch

from examples import brats_slices
from examples.brats_slices import HEADER, NETWORKS, REGIONS, WIDTHS, run, scores
from segtrain.models import MODELS
from segtrain.predict import load_segmenter
from tests.segtrain.test_readers_medical import tumours

PATIENTS = 10


@pytest.fixture
def folder(tmp_path):
    tumours(tmp_path / "brats", count=PATIENTS, shape=(32, 32, 3))
    return tmp_path / "brats"


def test_both_networks_are_trained_and_scored(folder, tmp_path, monkeypatch, capsys):
    options = "--epochs 1 --batch 4 --widths 2,4 --patch 32"
    arguments = ["brats_slices.py", str(folder), str(tmp_path / "work"), *options.split()]
    monkeypatch.setattr(sys, "argv", arguments)
    brats_slices.main()
    printed = capsys.readouterr().out
    assert all(word in printed for word in (*NETWORKS, "validation", "test"))
    content = json.loads((tmp_path / "work" / "scores.json").read_text())
    assert list(content) == [
        f"{model}-0-{part}" for model in ("unet", "pde-unet") for part in ("validation", "test")
    ]
    for means in content.values():
        assert set(means) == set(HEADER[4:])
        assert all(0 <= value <= 1 for value in means.values())
    assert (tmp_path / "work" / "report.html").stat().st_size > 1000
    # One epoch of 8 patients in batches of 4, none of them in validation or test.
    segmenter = load_segmenter(tmp_path / "work" / "pde-unet-0" / "best.pt")
    assert segmenter.channels == 4
    assert [source["samples"] for source in segmenter.sources] == [8]
    again = run(folder, tmp_path / "work", epochs=1, batch=4, widths=(2, 4), patch=32)
    assert [row[3:] for row in again] == [
        (part, *(f"{content[f'{model}-0-{part}'][name]:.3f}" for name in HEADER[4:]))
        for model in ("unet", "pde-unet")
        for part in ("validation", "test")
    ]


def test_regions_hold_each_other(folder, monkeypatch):
    """A prediction with ET and the rest of the core exchanged has the core all right."""
    source = brats_slices._slices(folder, "test")
    truth = source.load(0).mask
    exchanged = np.array([0, 2, 1, 3], np.uint8)[truth]
    monkeypatch.setattr(brats_slices, "segment_image", lambda *_: exchanged)
    means = scores(None, folder, "test")
    assert means["Dice ET"] == means["IoU ET"] == 0
    assert means["Dice TC"] == means["IoU TC"] == means["Dice WT"] == 1
    assert means["Dice mean"] == pytest.approx(2 / 3)
    monkeypatch.setattr(brats_slices, "segment_image", lambda *_: 3 * (truth > 0).astype(np.uint8))
    means = scores(None, folder, "test")
    assert (means["Dice TC"], means["Dice WT"]) == (0, 1)


def test_a_region_in_no_slice_has_no_score(folder, monkeypatch):
    empty = brats_slices._slices(folder, "test")
    sample = empty.load(0)
    sample.mask[:] = 0
    monkeypatch.setattr(brats_slices, "_slices", lambda *_: empty)
    monkeypatch.setattr(brats_slices, "segment_image", lambda *_: sample.mask)
    assert all(math.isnan(value) for value in scores(None, folder, "test").values())


@pytest.mark.parametrize(("name", "count"), [("U-Net", 7_766_372), ("PDE-UNet", 7_766_628)])
def test_parameters_are_those_of_the_paper(name, count):
    with torch.device("meta"):
        network = MODELS[NETWORKS[name]](4, 1 + len(REGIONS), WIDTHS, 2)
    assert sum(p.numel() for p in network.parameters()) == count
