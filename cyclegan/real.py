"""The unlabelled folder: what the microscope really delivers, as style for the translation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew

from cyclegan.marks import clean_rectangles, find_marks
from phasegen import spectra
from phasegen.descriptors import describe
from phasegen.errors import InputError
from phasegen.images import grey_range, list_images, normalise, read_micrograph
from phasegen.pixel_size import read_pixel_size

HEADROOM = 0.25
"""Grey values beyond the percentiles, as a share of their distance, that still fit into 0..1."""

CLEAR = 0.6
"""Polarity beyond which the particles of an image are certainly dark or bright."""

MIDDLE = 512
"""Side of the part of an image by which its polarity is told."""

SKEWED = 0.5
"""Difference of skewness by which images may differ that are no negatives of each other."""

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
        Without info bars, scale bars and saturated areas; the 0.5 and 99.5 percentiles of each
        image lie `HEADROOM` inside 0..1.
    record : dict
        Files with their percentiles, shape, type, info bar, share of marks, pixel size and
        polarity and skewness of the grey values, and ``flatten``, for provenance.
    warnings : list of str
        What a user should know of the folder: files that are unlike the others.
    """

    folder: Path
    scenes: list[NDArray[np.float32]]
    record: dict[str, Any]
    warnings: list[str]


def read_real(folder: Path, patch: int, flatten: int = 0) -> RealFolder:
    """Read an unlabelled folder; statistics are taken once per image.

    Parameters
    ----------
    folder : Path
    patch : int
        Least side of a scene, pixels.
    flatten : int
        Order of the polynomial in y and x that is taken off each image first, its mean kept:
        uneven illumination; 0: nothing is.

    Raises
    ------
    InputError
        As `phasegen.images.read_micrograph` does, and if there is only one image.
    """
    paths = list_images(folder)
    if len(paths) < 2:
        raise InputError(folder, "holds a single image", "Give at least two, better five")
    scenes: list[NDArray[np.float32]] = []
    files: list[dict[str, Any]] = []
    every = -(-len(paths) // MOST)
    for number, path in enumerate(paths):
        # One at a time: a folder of 4k images need not fit into memory.
        micrograph = read_micrograph(path, min_size=patch)
        marks = find_marks(micrograph.scene)
        clean = _main(clean_rectangles(marks, patch))
        counted = ~marks if clean else np.ones_like(marks)
        scene = _flattened(micrograph.scene, counted, flatten) if flatten else micrograph.scene
        low, high = grey_range(scene[counted])
        margin = HEADROOM * (high - low)
        scene = normalise(scene, low - margin, high + margin)
        if number % every == 0:
            np.clip(scene, 0, 1, out=scene)
            # A folder of pores or charged films is saturated all over: then that is its style.
            parts = [scene[part] for part in clean] or [scene]
            blocks = [block for part in parts for block in _blocks(part, patch)]
            step = max(1, len(blocks) * len(paths) // MOST)
            scenes += [block.copy() for block in blocks[::step]]
        middle = _middle(micrograph.scene)
        files.append(
            {
                "name": path.name,
                "low": low,
                "high": high,
                "bar": micrograph.bar,
                "shape": list(micrograph.scene.shape),
                "dtype": micrograph.dtype.name,
                "marked": round(float(marks.mean()), 4),
                "pixel_size": read_pixel_size(path),
                "polarity": round(describe(middle).polarity, 2),
                "skewness": round(float(skew(middle, axis=None)), 2),
            }
        )
    record = {"folder": str(folder.resolve()), "flatten": flatten, "files": files}
    return RealFolder(folder, scenes, record, _warnings(files))


def _main(rectangles: list[tuple[slice, slice]]) -> list[tuple[slice, slice]]:
    """The largest rectangle and those that are at least half as large.

    Scenes are drawn alike, however large: a strip beside a scale bar must not count as much as all
    the rest. Nor would it do as style of a whole image, which mirrors it again and again.
    """
    areas = [(y.stop - y.start) * (x.stop - x.start) for y, x in rectangles]
    pairs = zip(rectangles, areas, strict=True)
    return [rectangle for rectangle, area in pairs if area >= max(areas) / 2]


def _flattened(
    scene: NDArray[np.float32], counted: NDArray[np.bool_], order: int
) -> NDArray[np.float32]:
    """The scene less its background, at its mean grey value; what is not counted bends nothing."""
    seen = np.where(counted, scene, scene[counted].mean())
    flat: NDArray[np.float32] = (scene - seen) + spectra.flatten(seen, order) + seen.mean()
    return flat.astype(np.float32)


def _warnings(files: list[dict[str, Any]]) -> list[str]:
    """What a translation handles, but a user may not have meant."""
    found = []
    for name, what in (("dtype", "sample types"), ("shape", "sizes")):
        kinds = sorted({str(file[name]) for file in files})
        if len(kinds) > 1:
            found.append(
                f"images of {len(kinds)} {what} ({', '.join(kinds[:4])}): each is scaled "
                "by its own percentiles, none is resized"
            )
    sizes = [file["pixel_size"] for file in files if file["pixel_size"]]
    if sizes and max(sizes) > 1.05 * min(sizes):
        found.append(
            f"pixels of {min(sizes):g} to {max(sizes):g} um: structures differ in size; give a "
            "folder for each magnification"
        )
    # Of two interwoven phases either may seem the enclosed one, yet a negative turns the skewness.
    skewness = float(np.median([file["skewness"] for file in files]))
    alike = [file for file in files if abs(file["skewness"] - skewness) < SKEWED]
    dark = [file["name"] for file in files if file["polarity"] < -CLEAR]
    bright = [file["name"] for file in files if file["polarity"] > CLEAR]
    if dark and bright and len(alike) < len(files):
        few, other = sorted((dark, bright), key=len)
        found.append(
            f"particles are {'dark' if few is dark else 'bright'} in {len(few)} images "
            f"({', '.join(few[:3])}) and {'bright' if few is dark else 'dark'} in {len(other)}: "
            "put the ones and the others in folders of their own"
        )
    marked = [file["name"] for file in files if file["marked"] > 0.25]
    if marked:
        found.append(f"more than a quarter is saturated in {', '.join(marked[:3])}")
    return found


def _middle(scene: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most `MIDDLE` pixels a side about the middle: enough to tell dark from bright."""
    spans = [slice(max(0, (n - MIDDLE) // 2), (n + MIDDLE) // 2) for n in scene.shape]
    return scene[spans[0], spans[1]]


def _blocks(scene: NDArray[np.float32], patch: int) -> list[NDArray[np.float32]]:
    """The scene in equal blocks, at most `LARGEST` pixels a side where that leaves a patch."""
    rows, columns = (min(-(-n // LARGEST), n // patch) for n in scene.shape)
    strips = np.array_split(scene, rows, axis=0)
    return [block for strip in strips for block in np.array_split(strip, columns, axis=1)]
