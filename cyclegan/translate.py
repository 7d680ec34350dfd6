"""Translation of whole stores and image folders, and the report on their boundaries."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cyclegan.gap.pictures import require_grey
from cyclegan.geometry import Drift, Edges, boundary_drift, edge_agreement, has_drifted
from cyclegan.marks import clean_rectangles, find_marks
from cyclegan.model import Model, translate
from cyclegan.real import HEADROOM
from phasegen import store
from phasegen.errors import InputError
from phasegen.files import make_folder
from phasegen.images import (
    Micrograph,
    grey_range,
    list_images,
    normalise,
    read_micrograph,
    write_image,
)
from phasegen.store import Store

LOST = 0.1
"""Share of boundaries that may vanish, and by which invented edges may rise, without a warning."""


class GreyScale(NamedTuple):
    """Type of the real images, and the grey values that 0 and 1 of a translation stand for."""

    dtype: Literal["uint8", "uint16", "float32"]
    low: float
    high: float

    @classmethod
    def of(cls, model: Model) -> "GreyScale":
        """That of most real images: the median of their percentiles."""
        files = model.record["real"]["files"]
        dtype = Counter(file["dtype"] for file in files).most_common(1)[0][0]
        ranges = [(file["low"], file["high"]) for file in files if file["dtype"] == dtype]
        low, high = np.median(ranges, axis=0)
        margin = HEADROOM * (high - low)
        whole = dtype in ("uint8", "uint16")
        return cls(dtype if whole else "float32", float(low - margin), float(high + margin))

    def native(self, image: NDArray[np.float32]) -> NDArray[Any]:
        """An image in 0..1 in these grey values, saturated where the type ends."""
        grey = self.low + (self.high - self.low) * image
        if self.dtype == "float32":
            return np.asarray(grey, np.float32)
        whole: NDArray[Any] = np.rint(grey).clip(0, np.iinfo(self.dtype).max).astype(self.dtype)
        return whole

    def stored(self, image: NDArray[np.float32]) -> NDArray[Any]:
        """The same for a store, in which floats are 0..1."""
        return image if self.dtype == "float32" else self.native(image)


def prepare(model: Model, source: Store, out: Path, overwrite: bool = False) -> Store:
    """Create the translated store with its provenance, or open it to go on.

    With `overwrite`, a store at `out` is removed once `source` has proved sound.

    Raises
    ------
    InputError
        If `source` is unfinished or holds no grey images, or `out` was translated from something
        else.
    """
    require_grey(source)
    if len(source.complete()) < source.samples:
        raise InputError(source.path, "is unfinished", "Run the command that makes it again")
    parents: list[dict[str, Any]] = [
        {"kind": "store", "path": str(source.path), "digest": store.digest(source.path)},
        {"kind": "translation", **model.record},
    ]
    if overwrite and out.is_dir():
        store.open_store(out)  # refuses to delete what is no store
        shutil.rmtree(out)
    if out.exists():
        existing = store.open_store(out, "r+")
        if existing.attributes["parents"] != parents:
            raise InputError(
                out,
                "was translated from another store or by another model",
                "Choose another --out, or start afresh with --overwrite",
            )
        return existing
    make_folder(out.parent)
    return store.create(
        out,
        samples=source.samples,
        shape=source.shape,
        classes=source.classes,
        kind="translation",
        seeds=source.seeds,
        config=model.config.model_dump(mode="json"),
        parameters=source.parameters,
        pixel_size=source.attributes["pixel_size"],
        unit=source.attributes["unit"],
        z_spacing=source.attributes.get("z_spacing"),
        image_dtype=GreyScale.of(model).dtype,
        instances="instance" in source.arrays,
        parents=parents,
    )


def translate_store(model: Model, source: Store, target: Store) -> Iterator[int]:
    """Translate what `target` still lacks, masks unchanged; yields each index once written."""
    scale = GreyScale.of(model)
    for index in target.missing():
        sample = source.read(int(index))
        image = scale.stored(_translate_sample(model, sample.grey, int(index)))
        target.write(int(index), image=image[None], mask=sample.mask, instance=sample.instance)
        yield int(index)


def _translate_sample(model: Model, image: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """An image, or a volume plane by plane: one seed is one style, so it is the same along z."""
    if image.ndim == 2:
        return translate(model, image, seed)
    return np.stack([translate(model, plane, seed) for plane in image])


def translate_folder(
    model: Model, folder: Path, out: Path, overwrite: bool = False
) -> Iterator[Path]:
    """Translate every image of a folder to TIFF files of the same names, in the real images' type.

    Each has the size of its image: an info bar stays in its place, as it is but for the grey scale.
    Its style is drawn from its name, so that no other file changes it.

    Raises
    ------
    InputError
        If an image cannot be used, two of them would give one file, `out` is `folder` itself, or,
        without `overwrite`, a file is there already; nothing is written then.
    """
    paths = list_images(folder)
    targets = [out / f"{path.stem}.tif" for path in paths]
    if out.resolve() == folder.resolve():
        raise InputError(out, "is the folder of the images", "Choose another --out")
    if len(set(targets)) < len(targets):
        raise InputError(folder, "holds images that differ in suffix alone", "Rename them")
    for path, target in zip(paths, targets, strict=True):
        read_micrograph(path)
        if target.exists() and not overwrite:
            raise InputError(target, "exists already", "Choose another --out, or --overwrite")
    make_folder(out)
    scale = GreyScale.of(model)
    for path, target in zip(paths, targets, strict=True):
        micrograph = read_micrograph(path)
        grey = _on_grey_scale(micrograph)
        rows = len(micrograph.scene)
        translated = translate(model, grey[:rows], crc32(os.fsencode(path.stem)))
        write_image(target, scale.native(np.concatenate([translated, grey[rows:]])))
        yield target


def _on_grey_scale(micrograph: Micrograph) -> NDArray[np.float32]:
    """Pixels in 0..1 by the range of the scene, taken as `cyclegan.real.read_real` takes it."""
    marks = find_marks(micrograph.scene)
    counted = ~marks if clean_rectangles(marks, 1) else np.ones_like(marks)
    low, high = grey_range(micrograph.scene[counted])
    margin = HEADROOM * (high - low)
    return np.clip(normalise(micrograph.pixels, low - margin, high + margin), 0, 1)


class Geometry(NamedTuple):
    """Where the edges of a store's images lie with respect to its masks."""

    drift: Drift
    edges: Edges


def measure_geometry(source: Store, target: Store, samples: int = 8) -> dict[str, Geometry]:
    """Drift and edges of the simulated and the translated images, over the first samples."""
    both = {"simulated": source, "translated": target}
    return {name: geometry_of(one, samples) for name, one in both.items()}


def geometry_of(one: Store, samples: int = 8) -> Geometry:
    """Drift and edges of the images of a store, over the first samples."""
    pairs = [pair for i in one.complete()[:samples] for pair in _planes(one, int(i))]
    return Geometry(boundary_drift(pairs), edge_agreement(pairs))


def _planes(one: Store, index: int) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Image and mask of a sample; of a volume, those of three planes."""
    sample = one.read(index)
    image, mask = sample.grey, sample.mask
    if image.ndim == 2:
        return [(image, mask)]
    depth = len(image)
    return [(image[z], mask[z]) for z in sorted({depth // 4, depth // 2, 3 * depth // 4})]


def measure_change(model: Model, source: Store, samples: int = 4) -> float:
    """Mean absolute grey value that the learned part adds to the exchange, over the first samples.

    It is 0 without a generator; one that changes less than a level of an 8-bit image (1/255) has
    learned nothing.
    """
    exchange = replace(model, generator=None)
    changes = [
        np.abs(translate(model, grey, i) - translate(exchange, grey, i)).mean()
        for i in map(int, source.complete()[:samples])
        for grey, _ in _planes(source, i)
    ]
    return float(np.mean(changes))


def find_damage(geometry: dict[str, Geometry]) -> list[str]:
    """What the translation has done to the boundaries, in words; empty if they are as they were."""
    (before, edges), (after, now) = geometry["simulated"], geometry["translated"]
    found = []
    if has_drifted(before, after):
        found.append("the translation has moved boundaries; the masks no longer fit the images")
    if edges.found - now.found > LOST:
        found.append(
            f"only {now.found:.0%} of the boundaries can still be seen ({edges.found:.0%} before)"
        )
    if now.invented - edges.invented > LOST:
        found.append(
            f"{now.invented:.0%} of the edges belong to no boundary ({edges.invented:.0%} before): "
            "the translation draws structures that the masks do not know"
        )
    return found
