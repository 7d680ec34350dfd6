"""LIVECell (Edlund et al., Nature Methods 18, 1038 (2021)): phase contrast, outlines in COCO files.

How outlines become one number for every pixel:

- Vertices lie on a scale where pixel (i, j) covers [i, i + 1) x [j, j + 1), as in COCO; a pixel
  belongs to an outline that holds its centre, and an outline that holds none to the pixel of its
  mean vertex.
- Where outlines overlap, the smaller cell wins: they are drawn by falling area, so that a small
  cell on a large one stays visible. Equal areas go by the order of the file.
- Some files bear two ids, since they were annotated twice. One annotation is taken, never both: the
  one with more cells, since some are unfinished, and the first of equals.
- An image without any annotation is left out; the record counts them. Regions that are annotated
  as a crowd (``iscrowd``) have weight 0.
- An annotation without an outline (``segmentation`` missing or empty) is refused: its cell would be
  learned as background.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from phasegen.errors import InputError
from phasegen.images import SUFFIXES, digest_files
from segtrain.data.cache import cached
from segtrain.data.instances import CLASSES
from segtrain.data.readers import require_room
from segtrain.data.scans import read_scan
from segtrain.data.source import Labelled, Source, standardise

Region = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns of the pixels of an instance."""


class Drawn(NamedTuple):
    """An annotation: polygons (n, 2) of x and y or run lengths, its area, whether it is a crowd."""

    outline: list[NDArray[np.float64]] | Mapping[str, Any]
    area: float | None
    crowd: bool


def from_livecell(
    path: Path,
    patch: int | Sequence[int],
    *,
    part: str = "train",
    cells: Sequence[str] = (),
    annotations: str = "",
) -> Source:
    """Images of LIVECell, wherever they lie below a folder, with the instances of one COCO file.

    Images are found by name, in one folder or in one for every cell type.

    Parameters
    ----------
    path : Path
        Folder with images and COCO files, at any depth.
    patch : int or sequence of int
        Sides of the patches that will be cut.
    part : {"train", "val", "test"}
        Selects ``livecell_coco_PART.json``.
    cells : sequence of str
        Cell types, the first part of the file names, such as ``("MCF7", "BT474")``; all if left
        out.
    annotations : str
        Path below `path` of another COCO file, such as those of single cell types.

    Raises
    ------
    InputError
        If the COCO file is missing, not unique or damaged, an annotation cannot be drawn, a cell
        type is not in it, no image is annotated, or an image is missing or of another size than
        stated.
    """
    source = _coco_file(path, part, annotations)
    images, outlines = _read_coco(source)
    kinds = sorted({name.split("_")[0] for name in images})
    wanted = {cell.lower() for cell in cells}
    for cell in cells:
        if cell.lower() not in map(str.lower, kinds):
            remedy = f"Choose from {', '.join(kinds)}"
            raise InputError(source, f"has no images of cell type {cell!r}", remedy)
    chosen = [name for name in images if not wanted or name.split("_")[0].lower() in wanted]
    names = sorted(name for name in chosen if outlines[name])
    if not names:
        raise InputError(source, "annotates no image", "Give a file with annotations")
    # What is damaged is refused now, not in the middle of a training.
    drawn = {name: [_checked(one, source) for one in outlines[name]] for name in names}
    stored = {one.name: one for one in sorted(path.rglob("*"), reverse=True) if _is_image(one)}
    if missing := [name for name in names if name not in stored]:
        problem = f"annotates {missing[0]} and {len(missing) - 1} more images that are not there"
        raise InputError(source, problem, f"Unpack the images below {path}, or choose cells")
    for name in names:
        require_room(stored[name], images[name], patch)

    @cached
    def load(index: int) -> Labelled:
        name = names[index]
        image = read_scan(stored[name])
        if image.shape != images[name]:
            found, stated = (" x ".join(map(str, one)) for one in (image.shape, images[name]))
            problem = f"is {found} pixels, {stated} in {source.name}"
            raise InputError(stored[name], problem, "Give the image that was annotated")
        mask, weight = draw_outlines(drawn[name], images[name], source)
        return Labelled(standardise(image)[None], mask, weight)

    record: dict[str, Any] = {
        "labels": "drawn",
        "path": str(path),
        "masks": str(source),
        "kind": "LIVECell",
        "samples": len(names),
        "unannotated": len(chosen) - len(names),
        "digest": digest_files([source, *(stored[name] for name in names)]),
        "parents": [],
    }
    return Source(CLASSES, len(names), load, record, instances=True, names=tuple(names))


def draw_outlines(
    outlines: Sequence[Mapping[str, Any] | Drawn], shape: tuple[int, int], source: Path
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """COCO annotations of one image as instance numbers, 1 for the first of them, and weights.

    An instance that smaller ones cover altogether has no pixel, and its number is left out.

    Parameters
    ----------
    outlines : sequence of mapping or Drawn
        ``segmentation`` (polygons, or uncompressed run lengths), ``area`` (that of the drawn pixels
        if it is not stated), ``iscrowd``.
    shape : tuple of int
        Shape (Y, X) of the image.
    source : Path
        The file that errors name.

    Raises
    ------
    InputError
        If an annotation has no outline or area, or one that cannot be drawn.
    """
    mask, weight = np.zeros(shape, np.int32), np.ones(shape, np.float32)
    checked = [_checked(one, source) for one in outlines]
    regions = [
        _run_lengths(one.outline, shape, source)
        if isinstance(one.outline, Mapping)
        else _polygons(one.outline, shape)
        for one in checked
    ]
    areas = [
        len(region[0]) if one.area is None else one.area
        for one, region in zip(checked, regions, strict=True)
    ]
    for k in sorted(range(len(checked)), key=lambda k: -areas[k]):
        if checked[k].crowd:
            weight[regions[k]] = 0
        else:
            mask[regions[k]] = k + 1
    weight[mask > 0] = 1
    return mask, weight


def _checked(annotation: Mapping[str, Any] | Drawn, source: Path) -> Drawn:
    """An annotation as numbers that can be drawn.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if isinstance(annotation, Drawn):
        return annotation
    problem, given = "", annotation.get("segmentation")
    area = annotation.get("area")
    outline: Any = given
    if not given:
        problem = "has no outline"
    elif not isinstance(given, Mapping):
        try:
            outline = [np.asarray(part, float).reshape(-1, 2) for part in given]
        except (TypeError, ValueError):
            outline = []
        if not outline or not all(part.size and np.isfinite(part).all() for part in outline):
            problem = "has an outline that is no list of polygons [x, y, x, y, ...]"
    try:
        area = None if area is None else float(area)
    except (TypeError, ValueError):
        area = math.nan
    if area is not None and not 0 <= area < math.inf:
        problem = f"has the area {annotation['area']!r}"
    if problem:
        name = f"holds the annotation {annotation.get('id', 'without id')}, which {problem}"
        raise InputError(source, name, "Correct it in the file, or leave it out")
    return Drawn(outline, area, bool(annotation.get("iscrowd")))


def _polygons(corners: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> Region:
    drawn = [polygon(one[:, 1] - 0.5, one[:, 0] - 0.5, shape) for one in corners]
    rows, columns = (np.concatenate(one) for one in zip(*drawn, strict=True))
    if not len(rows):
        x, y = np.concatenate(corners).mean(axis=0)
        rows, columns = (
            np.clip([int(place)], 0, n - 1) for place, n in zip((y, x), shape, strict=True)
        )
    return rows, columns


def _run_lengths(segmentation: Mapping[str, Any], shape: tuple[int, int], source: Path) -> Region:
    """Runs of background and region in turn, down the columns."""
    counts = segmentation.get("counts", ())
    if isinstance(counts, str):
        remedy = "Decode them with pycocotools.mask, or give polygons"
        raise InputError(source, "holds compressed run lengths", remedy)
    try:
        values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    except (TypeError, ValueError):
        remedy = "Export the annotations again"
        raise InputError(source, f"holds the run lengths {counts!r:.60}", remedy) from None
    if values.size != shape[0] * shape[1]:
        problem = f"has run lengths of {values.size} pixels for {shape[0]} x {shape[1]}"
        raise InputError(source, problem, "Export the annotations again")
    rows, columns = np.nonzero(values.reshape(shape, order="F"))
    return rows, columns


def _coco_file(path: Path, part: str, annotations: str) -> Path:
    if not path.is_dir():
        raise InputError(path, "is no folder", "Give the folder that holds images and COCO files")
    if annotations:
        if not (path / annotations).is_file():
            raise InputError(path / annotations, "does not exist", "Name a file below the folder")
        return path / annotations
    found = sorted(path.rglob(f"livecell_coco_{part}.json"))
    if not found:
        others = sorted(one.stem.removeprefix("livecell_coco_") for one in path.rglob("*.json"))
        remedy = f"Choose from the parts {', '.join(others)}" if others else "Download it as well"
        raise InputError(path, f"holds no livecell_coco_{part}.json", remedy)
    if len(found) > 1:
        remedy = f"Name one with annotations, such as {found[0].relative_to(path)}"
        raise InputError(path, f"holds {len(found)} files {found[0].name}", remedy)
    return found[0]


def _read_coco(
    source: Path,
) -> tuple[dict[str, tuple[int, int]], dict[str, list[Mapping[str, Any]]]]:
    """Shape (Y, X) and annotations of every file name."""
    try:
        content = json.loads(source.read_text())
        # The files for parts of the training set hold a mapping of annotations instead of a list.
        listed = content["annotations"]
        by_id: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for one in listed.values() if isinstance(listed, Mapping) else listed:
            by_id[one["image_id"]].append(one)
        images: dict[str, tuple[int, int]] = {}
        outlines: dict[str, list[Mapping[str, Any]]] = {}
        for one in content["images"]:
            name = Path(one["file_name"]).name
            images[name] = (int(one["height"]), int(one["width"]))
            if len(by_id[one["id"]]) > len(outlines.get(name, ())) or name not in outlines:
                outlines[name] = by_id[one["id"]]
    except (KeyError, TypeError, ValueError) as error:
        problem = f"is no COCO file ({type(error).__name__}: {error})"
        raise InputError(source, problem, "Download it again") from None
    return images, outlines


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
