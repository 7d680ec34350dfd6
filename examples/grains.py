"""Grains without a drawn label: field regression on simulated polycrystals.

    python examples/grains.py WORK [--steps 1200] [--seed 0]

Polycrystals are grown and photographed by the virtual SEM at settings from wide ranges; a U-Net
learns the Poisson field of every grain, and finds the grains of other polycrystals: at settings
from the same ranges, and through one microscope that is dark, flat, blurred, noisy, unevenly lit.
Beside it stands the threshold and watershed that one would try without a network. Ends with the
table and WORK/grains.png, the second microscope's images.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import find_boundaries, watershed

from cli import common
from phasegen.images import write_image
from segtrain.data.source import Labelled
from segtrain.metrics import overlaps, panoptic_quality, pool
from segtrain.predict import load_segmenter, segment_image
from segtrain.sources import open_source

TRAIN, RUN = "data/train.zarr", "runs/grains"

MICROSCOPE = {
    "background": "[0.25,0.75]",
    "contrast": "[-0.5,-0.15]",
    "halo": "[0,0.3]",
    "blur": "[0.5,2.5]",
    "dose": "[30,1000]",
    "noise": "[0.01,0.08]",
    "illumination": "[0,0.3]",
}
"""Settings under which the network learns: so wide that those of another microscope are within."""

OTHER = {
    "background": "[0.3,0.4]",
    "contrast": "[-0.25,-0.2]",
    "halo": "[0.15,0.25]",
    "blur": "[2,2.3]",
    "dose": "[40,60]",
    "noise": "[0.06,0.07]",
    "illumination": "[0.2,0.25]",
}
"""A microscope that is blurred, noisy, flat and unevenly lit, all at once."""

HELD = {"same": MICROSCOPE, "other": OTHER}
"""Microscopes through which held-out polycrystals are seen."""

SEEDS = 1000
"""Distance of the seeds of training and held-out polycrystals."""


def main() -> None:
    """Simulate, train, and score on the held-out images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    work, seed = options.work, options.seed
    work.mkdir(parents=True, exist_ok=True)
    _simulate(work, TRAIN, 60, seed, MICROSCOPE)
    for name, microscope in HELD.items():
        _simulate(work, f"data/{name}.zarr", 12, seed + SEEDS, microscope)
    training = f"segtrain --store {TRAIN} --target poisson --steps {options.steps} --out {RUN}"
    _call(work, f"{training} --seed {seed}")

    segmenter = load_segmenter(work / RUN / "best.pt")
    methods = {
        "threshold + watershed": lambda image: threshold_and_watershed(image[0]),
        "Poisson field": lambda image: segment_image(segmenter, image),
    }
    rows = []
    for name in HELD:
        held = open_source(str(work / f"data/{name}.zarr"), 1, True)
        samples = [held.load(index) for index in range(held.count)]
        for method, segment in methods.items():
            found = [segment(sample.image) for sample in samples]
            score = pool(
                panoptic_quality(overlaps(grains, sample.mask))
                for grains, sample in zip(found, samples, strict=True)
            )
            rows.append((name, method, f"{score.pq:.3f}", f"{score.sq:.3f}", f"{score.rq:.3f}"))
    common.table(("microscope", "method", "PQ", "SQ", "RQ"), rows)
    write_image(work / "grains.png", _picture(samples, found))
    print(work / "grains.png")


def _simulate(work: Path, out: str, count: int, seed: int, microscope: Mapping[str, str]) -> None:
    settings = [f"--set=microscope.{name}={value}" for name, value in microscope.items()]
    command = f"phasegen simulate grains --n {count} --size 256 --seed {seed} --out {out}"
    _call(work, command, *settings)


def threshold_and_watershed(grey: NDArray[np.float32]) -> NDArray[np.int32]:
    """Grains between dark boundaries: Otsu's threshold, then watershed of the distance."""
    smooth = ndimage.gaussian_filter(grey, 2.0)
    inside = smooth > threshold_otsu(smooth)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), 1.0)
    peaks, _ = ndimage.label((ndimage.maximum_filter(distance, 15) == distance) & inside)
    grains: NDArray[np.int32] = watershed(-distance, peaks, mask=inside)
    return grains


def _picture(
    samples: Sequence[Labelled], found: Sequence[NDArray[np.integer]], shown: int = 3
) -> NDArray[np.uint8]:
    """Images with the grains found (orange) above the same with the true ones (blue)."""
    rows = []
    for colour, grains in (
        ((230, 159, 0), found),
        ((86, 180, 233), [sample.mask for sample in samples]),
    ):
        tiles = []
        for sample, labels in zip(samples[:shown], grains, strict=False):
            low, high = np.percentile(sample.image[0], (1, 99))
            grey = (255 * np.clip((sample.image[0] - low) / (high - low), 0, 1)).astype(np.uint8)
            tile = np.repeat(grey[..., None], 3, axis=-1)
            tile[find_boundaries(labels, mode="inner")] = colour
            tiles.append(tile)
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def _call(folder: Path, command: str, *more: str) -> None:
    program, *arguments = command.split()
    script = Path(sys.executable).with_name(program)
    subprocess.run([script, *arguments, *more], cwd=folder, check=True)


if __name__ == "__main__":
    main()
