"""Two parts of the hippocampus in MR volumes: networks with and without numerical layers compared.

::

    python examples/hippocampus.py Task04_Hippocampus out               # two rows
    python examples/hippocampus.py Task04_Hippocampus out --rows all    # every network and loss
    python examples/hippocampus.py Task04_Hippocampus out --rows pde3d-unet,pde3d-unet-k5
    python examples/hippocampus.py Task04_Hippocampus out --seeds 0,1,2 --folds 1,2,3,4,5
    python examples/hippocampus.py Task04_Hippocampus out --shots 4,8,16,0      # few labels
    python examples/hippocampus.py Task04_Hippocampus out --robust              # worse images

It needs Task04_Hippocampus of the Medical Segmentation Decathlon (http://medicaldecathlon.com):
volumes of about 35 x 50 x 35 voxels of 1 mm, label 1 the anterior and label 2 the posterior part.
The sorted volumes are divided into five folds by seed 0; a fold is tested on by networks that were
trained on the others, eight volumes of which choose the checkpoint. Sizes and steps are those for
one core of a CPU, but for `vnet` and `swin-unetr`, far larger networks with larger patches. The
same command again goes on where it was interrupted, and adds to `out`: there are ``table.md``, the
scores of every run, and ``hippocampus.png`` with slices through volumes of the test. A run that is
there with other settings is refused.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from typer import Option

from cli import common
from phasegen.checkpoint import SETTINGS
from phasegen.contact_sheet import colour
from phasegen.errors import InputError
from phasegen.files import make_folder, written_whole
from phasegen.images import write_image
from segtrain.config import Training
from segtrain.data.formats import open_format
from segtrain.data.source import Labelled, Source, standardise
from segtrain.evaluate import evaluate_source
from segtrain.predict import Segmenter, load_segmenter, segment_image
from segtrain.train import train

ABLATIONS: dict[str, dict[str, Any]] = {
    "skips": {"place": "skips"},
    "skips-all": {"place": "skips", "finest": 0},
    "both": {"place": "both"},
    "k1": {"steps": 1},
    "k3": {"steps": 3},
    "k5": {"steps": 5},
    "explicit": {"scheme": "explicit"},
    "crank-nicolson": {"scheme": "crank-nicolson", "sweeps": 2},
    "split": {"scheme": "split"},
    "sweeps2": {"sweeps": 2},
    "gauss-seidel": {"solver": "gauss-seidel"},
    "size5": {"size": 5},
}
"""Options of `pde3d-unet`: where the layers are, K, scheme, solver and kernel."""

REGULARISERS = {
    "implicit": "implicit",
    "flux": "flux",
    "variation": "variation",
    "regularised": "implicit+flux+variation",
}

ROWS: dict[str, dict[str, Any]] = {
    "unet3d": {"model": "unet3d"},
    **{
        f"unet3d-{name}": {"model": "unet3d", "loss": f"ce-class-dice+{prior}"}
        for name, prior in REGULARISERS.items()
    },
    "pde3d-unet": {"model": "pde3d-unet"},
    **{
        f"pde3d-unet-{name}": {"model": "pde3d-unet", "options": options}
        for name, options in ABLATIONS.items()
    },
    "es-unet": {"model": "es-unet"},
    # Sides must be multiples of 16 and of 32.
    "vnet": {"model": "vnet", "patch": (32, 32, 32)},
    "swin-unetr": {"model": "swin-unetr", "patch": (32, 32, 32)},
}
"""Backbone, backbone with the PDE as a loss alone, embedded layers, other networks."""

RECIPE: dict[str, Any] = {
    "widths": (8, 16, 32, 64),
    "patch": (24, 32, 24),
    "batch": 2,
    "foreground": 0.33,
    "loss": "ce-class-dice",
    "learning_rate": 4e-3,
    "ema": 0.98,
    "steps": 1000,
    "validation": 8,
    "validate_every": 400,
    "patience": 1000,
    "device": "cpu",
}
"""What all rows share, unless they say otherwise. It was chosen by the validation volumes of the
first fold.
"""

FOLDS, STRUCTURES = 5, {"anterior": "class 1", "posterior": "class 2"}

Change = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]


def noisy(image: NDArray[np.float32], rng: np.random.Generator, sigma: float) -> NDArray[Any]:
    """White noise of `sigma` standard deviations of the volume."""
    return image + sigma * rng.standard_normal(image.shape)


def biased(image: NDArray[np.float32], rng: np.random.Generator, strength: float) -> NDArray[Any]:
    """A coil's field: intensities from 0 times exp(strength x a random quadratic from -1 to 1)."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape[1:]), indexing="ij")
    a, b = rng.normal(size=(2, 3))
    field = sum(s * x + q * x * x for s, q, x in zip(a, b, axes, strict=True))
    field = 2 * (field - field.min()) / np.ptp(field) - 1
    return (image - image.min()) * np.exp(strength * field)


def coarse(image: NDArray[np.float32], _: np.random.Generator, factor: float) -> NDArray[Any]:
    """Voxels `factor` times as long, each the mean of what it covers, interpolated back."""
    blurred = ndimage.gaussian_filter(image, (0, *[0.4 * factor] * 3))
    small = ndimage.zoom(blurred, (1, *[1 / factor] * 3), order=1, mode="nearest", grid_mode=True)
    back = [n / m for n, m in zip(image.shape, small.shape, strict=True)]
    return np.asarray(ndimage.zoom(small, back, order=1, mode="nearest", grid_mode=True))


CHANGES: dict[str, Change] = {
    **{f"noise {s:g}": partial(noisy, sigma=s) for s in (0.25, 0.5, 1.0)},
    **{f"bias {s:g}": partial(biased, strength=s) for s in (0.25, 0.5, 1.0)},
    **{f"voxels x{f:g}": partial(coarse, factor=f) for f in (1.5, 2.0, 3.0)},
}
"""What is done to the volumes of the test, never to those of the training."""


def changed(source: Source, change: Change) -> Source:
    """The source with every volume changed, each in its own way, and standardised again."""

    def load(index: int) -> Labelled:
        sample = source.load(index)
        image = change(sample.image, np.random.default_rng(index))
        return replace(sample, image=np.stack([standardise(c) for c in image.astype(np.float32)]))

    return replace(source, load=load)


def configuration(
    data: Path, row: str, fold: int, seed: int, shots: int, **settings: Any
) -> Training:
    """The training of one row; `settings` replace those of the recipe."""
    part = f"msd:{data},part=without-{fold}-of-{FOLDS}"
    given: dict[str, Any] = {"data": (part,), "seed": seed, "shots": shots}
    return Training(**RECIPE | ROWS[row] | given | settings)


def fit(config: Training, run: Path) -> tuple[Segmenter, float]:
    """The best network of a run, trained to its end, and seconds of one core per step (median)."""
    ticks: list[float] = []

    @contextmanager
    def timed(phase: str, total: int, done: int) -> Iterator[Any]:
        with common.progress(run.name, total, done) as advance:

            def tick(steps: int, note: str) -> None:
                ticks.append(time.process_time())
                advance(steps, note)

            yield tick

    best = train(config, run, timed)
    seconds = float(np.median(np.diff(ticks))) if len(ticks) > 1 else float("nan")
    return load_segmenter(best, config.device), seconds


def scores(segmenter: Segmenter, test: Source) -> dict[str, float]:
    """Mean scores over the volumes of the test; distances in mm."""
    summary = evaluate_source(segmenter, test, tolerance=1.0).summary
    found = {
        f"{score} {name}": summary[f"{score}_{key}"].mean
        for score in ("dice", "hd95", "recall", "precision")
        for name, key in STRUCTURES.items()
    }
    for score in ("dice", "hd95", "recall", "precision"):
        found[score] = float(np.mean([found[f"{score} {name}"] for name in STRUCTURES]))
    return found


def kept(path: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `path` holds; if it is not there, what `compute` returns, written to it."""
    if not path.exists():
        content = compute()
        with written_whole(path) as partial_file:
            partial_file.write_text(json.dumps(content, indent=1))
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def measure(config: Training, run: Path, test: Source, robust: bool) -> dict[str, Any]:
    """Train and score one run, or read what an earlier call wrote.

    Raises
    ------
    InputError
        If the folder of the run holds one of other settings.
    """
    if (run / SETTINGS).exists():
        # Scores are kept beside the settings that training writes.
        before = Training.load(run / SETTINGS)
        other = [name for name, value in config if getattr(before, name) != value]
        if other:
            name = other[0]
            problem = f"holds a run of {name} = {getattr(before, name)}"
            remedy = f"Choose another folder, or remove it for {getattr(config, name)}"
            raise InputError(run, problem, remedy)

    def first() -> dict[str, Any]:
        segmenter, seconds = fit(config, run)
        parameters = sum(p.numel() for p in segmenter.network.parameters())
        return {**scores(segmenter, test), "parameters": parameters, "seconds": seconds}

    def worse() -> dict[str, Any]:
        segmenter = load_segmenter(run / "best.pt", config.device)
        return {name: scores(segmenter, changed(test, change)) for name, change in CHANGES.items()}

    row = kept(run / "scores.json", first)
    if robust:
        row["changes"] = kept(run / "robustness.json", worse)
    return row


def picture(segmenters: dict[str, Segmenter], test: Source, volumes: int = 3) -> NDArray[np.uint8]:
    """Middle slices along x: image, truth and predictions side by side, a row for each volume."""
    rows = []
    for index in range(min(volumes, test.count)):
        sample = test.load(index)
        middle = sample.mask.shape[2] // 2
        low, high = np.percentile(sample.image, (1, 99))
        grey = np.clip((sample.image[0] - low) / (high - low), 0, 1)[:, :, middle]
        masks = [sample.mask, *(segment_image(s, sample.image) for s in segmenters.values())]
        tiles = [np.repeat(np.uint8(255 * grey)[..., None], 3, axis=2)]
        tiles += [colour(mask[:, :, middle]) for mask in masks]
        # Seen from the side, head up; all tiles of one size.
        tiles = [np.kron(tile[::-1], np.ones((4, 4, 1), np.uint8)) for tile in tiles]
        frame = [(0, 180 - tiles[0].shape[0]), (0, 232 - tiles[0].shape[1]), (0, 0)]
        rows.append(np.hstack([np.pad(t, frame, constant_values=255) for t in tiles]))
    return np.vstack(rows)


def spread(values: list[float], digits: int) -> str:
    """Mean of several runs, with their standard deviation."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


COLUMNS = {
    **{f"{s} {n}": (f"{t} {n}", d) for s, t, d in (("dice", "Dice", 3),) for n in STRUCTURES},
    "dice": ("Dice", 3),
    **{f"hd95 {n}": (f"HD95 {n}, mm", 2) for n in STRUCTURES},
    "recall": ("sensitivity", 3),
    "precision": ("precision", 3),
    "parameters": ("parameters", 0),
    "seconds": ("s/step", 2),
}
"""Columns of the table, with their names and decimals."""


def listed(text: str) -> list[int]:
    """Whole numbers separated by commas."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise InputError(text, "is no list of whole numbers", "Give numbers such as 1,2") from None


program = common.app("hippocampus", "Compare networks on the hippocampus of the Decathlon.")


@program.command()
def main(
    data: Path,
    out: Path,
    rows: Annotated[str, Option(help="names of rows, or all")] = "unet3d,pde3d-unet",
    folds: Annotated[str, Option(help="folds to test on, 1 to 5")] = "1",
    seeds: Annotated[str, Option(help="seeds of the trainings")] = "0",
    shots: Annotated[str, Option(help="labelled volumes to learn from; 0: all")] = "0",
    steps: Annotated[int, Option(help="steps of every training")] = RECIPE["steps"],
    robust: Annotated[bool, Option(help="score on worse images as well")] = False,
) -> None:
    """Train and test every combination on the folder DATA (Task04_Hippocampus)."""
    torch.set_num_threads(1)
    chosen = list(ROWS) if rows == "all" else rows.split(",")
    for row in chosen:
        if row not in ROWS:
            raise InputError("--rows", f"names {row!r}", f"Choose from {', '.join(ROWS)}")
    make_folder(out)
    table, segmenters, first = [], {}, None
    for few in listed(shots):
        for row in chosen:
            found = []
            for fold in listed(folds):
                for seed in listed(seeds):
                    run = out / f"{row}-{few or 'all'}-fold{fold}-seed{seed}"
                    config = configuration(data, row, fold, seed, few, steps=steps)
                    test = open_format(f"msd:{data},part={fold}-of-{FOLDS}", config.patch)
                    first = first or test
                    found.append(measure(config, run, test, robust))
                    segmenters.setdefault(row, load_segmenter(run / "best.pt", "cpu"))
            for change in [None, *(CHANGES if robust else ())]:
                cells = [one["changes"][change] if change else one for one in found]
                known = {key: [one.get(key, np.nan) for one in cells] for key in COLUMNS}
                line = [spread(known[key], digits) for key, (_, digits) in COLUMNS.items()]
                table.append([row, few or "all", change or "-", len(found), *line])
    header = ["row", "volumes", "change", "runs", *(name for name, _ in COLUMNS.values())]
    lines = [header, ["---"] * len(header), *table]
    with written_whole(out / "table.md") as partial_file:
        text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
        partial_file.write_text(text + "\n", encoding="utf-8")
    assert first is not None
    write_image(out / "hippocampus.png", picture(segmenters, first))
    common.table(header, table)


if __name__ == "__main__":
    common.run(program)
