"""``segtrain tune-decode``: how instances are found in a field, chosen on validation data."""

from pathlib import Path
from typing import Annotated

import typer

from cli import common
from segtrain.decode import Decoding
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
        typer.Option(help="Background level to try; repeatable [default: a grid]."),
    ] = None,
    h: Annotated[
        list[float] | None,
        typer.Option(help="Depth of basins to try; repeatable [default: a grid]."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Choose epsilon and h of a field's watershed by the panoptic quality on validation data.

    The quality is that of all images pooled. Training has chosen among few decodings already; that
    of the checkpoint is tried as well, and stays unless another one is better. Of others that are
    equal the smaller epsilon wins, then the smaller h.
    """
    # What is out of range is refused before an image is opened.
    _ = [*(Decoding(epsilon=one) for one in epsilon or ()), *(Decoding(h=one) for one in h or ())]
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
    best = trials[0]
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
    if best.decoding == segmenter.decoding:
        if not best.score.true:
            reason = "the images hold no instance to choose by"
        else:
            reason = "no other is better" if best.score.pq else "none finds an instance"
        print(f"the checkpoint keeps its decoding: {reason}")
    else:
        write_decoding(checkpoint, best.decoding)
    print(checkpoint)
