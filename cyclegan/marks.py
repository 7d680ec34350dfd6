"""What is burnt into a micrograph or burnt out in it: scale bars, text, saturated areas.

None of it is style. A patch that holds a scale bar would teach the translation to draw scale bars.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALLEST = 100
"""Pixels of a connected piece of one extreme grey value that make it a mark, not clipped noise."""

MARGIN = 8
"""Pixels around a mark that are left out with it: the rest of a line of text."""

SHARE = 0.1
"""Share of the scene below which a clean rectangle is not worth keeping, as of the loss."""


def find_marks(scene: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of scale bars, text and saturated areas, with a margin, (Y, X).

    They are connected pieces of exactly the lowest or the highest grey value, too large and too
    thick to be the clipped tail of noise.
    """
    marks = np.zeros(scene.shape, bool)
    for value in (scene.min(), scene.max()):
        pieces, _ = ndimage.label(ndimage.binary_opening(scene == value, np.ones((3, 3))))
        large = np.bincount(pieces.ravel()) >= SMALLEST
        large[0] = False
        marks |= large[pieces]
    if not marks.any():
        return marks
    margin: NDArray[np.bool_] = ndimage.distance_transform_edt(~marks) <= MARGIN
    return margin


def clean_rectangles(marks: NDArray[np.bool_], smallest: int) -> list[tuple[slice, slice]]:
    """Disjoint rectangles without a mark, the largest first; the whole scene if it is clean.

    Parameters
    ----------
    marks : ndarray (Y, X), bool
        What must not be inside.
    smallest : int
        Least side of a rectangle, pixels.

    Returns
    -------
    list of (slice, slice)
        Empty if no rectangle holds `SHARE` of the scene: its marks are then everywhere.
    """
    if not marks.any():
        return [(slice(0, marks.shape[0]), slice(0, marks.shape[1]))]
    cell = max(1, max(marks.shape) // 128)
    # A cell counts as marked if any of its pixels is, and the last, cut one is left out.
    rows, columns = (n // cell for n in marks.shape)
    blocks = marks[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    free: NDArray[np.bool_] = ~np.asarray(blocks.any(axis=(1, 3)))
    found: list[tuple[slice, slice]] = []
    least = -(-smallest // cell)
    while True:
        top, bottom, left, right = largest_rectangle(free)
        area = (bottom - top) * (right - left)
        if area < SHARE * free.size or min(bottom - top, right - left) < least:
            return found
        free[top:bottom, left:right] = False
        found.append((slice(top * cell, bottom * cell), slice(left * cell, right * cell)))


def largest_rectangle(free: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the largest rectangle of true cells; bottom, right excluded.

    Row by row, the heights of the free columns form a histogram, whose largest rectangle a stack of
    rising heights finds in one pass.
    """
    best, largest = (0, 0, 0, 0), 0
    heights = np.zeros(free.shape[1] + 1, int)
    for y, row in enumerate(free):
        heights[:-1] = np.where(row, heights[:-1] + 1, 0)
        rising: list[tuple[int, int]] = []
        for x, height in enumerate(heights.tolist()):
            start = x
            while rising and rising[-1][1] >= height:
                start, tall = rising.pop()
                if tall * (x - start) > largest:
                    largest = tall * (x - start)
                    best = (y + 1 - tall, y + 1, start, x)
            rising.append((start, height))
    return best
