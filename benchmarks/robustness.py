"""How far a trained network holds on images unlike those it was adapted to, and what --adapt saves.

    python benchmarks/robustness.py IMAGES MASKS CHECKPOINT [WORK]

Every row is a perturbed copy of the folder IMAGES, segmented as trained and adapted to the copy by
`segtrain predict --adapt`, which reads no mask. Scores are foreground IoU and boundary F1 at 2 px,
means over the images, each at the size of the copy.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import rescale

from cli import common
from phasegen.images import grey_range, normalise, pair_masks, read_mask, read_micrograph
from phasegen.images import write_image as write
from segtrain.adapt import adapt
from segtrain.evaluate import evaluate_folder
from segtrain.predict import Segmenter, load_segmenter

Image = NDArray[Any]


def tilted(image: Image) -> Image:
    """Shading as of a tilted sample: as large as the image's own range from edge to edge."""
    y, x = (np.linspace(-0.5, 0.5, n) for n in image.shape)
    return image + 0.7 * x - 0.7 * y[:, None] ** 2


CHANGES: dict[str, tuple[Callable[[Image], Image], float]] = {
    "as it is": (lambda image: image, 1.0),
    "contrast inverted": (lambda image: 1 - image, 1.0),
    "noise added, 0.1 of the grey range": (
        lambda image: image + np.random.default_rng(0).normal(0, 0.1, image.shape),
        1.0,
    ),
    "blurred, sigma 2 px": (lambda image: ndimage.gaussian_filter(image, 2.0), 1.0),
    "shaded by tilt": (tilted, 1.0),
    "half the magnification": (lambda image: image, 0.5),
    "twice the magnification": (lambda image: image, 2.0),
}
"""What is done to the grey values, 0..1 between the percentiles, and the magnification."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=None)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp())
    segmenter = load_segmenter(options.checkpoint)
    rows = []
    for name, (change, scale) in CHANGES.items():
        folder = work / name.replace(" ", "-").replace(",", "")
        for image, mask in pair_masks(options.images, options.masks):
            _copy(image, mask, folder, change, scale)
        adapted = adapt(segmenter, folder / "images")
        stages = ", ".join(adapted.kept) or "nothing"
        before, after = (_scores(one, folder) for one in (segmenter, adapted.segmenter))
        rows.append((name, *before, *after, str(adapted.segmenter.view), stages))
        print(*rows[-1], sep=" | ", flush=True)
    header = ("images", "IoU", "BF1@2px", "adapted: IoU", "BF1@2px", "seen", "kept")
    common.table(header, rows)


def _scores(segmenter: Segmenter, folder: Path) -> tuple[str, str]:
    result = evaluate_folder(segmenter, folder / "images", folder / "masks", 2.0)
    return tuple(f"{result.summary[key].mean:.3f}" for key in ("iou", "bf1"))  # type: ignore[return-value]


def _copy(
    image: Path, mask: Path, folder: Path, change: Callable[[Image], Image], scale: float
) -> None:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    scene = read_micrograph(image).scene
    truth = read_mask(mask)[: len(scene)]
    grey = change(normalise(scene, *grey_range(scene)).astype(np.float64))
    if scale != 1:
        grey = rescale(grey, scale, order=1, anti_aliasing=scale < 1)
        shares = [
            rescale((truth == k).astype(float), scale, order=1) for k in range(truth.max() + 1)
        ]
        truth = np.argmax(shares, axis=0).astype(np.uint8)
    pixels = (np.clip(0.2 + 0.6 * grey, 0, 1) * 65535).astype(np.uint16)
    write(folder / "images" / f"{image.stem}.tif", pixels)
    write(folder / "masks" / f"{image.stem}.png", truth)


if __name__ == "__main__":
    main()
