"""The main job end to end: a folder of unlabelled images in, masks out, and a score.

The real side is the nickel superalloy where `--data` holds it. Elsewhere the project's virtual
microscope stands in, at settings that the pipeline is not told: there is a gap between simulated
and "real" images, and an exact truth to score against.

Every command line is printed before it runs; typed by hand in the same folder, it does the same.
An interrupted demo goes on when it is started again.
"""

import json
import os
import shlex
import shutil
import time
from contextlib import chdir
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from cli import common
from cli.cyclegan import app as cyclegan
from cli.phasegen import app as phasegen
from cli.segtrain import app as segtrain
from phasegen import campaign
from phasegen.images import write_image
from phasegen.microscope import MicroscopeRanges
from segtrain.baselines import otsu_scores
from segtrain.metrics import Summary, summarise

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SIM2SEM_DATA", ROOT.parent / "shared" / "data"))
REAL, TEST_IMAGES, TEST_MASKS = Path("sem"), Path("test/images"), Path("test/masks")
REPORT = Path("runs/segtrain/evaluation")
UNLABELLED, TESTED = 10, 4

UNTOLD = MicroscopeRanges(
    background=(0.4, 0.5),
    contrast=(-0.18, -0.12),
    halo=(0.2, 0.3),
    halo_width=(8.0, 11.0),
    tilt=(0.2, 0.3),
    blur=(1.6, 2.0),
    dose=(1500.0, 2500.0),
    noise=(0.002, 0.008),
    illumination=(0.12, 0.2),
)
"""Settings of the stand-in for a real microscope, outside those that `simulate` draws from."""

APPS = {"phasegen": phasegen, "cyclegan": cyclegan, "segtrain": segtrain}


def shell(line: str) -> None:
    """Print a command line and run it, in this process."""
    print(f"\n$ {line}", flush=True)
    program, *arguments = shlex.split(line)
    # Interrupted, a command returns its exit code instead of ending this process.
    if code := APPS[program](arguments, prog_name=program, standalone_mode=False):
        raise SystemExit(code)


def take_nickel(source: Path) -> None:
    """Copy the train images without their masks, and the test images with theirs."""
    splits = json.loads((source / "splits.json").read_text())
    copies = (("train", "images", REAL), ("test", "images", TEST_IMAGES))
    for split, kind, target in (*copies, ("test", "masks", TEST_MASKS)):
        target.mkdir(parents=True, exist_ok=True)
        for name in splits[split]:
            shutil.copyfile(source / kind / f"{name}.png", target / f"{name}.png")


def take_virtual(size: int) -> None:
    """Photograph other specimens with the stand-in, as 8-bit PNG; the last ones are the test."""
    hidden = campaign.Simulation(samples=UNLABELLED + TESTED, shape=size, seed=1, microscope=UNTOLD)
    store = campaign.prepare(Path("hidden.zarr"), hidden)
    with common.progress("virtual SEM", store.samples, len(store.complete())) as advance:
        for _ in campaign.run(store):
            advance()
    for folder in (REAL, TEST_IMAGES, TEST_MASKS):
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(store.samples):
        sample, name = store.read(index), f"{index:02d}.png"
        grey = np.round(255 * sample.image[0]).astype(np.uint8)
        write_image((REAL if index < UNLABELLED else TEST_IMAGES) / name, grey)
        if index >= UNLABELLED:
            write_image(TEST_MASKS / name, sample.mask)


def compare() -> None:
    """Print what the pipeline gains over a threshold on the test images."""
    ours = json.loads((REPORT / "metrics.json").read_text())["summary"]
    methods = {
        "Otsu after smoothing": summarise(otsu_scores(TEST_IMAGES, TEST_MASKS)),
        "sim2sem, no drawn mask": {name: Summary(**values) for name, values in ours.items()},
    }
    print("\nMean over the test images [95 % bootstrap interval]:")
    common.table(
        ("method", "foreground IoU", "Dice", "boundary F1, 2 px"),
        [(name, score["iou"], score["dice"], score["bf1"]) for name, score in methods.items()],
    )


def main(
    folder: Annotated[Path, typer.Option(help="Folder for everything.")] = ROOT / "demo",
    data: Annotated[Path, typer.Option(help="Where nickel_superalloy may be.")] = DATA,
    samples: Annotated[int, typer.Option(help="Simulated samples.")] = 24,
    size: Annotated[int, typer.Option(help="Side of a simulated sample, pixels.")] = 512,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 600,
    adapt_steps: Annotated[int, typer.Option(help="Steps of self-training.")] = 200,
) -> None:
    """Simulate, translate, train, predict and score; ends with a table and an HTML report."""
    start = time.monotonic()
    nickel = data.resolve() / "nickel_superalloy"
    place = folder.resolve() / (nickel.name if nickel.is_dir() else "virtual_microscope")
    place.mkdir(parents=True, exist_ok=True)
    print(f"$ cd {place}", flush=True)
    with chdir(place):
        take_nickel(nickel) if nickel.is_dir() else take_virtual(size)
        shell(f"phasegen simulate --n {samples} --size {size}")
        shell(f"cyclegan fit --real {REAL}")
        shell(f"segtrain --synthetic-only --steps {steps} --set adapt_steps={adapt_steps}")
        shell(f"segtrain predict {REAL} --overwrite")
        shell(f"segtrain evaluate --images {TEST_IMAGES} --masks {TEST_MASKS}")
        compare()
    print(f"\nPictures: {place / REPORT / 'report.html'}")
    print(f"Took {(time.monotonic() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    program = common.app("demo", "The main job end to end.")
    program.command()(main)
    common.run(program)
