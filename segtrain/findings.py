"""What an evaluation leaves: tables, JSON, CSV and one HTML report with pictures."""

import csv
import io
import json
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
from segtrain.metrics import Comparison, Summary
from segtrain.predict import Segmenter

HEADLINE = ("pq", "sq", "rq", "iou", "dice", "bf1", "hd95", "miou")
"""What is shown of every image; the files hold all scores."""


Compared = tuple[str, Mapping[str, Comparison]]
"""Name of another model, and by how much this one is above it, by metric."""


def write_evaluation(
    out: Path,
    evaluation: Evaluation,
    segmenter: Segmenter,
    tolerance: float,
    against: Compared | None = None,
) -> Path:
    """Write ``metrics.json``, ``metrics.csv`` and ``report.html`` to a folder; returns the last."""
    make_folder(out)
    content = {
        "tolerance": tolerance,
        "unit": evaluation.unit,
        "summary": {name: vars(one) for name, one in evaluation.summary.items()},
        "pooled": evaluation.pooled,
        "images": evaluation.scores,
        "sources": segmenter.sources,
    }
    if against:
        differences = {name: vars(c.difference) | {"p": c.p} for name, c in against[1].items()}
        content["against"] = {"model": against[0], "difference": differences}
    _write(out / "metrics.json", json.dumps(_finite(content), indent=1))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", *evaluation.summary])
    writer.writerows([name, *row.values()] for name, row in evaluation.scores.items())
    _write(out / "metrics.csv", text.getvalue())
    blocks = [
        report.heading("Scores"),
        report.table(
            *score_table(evaluation, tolerance),
            caption="Mean over the images [95 % bootstrap interval], and all images taken for one.",
        ),
        report.table(
            *class_table(evaluation, tolerance),
            caption="Means over the images; their intervals are in metrics.json.",
        ),
        *_comparison(evaluation, tolerance, against),
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


def class_table(evaluation: Evaluation, tolerance: float) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of every class and region."""
    scores = ("iou", "dice", "bf1", "hd95")
    rows = [
        [name, *_cells(evaluation.summary[f"{score}_{name}"].mean for score in scores)]
        for name in evaluation.classes
    ]
    header = ["class", "IoU", "Dice", f"boundary F1, {tolerance:g} px", f"HD95, {evaluation.unit}"]
    return header, rows


def comparison_table(
    evaluation: Evaluation, tolerance: float, against: Compared
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of differences between two models, image by image."""
    words = _words(evaluation, tolerance)
    rows = [
        [
            words[name],
            _signed(one.difference),
            f"{one.p:.2g}",
            str(one.difference.images),
        ]
        for name, one in against[1].items()
        if name in words
    ]
    return ["this model less the other", "mean [95 % interval]", "p (Wilcoxon)", "images"], rows


def score_table(evaluation: Evaluation, tolerance: float) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of mean and pooled scores, in words."""
    words = _words(evaluation, tolerance)
    rows = [
        [
            words[name],
            str(summary),
            *_cells([evaluation.pooled.get(name, np.nan)]),
        ]
        for name, summary in evaluation.summary.items()
        if name in words
    ]
    return ["metric", "mean [95 % interval]", "all images as one"], rows


def _signed(difference: Summary) -> str:
    interval = f" [{difference.low:+.3f}, {difference.high:+.3f}]"
    return f"{difference.mean:+.3f}{'' if np.isnan(difference.low) else interval}"


def _comparison(evaluation: Evaluation, tolerance: float, against: Compared | None) -> list[str]:
    if against is None:
        return []
    caption = (
        f"Against {against[0]}: mean difference over the images [95 % bootstrap interval], and "
        "the p-value of Wilcoxon's signed-rank test. Many scores are many tests."
    )
    rows = comparison_table(evaluation, tolerance, against)
    return [report.heading("Two models, image by image"), report.table(*rows, caption=caption)]


def _words(evaluation: Evaluation, tolerance: float) -> dict[str, str]:
    """What the scores that tables show are called."""
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
        "hd95": f"95 % Hausdorff distance, {evaluation.unit}",
        "assd": f"average surface distance, {evaluation.unit}",
    }
    return words | {f"iou_{name}": f"IoU of {name}" for name in evaluation.classes}


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
