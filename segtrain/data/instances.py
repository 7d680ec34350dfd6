"""Folders of images with label images: Data Science Bowl nuclei, BBBC050 volumes and their like."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phasegen.errors import InputError
from phasegen.images import digest_files, pair_masks
from segtrain.data.cache import cached
from segtrain.data.readers import require_room
from segtrain.data.scans import common_spacing, read_labels, read_scan, scan_shape
from segtrain.data.source import Labelled, Source, standardise

CLASSES = ("background", "instance")
"""What the two kinds of pixel of an instance source are called."""

PARTS = {"train": (0, 70), "validation": (70, 80), "test": (80, 100), "all": (0, 100)}
"""Percentiles of `percentile` from and below which an image belongs to a part."""


def percentile(name: str) -> int:
    """Where an image falls in the division into parts: SHA-256 of its name without suffix, mod 100.

    A function of the name alone, so that images added later leave the others where they are.
    """
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100


def from_label_folders(
    path: Path,
    patch: int | Sequence[int],
    *,
    part: str = "all",
    spacing: Sequence[float] | None = None,
) -> Source:
    """Images in ``PATH/images`` with label images of the same name in ``PATH/labels``.

    The layout of Caicedo et al., Nature Methods 16, 1247 (2019) once its masks are merged into one
    label image (``labels`` may be called ``masks``), and of BBBC050 (Tokuoka et al., npj Systems
    Biology and Applications 6, 32 (2020)) as TIFF volumes.

    Parameters
    ----------
    path : Path
        The folder that holds both.
    patch : int or sequence of int
        Sides of the patches that will be cut.
    part : {"all", "train", "validation", "test"}
        About 70, 10 and 20 % of the images, see `percentile`.
    spacing : sequence of float, optional
        Pixel size along [z,] y, x; left out, that of the TIFF metadata (OME, ImageJ), else 1.

    Raises
    ------
    InputError
        If a folder, a label image or an instance number is missing, an image and its labels differ
        in shape, images and volumes are mixed, one is smaller than a patch, or the part is empty.
    """
    if part not in PARTS:
        raise InputError("part", f"is {part!r}", f"Use one of {', '.join(PARTS)}")
    labels = path / "labels"
    pairs = pair_masks(path / "images", labels if labels.is_dir() else path / "masks")
    low, high = PARTS[part]
    images = len(pairs)
    pairs = [pair for pair in pairs if low <= percentile(pair[0].stem) < high]
    if not pairs:
        problem = f"holds {images} images, none of them in the part {part}"
        raise InputError(path, problem, "Give part=all, and other folders to validate and test on")
    shapes = [scan_shape(image) for image, _ in pairs]
    axes = len(shapes[0])
    for (image, label), shape in zip(pairs, shapes, strict=True):
        if len(shape) != axes:
            problem = f"has {len(shape)} axes, {pairs[0][0].name} {axes}"
            raise InputError(image, problem, "Keep images and volumes in folders of their own")
        require_room(image, shape, patch)
        if (found := scan_shape(label)) != shape:
            sizes = [" x ".join(map(str, one)) for one in (found, shape)]
            remedy = "Give the labels that were drawn on this image, at full size"
            raise InputError(label, f"is {sizes[0]} pixels, its image {sizes[1]}", remedy)

    @cached
    def load(index: int) -> Labelled:
        image, label = pairs[index]
        pixels = standardise(read_scan(image))[None]
        mask = read_labels(label, shapes[index])
        return Labelled(pixels, mask, np.ones(mask.shape, np.float32))

    record = {
        "labels": "drawn",
        "path": str(path),
        "kind": "label images",
        "part": part,
        "samples": len(pairs),
        "digest": digest_files(one for pair in pairs for one in pair),
        "parents": [],
    }
    return Source(
        CLASSES,
        len(pairs),
        load,
        record,
        spacing=common_spacing([image for image, _ in pairs], axes, spacing),
        instances=True,
        names=tuple(image.name for image, _ in pairs),
    )
