"""What an evaluation leaves: tables, JSON, CSV and one HTML report with pictures."""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phasegen.contact_sheet import colour
from phasegen.errors import InputError
from phasegen.files import make_folder, written_whole
from phasegen.store import open_store
from segtrain import report
from segtrain.evaluate import Evaluation
from segtrain.predict import Segmenter

HEADLINE = ("pq", "sq", "rq", "iou", "dice", "bf1", "hd95", "miou")
"""What is shown of every image; the files hold all scores."""


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
        "pooled": _pooled(evaluation),
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
    blocks += [
        report.heading("Every image"),
        report.table(*image_table(evaluation), caption="All scores are in metrics.csv."),
    ]
    report.write_report(out / "report.html", "Segmentation without hand-drawn labels", blocks)
    return out / "report.html"


def image_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of every image's most telling scores."""
    shown = [name for name in HEADLINE if name in evaluation.summary]
    rows = [[name, *_cells(row[one] for one in shown)] for name, row in evaluation.scores.items()]
    return ["image", *shown], rows


def score_table(evaluation: Evaluation, tolerance: float) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of mean scores, in words."""
    words = {
        "pq": "panoptic quality (PQ)",
        "sq": "segmentation quality (SQ)",
        "rq": "recognition quality (RQ)",
        "ap50": "average precision at IoU 0.5",
        "ap": "average precision, IoU 0.5-0.95",
        "seg": "SEG",
        "aji": "aggregated Jaccard index",
        "iou": "foreground IoU",
        "dice": "foreground Dice",
        "bf1": f"boundary F1, {tolerance:g} px",
        "bf1_diag": "boundary F1, 0.75 % of the diagonal",
        "miou": "mean IoU of the classes",
        "precision": "precision",
        "recall": "recall",
        "biou": "boundary IoU",
        "hd95": "95 % Hausdorff distance",
        "assd": "average surface distance",
    }
    rows = [
        [words.get(name, re.sub("^iou_", "IoU of ", name)), str(summary)]
        for name, summary in evaluation.summary.items()
        if name in words or name.startswith("iou_")
    ]
    if evaluation.pooled:
        pooled = " / ".join(f"{value:.3f}" for value in _pooled(evaluation).values())
        rows.append(["PQ / SQ / RQ, all images pooled", pooled])
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


def _pooled(evaluation: Evaluation) -> dict[str, float]:
    panoptic = evaluation.pooled
    return {"pq": panoptic.pq, "sq": panoptic.sq, "rq": panoptic.rq} if panoptic else {}


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
