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
from scipy import ndimage
from skimage.filters import threshold_otsu

from cli import common
from phasegen.images import pair_masks, read_mask, read_micrograph
from segtrain.metrics import evaluate

COLUMNS = ("iou", "bf1", "bf1_diag", "iou_tertiary")

RUNS = (
    (
        "phasegen simulate",
        "cyclegan fit --real sem --method fda --run runs/fda-fit --out data/fda.zarr",
        "segtrain --synthetic-only --store data/fda.zarr --out runs/fda",
    ),
    (
        "cyclegan fit --real sem --method cyclegan --run runs/gan-fit --out data/gan.zarr",
        "segtrain --synthetic-only --store data/gan.zarr --out runs/gan",
    ),
    (
        "segtrain --images sem --masks masks --set classes=[matrix,tertiary,secondary]"
        " --set validation=0 --out runs/supervised",
    ),
    ("segtrain --synthetic-only --store data/sim.zarr --no-adapt --out runs/simulation",),
)
"""Commands in a folder that holds ``sem/``, the main job first; the seed is added to each."""

CHECKPOINTS = {
    "simulation only": "runs/simulation/best.pt",
    "fda": "runs/fda/teacher.pt",
    "fda + self-training": "runs/fda/best.pt",
    "cyclegan": "runs/gan/teacher.pt",
    "cyclegan + self-training": "runs/gan/best.pt",
    "supervised, 10 labelled images": "runs/supervised/best.pt",
}


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    data, splits = options.data.resolve(), json.loads((options.data / "splits.json").read_text())
    for split in ("val", "test"):
        _copy(data / "images", splits[split], options.work / split)
    folders = {seed: options.work / f"seed{seed}" for seed in options.seeds}
    for folder in folders.values():
        _copy(data / "images", splits["train"], folder / "sem")
        _copy(data / "masks", splits["train"], folder / "masks")
    for commands in RUNS:
        for seed, folder in folders.items():
            for command in commands:
                _run(command, seed, folder)
    scores: dict[str, list[dict[str, float]]] = {}
    for name, checkpoint in CHECKPOINTS.items():
        for split in ("val", "test"):
            rows = [
                _score(folder, checkpoint, split, data / "masks") for folder in folders.values()
            ]
            scores[f"{name} ({split})"] = rows
    for split in ("val", "test"):
        scores[f"Otsu after smoothing ({split})"] = [_otsu(options.work / split, data / "masks")]
    common.table(
        ("method", *COLUMNS),
        [
            (name, *(_spread([r.get(c, np.nan) for r in rows]) for c in COLUMNS))
            for name, rows in scores.items()
        ],
    )


def _run(command: str, seed: int, folder: Path) -> None:
    """Run a command unless it has ended before, and write down how long it took."""
    done = folder / "times.json"
    times = json.loads(done.read_text()) if done.exists() else {}
    if command not in times:
        start = time.perf_counter()
        _call(command, ["--seed", str(seed)], folder)
        times[command] = time.perf_counter() - start
        done.write_text(json.dumps(times, indent=1))
    print(f"seed {seed}: {command}: {times[command] / 60:.1f} min", flush=True)


def _call(command: str, more: list[str], folder: Path) -> None:
    program, *arguments = command.split()
    script = Path(sys.executable).with_name(program)
    subprocess.run([script, *arguments, *more], cwd=folder, check=True)


def _score(folder: Path, checkpoint: str, split: str, masks: Path) -> dict[str, float]:
    """Mean scores of a model on a split."""
    out = Path("scores", checkpoint.removesuffix(".pt"), split)
    if not (folder / out / "metrics.json").exists():
        command = f"segtrain evaluate --images ../{split} --checkpoint {checkpoint} --out {out}"
        _call(command, ["--masks", str(masks)], folder)
    summary = json.loads((folder / out / "metrics.json").read_text())["summary"]
    return {column: summary[column]["mean"] for column in COLUMNS if column in summary}


def _copy(source: Path, names: list[str], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(source / f"{name}.png", target)


def _otsu(images: Path, masks: Path) -> dict[str, float]:
    """Mean scores of the classical answer: smooth, threshold, the darker phase is the particle."""
    rows = []
    for image, mask in pair_masks(images, masks):
        smooth = ndimage.gaussian_filter(read_micrograph(image).scene, 2.0)
        prediction = (smooth < threshold_otsu(smooth)).astype(np.uint8)
        truth = (read_mask(mask) > 0).astype(np.uint8)
        rows.append(evaluate(prediction, truth, ("matrix", "particle")))
    return {c: float(np.mean([row.get(c, np.nan) for row in rows])) for c in COLUMNS}


def _spread(values: list[float]) -> str:
    if np.isnan(values).any():
        return ""
    spread = f" ({min(values):.3f}-{max(values):.3f})" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
