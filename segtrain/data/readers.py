"""Readers: each turns something on disk into a `Source`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from phasegen.errors import InputError
from phasegen.images import digest_files, pair_masks, read_mask, read_micrograph
from phasegen.places import Place
from phasegen.store import digest, open_store
from segtrain.data.cache import cached
from segtrain.data.source import Labelled, Source, describe_masks, standardise

DESCRIBED = 16
"""Masks that tell what those of a source look like."""


def from_store(path: Place, patch: int | Sequence[int], instances: bool = False) -> Source:
    """A store of simulated or translated images or volumes.

    Parameters
    ----------
    path : Path or str
        The store: a folder, or a URL.
    patch : int or sequence of int
        Sides of the patches that will be cut from it.
    instances : bool
        Whether masks number its grains or particles, instead of naming their class. Those that
        the frame of the periodic cell divides are as many instances as an image shows pieces.

    Raises
    ------
    InputError
        If it is no store, unfinished or damaged, has no instances although they are asked for, or
        its samples are smaller than `patch`.

    Notes
    -----
    Samples are read whole even where patches are small: a sample is one chunk, which has to be
    decompressed as a whole, and its pixels are standardised by the whole of it.
    """
    store = open_store(path)
    complete = store.complete()
    if len(complete) < store.samples:
        raise InputError(
            path,
            f"is unfinished: {len(complete)} of {store.samples} samples are complete",
            "Run the command that makes it again",
        )
    if instances and "instance" not in store.arrays:
        raise InputError(path, "has no instances", "Train on classes, or simulate another recipe")
    require_room(path, store.shape, patch)
    name = "instance" if instances else "mask"

    @cached
    def load(index: int) -> Labelled:
        image, mask = (store.load(array, int(complete[index])) for array in ("image", name))
        if instances:
            # The simulated cell is periodic: what leaves on one side and comes back on the other
            # has one number, but an image shows two pieces.
            mask = label(mask, connectivity=1)
        return Labelled(per_channel(image), mask, np.ones(mask.shape, np.float32))

    record: dict[str, Any] = {
        "labels": "simulated",
        "path": str(path),
        "kind": store.kind,
        "samples": len(complete),
        "digest": digest(path),
        "parents": store.attributes["parents"],
    }
    if len(store.shape) == 2:
        masks = [store.load("mask", int(index)) for index in complete[:DESCRIBED]]
        record["structure"] = describe_masks(masks, len(store.classes))
    return Source(
        (store.classes[0], "instance") if instances else tuple(store.classes),
        len(complete),
        load,
        record,
        channels=store.arrays["image"].shape[1],
        # In pixels, so that tolerances and distances are, too; only thick slices are longer.
        spacing=tuple(size / store.spacing[-1] for size in store.spacing),
        instances=instances,
    )


def per_channel(image: NDArray[Any]) -> NDArray[np.float32]:
    """Every channel of an image (C, [Z,] Y, X) standardised by itself."""
    return np.stack([standardise(channel) for channel in image])


def require_room(path: Place, shape: Sequence[int], patch: int | Sequence[int]) -> None:
    """Refuse images of a dimension or size that patches do not fit.

    Raises
    ------
    InputError
        If they do not.
    """
    sides = (patch,) * len(shape) if isinstance(patch, int) else tuple(patch)
    if len(sides) != len(shape):
        remedy = f"Give {len(shape)} sides, such as --patch {','.join(map(str, shape))}"
        raise InputError(path, f"has {len(shape)} axes, the patch {len(sides)}", remedy)
    if any(n < side for n, side in zip(shape, sides, strict=True)):
        size = " x ".join(map(str, shape))
        fitting = ",".join(str(min(n, side)) for n, side in zip(shape, sides, strict=True))
        remedy = f"Use --patch {min(shape) if len(shape) == 2 else fitting} or less"
        raise InputError(path, f"has images of {size} pixels", remedy)


def from_folders(
    images: Path, masks: Path, patch: int | Sequence[int], classes: Sequence[str] = ()
) -> Source:
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
    smallest = patch if isinstance(patch, int) else max(patch)

    @cached
    def load(index: int) -> Labelled:
        image, mask = pairs[index]
        micrograph = read_micrograph(image, min_size=smallest)
        rows = len(micrograph.scene)
        labels = read_mask(mask, micrograph.pixels.shape)[:rows]
        weight = np.ones(labels.shape, np.float32)
        return Labelled(standardise(micrograph.scene)[None], labels, weight)

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
    stems = tuple(image.name for image, _ in pairs)
    return Source(names, len(pairs), load, record, names=stems)
