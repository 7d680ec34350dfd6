"""A learning curve: what a few labelled images are worth."""

import json
from collections.abc import Sequence
from itertools import product
from math import isnan
from pathlib import Path
from typing import NamedTuple

from phasegen import checkpoint, devices, distributed
from phasegen.errors import InputError
from phasegen.files import written_whole
from segtrain import charts, report
from segtrain.config import CLASSES, Training
from segtrain.loop import KIND, Progress
from segtrain.metrics import interval
from segtrain.sources import open_sources
from segtrain.train import train

PAGE = "few_shot.html"


class Point(NamedTuple):
    """One run of a learning curve.

    Attributes
    ----------
    shots : int
        Labelled images of the last source that it learned from.
    seed : int
        Of its draw of these and of those held out, its first weights and its patches.
    score : float
        Its best score on those held out.
    checkpoint : Path
        Where it is.
    """

    shots: int
    seed: int
    score: float
    checkpoint: Path


def learning_curve(
    config: Training,
    shots: Sequence[int],
    out: Path,
    progress: Progress,
    overwrite: bool = False,
    seeds: int = 1,
) -> list[Point]:
    """Train on the first n labelled images of the last source, for every n and seed.

    With one seed the images held out are the same for all, and each n has the images of the smaller
    ones. There is no self-training: the curve is that of the labels. Every run is a folder
    ``OUT/shots-N``, and ``OUT/shots-N-seed-S`` of the seeds after the first one, that goes on where
    it stopped; ``few_shot.json`` and ``few_shot.html`` are written at the end.

    Raises
    ------
    InputError
        If there are too few images, none is held out, or as `train` does; before the first run.
    """
    config = config.model_copy(update={"adapt": None})
    if not shots or min(shots) < 1:
        raise InputError("--few-shot", f"is {list(shots)}", "Give numbers of images from 1")
    if not config.validation:
        problem = "needs images that are held out"
        raise InputError("--few-shot", problem, "Use --set validation=4, or another number")
    last = open_sources(config)[-1]
    if max(shots) > (most := last.count - config.validation):
        problem = f"has {last.count} images: {config.validation} are held out, {max(shots)} are"
        remedy = f"Give more images, or at most --few-shot {most}" if most > 0 else "Give more"
        raise InputError(str(last.record["path"]), f"{problem} asked for", remedy)
    points = []
    with distributed.group(devices.choose(config.device)):
        for count, number in product(sorted(set(shots)), range(seeds)):
            few = config.model_copy(update={"shots": count, "seed": config.seed + number})
            folder = f"shots-{count}" + (f"-seed-{few.seed}" if number else "")
            best = train(few, out / folder, progress, overwrite)
            distributed.first(lambda: None)  # until the first process has written it
            score = float(checkpoint.load(best, KIND)["score"])
            points.append(Point(count, few.seed, score, best))
    if not distributed.rank():
        _write(config, points, out)
    return points


def means(points: Sequence[Point]) -> list[tuple[str, str]]:
    """Images, and the mean score of their runs with its 95 % interval of Student's t."""
    rows = []
    for shots in dict.fromkeys(point.shots for point in points):
        mean, half = interval([point.score for point in points if point.shots == shots])
        rows.append((str(shots), f"{mean:.3f}" + ("" if isnan(half) else f" ± {half:.3f}")))
    return rows


def metric(config: Training) -> str:
    """Name of the score of a configuration's validation."""
    return "IoU" if config.target == CLASSES else "PQ"


def _write(config: Training, points: Sequence[Point], out: Path) -> None:
    name = metric(config)
    content = {
        "metric": f"validation {name}",
        "validation": config.validation,
        "points": [
            p._asdict() | {"checkpoint": str(p.checkpoint.relative_to(out))} for p in points
        ],
        "config": config.model_dump(mode="json", exclude={"shots"}),
    }
    with written_whole(out / "few_shot.json") as partial:
        partial.write_text(json.dumps(content, indent=1))
    seeds = list(dict.fromkeys(p.seed for p in points))
    each = (
        f"one run each (seed {seeds[0]}), on the same {config.validation} images held out"
        if len(seeds) == 1
        else f"mean of the seeds {seeds[0]} to {seeds[-1]} ± 95 % interval of Student's t, each on "
        f"{config.validation} images that it holds out"
    )
    caption = f"Best validation {name} of {config.model}, {each}. No self-training."
    rows = means(points)
    shown = [(shots, float(text.split()[0])) for shots, text in rows]
    blocks = [
        charts.curve(shown, "labelled images", name, caption),
        report.table(("images", name), rows, caption),
    ]
    report.write_report(out / PAGE, "What a few labelled images are worth", blocks)
