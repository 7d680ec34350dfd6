"""Trust without labels: it falls as predictions do, and with the distance from the training."""

import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from phasegen.errors import InputError
from phasegen.images import Micrograph, read_mask, write_image
from segtrain import trust
from segtrain.data.source import describe_masks
from segtrain.metrics import boundary_f1
from segtrain.predict import Segmenter, segment
from segtrain.trust import PERTURBATIONS, Perturbation, Trust, judge, trust_folder
from tests.segtrain.test_adapt import specimen, trained

CPU = torch.device("cpu")

__all__ = ["trained"]  # a fixture, which pytest finds by its name


class Threshold(torch.nn.Module):
    """Class 1 where a grey value is above a level: what it says is known for every image."""

    multiple, halo = 1, 0

    def __init__(self, level=0.0):
        super().__init__()
        self.level = level

    def forward(self, x):
        return torch.cat([torch.zeros_like(x), 4 * (x - self.level)], dim=1)


def thresholder(level=0.0, **options):
    return Segmenter(Threshold(level), ("a", "b"), CPU, (), **options)


def discs(size=96, count=8, seed=0):
    """Bright discs, some of them cut by the frame."""
    y, x = np.mgrid[:size, :size]
    mask = np.zeros((size, size), bool)
    for centre in np.random.default_rng(seed).uniform(0, size, (count, 2)):
        mask |= np.hypot(y - centre[0], x - centre[1]) < 11
    return mask


def micrograph(pixels, bar=0):
    return Micrograph(Path("a.tif"), pixels.astype(np.float32), np.dtype("float32"), bar)


def soft(mask):
    return ndimage.gaussian_filter(mask.astype(float), 1.0)


def test_the_figure_ranks_images_as_the_truth_does(trained):
    """A network that has learned discs, under more and more noise: no label is shown to it."""
    rng = np.random.default_rng(1)
    figures, scores = [], []
    for level in (0.0, 0.04, 0.06, 0.075, 0.09, 0.11):
        pixels, truth = specimen(50)
        image = micrograph(pixels + rng.normal(0, level, truth.shape))
        figures.append(judge(trained, image).figure)
        scores.append(boundary_f1(segment(trained, image), truth))
    assert scores[0] > 0.9 > 0.6 > scores[-1]
    assert stats.spearmanr(figures, scores).statistic > 0.9
    assert figures[-1] < trust.THRESHOLD < figures[0]


@pytest.mark.parametrize("turns", range(4))
def test_what_was_turned_is_turned_back(turns):
    """Of a network that looks at single pixels the answer is the same, exactly."""
    x = np.random.default_rng(0).normal(size=(1, 1, 12, 20)).astype(np.float32)
    expected = thresholder().network(torch.from_numpy(x)).softmax(dim=1)
    torch.testing.assert_close(trust._once(thresholder(), x, Perturbation(turns)), expected)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_perturbations_leave_the_truth_in_its_place(name):
    truth = discs(120)
    x = ((soft(truth) - 0.5) * 3)[None, None].astype(np.float32)
    p = trust._once(thresholder(), x, PERTURBATIONS[name])
    assert p.shape == (1, 2, 120, 120)
    found = (ndimage.gaussian_filter(p[0, 1].numpy(), 1) > 0.5) & ndimage.binary_dilation(truth)
    assert boundary_f1(found, truth) > 0.95
    shifted = boundary_f1(np.roll(found, 4, axis=0), truth)
    assert shifted < 0.8


def test_what_is_far_from_the_training_is_not_trusted():
    """Inverted, an image gives the same boundaries, and the network is as sure of them."""
    truth = discs(128)
    source = {"structure": describe_masks([truth.astype(np.uint8)], 2)}
    segmenter = replace(thresholder(), sources=(source,))
    known, inverted = (judge(segmenter, micrograph(x)) for x in (soft(truth), -soft(truth)))
    assert inverted.agreement == pytest.approx(known.agreement, abs=0.05)
    assert inverted.strangeness > 5 * known.strangeness
    assert inverted.figure < known.figure
    assert known.doubt == ""
    assert "unlike the training" in inverted.doubt
    map_ = known.confidence
    assert Trust(1.0, 0.0, map_).figure == 1
    assert Trust(0.9, trust.FAR, map_).figure == pytest.approx(0.45)
    assert Trust(0.9, trust.FAR, map_).doubt == "unsure, unlike the training"


def test_a_prediction_without_boundary_is_not_trusted():
    blank = judge(thresholder(100.0), micrograph(soft(discs())))
    assert blank.agreement == blank.figure == 0


def test_confidence_is_that_of_the_written_mask_and_0_in_the_info_bar():
    pixels = np.pad(soft(discs()), ((0, 16), (0, 0)))
    confidence = judge(thresholder(), micrograph(pixels, bar=16)).confidence
    assert (confidence.dtype, confidence.shape) == (np.uint8, (112, 96))
    assert not confidence[96:].any()
    edge = ndimage.morphological_gradient(discs().astype(int), 3) > 0
    assert confidence[:96][edge].mean() < confidence[:96][~edge].mean()
    assert confidence[:96].max() > 240


def test_in_tiles_it_is_the_same(monkeypatch):
    ways = {name: way for name, way in PERTURBATIONS.items() if name == "skewed"}
    monkeypatch.setattr(trust, "PERTURBATIONS", ways)
    image = micrograph(soft(discs(200)) + np.linspace(0, 0.3, 200))
    whole = judge(thresholder(), image)
    monkeypatch.setattr(trust, "TILE", 64)
    tiled = judge(thresholder(), image)
    np.testing.assert_array_equal(tiled.confidence, whole.confidence)
    assert tiled.agreement == whole.agreement


def test_witnesses_that_disagree_lower_the_figure():
    image = micrograph(soft(discs()) + 0.3 * soft(discs(seed=5)))
    alone = judge(thresholder(), image)
    same = judge(thresholder(), image, [thresholder()] * 5)
    other = judge(thresholder(), image, [thresholder(1.2)] * 5)
    assert same.agreement == pytest.approx((alone.agreement + 1) / 2)
    assert other.agreement < alone.agreement < same.agreement
    stranger = replace(thresholder(), classes=("a", "c"))
    with pytest.raises(InputError, match=r"knows the classes a, c.*Use one that knows a, b"):
        judge(thresholder(), image, [stranger])
    with pytest.raises(InputError, match="predicts poisson of 1 channels and 2 axes"):
        judge(replace(thresholder(), target="poisson"), image)


@pytest.mark.parametrize(("steps", "short"), [(2, True), (100, False)])
def test_a_short_training_is_named_as_the_reason_of_strangeness(steps, short):
    """Normalisation starts from mean 0 and variance 1, and forgets a tenth of it at every step."""
    torch.manual_seed(0)
    x = 40 * torch.randn(4, 1, 16, 16) + 100  # as some layers see it
    layer = torch.nn.BatchNorm2d(1)
    for _ in range(steps):
        layer(x)
    mean, variance = x.mean(), x.var()
    shift, known = (mean - layer.running_mean).square(), layer.running_var
    strange = float(((variance + shift) / known + (known + shift) / variance - 2) / 4)
    doubt = Trust(0.9, strange, np.zeros((0, 0), np.uint8)).doubt
    assert doubt.endswith("too short to know") == short
    assert bool(doubt) == short


def test_a_folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    write_image(images / "good.png", (200 * soft(discs())).astype(np.uint8))
    write_image(images / "soft.tif", soft(discs(64, 3)).astype(np.float32))
    steps = []
    found = trust_folder(thresholder(), images, tmp_path / "out", lambda: steps.append(1))
    assert len(steps) == 2
    with (tmp_path / "out" / "trust.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(found) == ["good.png", "soft.tif"]
    for name, row in rows.items():
        assert float(row["trust"]) == pytest.approx(found[name].figure, abs=1e-3)
        assert row["doubt"] == found[name].doubt
    assert read_mask(tmp_path / "out" / "confidence" / "good.png").shape == (96, 96)
    assert (tmp_path / "out" / "confidence" / "soft.tif").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_of_many_doubtful_images_some_are_named(tmp_path, caplog):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(7):
        write_image(images / f"{number}.png", (200 * soft(discs(32, 2, number))).astype(np.uint8))
    with caplog.at_level(logging.WARNING, logger="segtrain.trust"):
        trust_folder(thresholder(100.0), images, tmp_path / "out")
    (message,) = caplog.messages
    assert message.startswith("7 of 7 masks are not to be trusted (unsure): 0.png, 1.png, 2.png")
    assert "4.png and 2 more; see" in message
    caplog.clear()
    trust_folder(thresholder(), images, tmp_path / "out")
    assert caplog.messages == []
