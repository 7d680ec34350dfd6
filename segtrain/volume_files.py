"""Folders of volumes to be segmented: what is in them, and whether the model takes it."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from phasegen.errors import InputError
from phasegen.images import SUFFIXES
from segtrain.data.medical import NIFTI
from segtrain.data.nifti import read_header
from segtrain.data.scans import scan_shape, stored_spacing
from segtrain.label_images import require_kind
from segtrain.predict import Segmenter
from segtrain.stream import require_shape

IMAGES, MEDICAL, LAZY = "image files", "NIfTI files", "Zarr arrays"


@dataclass(frozen=True)
class Job:
    """A volume to be segmented.

    Attributes
    ----------
    kind : str
        `IMAGES`, `MEDICAL` or `LAZY`.
    files : tuple of Path
        One for every channel, or one with all channels.
    target : Path
        The mask.
    shape : tuple of int
        Sides (z, y, x) as the network is shown it.
    spacing : tuple of float or None
        Voxel size (z, y, x) that it states.
    """

    kind: str
    files: tuple[Path, ...]
    target: Path
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None

    @property
    def confidence(self) -> Path:
        """The map of confidence."""
        return self.target.parent / "confidence" / self.target.name


def members(folder: Path) -> dict[str, list[Path]]:
    """The images and volumes of a folder by kind, sorted by name; all else is passed over.

    Raises
    ------
    InputError
        If there is no such folder, or it is a Zarr array itself.
    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InputError(folder, problem, "Give the folder that holds the images or volumes")
    if any((folder / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        raise InputError(folder, "is a Zarr array or store itself", "Give the folder that holds it")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if path.suffix == ".zarr":
                found[LAZY].append(path)
        elif NIFTI.fullmatch(path.name):
            found[MEDICAL].append(path)
        elif path.suffix.lower() in SUFFIXES:
            found[IMAGES].append(path)
    return dict(found)


def require_images(folder: Path) -> None:
    """Refuse a folder that holds volumes and no image, for a model of images.

    Raises
    ------
    InputError
        If it is one.
    """
    found = members(folder)
    if found and IMAGES not in found:
        kind, paths = next(iter(found.items()))
        problem = f"holds {kind} ({paths[0].name}) and no image, which the model takes"
        raise InputError(folder, problem, "Give images, or a model that was trained on volumes")


def plan(segmenter: Segmenter, folder: Path, out: Path, overwrite: bool = False) -> list[Job]:
    """The volumes of a folder, once all of them have proved to be such as the model takes.

    Nothing but headers is read. A voxel size that is not that of the training is warned of, unless
    volumes are resampled as they were in training.

    Raises
    ------
    InputError
        If the model is for images; the folder holds no volume, or several kinds; a volume cannot
        be read or has other channels than the model; or, without `overwrite`, a mask is there.
    """
    if segmenter.axes != 3:
        raise InputError("the model", "is for images, not volumes", "Give one trained on volumes")
    found = members(folder)
    if len(found) != 1:
        some = " and ".join(f"{kind} ({paths[0].name})" for kind, paths in found.items())
        problem = f"holds {some or 'no volume'}"
        remedy = "Give a folder of TIFF stacks, NIfTI files (.nii, .nii.gz) or NAME.zarr"
        raise InputError(folder, problem, f"{remedy}, one kind alone" if found else remedy)
    kind, paths = found.popitem()
    jobs = PLANS[kind](segmenter, paths, out)
    for job in jobs:
        if job.target.exists() and not overwrite:
            raise InputError(job.target, "exists already", "Choose another --out, or --overwrite")
    _compare(segmenter, jobs)
    return jobs


def _plan_images(segmenter: Segmenter, paths: Sequence[Path], out: Path) -> list[Job]:
    for path in paths:
        require_kind(segmenter, path)
    return [
        Job(IMAGES, (path,), out / path.name, scan_shape(path), stored_spacing(path, 3))
        for path in paths
    ]


def _plan_nifti(segmenter: Segmenter, paths: Sequence[Path], out: Path) -> list[Job]:
    jobs = []
    for name, files in _cases(paths, segmenter.channels).items():
        header = read_header(files)
        if (count := header.shape[0]) != segmenter.channels:
            problem = f"has {count} channel{'s' * (count > 1)}, the model {segmenter.channels}"
            remedy = "Give a fourth axis of channels, or files CASE_0000.nii.gz, CASE_0001.nii.gz"
            raise InputError(files[0], problem, f"{remedy}, in the order of the training")
        shape = segmenter.prepared.shape(header.shape[1:], header.spacing)
        jobs.append(Job(MEDICAL, files, out / name, shape, header.spacing))
    return jobs


def _cases(paths: Sequence[Path], channels: int) -> dict[str, tuple[Path, ...]]:
    """Files of every mask's name: each its own, or by nnU-Net's names those of a case.

    ``scan_0000`` to ``scan_0099`` may be the channels of a case or a hundred volumes. They are
    channels if the model takes several that no file holds alone, or if it takes one and all files
    bear the number 0, or several cases the same numbers.
    """
    single: dict[str, tuple[Path, ...]] = {path.name: (path,) for path in paths}
    cases: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        stem = path.name[: path.name.index(".nii")]
        case, _, number = stem.rpartition("_")
        if not (case and len(number) == 4 and number.isdigit()):
            return single
        cases[case + path.name[len(stem) :]][number] = path
    numbers = {tuple(sorted(files)) for files in cases.values()}
    if channels == 1:
        together = numbers == {("0000",)} or (len(cases) > 1 and len(numbers) == 1)
        together = together and "0000" in next(iter(numbers))
    else:
        together = read_header(paths[:1]).shape[0] == 1
    if not together:
        return single
    wanted = [f"{channel:04d}" for channel in range(channels)]
    for name, files in cases.items():
        if sorted(files) != wanted:
            problem = f"has of {name} the channels {', '.join(sorted(files))}"
            remedy = f"Give {', '.join(wanted)}, as the model was trained on"
            raise InputError(paths[0].parent, problem, remedy)
    return {name: tuple(files[one] for one in wanted) for name, files in cases.items()}


def _plan_zarr(segmenter: Segmenter, paths: Sequence[Path], out: Path) -> list[Job]:
    jobs = []
    for path in paths:
        shape = require_shape(segmenter, open_array(path).shape, path)
        jobs.append(Job(LAZY, (path,), out / path.name, shape[1:], None))
    return jobs


PLANS = {IMAGES: _plan_images, MEDICAL: _plan_nifti, LAZY: _plan_zarr}
"""``PLANS[kind](segmenter, paths, out) -> jobs``."""


def open_array(path: Path) -> Any:
    """A Zarr array of numbers.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        opened = zarr.open(path, mode="r")
    except Exception as error:  # metadata may be damaged in many ways
        problem = " ".join(f"cannot be read as Zarr ({error})".split())
        raise InputError(path, problem, "Copy or export it again") from None
    if not isinstance(opened, zarr.Array):
        names = ", ".join(sorted(opened.array_keys())) or "none"
        remedy = "Give one array as NAME.zarr; a store is scored by segtrain evaluate --data"
        raise InputError(path, f"is a group of arrays ({names}), not an array", remedy)
    if opened.dtype.kind not in "buif":
        raise InputError(path, f"holds {opened.dtype} values", "Save it as integers or floats")
    return opened


def _compare(segmenter: Segmenter, jobs: Sequence[Job]) -> None:
    """Warn of voxels of another size than those of the training (1 %, as there), if it is known.

    A size that a volume does not state is warned of only if training resampled: else the data of
    the training may have been as silent.
    """
    prepared = segmenter.prepared
    if not prepared.spacing or (prepared.resampled and jobs[0].kind == MEDICAL):
        return
    others = [
        job
        for job in jobs
        if not (
            np.allclose(job.spacing, prepared.spacing, rtol=0.01)
            if job.spacing
            else not prepared.resampled
        )
    ]
    if not others:
        return
    found = _size(others[0].spacing) if others[0].spacing else "an unstated size"
    remedy = "resample them to it"
    if jobs[0].kind == MEDICAL:
        remedy += ", or train with --data FORMAT:PATH,spacing=Z:Y:X, which resamples"
    logging.getLogger(__name__).warning(
        "%d of %d volumes, such as %s, have voxels of %s, those of the training %s (z, y, x), and "
        "nothing resamples them: their masks may be poor. If they do differ, %s",
        *(len(others), len(jobs), others[0].files[0].name, found, _size(prepared.spacing), remedy),
    )


def _size(spacing: Sequence[float]) -> str:
    return " x ".join(f"{one:.3g}" for one in spacing)
