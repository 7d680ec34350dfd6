"""The table of the README, and the ablation: every method on the nickel superalloy.

    python benchmarks/nickel.py DATA WORK [--seeds 0 1 2] [--rows fda cyclegan ...]

DATA is the folder `nickel_superalloy` with images, masks and splits.json. WORK receives one folder
a seed; the commands resume there, so the benchmark does too. The rows share simulations and
models: the model before self-training is the teacher that the run keeps. `cyclegan` and `cut` start
from `fda`, so that "cyclegan" is fda and then cyclegan; "cyclegan, bare start" starts from the
simulated images themselves.

Scores are those of the 4 test and of the validation images. The other columns are of the store
that a model has learned from: boundary drift and edges as after ``cyclegan translate``, kernel
distance (KID) and classifier as by ``cyclegan gap`` with its own patches and seed against the
training images, by texture features.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cli import common
from cyclegan.translate import geometry_of
from phasegen.store import open_store
from segtrain.baselines import otsu_scores
from segtrain.metrics import summarise

COLUMNS = ("iou", "bf1", "bf1_diag", "iou_matrix", "iou_secondary", "iou_tertiary")

STYLE = ("median px", "95 % px", "edges of none", "KID", "classifier")

SIMULATE = "phasegen simulate"
FIT = "cyclegan fit --real sem --method {1} --run runs/{0}-fit --out data/{0}.zarr"
FDA, GAN, CUT = FIT.format("fda", "fda"), FIT.format("gan", "cyclegan"), FIT.format("cut", "cut")
ABLATION = FIT.format("{0}", "cyclegan") + " --set geometry={1} --set on_drift=warn"
FREE, TIED = ABLATION.format("free", "none"), ABLATION.format("tied", "structure")
HISTOGRAM = FIT.format("histogram", "histogram")
BARE = FIT.format("bare", "cyclegan") + " --set start=none --set on_drift=warn"
TRAIN = "segtrain --synthetic-only --store data/{0}.zarr --out runs/{0}"
DRAWN = "segtrain --images sem --masks masks --set validation=0 --out runs/supervised"
CLASSES = " --set classes=[matrix,tertiary,secondary]"

ROWS = {
    "fda + self-training": ("runs/fda/best.pt", (SIMULATE, FDA, TRAIN.format("fda"))),
    "fda": ("runs/fda/teacher.pt", (SIMULATE, FDA, TRAIN.format("fda"))),
    "histogram + self-training": (
        "runs/histogram/best.pt",
        (SIMULATE, HISTOGRAM, TRAIN.format("histogram")),
    ),
    "histogram": ("runs/histogram/teacher.pt", (SIMULATE, HISTOGRAM, TRAIN.format("histogram"))),
    "cyclegan + self-training": ("runs/gan/best.pt", (SIMULATE, GAN, TRAIN.format("gan"))),
    "cyclegan": ("runs/gan/teacher.pt", (SIMULATE, GAN, TRAIN.format("gan"))),
    "cut + self-training": ("runs/cut/best.pt", (SIMULATE, CUT, TRAIN.format("cut"))),
    "cut": ("runs/cut/teacher.pt", (SIMULATE, CUT, TRAIN.format("cut"))),
    "cyclegan, structure loss": (
        "runs/tied/best.pt",
        (SIMULATE, TIED, TRAIN.format("tied") + " --no-adapt"),
    ),
    "cyclegan, no geometry loss": (
        "runs/free/best.pt",
        (SIMULATE, FREE, TRAIN.format("free") + " --no-adapt"),
    ),
    "cyclegan, bare start": (
        "runs/bare/best.pt",
        (SIMULATE, BARE, TRAIN.format("bare") + " --no-adapt"),
    ),
    "supervised, 10 labelled images": ("runs/supervised/best.pt", (DRAWN + CLASSES,)),
    "simulation only": (
        "runs/sim/best.pt",
        (SIMULATE, TRAIN.format("sim") + " --no-adapt"),
    ),
}
"""Checkpoint of each row and the commands that make it, in a folder that holds ``sem/``."""

TEACHER = "teacher.pt"
"""What a run was before self-training, of which no time is known apart."""


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    options = parser.parse_args()
    data, splits = options.data.resolve(), json.loads((options.data / "splits.json").read_text())
    for split in ("val", "test"):
        _copy(data / "images", splits[split], options.work / split)
    folders = {seed: options.work / f"seed{seed}" for seed in options.seeds}
    table = []
    for name in options.rows:
        checkpoint, commands = ROWS[name]
        minutes, scores, style = [], {"val": [], "test": []}, []
        for seed, folder in folders.items():
            _copy(data / "images", splits["train"], folder / "sem")
            _copy(data / "masks", splits["train"], folder / "masks")
            minutes.append(sum(_run(command, seed, folder) for command in commands) / 60)
            for split in scores:
                scores[split].append(_score(folder, checkpoint, split, data / "masks"))
            style.append(_style(folder, Path("data", f"{Path(checkpoint).parent.name}.zarr")))
        last = [_spread([row.get(column, np.nan) for row in style], 2) for column in STYLE]
        last.append("" if checkpoint.endswith(TEACHER) else _spread(minutes, 1))
        for split, rows in scores.items():
            cells = [_spread([row.get(column, np.nan) for row in rows]) for column in COLUMNS]
            table.append((f"{name} ({split})", *cells, *last))
    for split in ("val", "test"):
        rows = summarise(otsu_scores(options.work / split, data / "masks"))
        cells = [f"{rows[c].mean:.3f}" if c in rows else "" for c in COLUMNS]
        table.append((f"Otsu after smoothing ({split})", *cells, *[""] * len(STYLE), ""))
    common.table(("method", *COLUMNS, *STYLE, "minutes"), table)


def _run(command: str, seed: int, folder: Path) -> float:
    """Seconds of a command; it is run unless it has ended before."""
    done = folder / "times.json"
    times = json.loads(done.read_text()) if done.exists() else {}
    if command not in times:
        start = time.perf_counter()
        _call(command, ["--seed", str(seed)], folder)
        times[command] = time.perf_counter() - start
        done.write_text(json.dumps(times, indent=1))
    print(f"seed {seed}: {command}: {times[command] / 60:.1f} min", flush=True)
    return float(times[command])


def _call(command: str, more: list[str], folder: Path) -> None:
    program, *arguments = command.split()
    script = Path(sys.executable).with_name(program)
    subprocess.run([script, *arguments, *more], cwd=folder, check=True)


def _score(folder: Path, checkpoint: str, split: str, masks: Path) -> dict[str, float]:
    """Mean scores of a model on a split."""
    out = Path("scores", checkpoint.removesuffix(".pt"), split)
    command = f"segtrain evaluate --images ../{split} --checkpoint {checkpoint} --out {out}"
    _call(command, ["--masks", str(masks)], folder)
    summary = json.loads((folder / out / "metrics.json").read_text())["summary"]
    return {column: summary[column]["mean"] for column in COLUMNS if column in summary}


def _style(folder: Path, store: Path) -> dict[str, float]:
    """How a store's images keep their boundaries, and how far they are from the real ones."""
    if not (folder / store).exists():
        return {}  # drawn masks alone
    drift, edges = geometry_of(open_store(folder / store))
    page = Path("gaps", f"{store.stem}.html")
    if not (folder / page).with_suffix(".json").exists():
        _call(f"cyclegan gap sem {store} --out {page}", [], folder)
    (gap,) = json.loads((folder / page).with_suffix(".json").read_text())["gaps"]
    kernel, classifier = gap["kernel"]["texture"], gap["classifier"]["texture"]
    values = drift.median, drift.p95, edges.invented, kernel["value"], classifier["accuracy"]
    return dict(zip(STYLE, values, strict=True))


def _copy(source: Path, names: list[str], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(source / f"{name}.png", target)


def _spread(values: list[float], digits: int = 3) -> str:
    """Mean and range over the seeds."""
    if np.isnan(values).any():
        return ""
    low, mean, high = (f"{f(values):.{digits}f}" for f in (min, np.mean, max))
    return f"{mean} ({low}-{high})" if len(values) > 1 else mean


if __name__ == "__main__":
    main()
