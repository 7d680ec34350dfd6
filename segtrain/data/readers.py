"""Readers: each turns something on disk into a `Source`."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from phasegen.errors import InputError
from phasegen.images import digest_files, pair_masks, read_mask, read_micrograph
from phasegen.store import digest, open_store
from segtrain.data.source import Labelled, Source, describe_masks, standardise

DESCRIBED = 16
"""Masks that tell what those of a source look like."""

CACHED = 100_000_000
"""Pixels kept in memory between steps; they take 900 MB."""


def from_store(path: Path, patch: int) -> Source:
    """A store of simulated or translated images.

    Raises
    ------
    InputError
        If it is no store, unfinished or damaged, or its samples are no grey images or smaller than
        `patch`.
    """
    store = open_store(path)
    complete = store.complete()
    if len(complete) < store.samples:
        raise InputError(
            path,
            f"is unfinished: {len(complete)} of {store.samples} samples are complete",
            "Run the command that makes it again",
        )
    channels = store.arrays["image"].shape[1]
    if len(store.shape) != 2 or channels != 1:
        remedy = "Give a store of grey images; phasegen simulate --slice cuts sections of a volume"
        raise InputError(path, f"holds {channels} x {store.shape} pixels a sample", remedy)
    if min(store.shape) < patch:
        raise InputError(
            path, f"has images of {store.shape} pixels", f"Use --patch {min(store.shape)} or less"
        )

    @lru_cache(max(1, CACHED // math.prod(store.shape)))
    def load(index: int) -> Labelled:
        sample = store.read(int(complete[index]))
        weight = np.ones(sample.mask.shape, np.float32)
        return Labelled(standardise(sample.image[0]), sample.mask, weight)

    masks = [store.load("mask", int(index)) for index in complete[:DESCRIBED]]
    record = {
        "labels": "simulated",
        "path": str(path),
        "kind": store.kind,
        "samples": len(complete),
        "digest": digest(path),
        "structure": describe_masks(masks, len(store.classes)),
        "parents": store.attributes["parents"],
    }
    return Source(tuple(store.classes), len(complete), load, record)


def from_folders(images: Path, masks: Path, patch: int, classes: Sequence[str] = ()) -> Source:
    """Real images with drawn masks, paired by file name.

    Parameters
    ----------
    classes : sequence of str
        Names of the mask values; numbered if left out.

    Raises
    ------
    InputError
        If a mask has a value without a name, or without `classes` some value below the largest is
        in no mask, and as `phasegen.images.read_micrograph`,
        `read_mask` and `pair_masks` do.
    """
    pairs = pair_masks(images, masks)

    @lru_cache(max(1, CACHED // read_micrograph(pairs[0][0]).pixels.size))
    def load(index: int) -> Labelled:
        image, mask = pairs[index]
        micrograph = read_micrograph(image, min_size=patch)
        rows = len(micrograph.scene)
        labels = read_mask(mask, micrograph.pixels.shape)[:rows]
        return Labelled(standardise(micrograph.scene), labels, np.ones(labels.shape, np.float32))

    values = sorted({int(v) for index in range(len(pairs)) for v in np.unique(load(index).mask)})
    largest = values[-1]
    if not classes and values != list(range(largest + 1)):
        found = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
        remedy = "Number the classes 0, 1, 2, ..., or name them all with --set classes=[...]"
        raise InputError(masks, f"holds the values {found}, some between them missing", remedy)
    names = tuple(classes) or ("background", *(f"class {k}" for k in range(1, max(largest, 1) + 1)))
    if largest >= len(names):
        remedy = f"Name {largest + 1} classes with --set classes=[...]"
        raise InputError(masks, f"holds class {largest} of {len(names)} named ones", remedy)
    drawn = [load(index).mask for index in range(min(len(pairs), DESCRIBED))]
    record = {
        "labels": "drawn",
        "path": str(images),
        "masks": str(masks),
        "kind": "image folder",
        "samples": len(pairs),
        "digest": digest_files(path for pair in pairs for path in pair),
        "structure": describe_masks(drawn, len(names)),
        "parents": [],
    }
    return Source(names, len(pairs), load, record)
