"""The table of the README: every method on the nickel superalloy, scored on its 4 test images.

    python benchmarks/nickel.py DATA WORK [--seeds 0 1 2]

DATA is the folder `nickel_superalloy` with images, masks and splits.json. WORK receives one folder
a seed; the commands resume there, so the benchmark does too. The rows share simulations and
models: the model before self-training is the teacher that the run keeps.
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
from segtrain.baselines import otsu_scores
from segtrain.metrics import summarise

COLUMNS = ("iou", "bf1", "bf1_diag", "iou_tertiary")

SIMULATE = "phasegen simulate"
FIT = "cyclegan fit --real sem --method {1} --run runs/{0}-fit --out data/{0}.zarr"
FDA, GAN, CUT = FIT.format("fda", "fda"), FIT.format("gan", "cyclegan"), FIT.format("cut", "cut")
ABLATION = FIT.format("{0}", "cyclegan") + " --set geometry={1} --set on_drift=warn"
FREE, TIED = ABLATION.format("free", "none"), ABLATION.format("tied", "structure")
TRAIN = "segtrain --synthetic-only --store data/{0}.zarr --out runs/{0}"
DRAWN = "segtrain --images sem --masks masks --set validation=0 --out runs/supervised"
CLASSES = " --set classes=[matrix,tertiary,secondary]"

ROWS = {
    "fda + self-training": ("runs/fda/best.pt", (SIMULATE, FDA, TRAIN.format("fda"))),
    "fda": ("runs/fda/teacher.pt", ()),
    "cyclegan + self-training": ("runs/gan/best.pt", (SIMULATE, GAN, TRAIN.format("gan"))),
    "cyclegan": ("runs/gan/teacher.pt", ()),
    "cut + self-training": ("runs/cut/best.pt", (SIMULATE, CUT, TRAIN.format("cut"))),
    "cut": ("runs/cut/teacher.pt", ()),
    "cyclegan, structure loss": (
        "runs/tied/best.pt",
        (SIMULATE, TIED, TRAIN.format("tied") + " --no-adapt"),
    ),
    "cyclegan, no geometry loss": (
        "runs/free/best.pt",
        (SIMULATE, FREE, TRAIN.format("free") + " --no-adapt"),
    ),
    "supervised, 10 labelled images": ("runs/supervised/best.pt", (DRAWN + CLASSES,)),
    "simulation only": (
        "runs/sim/best.pt",
        (SIMULATE, TRAIN.format("sim") + " --no-adapt"),
    ),
}
"""Checkpoint of each row and the commands that make it, in a folder that holds ``sem/``.

A row without commands is what the row above it was before self-training.
"""


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
        minutes, scores = [], {"val": [], "test": []}
        for seed, folder in folders.items():
            _copy(data / "images", splits["train"], folder / "sem")
            _copy(data / "masks", splits["train"], folder / "masks")
            minutes.append(sum(_run(command, seed, folder) for command in commands) / 60)
            for split in scores:
                scores[split].append(_score(folder, checkpoint, split, data / "masks"))
        for split, rows in scores.items():
            cells = [_spread([row.get(column, np.nan) for row in rows]) for column in COLUMNS]
            table.append((f"{name} ({split})", *cells, _spread(minutes, 1) if commands else ""))
    for split in ("val", "test"):
        rows = summarise(otsu_scores(options.work / split, data / "masks"))
        cells = [f"{rows[c].mean:.3f}" if c in rows else "" for c in COLUMNS]
        table.append((f"Otsu after smoothing ({split})", *cells, ""))
    common.table(("method", *COLUMNS, "minutes"), table)


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
