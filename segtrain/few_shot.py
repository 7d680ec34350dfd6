"""A learning curve: what a few labelled images are worth."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from phasegen import checkpoint, devices, distributed
from phasegen.errors import InputError
from phasegen.files import written_whole
from segtrain import charts, report
from segtrain.config import CLASSES, Training
from segtrain.loop import KIND, Progress
from segtrain.sources import open_data
from segtrain.train import train

PAGE = "few_shot.html"


class Point(NamedTuple):
    """One run of a learning curve.

    Attributes
    ----------
    shots : int
        Labelled images of the last source that it learned from.
    score : float
        Its best score on those held out.
    checkpoint : Path
        Where it is.
    """

    shots: int
    score: float
    checkpoint: Path


def learning_curve(
    config: Training,
    shots: Sequence[int],
    out: Path,
    progress: Progress,
    overwrite: bool = False,
) -> list[Point]:
    """Train on the first n labelled images of the last source, for every n.

    The images held out are the same for all, and each n has the images of the smaller ones. Every
    run is a folder ``OUT/shots-N`` that goes on where it stopped; ``few_shot.json`` and
    ``few_shot.html`` are written at the end.

    Raises
    ------
    InputError
        If there are too few images, none is held out, or as `train` does; before the first run.
    """
    if not shots or min(shots) < 1:
        raise InputError("--few-shot", f"is {list(shots)}", "Give numbers of images from 1")
    if not config.validation:
        problem = "needs images that are held out"
        raise InputError("--few-shot", problem, "Use --set validation=4, or another number")
    open_data(config.model_copy(update={"shots": max(shots)}))  # enough for all, or for none
    points = []
    with distributed.group(devices.choose(config.device)):
        for count in sorted(set(shots)):
            few = config.model_copy(update={"shots": count})
            best = train(few, out / f"shots-{count}", progress, overwrite)
            distributed.first(lambda: None)  # until the first process has written it
            points.append(Point(count, float(checkpoint.load(best, KIND)["score"]), best))
    if not distributed.rank():
        _write(config, points, out)
    return points


def metric(config: Training) -> str:
    """Name of the score of a configuration's validation."""
    return "IoU" if config.target == CLASSES else "PQ"


def _write(config: Training, points: Sequence[Point], out: Path) -> None:
    name = metric(config)
    content = {
        "metric": f"validation {name}",
        "validation": config.validation,
        "points": [
            {"shots": p.shots, "score": p.score, "checkpoint": str(p.checkpoint.relative_to(out))}
            for p in points
        ],
        "config": config.model_dump(mode="json", exclude={"shots"}),
    }
    with written_whole(out / "few_shot.json") as partial:
        partial.write_text(json.dumps(content, indent=1))
    caption = (
        f"Best validation {name} of {config.model}, one run each (seed {config.seed}), on the same "
        f"{config.validation} images held out."
    )
    shown = [(str(p.shots), p.score) for p in points]
    blocks = [
        charts.curve(shown, "labelled images", name, caption),
        report.table(("images", name), [(str(p.shots), p.score) for p in points], caption),
    ]
    report.write_report(out / PAGE, "What a few labelled images are worth", blocks)
