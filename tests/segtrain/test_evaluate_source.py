"""Scores on data of published formats: regions, units, pixel sizes, two models."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from segtrain.data.medical import BRATS_CLASSES
from segtrain.data.source import Labelled, Source
from segtrain.evaluate import evaluate_source, unit_of
from segtrain.findings import class_table, comparison_table, score_table, write_evaluation
from segtrain.metrics import compare, overlap
from segtrain.predict import Segmenter
from segtrain.preparation import Preparation

CPU = torch.device("cpu")


class Levels(torch.nn.Module):
    """The class is the nearest whole grey value."""

    multiple, halo = 1, 0

    def forward(self, x):
        return torch.cat([-((x - value) ** 2) for value in range(4)], dim=1)


def scans(classes=BRATS_CLASSES, noise=0.4, spacing=(3.0, 0.5), count=3):
    """Images whose grey values are those of the masks, more or less."""
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(count):
        mask = np.kron(rng.integers(0, 4, (6, 6)), np.ones((4, 4), int)).astype(np.uint8)
        image = (mask + noise * rng.normal(size=mask.shape)).astype(np.float32)
        samples.append(Labelled(image[None], mask, np.ones(mask.shape, np.float32)))
    record = {"path": "scans", "labels": "drawn"}
    names = tuple(f"case {n}" for n in range(count))
    return Source(
        classes, count, samples.__getitem__, record, spacing=spacing, oriented=True, names=names
    )


def model(classes=BRATS_CLASSES, spacing=(3.0, 0.5)):
    prepared = Preparation(spacing=spacing)
    return Segmenter(Levels(), classes, CPU, (), spacing=spacing, prepared=prepared)


def test_brats_is_judged_by_its_regions_too():
    source = scans()
    result = evaluate_source(model(), source, 1.0)
    assert result.classes == (*BRATS_CLASSES, "ET", "TC", "WT")
    row = result.scores["case 0"]
    sample = source.load(0)
    # Of probabilities over four quarter turns nothing changes, pixel by pixel.
    found = np.clip(np.round(sample.image[0]), 0, 3)
    for region, members in (("ET", (1,)), ("TC", (1, 2)), ("WT", (1, 2, 3))):
        parts = np.isin(found, members), np.isin(sample.mask, members)
        assert row[f"dice_{region}"] == pytest.approx(overlap(*parts).dice)
    assert row["dice_TC"] != row["dice_ET"]
    assert row["hd95_WT"] == row["hd95"]
    assert evaluate_source(model(tuple("abcd")), scans(tuple("abcd")), 1.0).classes == tuple("abcd")


def test_the_table_of_classes_has_a_unit():
    result = evaluate_source(model(), scans(), 1.0)
    header, rows = class_table(result, 1.0)
    assert header == ["class", "IoU", "Dice", "boundary F1, 1 px", "HD95, mm"]
    assert [row[0] for row in rows] == list(result.classes)
    cells = dict(zip(header, rows[-1], strict=True))
    assert cells["Dice"] == f"{result.summary['dice_WT'].mean:.3f}"
    assert cells["HD95, mm"] == f"{result.summary['hd95_WT'].mean:.3f}"
    _, rows = score_table(result, 1.0)
    words = {row[0]: row[1:] for row in rows}
    assert words["95 % Hausdorff distance, mm"][0] == str(result.summary["hd95"])
    assert words["foreground Dice"][1] == f"{result.pooled['dice']:.3f}"
    pixels = replace(scans(spacing=(1.0, 1.0)), oriented=False)
    assert evaluate_source(model(spacing=(1.0, 1.0)), pixels, 1.0).unit == "px"
    assert unit_of(replace(pixels, spacing=(3.0, 1.0, 1.0))) == "px"  # slices of a store
    assert unit_of(replace(pixels, spacing=(0.2, 0.2))) == "unit of the pixel size"


@pytest.mark.parametrize(
    ("trained", "given", "warned"),
    [
        ((1.0, 1.0), (3.0, 0.5), True),
        ((3.0, 0.5), (3.02, 0.5), False),
        ((), (3.0, 0.5), False),  # nobody knows
        ((2.0, 3.0, 0.5), (3.0, 0.5), False),  # volumes, of which a slice was learned from
    ],
)
def test_pixels_of_another_size_are_warned_of(caplog, trained, given, warned):
    one = replace(model(), prepared=Preparation(spacing=trained))
    with caplog.at_level(logging.WARNING, "segtrain.evaluate"):
        evaluate_source(one, scans(spacing=given, count=1), 1.0)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    if warned:
        said = caplog.records[0].getMessage()
        assert "scans has pixels of 3 x 0.5, the training had 1 x 1" in said
        assert "spacing=1:1" in said


def test_the_comparison_of_two_models_reaches_table_and_files(tmp_path):
    ours, theirs = (
        evaluate_source(model(), scans(noise=noise, count=6), 1.0) for noise in (0.3, 0.6)
    )
    found = compare(theirs.scores, ours.scores)
    header, rows = comparison_table(ours, 1.0, ("other.pt", found))
    assert header == ["this model less the other", "mean [95 % interval]", "p (Wilcoxon)", "images"]
    cells = {row[0]: row[1:] for row in rows}
    gained = ours.summary["dice"].mean - theirs.summary["dice"].mean
    assert gained > 0.05
    assert cells["foreground Dice"][0].startswith(f"{gained:+.3f} [+")
    assert cells["foreground Dice"][1:] == ["0.031", "6"]  # 2 / 2^6, the least of six images
    write_evaluation(tmp_path, ours, model(), 1.0, ("other.pt", found))
    text = (tmp_path / "metrics.json").read_text()
    assert '"model": "other.pt"' in text
    assert '"p": 0.03125' in text
    page = (tmp_path / "report.html").read_text()
    assert "Against other.pt" in page
    assert "p (Wilcoxon)" in page
