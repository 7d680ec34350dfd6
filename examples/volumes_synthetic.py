"""Simulated volumes teach a network to segment volumes that another instrument has taken.

::

    python examples/volumes_synthetic.py out
    python examples/volumes_synthetic.py out --recipe gamma-prime --steps 600

Volumes are simulated and photographed by a virtual SEM of widely ranging settings, section by
section; networks learn from them alone. The held-out specimens are others, and are photographed
three times: by the same instrument; by one that is set beyond all of the training; by a FIB-SEM
with slices two pixels thick, curtains, light of lower layers, flicker and drift, either as it is or
with planes interpolated between the slices. One network learns from FIB-SEM volumes as well, whose
settings stay below those of the test. Sizes and steps are those for one core of a CPU.

The same command again goes on where it was interrupted. `out` holds the stores, the runs,
``scores.md`` and ``volumes.png``: the middle planes xy and xz of a held-out volume as each
instrument shows it, the truth, and what the last network makes of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from typer import Option

from cli import common
from phasegen import campaign
from phasegen.contact_sheet import colour
from phasegen.errors import InputError
from phasegen.files import written_whole
from phasegen.images import write_image
from phasegen.store import Store, open_store
from segtrain.config import Training
from segtrain.data.source import standardise
from segtrain.metrics import evaluate, summarise
from segtrain.predict import load_segmenter, segment_image
from segtrain.train import train

SIDE, PATCH = 64, 32

SPECIMENS: dict[str, dict[str, Any]] = {
    "spinodal": {"magnification": [1.2, 1.8], "time": [100, 300]},
    "grains": {"magnification": 1.4, "grain_size": [18, 20]},
    "gamma-prime": {
        "magnification": 1.4,
        "volume_fraction": [0.3, 0.34],
        "nucleus_spacing": 16,
        "nucleus_radius": 7,
        "ageing_time": [4, 10],
        "free_zone": 3,
        "tertiary_spacing": 7.5,
        "tertiary_radius": 4,
        "second_time": 1.4,
    },
    "porous": {"magnification": 1.4, "particle": 16},
}
"""Structures small enough for a cube of `SIDE`, by recipe."""

WIDE = {
    "background": [0.4, 0.75],
    "contrast": [-0.4, -0.2],
    "blur": [0.5, 2],
    "dose": [60, 1000],
    "noise": [0.01, 0.06],
    "illumination": [0, 0.2],
}
"""Settings under which the networks learn: wide, for they are to work under others."""

OTHER = {
    "background": [0.3, 0.4],
    "contrast": [-0.2, -0.15],
    "halo": [0.15, 0.25],
    "blur": [2, 2.3],
    "dose": [40, 60],
    "noise": [0.06, 0.08],
    "illumination": [0.2, 0.25],
}
"""Settings of other serial sections, each beyond those of the training."""

THICK = 2

MILLED = {
    "slice_thickness": THICK,
    "curtaining": [0, 0.06],
    "shine_through": [0, 1.5],
    "flicker": [0, 0.06],
    "drift": [0, 0.5],
}
"""What a FIB-SEM adds, for the network that learns from it."""

OTHER_MILLED = {
    "slice_thickness": THICK,
    "curtaining": [0.06, 0.09],
    "shine_through": [1.5, 2.5],
    "flicker": [0.06, 0.1],
    "drift": [0.5, 0.7],
}
"""The same for the test, each setting beyond those of the training."""

SEEDS = 1000
"""Distance of the seeds of training and held-out specimens."""

STORES: dict[str, tuple[int, int, dict[str, Any], dict[str, Any]]] = {
    "train": (12, 0, WIDE, {}),
    "train-fib": (12, 1, WIDE, MILLED),
    "same": (4, SEEDS, WIDE, {}),
    "other": (4, SEEDS, OTHER, {}),
    "fib": (4, SEEDS, WIDE, OTHER_MILLED),
}
"""Volumes, seed, settings of the microscope and of the FIB, by name of the store."""

RUNS = {
    "unet3d": ("unet3d", ("train",)),
    "pde3d-unet": ("pde3d-unet", ("train",)),
    "pde3d-unet, FIB-SEM too": ("pde3d-unet", ("train", "train-fib")),
}
"""Network, and what it learns from, by what the table calls it."""

TESTS = {
    "same instrument": ("same", 1),
    "other serial sections": ("other", 1),
    "FIB-SEM": ("fib", 1),
    "FIB-SEM, interpolated": ("fib", THICK),
}
"""Store, and into how many the distance of its planes is divided, by what the table calls it."""

Method = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""From a standardised volume (Z, Y, X) to its class mask."""


def simulate(path: Path, recipe: str, name: str, seed: int) -> Store:
    """The store of that name, complete."""
    count, offset, microscope, fib_sem = STORES[name]
    settings = campaign.Simulation.load(
        recipe=recipe,
        samples=count,
        shape=(SIDE,) * 3,
        seed=seed + offset,
        parameters=SPECIMENS[recipe],
        microscope=microscope,
        fib_sem=fib_sem,
    )
    target = campaign.prepare(path, settings)
    with common.progress(f"simulate {name}", count, len(target.complete())) as advance:
        for _ in campaign.run(target, workers=1):
            advance()
    return open_store(path)


def fit(out: Path, name: str, steps: int, seed: int) -> Method:
    """The network of a run, trained to its end."""
    model, stores = RUNS[name]
    config = Training(
        data=tuple(str(out / f"{store}.zarr") for store in stores),
        synthetic_only=True,
        model=model,
        widths=(8, 16, 32),
        loss="ce-class-dice",
        patch=PATCH,
        batch=2,
        steps=steps,
        validation=2,
        validate_every=max(1, steps // 2),
        patience=1000,
        ema=0.98,
        seed=seed,
        device="cpu",
    )
    best = train(config, out / f"run-{'-'.join([model, *stores])}", common.progress)
    segmenter = load_segmenter(best, "cpu")
    return lambda volume: segment_image(segmenter, volume[None])


def threshold(store: Store) -> Method:
    """Otsu's threshold after smoothing; `store` tells which of two phases is bright."""
    first = store.read(0)
    bright = np.corrcoef(first.grey.ravel(), first.mask.ravel() > 0)[0, 1] > 0

    def segment(volume: NDArray[np.float32]) -> NDArray[np.uint8]:
        smooth = ndimage.gaussian_filter(volume, 1.5)
        mask: NDArray[np.bool_] = (smooth > threshold_otsu(smooth)) == bright
        return mask.astype(np.uint8)

    return segment


def predict(method: Method, volume: NDArray[np.float32], parts: int) -> NDArray[np.uint8]:
    """Class mask of a volume that the method sees with its planes `parts` times as dense."""
    volume = standardise(volume)
    planes = len(volume)
    dense = ndimage.zoom(volume, (((planes - 1) * parts + 1) / planes, 1, 1), order=1)
    return method(dense)[::parts]


def scores(method: Method, store: Store, parts: int) -> dict[str, float]:
    """Mean scores over the volumes of a store; distances in its unit."""
    rows = {}
    for index in range(store.samples):
        sample = store.read(index)
        found = predict(method, sample.grey, parts)
        rows[str(index)] = evaluate(found, sample.mask, store.classes, spacing=store.spacing)
    return {name: score.mean for name, score in summarise(rows).items()}


def picture(method: Method, tests: list[tuple[Store, int]]) -> NDArray[np.uint8]:
    """Image, truth and prediction, xy and then xz, of one specimen; a row for each test."""
    rows = []
    for store, parts in tests:
        sample = store.read(0)
        low, high = np.percentile(sample.grey, (0.5, 99.5))
        grey = np.round(255 * np.clip((sample.grey - low) / (high - low), 0, 1)).astype(np.uint8)
        shown = [np.repeat(grey[..., None], 3, axis=-1), colour(sample.mask)]
        shown.append(colour(predict(method, sample.grey, parts)))
        length = round(store.spacing[0] / store.spacing[1])
        xy = [volume[len(volume) // 2] for volume in shown]
        xz = [np.repeat(volume[:, SIDE // 2], length, axis=0)[:SIDE] for volume in shown]
        rows.append(np.hstack([np.pad(plane, ((0, 2), (0, 2), (0, 0))) for plane in [*xy, *xz]]))
    return np.kron(np.vstack(rows), np.ones((3, 3, 1), np.uint8))


program = common.app("volumes_synthetic", "From simulated volumes to those of other instruments.")


@program.command()
def main(
    out: Path,
    recipe: Annotated[str, Option(help=f"microstructure: {', '.join(SPECIMENS)}")] = "spinodal",
    steps: Annotated[int, Option(help="steps of every training")] = 300,
    seed: Annotated[int, Option(help="seed of specimens and trainings")] = 0,
) -> None:
    """Simulate, train, and score on the held-out volumes."""
    torch.set_num_threads(1)
    if recipe not in SPECIMENS:
        raise InputError("--recipe", f"is {recipe!r}", f"Choose from {', '.join(SPECIMENS)}")
    stores = {name: simulate(out / f"{name}.zarr", recipe, name, seed) for name in STORES}
    methods = {"threshold": threshold(stores["train"])} if len(stores["train"].classes) == 2 else {}
    methods |= {name: fit(out, name, steps, seed) for name in RUNS}
    header = ["network", "volumes", *(f"Dice {c}" for c in stores["train"].classes), "HD95, px"]
    rows = []
    for name, method in methods.items():
        for test, (store, parts) in TESTS.items():
            found = scores(method, stores[store], parts)
            cells = [f"{found[f'dice_{c}']:.3f}" for c in stores[store].classes]
            rows.append([name, test, *cells, f"{found['hd95']:.2f}"])
    lines = [header, ["---"] * len(header), *rows]
    with written_whole(out / "scores.md") as partial:
        partial.write_text("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    shown = [(stores[store], parts) for store, parts in TESTS.values()]
    write_image(out / "volumes.png", picture(method, shown))
    common.table(header, rows)


if __name__ == "__main__":
    common.run(program)
