"""From a scalar field to instances: h-minima watershed of the inverted field.

Ruiz Vargas et al., "Single tensor cell segmentation using scalar field representations" (2025),
section 2.1.3. Pixels below epsilon are background; every minimum of the inverted field at least h
deep is a basin, and the basins share the rest among them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from phasegen.errors import InputError
from segtrain import flooding


@dataclass(frozen=True)
class Decoding:
    """Parameters of `decode`, whose meaning is told there.

    Raises
    ------
    InputError
        If one is out of its range.
    """

    epsilon: float = 0.05
    h: float = 0.1
    min_size: int = 10
    max_hole: int = 50

    def __post_init__(self) -> None:
        for name, value in (("epsilon", self.epsilon), ("h", self.h)):
            if not 0 < value < 1:
                remedy = "Choose between 0 and 1, both apart"
                raise InputError(name, f"{value} is out of range", remedy)
        for name, size in (("min_size", self.min_size), ("max_hole", self.max_hole)):
            if size < 0:
                raise InputError(name, f"{size} is out of range", "Choose a number from 0")


def decode(
    field: NDArray[Any],
    *,
    epsilon: float = 0.05,
    h: float = 0.1,
    min_size: int = 10,
    max_hole: int = 50,
) -> NDArray[np.uint32]:
    """Instances of a scalar field.

    Pixels are visited from the highest down, equal ones in raster order. One without a labelled
    face neighbour opens a basin. Where two basins meet, the one with the lower peak is merged into
    the other if that peak rises less than `h` above the pass: the minima of depth h and more are
    those whose dynamics is at least h (Grimaud 1992), so that one pass does the work of
    morphological reconstruction and flooding. Background counts as 0: an island whose peak is
    below `h` is none. The result depends on the field alone.

    Parameters
    ----------
    field : array of float, shape ([Z,] Y, X)
        About 0 outside and up to 1 in every instance; values beyond [0, 1] do no harm.
    epsilon : float
        What is below is background; the paper uses 0.05 to 0.10.
    h : float
        Smallest depth of a basin; the paper uses 0.05 to 0.40.
    min_size : int
        Instances of fewer pixels are dropped, after their holes are filled.
    max_hole : int
        Background regions of at most so many pixels that lie within a single instance are filled.

    Returns
    -------
    array of uint32, the shape of `field`
        0 is background; instances are numbered from 1 in raster order of their first pixels.

    Raises
    ------
    InputError
        If the field has not two or three axes or holds NaN, or a parameter is out of its range.
    """
    Decoding(epsilon, h, min_size, max_hole)  # refuses what is out of range
    field = np.ascontiguousarray(field, dtype=np.float32)
    if field.ndim not in (2, 3) or np.isnan(field).any():
        raise InputError(
            "field",
            f"has {field.ndim} axes or holds NaN",
            "Give the finite values of one image or volume",
        )
    padded = np.pad(field, 1)
    steps = [int(np.prod(padded.shape[axis + 1 :])) for axis in range(field.ndim)]
    offsets = np.array([-step for step in steps] + steps[::-1])
    flat = padded.ravel()
    order = flooding.descending(flat, np.float32(epsilon))
    basins = np.zeros(flat.size, np.int32)
    parents, peaks = flooding.flood(flat, order, offsets, np.float32(h), basins)
    inner = (slice(1, -1),) * field.ndim
    flooding.resolve(basins, parents, peaks, np.float32(h))
    labels = np.ascontiguousarray(basins.reshape(padded.shape)[inner])
    if max_hole > 0:
        _fill_holes(labels, max_hole)
    numbered: NDArray[np.uint32] = flooding.number(labels.ravel(), min_size)
    return numbered.reshape(field.shape)


def _fill_holes(labels: NDArray[np.int32], max_hole: int) -> None:
    """Give every small background region the label around it, if that is one and the same."""
    # Basins hang together by faces, so background hangs together by corners as well.
    corners = ndimage.generate_binary_structure(labels.ndim, labels.ndim)
    regions, _ = ndimage.label(labels == 0, corners)
    sizes = np.bincount(regions.ravel())
    small = sizes <= max_hole
    small[0] = False
    if not small.any():
        return
    boxes = ndimage.find_objects(np.where(small[regions], regions, 0))
    for number, box in enumerate(boxes, 1):
        if box is None or any(
            part.start == 0 or part.stop == size
            for part, size in zip(box, labels.shape, strict=True)
        ):
            continue
        around = tuple(slice(part.start - 1, part.stop + 1) for part in box)
        hole = regions[around] == number
        rim = ndimage.binary_dilation(hole) & ~hole
        found = labels[around][rim]
        if (found == found[0]).all():
            labels[around][hole] = found[0]
