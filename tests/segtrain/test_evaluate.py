"""Scores and masks of whole folders, and the report that says where a model comes from."""

import csv
import json
import re

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from scipy import ndimage

from phasegen.errors import InputError
from phasegen.images import read_mask, read_micrograph, write_image
from phasegen.store import create, digest, open_store
from segtrain import evaluate
from segtrain.config import Training
from segtrain.evaluate import evaluate_folder, predict_folder
from segtrain.findings import describe, write_evaluation
from segtrain.metrics import iou
from segtrain.predict import Segmenter, build

CPU = torch.device("cpu")
TRANSLATION = {"kind": "translation", "method": "fda", "real": {"folder": "data/nickel"}}


def record(labels, path="a", kind="simulation", parents=()):
    return {
        "labels": labels,
        "path": str(path),
        "kind": kind,
        "samples": 12,
        "digest": "",
        "parents": list(parents),
    }


def model(classes=("a", "b", "c"), sources=()):
    """A segmenter whose network is replaced by `answers`."""
    return Segmenter(torch.nn.Identity(), classes, CPU, tuple(sources))


def answers(monkeypatch, answer):
    """Let the segmenter answer ``answer(micrograph)``, its info bar set to 0 as in reality."""

    def segment(_, micrograph):
        mask = np.array(answer(micrograph), np.uint8)
        mask[len(micrograph.scene) :] = 0
        return mask

    monkeypatch.setattr(evaluate, "segment", segment)


def blobs(shape, classes, seed):
    """Random regions of every class."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    levels = np.quantile(smooth, np.linspace(0, 1, classes + 1)[1:-1])
    return np.digitize(smooth, levels).astype(np.uint8)


def folders(path, classes, count=3, bar=0):
    """Images of noise with masks; a bar is part of the image, its mask is noise, too."""
    images, masks = path / "images", path / "masks"
    images.mkdir()
    masks.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(50, 200, (96, 80), np.uint8)
        if bar:
            pixels[-bar:] = 0
            pixels[-bar + 5 : -4, 4:-4:5] = 255
        write_image(images / f"{number}.png", pixels)
        write_image(masks / f"{number}.png", blobs((96, 80), classes, number))
    return images, masks


def perfect(row):
    """Whether all shares are 1 and all distances 0."""
    distance = ("hd", "assd")
    return all(value == (not name.startswith(distance)) for name, value in row.items())


def truth_of(masks):
    return lambda micrograph: read_mask(masks / f"{micrograph.path.stem}.png")


def test_a_perfect_model_scores_one(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 3)
    answers(monkeypatch, truth_of(masks))
    calls = []
    result = evaluate_folder(model(), images, masks, 2.0, lambda: calls.append(1))
    assert list(result.scores) == ["0.png", "1.png", "2.png"]
    assert len(calls) == 3
    for row in result.scores.values():
        assert set(row) >= {"iou", "bf1", "iou_a", "iou_b", "iou_c"}
        assert perfect(row)
    assert perfect({name: summary.mean for name, summary in result.summary.items()})
    assert {summary.images for summary in result.summary.values()} == {3}


def test_a_wrong_model_scores_what_it_deserves(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 3)
    truth = truth_of(masks)
    answers(monkeypatch, lambda micrograph: 2 * (truth(micrograph) > 0))
    result = evaluate_folder(model(), images, masks, 2.0)
    for row in result.scores.values():
        assert row["iou"] == 1  # foreground it is, of the wrong class
        assert row["iou_b"] == 0
        assert row["iou_c"] == pytest.approx(1 / 2, abs=0.01)


def test_every_image_is_scored_against_its_own_mask(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 2)
    first = read_mask(masks / "0.png")
    answers(monkeypatch, lambda _: first)
    scores = evaluate_folder(model(("a", "b")), images, masks, 2.0).scores
    assert scores["0.png"]["iou"] == 1
    assert scores["1.png"]["iou"] == iou(first, read_mask(masks / "1.png")) < 0.6


def test_binary_masks_ask_for_foreground_alone(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 2)
    answers(monkeypatch, lambda micrograph: 2 * truth_of(masks)(micrograph))
    result = evaluate_folder(model(), images, masks, 2.0)
    assert [name for name in result.summary if name[:4] == "iou_"] == ["iou_a", "iou_foreground"]
    assert perfect({name: summary.mean for name, summary in result.summary.items()})
    assert all(prediction.max() == 1 for _, _, prediction, _ in result.pictures)


def test_one_mask_with_more_classes_makes_the_folder_one_of_classes(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 2)
    write_image(masks / "2.png", blobs((96, 80), 3, 2))
    write_image(images / "2.png", np.random.default_rng(2).integers(0, 255, (96, 80), np.uint8))
    answers(monkeypatch, truth_of(masks))
    result = evaluate_folder(model(), images, masks, 2.0)
    assert [name for name in result.summary if name[:4] == "iou_"] == ["iou_a", "iou_b", "iou_c"]
    assert np.isnan(result.scores["0.png"]["iou_c"])
    assert result.summary["iou_c"].images == 1


def test_classes_that_the_model_does_not_know(tmp_path):
    images, masks = folders(tmp_path, 4)
    with pytest.raises(InputError, match=r"masks: holds class 3, the model knows 3 \(a, b, c\)"):
        evaluate_folder(model(), images, masks, 2.0)


def test_the_info_bar_is_not_scored(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 3, bar=16)
    assert read_micrograph(images / "0.png").bar == 16
    assert read_mask(masks / "0.png")[-16:].any()
    answers(monkeypatch, truth_of(masks))
    result = evaluate_folder(model(), images, masks, 2.0)
    assert all(perfect(row) for row in result.scores.values())
    assert {part.shape for picture in result.pictures for part in picture[1:]} == {(80, 80)}


def test_the_tolerance_counts(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 2)
    answers(monkeypatch, lambda micrograph: np.roll(truth_of(masks)(micrograph), 3, axis=1))
    strict, lenient = (evaluate_folder(model(), images, masks, t).summary for t in (0, 5))
    assert strict["bf1"].mean < 0.5 < 0.95 < lenient["bf1"].mean
    assert strict["iou"] == lenient["iou"]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Folder of an evaluation with an undefined score and a name that HTML must not read."""
    images, masks = folders(tmp_path, 3)
    for number in (1, 2):
        mask = read_mask(masks / f"{number}.png")
        write_image(masks / f"{number}.png", np.where(mask == 2, 0, mask).astype(np.uint8))
    for one in (images, masks):
        (one / "2.png").rename(one / "<b>2, µm.png")
    answers(monkeypatch, truth_of(masks))
    sources = [record("simulated", "sim.zarr"), record("predicted", "http:/unlabelled")]
    segmenter = model(sources=sources)
    result = evaluate_folder(segmenter, images, masks, 2.0)
    out = tmp_path / "new" / "evaluation"
    assert write_evaluation(out, result, segmenter, 2.0) == out / "report.html"
    assert {path.name for path in out.iterdir()} == {"metrics.json", "metrics.csv", "report.html"}
    return out


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_json_of_an_evaluation(written):
    content = json.loads((written / "metrics.json").read_text(), parse_constant=refuse)
    assert content["tolerance"] == 2
    assert [source["labels"] for source in content["sources"]] == ["simulated", "predicted"]
    assert content["images"]["0.png"]["iou_c"] == 1
    assert content["images"]["1.png"]["iou_c"] is None
    assert content["summary"]["iou_c"] == {"mean": 1, "low": None, "high": None, "images": 1}
    assert content["summary"]["iou"] == {"mean": 1, "low": 1, "high": 1, "images": 3}


def test_csv_of_an_evaluation(written):
    with (written / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["0.png", "1.png", "<b>2, µm.png"]
    assert list(rows[0])[1:5] == ["iou", "dice", "bf1", "bf1_diag"]
    assert [float(row["iou_c"]) for row in rows] == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    assert {float(row["iou"]) for row in rows} == {1.0}


def test_report_of_an_evaluation(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|<script|<link|<iframe", page)
    references = re.findall(r'(?:src|href|data|action)\s*=\s*"([^"]*)"', page)
    assert len(references) == 3 * 3  # three pictures of every image
    assert all(reference.startswith("data:image/") for reference in references)
    assert "<b>" not in page
    assert "&lt;b&gt;2, µm.png" in page
    for sentence in ("exact labels from simulation", "the model&#x27;s own predictions"):
        assert sentence in page


def test_file_names_that_are_no_text(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 2)
    answers(monkeypatch, truth_of(masks))
    result = evaluate_folder(model(), images, masks, 2.0)
    name = b"ni\xff.tif".decode("utf-8", "surrogateescape")
    scores = {name: result.scores["0.png"]}
    named = evaluate.Evaluation(scores, result.summary, [(name, *result.pictures[0][1:])])
    write_evaluation(tmp_path / "out", named, model(), 2.0)
    assert (tmp_path / "out" / "metrics.csv").read_text("utf-8").splitlines()[1].startswith("ni?")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (record("simulated"), "a: 12 images (simulation), exact labels from simulation."),
        (
            record("simulated", kind="translation", parents=[{"kind": "store"}, TRANSLATION]),
            "a: 12 images (translation, fda in the style of data/nickel), "
            "exact labels from simulation.",
        ),
        (
            record("drawn", kind="image folder"),
            "a: 12 images (image folder), labels drawn by hand.",
        ),
        (
            record("predicted", kind="unlabelled images"),
            "a: 12 images (unlabelled images), no labels: the model's own predictions.",
        ),
    ],
)
def test_a_source_in_words(source, sentence):
    assert describe(source) == sentence


def translated(simulation, path):
    """A store that says it was translated from `simulation`."""
    source = open_store(simulation)
    parents = [
        {"kind": "store", "path": str(simulation), "digest": digest(simulation)},
        TRANSLATION,
    ]
    target = create(
        path,
        samples=1,
        shape=source.shape,
        classes=source.classes,
        kind="translation",
        seeds=source.seeds[:1],
        config={},
        parameters=source.parameters[:1],
        parents=parents,
    )
    sample = source.read(0)
    target.write(0, image=1 - sample.image, mask=sample.mask, instance=sample.instance)
    return record("simulated", path, "translation", parents)


def test_the_journey_from_simulation_to_micrograph(simulation, tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 2)
    answers(monkeypatch, truth_of(masks))
    result = evaluate_folder(model(), images, masks, 2.0)

    def page(*sources):
        write_evaluation(tmp_path / "out", result, model(sources=sources), 2.0)
        return (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    journey = "From simulation to micrograph"
    source = translated(simulation, tmp_path / "a.zarr")
    assert journey in page(source, record("predicted", images))
    assert journey not in page(record("simulated", simulation))
    # A store that has been moved away since takes nothing but the pictures with it.
    (tmp_path / "a.zarr").rename(tmp_path / "b.zarr")
    assert journey not in (moved := page(source))
    assert "in the style of data/nickel" in moved


@pytest.fixture
def network():
    """A segmenter that works, untrained."""
    torch.manual_seed(0)
    return Segmenter(build(Training(widths=(4, 8)), 1, 3, 2, CPU).eval(), ("a", "b", "c"), CPU, ())


def test_masks_have_name_and_size_of_their_images(tmp_path, network):
    rng = np.random.default_rng(0)
    shapes = {"a.tif": (33, 47), "b.TIFF": (20, 31), "c.png": (40, 24), "d.bmp": (21, 32)}
    for name, shape in shapes.items():
        if name == "d.bmp":
            Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(tmp_path / name)
        else:
            write_image(tmp_path / name, rng.integers(0, 65535, shape, np.uint16))
    out, calls = tmp_path / "out" / "masks", []
    predict_folder(network, tmp_path, out, lambda: calls.append(1))
    assert len(calls) == 4
    names = {"a.tif": "a.tif", "b.TIFF": "b.TIFF", "c.png": "c.png", "d.bmp": "d.png"}
    assert {path.name for path in out.iterdir()} == set(names.values())
    for image, mask in names.items():
        micrograph = read_micrograph(tmp_path / image)
        expected = evaluate.segment(network, micrograph)
        assert expected.shape == shapes[image]
        np.testing.assert_array_equal(read_mask(out / mask), expected)
    for mask in ("a.tif", "b.TIFF"):
        with tifffile.TiffFile(out / mask) as file:
            assert file.asarray().dtype == np.uint8
    for mask in ("c.png", "d.png"):
        with Image.open(out / mask) as file:
            assert (file.format, file.mode) == ("PNG", "L")


def test_an_existing_mask_is_replaced_only_on_demand(tmp_path, monkeypatch):
    images, masks = folders(tmp_path, 3, count=1)
    drawn = read_mask(masks / "0.png")
    answers(monkeypatch, lambda micrograph: np.full(micrograph.pixels.shape, 2))
    with pytest.raises(InputError, match=r"0\.png: exists already"):
        predict_folder(model(), images, masks)
    np.testing.assert_array_equal(read_mask(masks / "0.png"), drawn)
    predict_folder(model(), images, masks, overwrite=True)
    assert (read_mask(masks / "0.png") == 2).all()


def test_rows_of_the_info_bar_are_background(tmp_path, network):
    images, _ = folders(tmp_path, 2, count=1, bar=16)
    predict_folder(network, images, tmp_path / "out")
    mask = read_mask(tmp_path / "out" / "0.png")
    assert mask.shape == (96, 80)
    assert (mask[-16:] == 0).all()
    assert mask[:-16].any()


def test_nothing_is_written_when_an_image_cannot_be_read(tmp_path, network):
    images, _ = folders(tmp_path, 2, count=1)
    (images / "z.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"z\.png: cannot be read"):
        predict_folder(network, images, tmp_path / "out")
    (images / "z.png").unlink()
    Image.open(images / "0.png").save(images / "0.bmp")
    with pytest.raises(InputError, match="differ in suffix alone"):
        predict_folder(network, images, tmp_path / "out")
    assert not (tmp_path / "out").exists()
