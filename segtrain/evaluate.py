"""Scores on real, labelled images: tables, JSON, CSV and one HTML report with pictures."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.contact_sheet import colour
from phasegen.errors import InputError
from phasegen.files import make_folder, written_whole
from phasegen.images import (
    TIFF,
    list_images,
    pair_masks,
    read_mask,
    read_micrograph,
    write_image,
)
from phasegen.store import open_store
from segtrain import report
from segtrain.metrics import Summary, evaluate, summarise
from segtrain.predict import Segmenter, segment

PICTURED, LARGEST = 6, 400
"""Images shown in the report, and the side to which they are cropped."""

Scores = Mapping[str, Mapping[str, float]]
"""Metrics by image name."""

Picture = tuple[str, NDArray[Any], NDArray[np.uint8], NDArray[np.uint8]]
"""Name, image, prediction and truth."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a segmenter on a folder.

    Attributes
    ----------
    scores : dict of dict
        Metrics by image name.
    summary : dict of Summary
        Mean over the images with a 95 % bootstrap interval, by metric.
    pictures : list of Picture
        Some of the images, for the report.
    """

    scores: Scores
    summary: Mapping[str, Summary]
    pictures: list[Picture]


def evaluate_folder(
    segmenter: Segmenter,
    images: Path,
    masks: Path,
    tolerance: float,
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Segment every image of a folder and score it against its mask, info bar left out.

    Masks that know no class beyond 1, in all the folder, count as foreground and background.

    Raises
    ------
    InputError
        If images and masks do not fit each other or the model's classes.
    """
    pairs = pair_masks(images, masks)
    truths = [read_mask(mask, read_micrograph(image).pixels.shape) for image, mask in pairs]
    most, classes = max(int(truth.max()) for truth in truths), segmenter.classes
    if most >= len(classes):
        raise InputError(
            masks,
            f"holds class {most}, the model knows {len(classes)} ({', '.join(classes)})",
            "Give masks with the model's classes, or binary ones",
        )
    binary = most <= 1
    names = (classes[0], "foreground") if binary else classes
    scores: dict[str, dict[str, float]] = {}
    pictures: list[Picture] = []
    for (image, _), truth in zip(pairs, truths, strict=True):
        micrograph = read_micrograph(image)
        rows = len(micrograph.scene)
        prediction, truth = segment(segmenter, micrograph)[:rows], truth[:rows]
        if binary:
            prediction = (prediction > 0).astype(np.uint8)
        scores[image.name] = evaluate(prediction, truth, names, tolerance=tolerance)
        if len(pictures) < PICTURED:
            crop = (slice(LARGEST), slice(LARGEST))
            pictures.append((image.name, micrograph.scene[crop], prediction[crop], truth[crop]))
        advance()
    return Evaluation(scores, summarise(scores), pictures)


def write_evaluation(
    out: Path, evaluation: Evaluation, segmenter: Segmenter, tolerance: float
) -> Path:
    """Write ``metrics.json``, ``metrics.csv`` and ``report.html`` to a folder; returns the last."""
    make_folder(out)
    summary = {
        name: {"mean": s.mean, "low": s.low, "high": s.high, "images": s.images}
        for name, s in evaluation.summary.items()
    }
    content = {
        "tolerance": tolerance,
        "summary": summary,
        "images": evaluation.scores,
        "sources": segmenter.sources,
    }
    _write(out / "metrics.json", json.dumps(_finite(content), indent=1))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", *evaluation.summary])
    writer.writerows([name, *row.values()] for name, row in evaluation.scores.items())
    _write(out / "metrics.csv", text.getvalue())
    blocks = [
        report.heading("Scores"),
        report.table(*score_table(evaluation, tolerance), caption="Mean [95 % bootstrap interval]"),
        report.heading("What the model has seen"),
        *(report.paragraph(describe(source)) for source in segmenter.sources),
        *_journey(segmenter, evaluation),
        report.heading("Predictions"),
        report.overlay_legend(tolerance),
    ]
    for name, image, prediction, truth in evaluation.pictures:
        scores = evaluation.scores[name]
        caption = f"{name}: IoU {scores['iou']:.3f}, boundary F1 {scores['bf1']:.3f}"
        shown = report.overlay(image, prediction, truth, tolerance=tolerance)
        blocks.append(
            report.figure(
                [("image", image), ("prediction", colour(prediction)), ("boundaries", shown)],
                caption,
            )
        )
    header = ["image", *evaluation.summary]
    rows = [[name, *_cells(row.values())] for name, row in evaluation.scores.items()]
    blocks += [report.heading("Every image"), report.table(header, rows, caption="")]
    report.write_report(out / "report.html", "Segmentation without hand-drawn labels", blocks)
    return out / "report.html"


def score_table(evaluation: Evaluation, tolerance: float) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of mean scores, in words."""
    words = {
        "iou": "foreground IoU",
        "dice": "foreground Dice",
        "bf1": f"boundary F1, {tolerance:g} px",
        "bf1_diag": "boundary F1, 0.75 % of the diagonal",
        "miou": "mean IoU of the classes",
    }
    rows = [
        [words.get(name, name.replace("iou_", "IoU of ")), str(summary)]
        for name, summary in evaluation.summary.items()
    ]
    return ["metric", "mean [95 % interval]"], rows


def describe(source: Mapping[str, Any]) -> str:
    """One sentence on a data source of the training."""
    labels = {
        "simulated": "exact labels from simulation",
        "drawn": "labels drawn by hand",
        "predicted": "no labels: the model's own predictions",
    }[source["labels"]]
    chain = [
        f"{parent['method']} in the style of {parent['real']['folder']}"
        for parent in source["parents"]
        if parent["kind"] == "translation"
    ]
    origin = f", {', '.join(chain)}" if chain else ""
    return f"{source['path']}: {source['samples']} images ({source['kind']}{origin}), {labels}."


def _journey(segmenter: Segmenter, evaluation: Evaluation) -> list[str]:
    """Simulated, translated and real side by side, where the stores are still at hand."""
    for source in segmenter.sources:
        parents = [p["path"] for p in source["parents"] if p["kind"] == "store"]
        try:
            translated = open_store(source["path"]) if parents else None
            simulated = open_store(parents[0]) if parents else None
            if translated and simulated:
                real = evaluation.pictures[0][1]
                crop = tuple(
                    slice(min(a, b)) for a, b in zip(real.shape, translated.shape, strict=True)
                )
                pictures = [
                    ("exact mask", colour(simulated.load("mask", 0)[crop])),
                    ("simulated", simulated.load("image", 0)[0][crop]),
                    ("translated", translated.load("image", 0)[0][crop]),
                    ("real", real[crop]),
                ]
                caption = "The training image has the style of the real one, and an exact mask."
                return [
                    report.heading("From simulation to micrograph"),
                    report.figure(pictures, caption),
                ]
        except InputError:
            continue
    return []


def predict_folder(
    segmenter: Segmenter,
    folder: Path,
    out: Path,
    advance: Callable[[], None] = lambda: None,
    overwrite: bool = False,
) -> None:
    """Write a class mask for every image of a folder, of the same name and size.

    TIFF stays TIFF, everything else becomes PNG.

    Raises
    ------
    InputError
        If an image cannot be read, two of them would give one mask, or, without `overwrite`, a
        mask is there already; nothing is written then.
    """
    paths = list_images(folder)
    targets = [out / (p.name if p.suffix.lower() in TIFF else f"{p.stem}.png") for p in paths]
    if len(set(targets)) < len(targets):
        raise InputError(folder, "holds images that differ in suffix alone", "Rename them")
    for path, target in zip(paths, targets, strict=True):
        read_micrograph(path)
        if target.exists() and not overwrite:
            raise InputError(target, "exists already", "Choose another --out, or --overwrite")
    make_folder(out)
    for path, target in zip(paths, targets, strict=True):
        write_image(target, segment(segmenter, read_micrograph(path)))
        advance()


def _write(path: Path, text: str) -> None:
    with written_whole(path) as partial:
        # File names need not be text: what UTF-8 cannot hold becomes a question mark.
        partial.write_text(text, encoding="utf-8", errors="replace", newline="")


def _cells(values: Any) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.3f}" for value in values]


def _finite(value: Any) -> Any:
    """The same with None for NaN, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
