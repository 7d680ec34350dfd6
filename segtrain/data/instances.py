"""Folders of images with label images: Data Science Bowl nuclei, BBBC050 volumes and their like."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from phasegen.errors import InputError
from phasegen.images import digest_files, pair_masks
from segtrain.data.readers import CACHED, require_room
from segtrain.data.scans import common_spacing, read_labels, read_scan, scan_shape
from segtrain.data.source import Labelled, Source, standardise

CLASSES = ("background", "instance")
"""What the two kinds of pixel of an instance source are called."""


def from_label_folders(
    path: Path, patch: int | Sequence[int], *, spacing: Sequence[float] | None = None
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
    spacing : sequence of float, optional
        Pixel size along [z,] y, x; left out, that of the TIFF metadata (OME, ImageJ), else 1.

    Raises
    ------
    InputError
        If a folder, a label image or an instance number is missing, an image and its labels differ
        in shape, images and volumes are mixed, or one is smaller than a patch.
    """
    labels = path / "labels"
    pairs = pair_masks(path / "images", labels if labels.is_dir() else path / "masks")
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

    @lru_cache(max(1, CACHED // max(math.prod(shape) for shape in shapes)))
    def load(index: int) -> Labelled:
        image, label = pairs[index]
        pixels = standardise(read_scan(image))[None]
        mask = read_labels(label, shapes[index])
        return Labelled(pixels, mask, np.ones(mask.shape, np.float32))

    record = {
        "labels": "drawn",
        "path": str(path),
        "kind": "label images",
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
