"""Translation of whole stores and image folders, and the report on their boundaries."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan.geometry import Drift, boundary_drift
from cyclegan.model import Model, require_sections, translate
from cyclegan.real import HEADROOM
from phasegen import store
from phasegen.errors import InputError
from phasegen.files import make_folder
from phasegen.images import grey_range, list_images, normalise, read_micrograph, write_image
from phasegen.store import Store


def prepare(model: Model, source: Store, out: Path, overwrite: bool = False) -> Store:
    """Create the translated store with its provenance, or open it to go on.

    With `overwrite`, a store at `out` is removed once `source` has proved sound.

    Raises
    ------
    InputError
        If `source` is unfinished or holds no grey images, or `out` was translated from something
        else.
    """
    require_sections(source)
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
        instances="instance" in source.arrays,
        parents=parents,
    )


def translate_store(model: Model, source: Store, target: Store) -> Iterator[int]:
    """Translate what `target` still lacks, masks unchanged; yields each index once written."""
    for index in target.missing():
        sample = source.read(int(index))
        image = translate(model, sample.grey, int(index))
        target.write(int(index), image=image[None], mask=sample.mask, instance=sample.instance)
        yield int(index)


def translate_folder(
    model: Model, folder: Path, out: Path, overwrite: bool = False
) -> Iterator[Path]:
    """Translate every image of a folder to 16-bit TIFF files of the same names.

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
    for number, (path, target) in enumerate(zip(paths, targets, strict=True)):
        micrograph = read_micrograph(path)
        low, high = grey_range(micrograph.scene)
        margin = HEADROOM * (high - low)
        scene = np.clip(normalise(micrograph.scene, low - margin, high + margin), 0, 1)
        grey = (translate(model, scene, number) * 65535).round().astype(np.uint16)
        write_image(target, grey)
        yield target


def measure_drift(source: Store, target: Store, samples: int = 8) -> dict[str, Drift]:
    """Boundary drift of the simulated and the translated images, over the first samples."""
    drifts = {}
    for name, one in (("simulated", source), ("translated", target)):
        pairs = [(one.load("image", i)[0], one.load("mask", i)) for i in one.complete()[:samples]]
        drifts[name] = boundary_drift(pairs)
    return drifts


def measure_change(model: Model, source: Store, samples: int = 4) -> float:
    """Mean absolute grey value that the learned part adds to the exchange, over the first samples.

    It is 0 without a generator; one that changes less than a level of an 8-bit image (1/255) has
    learned nothing.
    """
    exchange = replace(model, generator=None)
    changes = [
        np.abs(translate(model, grey, i) - translate(exchange, grey, i)).mean()
        for i in map(int, source.complete()[:samples])
        for grey in [source.read(i).grey]
    ]
    return float(np.mean(changes))


def has_drifted(drifts: dict[str, Drift]) -> bool:
    """Whether boundaries have moved: by half a pixel in the median, or by one at the tail."""
    before, after = drifts["simulated"], drifts["translated"]
    return abs(after.shift - before.shift) > 0.5 or after.p95 > before.p95 + 1
