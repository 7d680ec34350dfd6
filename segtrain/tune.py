"""Choice of the decoding of a field on validation data: the background level epsilon, and h."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

from phasegen import checkpoint
from phasegen.errors import InputError
from segtrain.config import CLASSES, Training
from segtrain.data.source import Source
from segtrain.decode import Decoding, decode
from segtrain.loop import KIND
from segtrain.metrics import PanopticScore, overlaps, panoptic_quality, pool
from segtrain.predict import Segmenter, field_of
from segtrain.sources import open_data

EPSILONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Levels of the background that are tried; Ruiz Vargas et al. (2025) use 0.05 to 0.10."""

HEIGHTS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Depths of basins that are tried, the range of the same paper."""


@dataclass(frozen=True)
class Trial:
    """One decoding and the panoptic quality that all images together have with it."""

    decoding: Decoding
    score: PanopticScore


def tune(
    segmenter: Segmenter,
    source: Source,
    indices: Sequence[int] | None = None,
    *,
    epsilons: Sequence[float] = EPSILONS,
    heights: Sequence[float] = HEIGHTS,
    advance: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Score the present decoding and every pair of epsilon and h; the best trial comes first.

    The order is that of the pooled panoptic quality. Of equal ones the present decoding comes
    first, then that with the smaller epsilon, then that with the smaller h. Data without a true
    instance, of which it is best to find nothing, prefer none: the present decoding comes first.

    Parameters
    ----------
    segmenter : Segmenter
        Of a field; what its decoding says of sizes and holes is kept.
    source : Source
        Images or volumes with instances; pixels without weight count as background.
    indices : sequence of int, optional
        Which of them; all if left out.
    epsilons, heights : sequence of float
        What is tried, each in (0, 1).
    advance : callable
        Called after every image.

    Raises
    ------
    InputError
        If the segmenter predicts classes, or the data have no instances or other channels or axes.
    """
    path = str(source.record["path"])
    if segmenter.target == CLASSES:
        problem = "predicts classes, which need no decoding"
        raise InputError("the model", problem, "Train with --target poisson")
    if not source.instances:
        raise InputError(path, "has no instances", "Give other data")
    if (source.channels, source.axes) != (segmenter.channels, segmenter.axes):
        problem = (
            f"has {source.channels} channels and {source.axes} axes, the model "
            f"{segmenter.channels} and {segmenter.axes}"
        )
        raise InputError(path, problem, "Give data of the model's kind")
    pairs = product(sorted(epsilons), sorted(heights))
    tried = [replace(segmenter.decoding, epsilon=epsilon, h=h) for epsilon, h in pairs]
    grid = list(dict.fromkeys([segmenter.decoding, *tried]))
    scores: list[list[PanopticScore]] = [[] for _ in grid]
    for index in range(source.count) if indices is None else indices:
        sample = source.load(index)
        known = sample.weight > 0
        field = field_of(segmenter, sample.image)
        for decoding, found in zip(grid, scores, strict=True):
            labels = decode(field, **asdict(decoding)) * known
            found.append(panoptic_quality(overlaps(labels, sample.mask * known)))
        advance()
    trials = [Trial(one, pool(found)) for one, found in zip(grid, scores, strict=True)]
    return sorted(trials, key=lambda trial: -trial.score.pq if trial.score.true else 0.0)


def held_out(path: Path) -> tuple[Source, list[int]]:
    """The images that the training behind a checkpoint held out, found again by its configuration.

    Raises
    ------
    InputError
        If there were none, or the data of the training are gone or have changed since.
    """
    state = checkpoint.load(path, KIND)
    config = Training.model_validate(state["config"])
    remedy = "Give validation data with --data"
    if config.target == CLASSES:
        problem = "predicts classes, which need no decoding"
        raise InputError(path, problem, "Give a checkpoint of --target poisson or another field")
    if not config.validation:
        raise InputError(path, "comes from a training that held no image out", remedy)
    data = open_data(config)
    seen = {(record["path"], record["digest"]) for record in state["sources"]}
    for record in data.records:
        if (record["path"], record["digest"]) not in seen:
            raise InputError(str(record["path"]), "has changed since the training", remedy)
    return data.truth, data.validation


def write_decoding(path: Path, decoding: Decoding) -> None:
    """Write a decoding into a checkpoint, where `segtrain.predict.load_segmenter` finds it.

    Raises
    ------
    InputError
        If it is no checkpoint of the trainer, or cannot be written.
    """
    state = checkpoint.load(path, KIND)
    checkpoint.save(path, KIND, {**state, "decoding": asdict(decoding)})
