"""How the default pipeline holds when style and test images differ: nickel superalloy, one seed.

    python benchmarks/nickel_shift.py DATA WORK [--seed 0] [--cases spot1 flat-divided ...]

DATA is the folder `nickel_superalloy` with images, masks and splits.json.

- ``spotN``: style and self-training from all other spots of the specimen, scored on spot N.
- ``flat-*``: style and self-training from the 10 training images after 8-bit flattening, scored on
  the test images flattened alike, and on them as they are.

All cases share the simulations. The last line is the worst case of every score.
"""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from nickel import COLUMNS, FDA, SIMULATE, TRAIN, _call, _run
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.exposure import equalize_adapthist

from cli import common
from phasegen.images import list_images, read_micrograph, write_image

Image = NDArray[Any]

REACH = 60.0
"""Standard deviation of what counts as background, pixels: several of the largest particles."""


def subtracted(scene: Image) -> Image:
    """Background subtracted, as flat-field dialogs do by default."""
    return scene - gaussian_filter(scene, REACH)


def divided(scene: Image) -> Image:
    """Divided by the background, which evens contrast out as well."""
    return scene / np.maximum(gaussian_filter(scene, REACH), 1e-3)


def equalised(scene: Image) -> Image:
    """Contrast-limited adaptive histogram equalisation (CLAHE)."""
    return np.asarray(equalize_adapthist(scene))


FLATTENINGS: dict[str, Callable[[Image], Image]] = {
    "flat-subtracted": subtracted,
    "flat-divided": divided,
    "flat-equalised": equalised,
}


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+")
    options = parser.parse_args()
    data, work, seed = options.data.resolve(), options.work, options.seed
    splits = json.loads((data / "splits.json").read_text())
    names = sorted(name for split in splits.values() for name in split)
    spots = sorted({name.split("_")[0] for name in names})
    cases = options.cases or [*spots, *FLATTENINGS]
    (work / "sim").mkdir(parents=True, exist_ok=True)
    _run(SIMULATE, seed, work / "sim")
    rows = []
    for case in cases:
        folder = work / case
        if case in FLATTENINGS:
            _gather(data / "images", splits["train"], folder / "sem", FLATTENINGS[case])
            _gather(data / "images", splits["test"], folder / "test", FLATTENINGS[case])
            _gather(data / "images", splits["test"], folder / "raw")
            tests = {case: "test", f"{case}, test images as they are": "raw"}
        else:
            style = [name for name in names if not name.startswith(case)]
            _gather(data / "images", style, folder / "sem")
            _gather(data / "images", sorted(set(names) - set(style)), folder / "test")
            tests = {case: "test"}
        store = folder / "data" / "sim.zarr"
        if not store.exists():
            shutil.copytree(work / "sim" / "data" / "sim.zarr", store)
        for command in (FDA, TRAIN.format("fda")):
            _run(command, seed, folder)
        for name, test in tests.items():
            rows.append((name, _score(folder, test, data / "masks")))
    table = [(name, *(f"{scores[column]:.3f}" for column in COLUMNS)) for name, scores in rows]
    worst = [f"{min(scores[column] for _, scores in rows):.3f}" for column in COLUMNS]
    common.table(("case", *COLUMNS), [*table, ("worst", *worst)])


def _gather(
    source: Path, names: list[str], target: Path, flatten: Callable[[Image], Image] | None = None
) -> None:
    """Images of a folder, as they are or flattened to 8 bits between their 0.1 and 99.9 %."""
    if target.exists():
        return
    target.mkdir(parents=True)
    for path in list_images(source):
        if path.stem not in names:
            continue
        if flatten is None:
            shutil.copy(path, target)
            continue
        pixels = read_micrograph(path).pixels.astype(np.float64)
        flat = flatten((pixels - pixels.min()) / max(float(np.ptp(pixels)), 1e-9))
        low, high = np.percentile(flat, (0.1, 99.9))
        write_image(
            target / path.name, (255 * np.clip((flat - low) / (high - low), 0, 1)).astype(np.uint8)
        )


def _score(folder: Path, test: str, masks: Path) -> dict[str, float]:
    """Mean scores of the self-trained model; masks of other images are left out."""
    drawn = folder / f"{test}-masks"
    if not drawn.exists():
        _gather(masks, [path.stem for path in list_images(folder / test)], drawn)
    command = f"segtrain evaluate --images {test} --masks {drawn.name}"
    _call(f"{command} --checkpoint runs/fda/best.pt --out scores/{test}", [], folder)
    summary = json.loads((folder / "scores" / test / "metrics.json").read_text())["summary"]
    return {column: summary[column]["mean"] for column in COLUMNS if column in summary}


if __name__ == "__main__":
    main()
