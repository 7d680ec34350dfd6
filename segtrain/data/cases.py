"""Folders of volumes, whatever their layout, as sources: parts, normalisation, one spacing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from phasegen.errors import InputError
from phasegen.images import digest_files
from segtrain.data.cache import cached
from segtrain.data.nifti import Header, read_header, read_volume
from segtrain.data.prepared import key, prepared
from segtrain.data.readers import require_room
from segtrain.data.source import Labelled, Source

PARTS = ("train", "validation", "test")

FOLD = re.compile(r"(without-)?([1-9]\d*)-of-([1-9]\d*)")
"""Parts of a cross-validation: ``2-of-5`` to test on, ``without-2-of-5`` to train on."""

UNKNOWN = 255
"""Class of voxels whose label is unknown."""

PADDED = 2
"""How many times longer than the longest volume a patch may be."""

ABSENT = 254
"""Stands for values that are no class while a mask is read."""

VERSION = 1
"""Of the preparation: another one makes what was kept on disk void."""


@dataclass(frozen=True)
class Case:
    """One volume: its files, one for every channel or one with all channels, and its mask."""

    name: str
    patient: str
    images: tuple[Path, ...]
    mask: Path


@dataclass(frozen=True)
class Layout:
    """What a folder of volumes holds.

    Attributes
    ----------
    kind : str
        Name of the layout.
    cases : tuple of Case
        In order of their names.
    classes : tuple of str
        Names of the classes.
    values : mapping of int to int
        Class of every value that masks may hold, `UNKNOWN` included.
    nonzero : bool
        Whether intensities are normalised over the voxels that are not 0, which stay 0; else over
        all voxels.
    window : tuple of float, optional
        Intensities are clipped to this range first.
    """

    kind: str
    cases: tuple[Case, ...]
    classes: tuple[str, ...]
    values: Mapping[int, int]
    nonzero: bool = False
    window: tuple[float, float] | None = None


def from_volumes(
    layout: Layout,
    path: Path,
    patch: int | Sequence[int],
    *,
    part: str = "all",
    seed: int = 0,
    spacing: Sequence[float] | None = None,
    middle_slice: bool = False,
    cache: Path | None = None,
) -> Source:
    """A folder of volumes as a source.

    Every channel of every volume has mean 0 and variance 1 over all its voxels, or over those that
    are not 0, as the layout says. The digest is that of the masks.

    Parameters
    ----------
    layout : Layout
        What the folder holds.
    path : Path
        The folder.
    patch : int or sequence of int
        Sides of the patches that will be cut. They may be larger than volumes (and are padded), but
        not more than twice as large as the largest along an axis.
    part : str
        "all"; "train", "validation" or "test", 80, 10 and 10 % of the patients, drawn with `seed`;
        or "2-of-5", the second of five folds drawn with `seed`, and "without-2-of-5", the others.
    seed : int
        Seed of that draw.
    spacing : sequence of float, optional
        Voxel size along z, y, x, in mm, that volumes are resampled to: intensities linearly and
        smoothed before they shrink, masks by the nearest voxel. Left out, volumes are as stored,
        and must agree within 1 %.
    middle_slice : bool
        Give the axial slice ``Z // 2`` of every volume instead, normalised as part of its volume.
    cache : Path, optional
        Folder in which volumes are kept as they were prepared, 4 C + 1 bytes a voxel, for this run
        and others; they are read and prepared again when their files change. Without it those that
        fit into the memory of `segtrain.data.cache` are kept, and the others prepared again for
        every patch.

    Raises
    ------
    InputError
        If a file is missing or damaged, files of a volume differ in shape, voxel sizes differ
        between volumes, a mask holds an unknown value, or the part is empty.
    """
    cases = choose(layout.cases, part, seed, path)
    headers = [read_header(case.images, case.mask) for case in cases]
    for case, header in zip(cases, headers, strict=True):
        if header.shape[0] != headers[0].shape[0]:
            problem = f"has {header.shape[0]} channels, {cases[0].name} {headers[0].shape[0]}"
            raise InputError(case.images[0], problem, "Leave it out, or complete its channels")
    size = _one_spacing(cases, headers, spacing)
    shapes = [
        tuple(
            resampled_size(n, old, new)
            for n, old, new in zip(h.shape[1:], h.spacing, size, strict=True)
        )
        for h in headers
    ]
    first = 1 if middle_slice else 0
    _require_room(path, [max(axis) for axis in zip(*shapes, strict=True)][first:], patch)

    def load(index: int) -> Labelled:
        return _load(cases[index], layout, shapes[index], middle_slice)

    def stored(index: int) -> Labelled:
        case = cases[index]
        how = (VERSION, layout.kind, sorted(layout.values.items()), layout.nonzero, layout.window)
        digest = key((*case.images, case.mask), how, shapes[index], middle_slice)
        return prepared(Path(cache or "") / f"{case.name}-{digest}", partial(load, index))

    record = {
        "labels": "drawn",
        "path": str(path),
        "kind": layout.kind + (", middle slices" if middle_slice else ""),
        "part": part,
        "samples": len(cases),
        "digest": digest_files(case.mask for case in cases),
        "parents": [],
    }
    return Source(
        layout.classes,
        len(cases),
        stored if cache else cached(load),
        record,
        channels=headers[0].shape[0],
        spacing=size[first:],
        oriented=True,  # axes are those of the patient, see `read_volume`
        names=tuple(case.name for case in cases),
    )


def choose(cases: Sequence[Case], part: str, seed: int, path: Path) -> tuple[Case, ...]:
    """The cases of a part; all volumes of one patient are in the same.

    Raises
    ------
    InputError
        If there is no such part, or no patient in it.
    """
    if part == "all":
        return tuple(cases)
    patients = sorted({case.patient for case in cases})
    if fold := FOLD.fullmatch(part):
        number, count = int(fold[2]), int(fold[3])
        if not number <= count <= len(patients):
            problem = f"is {part!r} of {len(patients)} patients"
            raise InputError("part", problem, "Use 1-of-5 to 5-of-5, or fewer folds")
        tested = set(np.random.default_rng(seed).permutation(patients)[number - 1 :: count])
        return tuple(case for case in cases if (case.patient in tested) != bool(fold[1]))
    if part not in PARTS:
        remedy = f"Use one of all, {', '.join(PARTS)}, 1-of-5, without-1-of-5"
        raise InputError("part", f"is {part!r}", remedy)
    tenth = round(len(patients) / 10)
    if not tenth:
        problem = f"holds {len(patients)} patients, too few for 80, 10 and 10 %"
        raise InputError(path, problem, "Give part=all, and other folders to validate and test on")
    shuffled = np.random.default_rng(seed).permutation(patients).tolist()
    chosen = {
        "test": shuffled[:tenth],
        "validation": shuffled[tenth : 2 * tenth],
        "train": shuffled[2 * tenth :],
    }[part]
    return tuple(case for case in cases if case.patient in chosen)


def _require_room(path: Path, largest: Sequence[int], patch: int | Sequence[int]) -> None:
    """Like `require_room`, but small volumes may be padded to sides that suit a network."""
    sides = (patch,) * len(largest) if isinstance(patch, int) else tuple(patch)
    if len(sides) != len(largest):
        require_room(path, largest, patch)
    if any(side > PADDED * n for n, side in zip(largest, sides, strict=False)):
        size = " x ".join(map(str, largest))
        problem = f"has no volume of more than {size} voxels along its axes"
        raise InputError(path, problem, "Give patches that are at most twice as long")


def _load(case: Case, layout: Layout, shape: tuple[int, ...], middle_slice: bool) -> Labelled:
    channels, stored = read_volume(case.images, case.mask)
    resampled = shape != stored.shape
    # A slice of volumes that stay as they are spares the work on all others.
    shown = slice(stored.shape[0] // 2, stored.shape[0] // 2 + 1)
    if resampled or not middle_slice:
        shown = slice(None)
    image = np.stack([normalise(channel, layout, shown) for channel in channels])
    stored = stored[shown]
    mask = np.full(stored.shape, ABSENT, np.uint8)
    for value, number in layout.values.items():
        mask[stored == value] = number
    if (absent := mask == ABSENT).any():
        known = ", ".join(map(str, sorted(layout.values)))
        problem = f"holds the value {stored[absent][0]}, which is none of {known}"
        raise InputError(case.mask, problem, "Correct it, or name its class in dataset.json")
    if resampled:
        factors = [new / old for new, old in zip(shape, stored.shape, strict=True)]
        image = np.stack([zoom(channel, factors, 1) for channel in image])
        mask = zoom(mask, factors, 0)
    if middle_slice:
        image, mask = image[:, image.shape[1] // 2], mask[len(mask) // 2]
    weight = (mask != UNKNOWN).astype(np.float32)
    labels = np.where(weight > 0, mask, 0).astype(np.uint8)
    return Labelled(np.ascontiguousarray(image), labels, weight)


def normalise(channel: NDArray[np.float32], layout: Layout, shown: slice) -> NDArray[np.float32]:
    """The slices `shown` of a channel, normalised by the whole of it."""
    if layout.window is not None:
        channel = channel.clip(*layout.window)
    # Volumes lie transposed in memory; this order reads them along it.
    values = channel.T[channel.T != 0] if layout.nonzero else channel
    part = channel[shown]
    if not values.size:
        return np.zeros_like(part)
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    result = (part - np.float32(mean)) / np.float32(deviation or 1.0)
    return np.where(part != 0, result, np.float32(0)) if layout.nonzero else result


def resampled_size(n: int, old: float, new: float) -> int:
    """Voxels of size `new` for `n` of size `old`; as many if the sizes differ by 1 % or less."""
    return n if abs(old - new) <= 0.01 * new else max(1, round(n * old / new))


def zoom(array: NDArray[Any], factors: Sequence[float], order: int) -> NDArray[Any]:
    """A volume of `factors` times as many voxels: order 1 of intensities, 0 of labels."""
    if order:
        # A voxel shows the mean of what it covers: else patterns finer than it would alias. As
        # scikit-image does, with a deviation of half of what a factor adds to a voxel.
        array = ndimage.gaussian_filter(
            array, [max(0.0, (1 / factor - 1) / 2) for factor in factors], mode="nearest"
        )
    # Voxels are cells of a grid, whose outer faces stay where they are.
    return np.asarray(ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True))


def _one_spacing(
    cases: Sequence[Case], headers: Sequence[Header], spacing: Sequence[float] | None
) -> tuple[float, ...]:
    if spacing is not None:
        if len(spacing) != 3 or min(spacing) <= 0:
            remedy = "Give three positive sizes of a voxel in mm, in the order z, y, x"
            raise InputError("spacing", f"is {tuple(spacing)}", remedy)
        return tuple(float(one) for one in spacing)
    first = headers[0].spacing
    for case, header in zip(cases, headers, strict=True):
        if not np.allclose(header.spacing, first, rtol=0.01):
            median = np.median([one.spacing for one in headers], axis=0)
            sizes = [" x ".join(f"{one:.3g}" for one in h) for h in (header.spacing, first, median)]
            problem = f"has voxels of {sizes[0]} mm (z, y, x), {cases[0].name} of {sizes[1]} mm"
            remedy = f"Give the spacing that all are to be resampled to; their median is {sizes[2]}"
            raise InputError(case.images[0], problem, remedy)
    return first
