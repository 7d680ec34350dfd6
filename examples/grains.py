"""Grains without a drawn label: field regression on simulated polycrystals.

    python examples/grains.py WORK [--steps 1000] [--seed 0]

Polycrystals are grown and photographed by the virtual SEM; a U-Net learns the Poisson field of
every grain, and finds the grains of other polycrystals that a differently set microscope has taken:
darker, of less contrast, less sharp, noisier and less evenly lit than any it has learned from.
Beside it stands the threshold and watershed that one would try without a network. Ends with the
table and WORK/grains.png.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import find_boundaries, watershed

from cli import common
from phasegen.images import write_image
from phasegen.store import Store, open_store
from segtrain.data.source import standardise
from segtrain.metrics import PanopticScore, overlaps, panoptic_quality, pool
from segtrain.predict import load_segmenter, segment_image

TRAIN, HELD, RUN = "data/train.zarr", "data/held.zarr", "runs/grains"

MICROSCOPE = {
    "background": "[0.4,0.75]",
    "contrast": "[-0.5,-0.25]",
    "blur": "[0.5,2]",
    "dose": "[60,1000]",
    "noise": "[0.01,0.06]",
    "illumination": "[0,0.2]",
}
"""Settings under which the network learns: wide, for it is to work under others."""

OTHER = {
    "background": "[0.3,0.4]",
    "contrast": "[-0.25,-0.2]",
    "halo": "[0.15,0.25]",
    "blur": "[2,2.3]",
    "dose": "[40,60]",
    "noise": "[0.06,0.07]",
    "illumination": "[0.2,0.25]",
}
"""Settings of the held-out images, each beyond those of the training."""

SEEDS = 1000
"""Distance of the seeds of training and held-out polycrystals."""


def main() -> None:
    """Simulate, train, and score on the held-out images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    work, seed = options.work, options.seed
    work.mkdir(parents=True, exist_ok=True)
    for store, count, first, microscope in (
        (TRAIN, 40, seed, MICROSCOPE),
        (HELD, 12, seed + SEEDS, OTHER),
    ):
        settings = [f"--set=microscope.{name}={value}" for name, value in microscope.items()]
        simulate = f"phasegen simulate grains --n {count} --size 256 --seed {first} --out {store}"
        _call(work, simulate, *settings)
    training = f"segtrain --store {TRAIN} --target poisson --steps {options.steps} --out {RUN}"
    _call(work, f"{training} --seed {seed}")

    held, segmenter = open_store(work / HELD), load_segmenter(work / RUN / "best.pt")
    methods = {
        "threshold + watershed": threshold_and_watershed,
        "Poisson field": lambda grey: segment_image(segmenter, standardise(grey)[None]),
    }
    rows = []
    for name, method in methods.items():
        found = [method(held.read(index).grey) for index in range(held.samples)]
        score = pool(_scores(held, found))
        rows.append((name, f"{score.pq:.3f}", f"{score.sq:.3f}", f"{score.rq:.3f}"))
    common.table(("held-out polycrystals", "PQ", "SQ", "RQ"), rows)
    write_image(work / "grains.png", _picture(held, found))
    print(work / "grains.png")


def threshold_and_watershed(grey: NDArray[np.float32]) -> NDArray[np.int32]:
    """Grains between dark boundaries: Otsu's threshold, then watershed of the distance."""
    smooth = ndimage.gaussian_filter(grey, 2.0)
    inside = smooth > threshold_otsu(smooth)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), 1.0)
    peaks, _ = ndimage.label((ndimage.maximum_filter(distance, 15) == distance) & inside)
    grains: NDArray[np.int32] = watershed(-distance, peaks, mask=inside)
    return grains


def _scores(held: Store, found: list[NDArray[np.int32]]) -> list[PanopticScore]:
    truths = [held.read(index).instance for index in range(held.samples)]
    return [
        panoptic_quality(overlaps(grains, truth))
        for grains, truth in zip(found, truths, strict=True)
    ]


def _picture(held: Store, found: list[NDArray[np.int32]], shown: int = 3) -> NDArray[np.uint8]:
    """Images with the grains found (orange) above the same with the true ones (blue)."""
    rows = []
    for colour, pick in (
        ((230, 159, 0), lambda index: found[index]),
        ((86, 180, 233), lambda index: held.read(index).instance),
    ):
        tiles = []
        for index in range(shown):
            grey = (255 * np.clip(held.read(index).grey, 0, 1)).astype(np.uint8)
            tile = np.repeat(grey[..., None], 3, axis=-1)
            tile[find_boundaries(pick(index), mode="inner")] = colour
            tiles.append(tile)
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def _call(folder: Path, command: str, *more: str) -> None:
    program, *arguments = command.split()
    script = Path(sys.executable).with_name(program)
    subprocess.run([script, *arguments, *more], cwd=folder, check=True)


if __name__ == "__main__":
    main()
