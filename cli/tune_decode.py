"""``segtrain tune-decode``: how instances are found in a field, chosen on validation data."""

from pathlib import Path
from typing import Annotated

import typer

from cli import common
from segtrain.predict import load_segmenter
from segtrain.sources import open_source
from segtrain.tune import EPSILONS, HEIGHTS, held_out, tune, write_decoding

SHOWN = 10
"""Best trials that are printed."""


def tune_decode(
    checkpoint: Annotated[
        Path, typer.Option(help="Checkpoint of a field; the choice is written into it.")
    ] = Path("runs/segtrain/best.pt"),
    data: Annotated[
        str | None,
        typer.Option(
            help="Validation data, a store or FORMAT:PATH[,OPTION=VALUE...] "
            "[default: the images that the training held out]."
        ),
    ] = None,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Background level to try; repeatable [default: a grid]."),
    ] = None,
    h: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Depth of basins to try; repeatable [default: a grid]."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Choose epsilon and h of a field's watershed by the panoptic quality on validation data.

    The quality is that of all images pooled. Of equal ones the smaller epsilon wins, then the
    smaller h.
    """
    segmenter = load_segmenter(checkpoint, device)
    if data is None:
        source, indices = held_out(checkpoint)
    else:
        source = open_source(data, 1, True, segmenter.axes)
        indices = list(range(source.count))
    with common.progress("tune", len(indices)) as advance:
        trials = tune(
            segmenter,
            source,
            indices,
            epsilons=epsilon or EPSILONS,
            heights=h or HEIGHTS,
            advance=advance,
        )
    write_decoding(checkpoint, trials[0].decoding)
    common.table(
        ("epsilon", "h", "PQ", "SQ", "RQ"),
        [
            (
                f"{one.epsilon:g}",
                f"{one.h:g}",
                *(f"{x:.3f}" for x in (score.pq, score.sq, score.rq)),
            )
            for one, score in ((trial.decoding, trial.score) for trial in trials[:SHOWN])
        ],
    )
    print(checkpoint)
