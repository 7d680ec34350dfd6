"""Grains without labels: what is simulated and trained, and how it is scored."""

import sys

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label

from examples import grains
from phasegen.store import create, open_store
from segtrain.metrics import overlaps, panoptic_quality
from tests.segtrain.cells import field_model

SIZE = 64


def polycrystals(path, count):
    """A store of square grains, bright, with dark grooves between them."""
    store = create(
        path,
        samples=count,
        shape=(SIZE, SIZE),
        classes=("boundary", "grain"),
        kind="simulation",
        seeds=np.arange(count, dtype=np.uint64),
        config={},
        parameters=[{}] * count,
        parents=[],
    )
    for number in range(count):
        grain = np.ones((SIZE, SIZE), bool)
        grain[number::16], grain[:, number::16] = False, False
        grain[number + 1 :: 16], grain[:, number + 1 :: 16] = False, False
        instance = label(grain, connectivity=1).astype(np.uint32)
        image = (0.2 + 0.6 * grain).astype(np.float32)[None]
        store.write(number, image=image, mask=grain.astype(np.uint8), instance=instance)
    return path


def test_the_other_microscope_has_a_narrow_place_within_the_training():
    def span(text):
        return [float(one) for one in text.strip("[]").split(",")]

    assert set(grains.MICROSCOPE) == set(grains.OTHER)
    for name, text in grains.MICROSCOPE.items():
        (low, high), (least, most) = span(text), span(grains.OTHER[name])
        assert low < least < most < high, name
        assert most - least < (high - low) / 2, name


def test_the_whole_way(tmp_path, monkeypatch, capsys):
    """Simulation and training are replaced; stores, scores and picture are as they are."""
    calls = []

    def call(folder, command, *more):
        calls.append((command, more))
        if command.startswith("phasegen"):
            polycrystals(folder / command.split()[-1], 3)

    monkeypatch.setattr(grains, "_call", call)
    monkeypatch.setattr(grains, "load_segmenter", lambda _: field_model(h=0.05))
    monkeypatch.setattr(sys, "argv", ["grains.py", str(tmp_path / "work"), "--seed", "3"])
    grains.main()
    (learned, wide), (same, alike), (held, other), (training, _) = calls
    assert "--n 60 " in learned
    assert "--seed 3 " in learned
    assert "--seed 1003 " in same
    assert "--seed 1003 " in held
    assert wide == alike
    assert "--set=microscope.blur=[0.5,2.5]" in wide
    assert "--set=microscope.blur=[2,2.3]" in other
    assert "--target poisson" in training
    assert training.endswith("--seed 3")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:5]] == [
        [microscope, method]
        for microscope in ("same", "other")
        for method in ("threshold", "Poisson")
    ]
    for line in (lines[2], lines[4]):
        assert float(line.split()[3]) > 0.9  # grey values tell the grains apart
    with Image.open(tmp_path / "work/grains.png") as image:
        assert image.size == (3 * SIZE, 2 * SIZE)


def test_the_threshold_finds_grains(tmp_path):
    sample = open_store(polycrystals(tmp_path / "a.zarr", 1)).read(0)
    found = grains.threshold_and_watershed(sample.grey)
    assert panoptic_quality(overlaps(found, sample.instance)).rq > 0.5
    assert found.max() == pytest.approx(16, abs=9)
