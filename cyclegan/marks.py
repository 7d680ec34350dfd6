"""What is burnt into a micrograph or burnt out in it: scale bars, text, saturated areas.

None of it is style. A patch that holds a scale bar would teach the translation to draw scale bars.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from phasegen.images import JPEG_ERROR

SMALLEST = 100
"""Pixels of a connected piece of one extreme grey value that make it a mark, not clipped noise."""

MARGIN = 8
"""Pixels around a mark that are left out with it: what compression smears about it."""

SHARE = 0.1
"""Share of the scene below which a clean rectangle is not worth keeping, as of the loss."""

HOT = 8
"""Pixels that may be brighter than a mark: hot ones; `SMALLEST` beside a scale bar of a JPEG."""

LENGTH, SOLID, SLENDER = 24, 0.9, 3
"""Least length of a scale bar, pixels; the share of its frame that it fills at least; its length in
widths at least."""

BARS = 10
"""Parts of a scale bar at most; more such rectangles are what the specimen looks like."""

TALLEST = 1 / 8
"""Height of a letter at most, as a share of the scene (or of what is looked at about a bar)."""

LETTERS = 3
"""Letters that make a line of text where there is no scale bar."""

MOST = 500
"""Pieces like letters beyond which they are particles."""

Bool = NDArray[np.bool_]
Box = tuple[slice, slice]


def find_marks(scene: NDArray[Any]) -> Bool:
    """Pixels of scale bars, text and saturated areas, with a margin, (Y, X).

    - Saturated areas are connected pieces of exactly the highest grey value, or of 0, too large and
      too thick to be the clipped tail of noise.
    - Scale bars are slender rectangles along the axes of one grey value, darker or brighter than
      almost all else and than what is about them, within what a JPEG makes of it.
    - Text is pieces of thin strokes that stand out as much: all within half a scale bar's length of
      it, or, where there is no bar, those in a line of at least `LETTERS`, unless most such pieces
      of the image lie in no line: then they are particles.
    """
    marks = np.zeros(scene.shape, bool)
    for value in {0, scene.max()}:
        pieces, _ = ndimage.label(ndimage.binary_opening(scene == value, np.ones((3, 3))))
        large = np.bincount(pieces.ravel()) >= SMALLEST
        large[0] = False
        marks |= large[pieces]
    grey = scene.astype(np.float32)
    if np.ptp(grey):
        for picture in (grey, -grey):
            marks |= _burnt_in(picture)
    if not marks.any():
        return marks
    margin: Bool = ndimage.distance_transform_edt(~marks) <= MARGIN
    return margin


def _burnt_in(picture: NDArray[np.float32]) -> Bool:
    """Scale bars and text that are brighter than almost all else."""
    values = picture.ravel()
    tolerance, usual = 2 * JPEG_ERROR * float(np.ptp(values)), float(np.percentile(values, 95))
    # A bar that is not white has rims that a JPEG makes brighter than itself.
    tops = [float(np.partition(values, -few)[-few]) for few in (HOT, SMALLEST) if few < values.size]
    marks = np.zeros(picture.shape, bool)
    bars = [bar for top in tops for bar in _bars(picture, top - tolerance, tolerance)]
    for bar in bars:
        marks[bar] = True
        # Beside a bar a single letter counts, and one that compression has made faint.
        about = _grown(bar, max(side.stop - side.start for side in bar) // 2)
        for letter in _letters(picture[about], usual, tops[0], usual):
            marks[about][letter] = True
    if not bars and tops and usual < tops[0] - tolerance:
        for letter in _lines(_letters(picture, usual, tops[0], tops[0] - tolerance)):
            marks[letter] = True
    return marks


def _bars(picture: NDArray[np.float32], near: float, tolerance: float) -> list[Box]:
    """Frames of slender rectangles along the axes, brighter than what is about them."""
    found = []
    for run in ((1, LENGTH), (LENGTH, 1)):
        pieces, _ = ndimage.label(ndimage.binary_opening(picture >= near, np.ones(run)))
        for number, box in enumerate(ndimage.find_objects(pieces), start=1):
            short, long = sorted(side.stop - side.start for side in box)
            filled = (pieces[box] == number).mean()
            if short < 2 or long < SLENDER * short or filled < SOLID:
                continue
            if np.percentile(_about(picture, box), 75) < near - tolerance:
                found.append(box)
    return found if len(found) <= BARS else []


def _letters(picture: NDArray[np.float32], usual: float, top: float, near: float) -> list[Box]:
    """Frames of pieces of thin strokes on a darker ground.

    They reach `near`, and end halfway from `usual`, which few pixels of a scene reach, to `top`.
    """
    strong = picture >= (usual + top) / 2
    pieces, count = ndimage.label(strong, np.ones((3, 3)))
    reached = ndimage.maximum(picture, pieces, range(1, count + 1)) if count else []
    tallest, dark = max(TALLEST * len(picture), 40), usual + (top - usual) / 4
    candidates = []
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        tall, wide = (side.stop - side.start for side in box)
        if reached[number - 1] >= near and 5 <= tall <= tallest and wide <= 4 * tall:
            candidates.append((number, box, tall))
    if len(candidates) > MOST:
        return []
    found = []
    for number, box, tall in candidates:
        outer = _grown(box, 4)
        piece = np.pad(pieces[outer] == number, 1)
        distance = ndimage.distance_transform_edt(~piece)[1:-1, 1:-1]
        about = picture[outer][(distance > 2) & (distance <= 4) & ~strong[outer]]
        thickness = ndimage.distance_transform_edt(piece).max()
        if about.size and np.median(about) <= dark and thickness <= 0.15 * tall + 1:
            found.append(box)
    return found


def _lines(letters: list[Box]) -> list[Box]:
    """Those letters that stand in lines; none if most do not, for then they are particles."""
    if len(letters) < LETTERS:
        return []
    y0, y1, x0, x1 = np.array([(y.start, y.stop, x.start, x.stop) for y, x in letters]).T
    shared = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    gap = np.maximum(x0[:, None], x0) - np.minimum(x1[:, None], x1)
    tall = y1 - y0
    least, most = np.minimum(tall[:, None], tall), np.maximum(tall[:, None], tall)
    beside = (shared >= 0.5 * least) & (most <= 2.5 * least) & (gap <= most)
    _, line = connected_components(csr_array(beside))
    aligned = np.bincount(line)[line] >= LETTERS
    if aligned.mean() < 0.5:
        return []
    return [box for box, one in zip(letters, aligned, strict=True) if one]


def _grown(box: Box, by: int) -> Box:
    y, x = (slice(max(0, side.start - by), side.stop + by) for side in box)
    return y, x


def _about(picture: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """Grey values 3 and 4 pixels off a frame; infinity if the picture ends before."""
    outer = picture[_grown(box, 4)]
    inside = [
        np.abs(np.arange(length) + max(0, side.start - 4) - (side.start + side.stop - 1) / 2)
        < (side.stop - side.start) / 2 + 2
        for side, length in zip(box, outer.shape, strict=True)
    ]
    ring = outer[~np.logical_and.outer(*inside)]
    return ring if ring.size else np.array([np.inf], np.float32)


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
