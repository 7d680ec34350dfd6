"""Every cell out of one field: the table of the paper on a folder of annotated cells.

    python examples/cells.py PhC-C2DH-U373     # Cell Tracking Challenge: learn 01, test on 02
    python examples/cells.py livecell          # LIVECell: test on A172; --cell names another type
    python examples/cells.py nuclei_2d         # images/ and labels/: 70, 10 and 20 % by name

One network is trained for each field (diffusion, Poisson, distance) with the same budget; epsilon
and h of its watershed are chosen on validation images; the test images are scored once. The figures
of Ruiz Vargas et al., "Single tensor cell segmentation using scalar field representations" (2025),
table 1, stand beside ours where the data set is one of theirs: they trained for 200 epochs, and
divided the images otherwise. Ends with a picture: image, truth and predictions. An interrupted run
goes on when the same command is given again.
"""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from skimage.color import label2rgb

from cli import common
from phasegen.errors import InputError
from phasegen.files import make_folder
from phasegen.images import write_image
from segtrain.config import Training
from segtrain.data.source import Source
from segtrain.evaluate import Evaluation, evaluate_source
from segtrain.findings import write_evaluation
from segtrain.predict import load_segmenter, segment_image
from segtrain.sources import open_source
from segtrain.train import train
from segtrain.tune import held_out, tune, write_decoding

FIELDS = ("diffusion", "poisson", "distance")
METRICS = ("iou", "dice", "pq", "sq", "rq")

PAPER = {
    "BF-C2DL-HSC": (
        (0.9357, 0.9664, 0.9691, 0.9699, 0.9991),
        (0.9419, 0.9698, 0.9184, 0.9739, 0.9416),
    ),
    "DIC-C2DH-HeLa": (
        (0.8647, 0.9247, 0.8533, 0.8717, 0.9783),
        (0.8945, 0.9431, 0.8874, 0.8948, 0.9917),
    ),
    "Fluo-C2DL-Huh7": (
        (0.7518, 0.8401, 0.6302, 0.8392, 0.7482),
        (0.7756, 0.8597, 0.8085, 0.8744, 0.9200),
    ),
    "PhC-C2DL-PSC": (
        (0.8931, 0.9411, 0.9342, 0.9482, 0.9845),
        (0.8858, 0.9362, 0.9161, 0.9366, 0.9767),
    ),
    "Fluo-N2DH-GOWT1": (
        (0.9362, 0.9663, 0.9516, 0.9658, 0.9850),
        (0.9617, 0.9803, 0.8682, 0.9520, 0.8936),
    ),
    "PhC-C2DH-U373": (
        (0.9496, 0.9733, 0.9573, 0.9719, 0.9843),
        (0.9454, 0.9705, 0.9303, 0.9692, 0.9584),
    ),
    "A172": ((0.6380, 0.7596, 0.6416, 0.7491, 0.7809), (0.6796, 0.7936, 0.6794, 0.7652, 0.8202)),
    "SH-SY5Y": ((0.5271, 0.6693, 0.5635, 0.7342, 0.7267), (0.5892, 0.7236, 0.6236, 0.7529, 0.7973)),
}
"""`METRICS` of the paper by data set, of diffusion (U-Net) and of Poisson (MA-UNet)."""

RECIPE = (
    "model=ma-unet",
    "widths=[96,192,384,768,1536]",
    "learning_rate=1e-4",
    "weight_decay=1e-5",
    "schedule=cosine",
    "warm_up=0.05",
    "final_rate=0.01",
)
"""Network and training of the paper: MA-UNet; AdamW, 10 of 200 epochs of warm-up, cosine to 1 %."""

PICTURED, SIDE = 4, 256
"""Test images in the picture, and the side to which they are cropped."""


def parts(folder: Path, cell: str) -> tuple[str, str, str | None, str]:
    """Data for training, test and validation (None: what training held out), and the set's name.

    Of LIVECell one type of cells is the test; training is on the same type, or on all others where
    the training file has none of it.

    Raises
    ------
    InputError
        If the folder has none of the three layouts.
    """
    name = folder.resolve().name
    if any(folder.rglob("livecell_coco_test.json")):
        learned, tested = (f"livecell:{folder},part={part}" for part in ("train", "test"))
        known = open_source(learned, 1, True).names
        same = f",cells={cell}" if any(one.startswith(f"{cell}_") for one in known) else ""
        return learned + same, f"{tested},cells={cell}", None, cell
    if (folder / "01_GT/SEG").is_dir() and (folder / "02_GT/SEG").is_dir():
        learned, tested = (f"ctc:{folder},sequences={number}" for number in ("01", "02"))
        return learned, tested, None, name
    if (folder / "images").is_dir():
        learned, tested, tuned = (
            f"folder-instances:{folder},part={part}" for part in ("train", "test", "validation")
        )
        return learned, tested, tuned, name
    problem = "holds neither 01_GT/SEG and 02_GT/SEG, nor livecell_coco_test.json, nor images/"
    raise InputError(folder, problem, "Name the data with --train and --test")


def learn(config: Training, out: Path, tuned: str | None) -> str:
    """Train one field and choose its decoding; what was chosen, in words."""
    best = train(config, out, common.progress)
    segmenter = load_segmenter(best, config.device)
    if tuned is None:
        source, indices = held_out(best)
    else:
        source = open_source(tuned, 1, True)
        indices = list(range(source.count))
    with common.progress(f"decoding of {config.target}", len(indices)) as advance:
        chosen = tune(segmenter, source, indices, advance=advance)[0].decoding
    write_decoding(best, chosen)
    return f"{chosen.epsilon:g}, {chosen.h:g}"


def picture(path: Path, source: Source, predictions: list[list[NDArray[np.integer]]]) -> None:
    """Rows of image, truth and one prediction by every field, instances in colour."""
    rows = []
    for number, found in enumerate(predictions):
        sample = source.load(number)
        low, high = np.percentile(sample.image[0], (1, 99.8))
        grey = np.clip((sample.image[0] - low) / (high - low), 0, 1)
        tiles = [np.repeat(grey[..., None], 3, axis=2)]
        tiles += [
            label2rgb(labels, grey, alpha=0.5, bg_label=0) for labels in (sample.mask, *found)
        ]
        cut = [tile[:SIDE, :SIDE] for tile in tiles]
        lack = [(0, SIDE - n) for n in cut[0].shape[:2]]
        rows.append(np.hstack([np.pad(tile, [*lack, (0, 0)]) for tile in cut]))
    write_image(path, np.round(255 * np.vstack(rows)).astype(np.uint8))


def row(name: str, result: Evaluation) -> list[str]:
    """Mean over images of all metrics, then the pooled ones."""
    means = [result.summary[metric].mean for metric in METRICS]
    pooled = [result.pooled[metric] for metric in METRICS[2:]]
    return [name, *(f"{x:.3f}" for x in (*means, *pooled))]


def main(
    folder: Annotated[Path | None, typer.Argument(help="Folder of annotated cells.")] = None,
    train_: Annotated[
        str | None, typer.Option("--train", help="Training data, FORMAT:PATH[,OPTION=VALUE...].")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Test data.")] = None,
    validation: Annotated[
        str | None, typer.Option(help="For the decoding [default: what training held out].")
    ] = None,
    cell: Annotated[str, typer.Option(help="Type of cells of LIVECell.")] = "A172",
    out: Annotated[Path, typer.Option(help="Folder of runs and picture.")] = Path("cells"),
    fields: Annotated[str, typer.Option(help="Fields, with commas between.")] = ",".join(FIELDS),
    model: Annotated[str, typer.Option(help="Network.")] = "unet",
    loss: Annotated[str | None, typer.Option(help="l1 or l2 [default: l1].")] = None,
    steps: Annotated[int, typer.Option(help="Training steps of every field.")] = 700,
    patch: Annotated[int, typer.Option(help="Side of a patch, pixels.")] = 96,
    held: Annotated[int, typer.Option(help="Training images held out to choose the step.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    paper: Annotated[
        bool, typer.Option("--paper", help="Network and training of the paper; --steps remain.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE, as segtrain takes it, last of all; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train every field with the same budget, print the table, and write the picture."""
    name = "the data"
    if folder is not None:
        train_, test, validation, name = parts(folder, cell)
    if train_ is None or test is None:
        raise InputError("cells", "has no data", "Give a folder, or --train and --test")
    tested = open_source(test, 1, True)
    table, shown = [], [[] for _ in range(min(PICTURED, tested.count))]
    for field in fields.split(","):
        config = Training.load(
            None,
            [*(RECIPE if paper else ()), *(set_ or ())],
            data=(train_,),
            target=field,
            model=model,
            loss=loss,
            steps=steps,
            patch=patch,
            validation=held,
            validate_every=min(steps, 100),
            patience=100,
            foreground=0.5,
            seed=seed,
            device=device,
        )
        start = time.monotonic()
        decoding = learn(config, out / field, validation)
        minutes = (time.monotonic() - start) / 60
        segmenter = load_segmenter(out / field / "best.pt", device)
        with common.progress(f"test {field}", tested.count) as advance:
            result = evaluate_source(segmenter, tested, 2.0, advance)
        write_evaluation(out / field / "evaluation", result, segmenter, 2.0)
        table.append([*row(f"{name}, {field}", result), decoding, f"{minutes:.1f}"])
        for number, found in enumerate(shown):
            found.append(segment_image(segmenter, tested.load(number).image))
    for field, figures in zip(FIELDS, PAPER.get(name, ()), strict=False):
        table.append([f"{name}, {field}, paper", *(f"{x:.3f}" for x in figures), *5 * [""]])
    header = [*METRICS, *(f"{metric}, pooled" for metric in METRICS[2:])]
    print(f"\nMean over {tested.count} test images, and pooled; seed {seed}, {steps} steps:")
    common.table(["field", *header, "epsilon, h", "minutes"], table)
    make_folder(out)
    picture(out / "cells.png", tested, shown)
    print(f"\nImage, truth, {', '.join(fields.split(','))}: {out / 'cells.png'}")


if __name__ == "__main__":
    program = common.app("cells", "The table of the paper on a folder of annotated cells.")
    program.command()(main)
    common.run(program)
