"""Contact sheet of a store: images above their masks, as one picture."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.errors import InputError
from phasegen.files import make_folder
from phasegen.images import write_image
from phasegen.store import Store

PALETTE = np.array(
    [(20, 20, 24), (230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66)],
    np.uint8,
)
"""Colours of the classes (Okabe and Ito, distinct for colour-blind readers), background first."""

COLUMNS, THUMBNAIL, GAP = 4, 320, 6


def colour(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Class mask (Y, X) as a colour image (Y, X, 3)."""
    picture: NDArray[np.uint8] = PALETTE[mask % len(PALETTE)]
    return picture


def write(path: Path, store: Store, samples: int = 8) -> None:
    """Write the first complete samples of a store as a PNG.

    Raises
    ------
    InputError
        If no sample is complete.
    """
    indices = store.complete()[:samples]
    if not len(indices):
        raise InputError(
            store.path, "holds no complete sample", "Run the command that makes it again"
        )
    tiles = []
    for index in indices:
        sample = store.read(int(index))
        step = max(1, -(-max(sample.mask.shape) // THUMBNAIL))
        image, mask = sample.image[0, ::step, ::step], sample.mask[::step, ::step]
        scale = 255 if image.dtype.kind == "f" else 255 / np.iinfo(image.dtype).max
        grey = np.repeat((image * scale).astype(np.uint8)[..., None], 3, axis=2)
        tiles.append(_frame(np.vstack([_frame(grey), _frame(colour(mask))])))
    blank = np.full_like(tiles[0], 255)
    columns = min(COLUMNS, len(tiles))
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    make_folder(path.parent)
    write_image(path, np.vstack(rows))


def _frame(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)
