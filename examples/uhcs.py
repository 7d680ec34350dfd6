"""Ultrahigh-carbon steel: six-fold cross-validation of a U-Net beside a random forest.

    python examples/uhcs.py DATA WORK [--steps 1000] [--batch 8] [--loss ce-class-dice] [--seed 0]

DATA is the folder `uhcs_steel` with ``images``, ``masks`` and ``split_cv.csv`` (24 images, four
classes). Every fold is segmented by a U-Net that `segtrain` trains on the other folds, and by a
random forest on the multiscale features of scikit-image at pixels drawn from them. IoU of a class
is of all pixels of a fold together; the table has the mean over the folds and, after ±, their
standard deviation. Runs, their scores and pictures (truth above prediction) are written to WORK; a
run that is done is not repeated, and one of other settings is refused.
"""

import argparse
import csv
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from cli import common
from phasegen.contact_sheet import colour
from phasegen.errors import InputError
from phasegen.files import make_folder, written_whole
from phasegen.images import pair_masks, read_mask, read_micrograph, write_image
from segtrain.config import Training
from segtrain.data.source import standardise
from segtrain.metrics import class_iou
from segtrain.predict import load_segmenter, segment
from segtrain.train import train

CLASSES = ("matrix", "network", "particles", "Widmanstaetten")

PIXELS, TREES = 1000, 100
"""Pixels of every training image that the forest learns from, and its trees."""

Pair = tuple[Path, Path]
Mask = NDArray[np.uint8]
Found = tuple[list[Mask], float]
"""A mask for every test image, and the CPU seconds that learning and predicting took."""

Method = Callable[[list[Pair], list[Pair]], Found]
"""``method(training, test)``."""

Results = dict[str, dict[int, dict[str, Any]]]
"""Scores by method and fold."""


def folds(data: Path) -> dict[int, list[Pair]]:
    """Images with their masks by fold.

    Raises
    ------
    InputError
        If the table or an image that it names is missing.
    """
    table = data / "split_cv.csv"
    if not table.exists():
        raise InputError(table, "does not exist", "Give the folder uhcs_steel")
    pairs = {
        image.stem: (image, mask) for image, mask in pair_masks(data / "images", data / "masks")
    }
    found: dict[int, list[Pair]] = {}
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines):
            name = Path(row["name"]).stem
            if name not in pairs:
                raise InputError(data / "images", f"has no {name}", "Download it again")
            found.setdefault(int(row["split"]), []).append(pairs[name])
    return dict(sorted(found.items()))


def network(out: Path, **settings: Any) -> Method:
    """The U-Net of `segtrain` with other `settings`: nothing is held out, the last step counts."""

    def method(training: list[Pair], test: list[Pair]) -> Found:
        # Copies of 5 MB, since links need rights on Windows.
        for kind, column in (("images", 0), ("masks", 1)):
            make_folder(out / kind)
            for pair in training:
                if not (copy := out / kind / pair[column].name).exists():
                    shutil.copyfile(pair[column], copy)
        config = Training(
            data=(f"folder:{out},classes={':'.join(CLASSES)}",),
            validation=0,
            validate_every=settings["steps"],
            **settings,
        )
        start = time.process_time()
        segmenter = load_segmenter(train(config, out / "run", common.progress))
        masks = [segment(segmenter, read_micrograph(image)) for image, _ in test]
        # Beside the run, which a call with other settings does not get past.
        known = out / "run" / "seconds.json"
        if not known.exists():
            with written_whole(known) as partial:
                partial.write_text(json.dumps(time.process_time() - start))
        return masks, json.loads(known.read_text())

    return method


def forest(seed: int) -> Method:
    """A random forest on intensity, edges and texture at the scales 1, 2, 4, 8 and 16 pixels."""

    def method(training: list[Pair], test: list[Pair]) -> Found:
        start = time.process_time()
        values, labels = zip(*(drawn(pair, seed) for pair in training), strict=True)
        model = RandomForestClassifier(TREES, min_samples_leaf=3, random_state=seed)
        model.fit(np.concatenate(values), np.concatenate(labels))
        shapes = [read_mask(mask).shape for _, mask in test]
        masks = [
            model.predict(features(image)).reshape(shape).astype(np.uint8)
            for (image, _), shape in zip(test, shapes, strict=True)
        ]
        return masks, time.process_time() - start

    return method


@cache
def drawn(pair: Pair, seed: int) -> tuple[NDArray[np.float32], Mask]:
    """Features and classes of some pixels of an image, the same ones for every fold."""
    labels = read_mask(pair[1]).ravel()
    chosen = np.random.default_rng(seed).choice(len(labels), PIXELS, replace=False)
    return features(pair[0])[chosen], labels[chosen]


def features(image: Path) -> NDArray[np.float32]:
    """Features (pixels, features) of a standardised image."""
    scene = standardise(read_micrograph(image).pixels)
    found = multiscale_basic_features(scene, sigma_min=1, sigma_max=16, workers=1)
    return np.asarray(found, np.float32).reshape(scene.size, -1)


def fold_iou(predicted: list[Mask], truth: list[Mask]) -> NDArray[np.float64]:
    """IoU of every class over all pixels of several images."""
    flat = (np.concatenate([mask.ravel() for mask in masks]) for masks in (predicted, truth))
    return class_iou(*flat, len(CLASSES))


def run(
    data: Path, work: Path, methods: Mapping[str, Callable[[int], Method]], only: Sequence[int] = ()
) -> Results:
    """IoU of every class and CPU seconds by method and fold."""
    make_folder(work)
    parts = folds(data)
    found: Results = {name: {} for name in methods}
    for fold in only or parts:
        test = parts[fold]
        training = [pair for other, pairs in parts.items() if other != fold for pair in pairs]
        truth = [read_mask(mask) for _, mask in test]
        for name, method in methods.items():
            predicted, seconds = method(fold)(training, test)
            rows = [[colour(mask) for mask in masks] for masks in (truth, predicted)]
            picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
            write_image(work / f"{name}-{fold}.png", picture)
            found[name][fold] = {"iou": fold_iou(predicted, truth).tolist(), "seconds": seconds}
    return found


def rows(results: Results) -> list[tuple[str, ...]]:
    """Rows of the table: mean ± standard deviation over the folds."""
    table = []
    for name, by_fold in results.items():
        values = np.array([one["iou"] for one in by_fold.values()])
        columns = np.column_stack([values.mean(axis=1), values])
        spread = columns.std(axis=0, ddof=1) if len(columns) > 1 else np.full(5, np.nan)
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(columns.mean(axis=0), spread, strict=True)]
        seconds = np.median([one["seconds"] for one in by_fold.values()])
        table.append((name, str(len(values)), *cells, f"{seconds:.0f}"))
    return table


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--loss", default="ce-class-dice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default="unet,forest", help="unet, forest or both")
    parser.add_argument("--folds", type=lambda text: [int(one) for one in text.split(",")])
    options = parser.parse_args()
    methods: dict[str, Callable[[int], Method]] = {
        "unet": lambda fold: network(
            options.work / f"fold{fold}",
            steps=options.steps,
            batch=options.batch,
            seed=options.seed,
            loss=options.loss,
        ),
        "forest": lambda _: forest(options.seed),
    }
    chosen = {name: methods[name] for name in options.methods.split(",")}
    results = run(options.data, options.work, chosen, options.folds or ())
    common.table(("method", "folds", "mIoU", *CLASSES, "CPU s a fold"), rows(results))


if __name__ == "__main__":
    main()
