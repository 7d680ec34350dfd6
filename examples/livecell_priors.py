"""Live cells: does a prior from a differential equation help when labelled images are few?

    python examples/livecell_priors.py DATA WORK [--shots 1,2,4,8] [--seeds 0,1,2] [--priors ...]

DATA is a folder of LIVECell. A U-Net learns the foreground of the cell types MCF7 and BT474 from 1,
2, 4 or 8 images, without a prior and with each one that `segtrain --loss` knows, and is scored on
A172, a type that it has not seen. The seed draws the images, the first weights and the patches, so
that runs of one seed differ in the prior alone. Scores are means over the test images; the table
has their mean over the seeds with the 95 % interval of Student's t, and the mean difference to the
run without prior of the same seed and images.

A run that is done is not repeated, so the table grows with the command. ``scores.csv`` holds every
run, and ``report.html`` shows the table and outlines.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from cli import common
from phasegen.files import make_folder, written_whole
from segtrain import report
from segtrain.config import Training
from segtrain.data.source import as_classes
from segtrain.evaluate import evaluate_source
from segtrain.loop import BEST
from segtrain.losses import LOSSES
from segtrain.metrics import interval
from segtrain.predict import load_segmenter, segment_image
from segtrain.sources import open_source
from segtrain.train import train

SEEN, UNSEEN = "MCF7:BT474", "A172"

DATA_LOSS = "ce-dice"
NONE = "none"
PRIORS = (NONE, *(name.partition("+")[2] for name in LOSSES if name.startswith(f"{DATA_LOSS}+")))

METRICS = ("dice", "iou", "bf1", "hd95")

HEADER = ("images", "prior", "seeds", *METRICS, "Dice gained")

CROP = 320
"""Side of the part of an image that the report shows, pixels."""

TOLERANCE = 2.0
"""Of boundary F1, pixels."""

Key = tuple[str, int, int]
"""Prior, labelled images, seed."""

Scores = dict[Key, dict[str, float]]


def configuration(data: Path, key: Key, **settings: object) -> Training:
    """Configuration of one run: nothing is held out, and all runs take the same steps."""
    prior, shots, seed = key
    steps = int(settings.get("steps", 1000))  # type: ignore[call-overload]
    known = {
        "data": [f"livecell:{data},part=train,cells={SEEN}"],
        "loss": DATA_LOSS if prior == NONE else f"{DATA_LOSS}+{prior}",
        "shots": shots,
        "seed": seed,
        "validation": 0,
        "validate_every": steps,
    }
    return Training.model_validate({**known, **settings})


def run(data: Path, work: Path, keys: Sequence[Key], **settings: object) -> Scores:
    """Train and score what is missing; mean scores over the test images by run."""
    found: Scores = {}
    test = as_classes(open_source(f"livecell:{data},part=test,cells={UNSEEN}", 1, True, 2))
    for key in keys:
        folder = work / _name(key)
        done = folder / "scores.json"
        # Leaves a run that is done as it is, and refuses one of other settings.
        best = train(configuration(data, key, **settings), folder, common.progress)
        if not done.exists():
            summary = evaluate_source(load_segmenter(best), test, TOLERANCE).summary
            with written_whole(done) as partial:
                partial.write_text(json.dumps({name: summary[name].mean for name in METRICS}))
        found[key] = json.loads(done.read_text())
    return found


def rows(scores: Scores) -> list[tuple[str, ...]]:
    """Rows of the table, by number of images and prior."""
    cells = []
    for shots, prior in sorted({(key[1], PRIORS.index(key[0])) for key in scores}):
        name = PRIORS[prior]
        seeds = [key[2] for key in scores if key[:2] == (name, shots)]
        line = [str(shots), name, str(len(seeds))]
        for metric in METRICS:
            own = [scores[name, shots, seed][metric] for seed in seeds]
            line.append("{:.3f} ± {:.3f}".format(*interval(own)))
        pairs = [
            (scores[name, shots, seed]["dice"], scores[NONE, shots, seed]["dice"])
            for seed in seeds
            if (NONE, shots, seed) in scores and name != NONE
        ]
        gain = interval([ours - theirs for ours, theirs in pairs]) if pairs else None
        cells.append((*line, "{:+.3f} ± {:.3f}".format(*gain) if gain else ""))
    return cells


def write_findings(data: Path, work: Path, scores: Scores) -> Path:
    """``report.html``: the table, and the outlines of one test image for every prior."""
    test = as_classes(open_source(f"livecell:{data},part=test,cells={UNSEEN}", 1, True, 2))
    sample = test.load(0)
    blocks = [
        report.table(HEADER, rows(scores), caption="Mean ± 95 % interval over the seeds."),
        report.overlay_legend(TOLERANCE),
    ]
    seed = min(key[2] for key in scores)
    for shots in sorted({key[1] for key in scores}):
        pictures = []
        for prior in [name for name in PRIORS if (name, shots, seed) in scores]:
            segmenter = load_segmenter(work / _name((prior, shots, seed)) / BEST)
            crops = (sample.image[0], segment_image(segmenter, sample.image), sample.mask)
            image, predicted, truth = (array[:CROP, :CROP] for array in crops)
            pictures.append((prior, report.overlay(image, predicted, truth, tolerance=TOLERANCE)))
        blocks.append(report.figure(pictures, f"{test.name(0)}, learned from {shots} images"))
    path = work / "report.html"
    report.write_report(path, "Priors on live cells", blocks)
    return path


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--shots", type=_numbers, default=(1, 2, 4, 8))
    parser.add_argument("--seeds", type=_numbers, default=(0, 1, 2))
    parser.add_argument("--priors", type=lambda text: text.split(","), default=PRIORS)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--widths", type=_numbers, default=(16, 32, 64, 128))
    parser.add_argument("--weight", type=float, default=0.1, help="of the prior")
    options = parser.parse_args()
    make_folder(options.work)
    # Seeds come last to an end, so that an interrupted command has whole tables of fewer seeds.
    order = product(options.seeds, options.shots, options.priors)
    keys = [(prior, shots, seed) for seed, shots, prior in order]
    scores = run(
        options.data,
        options.work,
        keys,
        steps=options.steps,
        batch=options.batch,
        patch=options.patch,
        widths=options.widths,
        prior_weight=options.weight,
    )
    with (options.work / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("prior", "shots", "seed", *METRICS))
        writer.writerows((*key, *row.values()) for key, row in scores.items())
    common.table(HEADER, rows(scores))
    print(write_findings(options.data, options.work, scores))


def _name(key: Key) -> str:
    return "-".join(map(str, key))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(","))


if __name__ == "__main__":
    main()
