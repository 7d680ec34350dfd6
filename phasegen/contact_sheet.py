"""Contact sheet of a store: images above their masks, as one picture.

Of a volume, three sections through its middle are shown, unfolded along the edges they share: the
XY plane, the ZY plane to its right and the XZ plane below.
"""

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
    shown = [store.read(int(index)) for index in indices]
    whole = 1.0
    if store.arrays["image"].dtype.kind != "f":  # 12 bits in 16 would look black
        whole = max(1, *(int(sample.image.max()) for sample in shown))
    tiles = [
        picture((sample.image[0] * (255.0 / whole)).astype(np.uint8), sample.mask)
        for sample in shown
    ]
    blank = np.full_like(tiles[0], 255)
    columns = min(COLUMNS, len(tiles))
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    make_folder(path.parent)
    write_image(path, np.vstack(rows))


def picture(grey: NDArray[np.uint8], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values and class mask ([Z,] Y, X) of one sample as one framed picture (Y, X, 3)."""
    step = max(1, -(-max(mask.shape) // THUMBNAIL))
    cut = (slice(None, None, step),) * mask.ndim
    planes = [np.repeat(grey[cut][..., None], 3, axis=-1), colour(mask[cut])]
    if mask.ndim == 3:
        planes = [_unfold(plane) for plane in planes]
    return _frame(np.vstack([_frame(plane) for plane in planes]))


def _unfold(volume: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sections (Y + Z, X + Z, 3) through the middle of a volume (Z, Y, X, 3)."""
    z, y, x = (n // 2 for n in volume.shape[:3])
    xy, zy, xz = volume[z], volume[:, :, x].swapaxes(0, 1), volume[:, y]
    corner = np.full((len(xz), zy.shape[1], 3), 255, np.uint8)
    return np.vstack([np.hstack([xy, zy]), np.hstack([xz, corner])])


def _frame(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)
