"""The unlabelled folder: what the microscope really delivers, as style for the translation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.errors import InputError
from phasegen.images import grey_range, list_images, normalise, read_micrograph

HEADROOM = 0.25
"""Grey values beyond the percentiles, as a share of their distance, that still fit into 0..1."""

LARGEST, MOST = 1024, 64
"""Side and rough number of the scenes kept as style; a 4k image gives up to sixteen."""


@dataclass(frozen=True, eq=False)
class RealFolder:
    """Scenes of real images on a common grey scale.

    Attributes
    ----------
    folder : Path
        Where they come from.
    scenes : list of ndarray (Y, X), float32
        Without info bars; the 0.5 and 99.5 percentiles of each image lie `HEADROOM` inside 0..1.
    record : dict
        Files, percentiles and info bars, for provenance.
    """

    folder: Path
    scenes: list[NDArray[np.float32]]
    record: dict[str, Any]


def read_real(folder: Path, patch: int) -> RealFolder:
    """Read an unlabelled folder; statistics are taken once per image.

    Raises
    ------
    InputError
        As `phasegen.images.read_micrograph` does, and if there is only one image.
    """
    paths = list_images(folder)
    if len(paths) < 2:
        raise InputError(folder, "holds a single image", "Give at least two, better five")
    scenes, files = [], []
    every = -(-len(paths) // MOST)
    for number, path in enumerate(paths):
        # One at a time: a folder of 4k images need not fit into memory.
        micrograph = read_micrograph(path, min_size=patch)
        low, high = grey_range(micrograph.scene)
        margin = HEADROOM * (high - low)
        scene = normalise(micrograph.scene, low - margin, high + margin)
        if number % every == 0:
            blocks = _blocks(np.clip(scene, 0, 1), patch)
            step = max(1, len(blocks) * len(paths) // MOST)
            scenes += [block.copy() for block in blocks[::step]]
        files.append({"name": path.name, "low": low, "high": high, "bar": micrograph.bar})
    return RealFolder(folder, scenes, {"folder": str(folder.resolve()), "files": files})


def _blocks(scene: NDArray[np.float32], patch: int) -> list[NDArray[np.float32]]:
    """The scene in equal blocks, at most `LARGEST` pixels a side where that leaves a patch."""
    rows, columns = (min(-(-n // LARGEST), n // patch) for n in scene.shape)
    strips = np.array_split(scene, rows, axis=0)
    return [block for strip in strips for block in np.array_split(strip, columns, axis=1)]
