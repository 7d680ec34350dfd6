"""``segtrain evaluate``: the scores of a model, beside those of another one if there is one."""

from pathlib import Path
from typing import Annotated

import typer

from cli import common
from cli.decoding import Decode, with_decoding
from phasegen.errors import InputError
from phasegen.images import list_images
from segtrain.config import CLASSES
from segtrain.evaluate import Evaluation, evaluate_folder, evaluate_source
from segtrain.findings import (
    Compared,
    class_table,
    comparison_table,
    image_table,
    score_table,
    write_evaluation,
)
from segtrain.metrics import compare
from segtrain.predict import Segmenter, load_segmenter
from segtrain.sources import open_source


def evaluate(
    images: Annotated[Path | None, typer.Option(help="Folder of real images.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of their masks.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Other data: a store, or FORMAT:PATH[,OPTION=VALUE...].")
    ] = None,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint of the training.")] = Path(
        "runs/segtrain/best.pt"
    ),
    against: Annotated[
        Path | None,
        typer.Option(help="Another checkpoint: the difference image by image, and its p-value."),
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Of boundary F1, pixels.")] = 2.0,
    decode: Decode = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write [default: evaluation beside it].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Score a model on labelled images: tables, JSON, CSV and an HTML report.

    Unions of classes by which a data set is judged, such as ET, TC and WT of BraTS, are scored
    beside its classes. Data resampled by spacing= are scored on the resampled truth.
    """
    segmenter = with_decoding(load_segmenter(checkpoint, device), decode)
    other = load_segmenter(against, device) if against else None

    def scored(one: Segmenter, task: str) -> Evaluation:
        if data is not None and images is None and masks is None:
            source = open_source(data, 1, one.target != CLASSES, one.axes)
            with common.progress(task, source.count) as advance:
                return evaluate_source(one, source, tolerance, advance)
        if images is not None and masks is not None and data is None:
            with common.progress(task, len(list_images(images))) as advance:
                return evaluate_folder(one, images, masks, tolerance, advance)
        remedy = "Give --images and --masks, or --data"
        raise InputError("evaluate", "needs labelled images", remedy)

    result = scored(segmenter, "evaluate")
    compared: Compared | None = None
    if other:
        compared = str(against), compare(scored(other, "against").scores, result.scores)
    target = out or checkpoint.parent / "evaluation"
    report = write_evaluation(target, result, segmenter, tolerance, compared)
    common.table(*image_table(result))
    common.table(*score_table(result, tolerance))
    common.table(*class_table(result, tolerance))
    if compared:
        common.table(*comparison_table(result, tolerance, compared))
    print(report)
