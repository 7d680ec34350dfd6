"""Brain tumours: the U-Net and the PDE-UNet on middle slices, as in Table 1 of the PDE-UNet paper.

    python examples/brats_slices.py FOLDER WORK [--epochs 10] [--seeds 0]

FOLDER holds the training data of BraTS 2020 (369 patients) or 2023. Both networks have the widths
32 to 512 and one recipe, that of Veziryan (2025) where it is stated: middle axial slices of FLAIR,
T1, T1ce and T2, 80/10/10 % of the patients, cross-entropy plus Dice, one-cycle learning rate, 10
epochs of batches of 8, turned, scaled, mirrored and of varied contrast. Where it is not, this is
ours: AdamW at a peak rate of 3e-3, whole slices of 240 x 240 pixels, predictions averaged over four
rotations, and the network after the last step is scored, for both alike.

The table has Dice and IoU on the images for validation and for test: of the enhancing tumour (ET),
the tumour core (TC, with ET) and the whole tumour (WT, with TC), means over the slices that show
the region in truth or prediction, and the mean of the three. The paper states .438/.389 and
.462/.406 for validation and .455/.372 and .469/.394 for test, without saying what is averaged.
``scores.json`` and ``report.html`` with outlines of the whole tumour are written to WORK.
"""

import argparse
import json
import math
from itertools import product
from pathlib import Path

import numpy as np

from cli import common
from phasegen.files import make_folder, written_whole
from segtrain import report
from segtrain.config import Training
from segtrain.data.source import Source
from segtrain.metrics import overlap
from segtrain.predict import Segmenter, load_segmenter, segment_image
from segtrain.sources import open_source
from segtrain.train import train

NETWORKS = {"U-Net": "unet", "PDE-UNet": "pde-unet"}

REGIONS = {"ET": (1,), "TC": (1, 2), "WT": (1, 2, 3)}
"""Classes of each region; those of the reader exclude each other."""

SCORED = ("validation", "test")

WIDTHS = (32, 64, 128, 256, 512)

PICTURED = 4
"""Test slices in the report."""

HEADER = (
    *("network", "parameters", "seed", "images"),
    *(f"{score} {region}" for score, region in product(("Dice", "IoU"), (*REGIONS, "mean"))),
)

Scores = dict[str, float]


def scores(segmenter: Segmenter, folder: Path, part: str) -> Scores:
    """Mean Dice and IoU of every region over a part of the patients; NaN if it is in no slice."""
    source = _slices(folder, part)
    found: dict[str, list[float]] = {name: [] for name in _names()}
    for index in range(source.count):
        sample = source.load(index)
        predicted = segment_image(segmenter, sample.image)
        for region, classes in REGIONS.items():
            masks = np.isin(predicted, classes), np.isin(sample.mask, classes)
            if masks[0].any() or masks[1].any():
                both = overlap(*masks)
                found[f"Dice {region}"].append(both.dice)
                found[f"IoU {region}"].append(both.iou)
    means = {name: float(np.mean(values)) if values else math.nan for name, values in found.items()}
    for score in ("Dice", "IoU"):
        means[f"{score} mean"] = float(np.mean([means[f"{score} {region}"] for region in REGIONS]))
    return means


def run(
    folder: Path,
    work: Path,
    seeds: tuple[int, ...] = (0,),
    epochs: int = 10,
    batch: int = 8,
    widths: tuple[int, ...] = WIDTHS,
    patch: int = 240,
) -> list[tuple[str, ...]]:
    """Train what is missing; rows of the table."""
    make_folder(work)
    training = f"brats:{folder},middle_slice=true,part=train"
    steps = math.ceil(epochs * open_source(training, patch, False, 2).count / batch)
    content, rows, pictures = {}, [], []
    for seed, (name, model) in product(seeds, NETWORKS.items()):
        config = Training(
            data=(training,),
            model=model,
            widths=widths,
            patch=patch,
            batch=batch,
            steps=steps,
            seed=seed,
            validation=0,
            validate_every=steps,
        )
        segmenter = load_segmenter(train(config, work / f"{model}-{seed}", common.progress))
        count = sum(p.numel() for p in segmenter.network.parameters() if p.requires_grad)
        for part in SCORED:
            means = scores(segmenter, folder, part)
            content[f"{model}-{seed}-{part}"] = means
            cells = (f"{means[column]:.3f}" for column in HEADER[4:])
            rows.append((name, f"{count:,}", str(seed), part, *cells))
        pictures.append((f"{name}, seed {seed}", segmenter))
    with written_whole(work / "scores.json") as partial:
        finite = json.dumps(content, indent=1).replace("NaN", "null")
        partial.write_text(finite)
    _picture(folder, work, pictures, rows)
    return rows


def _picture(
    folder: Path, work: Path, networks: list[tuple[str, Segmenter]], rows: list[tuple[str, ...]]
) -> None:
    source = _slices(folder, "test")
    blocks = [report.table(HEADER, rows, caption="Means over the slices.")]
    for index in range(min(PICTURED, source.count)):
        sample = source.load(index)
        shown = [
            (name, report.overlay(sample.image[0], segment_image(one, sample.image), sample.mask))
            for name, one in networks
        ]
        blocks.append(report.figure(shown, f"{source.name(index)}, FLAIR, whole tumour"))
    blocks.append(report.overlay_legend())
    report.write_report(work / "report.html", "PDE-UNet on brain tumours", blocks)


def _slices(folder: Path, part: str) -> Source:
    return open_source(f"brats:{folder},middle_slice=true,part={part}", 1, False, 2)


def _names() -> list[str]:
    return [f"{score} {region}" for score, region in product(("Dice", "IoU"), REGIONS)]


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=_numbers, default=(0,))
    parser.add_argument("--widths", type=_numbers, default=WIDTHS)
    parser.add_argument("--patch", type=int, default=240)
    options = parser.parse_args()
    common.table(HEADER, run(**vars(options)))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(","))


if __name__ == "__main__":
    main()
