"""What the domain-gap report looks at: patches and scenes, drawn alike from stores and folders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.marks import clean_rectangles, find_marks
from cyclegan.real import HEADROOM
from phasegen.errors import InputError
from phasegen.images import grey_range, list_images, normalise, read_micrograph, spread
from phasegen.pixel_size import read_pixel_size
from phasegen.store import Store, open_store

Array = NDArray[np.float32]

MOST_IMAGES = 64
"""Images of a set that are looked at, evenly spaced."""

SCENE = 384
"""Largest side of the middle of an image whose shapes are described, pixels."""

FLAT = 1e-3
"""Difference of the classes' mean grey values (0..1) below which they look alike."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of one store or folder, on the grey scale of the translation.

    Attributes
    ----------
    name : str
        Name of the store or folder.
    path : Path
        Where it is.
    images : list of str
        Their names.
    patches : ndarray (images, patches, P, P), float32
        The same number of each image, in 0..1.
    scenes : list of ndarray (Y, X), float32
        The middle of each image, at most `SCENE` a side.
    shapes : list of ndarray (Y, X), float32
        The same without style, where that is known: in a store each class of the exact mask has
        its mean grey value. In a folder they are the scenes.
    pixel_size : float or None
        Side of a pixel in micrometres, None if unknown.
    parent : Path or None
        The store that a translated one was made from.
    """

    name: str
    path: Path
    images: list[str]
    patches: Array
    scenes: list[Array]
    shapes: list[Array]
    pixel_size: float | None
    parent: Path | None


def read_pictures(
    path: Path, patch: int, number: int, seed: int = 0, pixel_size: float | None = None
) -> Pictures:
    """Read a store or a folder and draw patches from each image.

    The draw depends on `seed` and the number of the image alone. Integer grey values are spread
    evenly over their step, lest the histogram of an 8-bit image have the teeth of a comb, by which
    alone it could be told from a simulation.

    Parameters
    ----------
    path : Path
        A finished store, of whose volumes the middle planes are taken, or a folder of images.
        In a folder, info bars, scale bars and saturated areas are left out.
    patch, number : int
        Side of a patch in pixels, and patches per image.
    seed : int
        Of the draw.
    pixel_size : float, optional
        Side of a pixel of a folder's images, micrometres, where the files do not tell; a store
        knows its own.

    Raises
    ------
    InputError
        If there are fewer than 2 images, one is smaller than a patch or shows nothing, or the
        store is unfinished or holds images of several channels.
    """
    is_store = path.suffix == ".zarr" or (path / "zarr.json").is_file()
    parent = None
    if is_store:
        store = open_store(path)
        require_grey(store)
        if len(store.complete()) < store.samples:
            raise InputError(path, "is unfinished", "Run the command that makes it again")
        total = store.samples
        known = store.attributes["unit"] == "micrometer"
        pixel_size = float(store.attributes["pixel_size"]) if known else None
        made_of = [p for p in store.attributes["parents"] if p.get("kind") == "store"]
        parent = Path(made_of[0]["path"]) if made_of else None
    else:
        files = list_images(path)
        total = len(files)
        pixel_size = pixel_size or _median([read_pixel_size(file) for file in files])
    if total < 2:
        raise InputError(path, f"holds {total} image", "Give at least two, better five")
    chosen = spread(range(total), MOST_IMAGES)
    names, patches, scenes, shapes = [], [], [], []
    found = _from_store(path, chosen, patch) if is_store else _from_folder(path, chosen, patch)
    for index, (name, grey, step, mask) in zip(chosen, found, strict=True):
        rng = np.random.default_rng((seed, index))
        low, high = grey_range(grey)
        if low == high:
            raise InputError(f"{path}: {name}", "shows nothing", "Leave it out")
        margin = HEADROOM * (high - low)
        continuous = grey + step * rng.random(grey.shape, np.float32)
        scene = np.clip(normalise(continuous, low - margin, high + step + margin), 0, 1)
        corners = [[int(rng.integers(n - patch + 1)) for n in scene.shape] for _ in range(number)]
        names.append(name)
        patches.append(np.stack([scene[y : y + patch, x : x + patch] for y, x in corners]))
        scenes.append(middle(scene, SCENE).copy())
        shapes.append(scenes[-1] if mask is None else shape_of(scenes[-1], middle(mask, SCENE)))
    return Pictures(
        name=path.resolve().name,
        path=path,
        images=names,
        patches=np.stack(patches),
        scenes=scenes,
        shapes=shapes,
        pixel_size=pixel_size,
        parent=parent,
    )


def require_grey(source: Store) -> None:
    """Refuse a store of images with more than one channel."""
    channels = source.arrays["image"].shape[1]
    if channels != 1:
        problem = f"holds images of {channels} channels"
        raise InputError(source.path, problem, "Give a store of grey images")


def middle(scene: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle of a scene, at most `side` pixels a side."""
    y, x = (max(0, (n - side) // 2) for n in scene.shape)
    return scene[y : y + side, x : x + side]


def shape_of(scene: Array, mask: NDArray[np.uint8]) -> Array:
    """Every class at its mean grey value; the scene itself if only one class is in sight."""
    counts = np.bincount(mask.ravel())
    means = np.bincount(mask.ravel(), scene.ravel()) / np.maximum(counts, 1)
    flat = np.ptp(means[counts > 0]) < FLAT
    return scene if flat else means.astype(np.float32)[mask]


def _from_store(
    path: Path, chosen: Sequence[int], patch: int
) -> Iterator[tuple[str, Array, float, NDArray[np.uint8] | None]]:
    """Name, grey values, their step and the mask, if there is one."""
    store = open_store(path)
    rows, columns = store.shape[-2:]
    if min(rows, columns) < patch:
        raise InputError(
            path,
            f"has samples of {rows} x {columns} pixels, smaller than the patch size of {patch}",
            "Give a store of larger samples or a smaller --patch",
        )
    for index in chosen:
        image = store.load("image", index)[0]
        mask = store.load("mask", index)
        if image.ndim == 3:
            image, mask = image[len(image) // 2], mask[len(mask) // 2]
        yield f"sample {index}", image.astype(np.float32), float(image.dtype.kind != "f"), mask


def _from_folder(
    path: Path, chosen: Sequence[int], patch: int
) -> Iterator[tuple[str, Array, float, None]]:
    images = list_images(path)
    for index in chosen:
        micrograph = read_micrograph(images[index], min_size=patch)
        clean = clean_rectangles(find_marks(micrograph.scene), patch)
        # Where marks are everywhere, they are what the images look like.
        scene = micrograph.scene[clean[0]] if clean else micrograph.scene
        yield images[index].name, scene, float(micrograph.dtype.kind != "f"), None


def _median(sizes: Sequence[float | None]) -> float | None:
    known = [size for size in sizes if size]
    return float(np.median(known)) if known else None
