"""Published layouts of NIfTI volumes: Medical Segmentation Decathlon, nnU-Net, BraTS, LiTS."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from phasegen.errors import InputError
from segtrain.data.cases import UNKNOWN, Case, Layout
from segtrain.data.nifti import mask_values

NIFTI = re.compile(r"(?!\.)(.+?)\.nii(?:\.gz)?")

BRATS_FILE = re.compile(r"(?!\.)(.+)[_-](flair|t1|t1ce|t2|t2f|t1n|t1c|t2w|seg|segm)", re.IGNORECASE)

BRATS_CHANNELS = {
    2020: ("flair", "t1", "t1ce", "t2"),
    2023: ("t2f", "t1n", "t1c", "t2w"),
}
"""The same four sequences in the same order, as they are called until 2022 and from 2023 on."""

BRATS_CLASSES = ("background", "enhancing tumour", "rest of tumour core", "rest of whole tumour")

BRATS_VALUES = {2020: {0: 0, 4: 1, 1: 2, 2: 3}, 2023: {0: 0, 3: 1, 1: 2, 2: 3}}
"""Class of each label: 1 necrotic and non-enhancing core, 2 oedema, 4 or 3 enhancing tumour."""

LITS_WINDOW = (-200.0, 250.0)
"""Hounsfield units that hold the liver (Li et al., IEEE TMI 37, 2663 (2018))."""


def msd(path: Path) -> Layout:
    """A task of the Medical Segmentation Decathlon: ``imagesTr``, ``labelsTr``.

    Volumes with a fourth axis have that many channels. Classes are those of ``dataset.json``;
    without it they are numbered, and every mask is read to learn how many there are.

    Raises
    ------
    InputError
        If a folder, a mask or a channel is missing, or ``dataset.json`` is damaged.
    """
    images, masks = _files(path / "imagesTr"), _files(path / "labelsTr")
    cases = tuple(
        Case(name, name, (image,), _mask(masks, name, image, path / "labelsTr"))
        for name, image in images.items()
    )
    if (path / "dataset.json").exists():
        names = {value: name for name, values in _labels(path).items() for value in values}
    else:
        largest = max(mask_values(case.mask)[-1] for case in cases)
        names = {k: f"class {k}" if k else "background" for k in range(max(largest, 1) + 1)}
    return _layout("Medical Segmentation Decathlon", cases, names, path)


def nnunet(path: Path) -> Layout:
    """A raw data set of nnU-Net v2: ``imagesTr/CASE_0000.nii.gz``, ``labelsTr/CASE.nii.gz``.

    Classes are those of ``dataset.json``. Voxels of the label ``ignore`` have weight 0. Where
    labels are regions, each value is called after the smallest region that holds it.

    Raises
    ------
    InputError
        If a folder, a mask or a channel is missing, ``dataset.json`` is missing or damaged, or the
        files are no NIfTI.
    """
    if not (path / "dataset.json").exists():
        remedy = "Give the folder DatasetNNN_NAME, or read it as msd"
        raise InputError(path / "dataset.json", "does not exist", remedy)
    ending = _dataset(path, "file_ending")
    if ending not in (".nii", ".nii.gz"):
        raise InputError(path, f"holds {ending} files", "Convert them to .nii.gz")
    count = len(_dataset(path, "channel_names"))
    masks = _files(path / "labelsTr")
    images: dict[str, dict[str, Path]] = defaultdict(dict)
    for name, image in _files(path / "imagesTr").items():
        case, _, channel = name.rpartition("_")
        images[case][channel] = image
    cases = []
    for name, found in images.items():
        wanted = [f"{channel:04d}" for channel in range(count)]
        if sorted(found) != wanted:
            problem = f"has of {name or 'a case'} the channels {', '.join(sorted(found))}"
            raise InputError(path / "imagesTr", problem, f"Give {name}_0000 to {name}_{wanted[-1]}")
        files = tuple(found[channel] for channel in wanted)
        cases.append(Case(name, name, files, _mask(masks, name, files[0], path / "labelsTr")))
    names: dict[int, str] = {}
    labels = _labels(path)
    ignored = labels.pop("ignore", [])
    for name in sorted(labels, key=lambda one: -len(labels[one])):
        names |= dict.fromkeys(labels[name], name)
    layout = _layout("nnU-Net raw data", tuple(cases), names, path)
    values = {**layout.values, **dict.fromkeys(ignored, UNKNOWN)}
    return Layout(layout.kind, layout.cases, layout.classes, values)


def brats(path: Path) -> Layout:
    """Brain tumours of BraTS: a folder for every patient, at any depth, four sequences, one mask.

    Names are those of 2020 (``*_flair``, ``_t1``, ``_t1ce``, ``_t2``, ``_seg``; enhancing tumour
    is label 4) or of 2023 (``*-t2f``, ``-t1n``, ``-t1c``, ``-t2w``, ``-seg``; label 3); channels
    are in this order. Classes exclude each other: 0 background, 1 enhancing tumour (ET), 2 tumour
    core without ET, 3 whole tumour without core. So the core (TC) is the classes 1 and 2, the
    whole tumour (WT) 1 to 3. Intensities are normalised over the voxels that are not 0, the brain.

    Raises
    ------
    InputError
        If there is no patient, both years are mixed, or one of the five files is missing.
    """
    if not path.is_dir():
        raise InputError(path, "is no folder", "Give the folder that holds those of the patients")
    patients: dict[Path, dict[str, Path]] = defaultdict(dict)
    for one in sorted(path.rglob("*.nii*")):
        name = NIFTI.fullmatch(one.name)
        if one.is_file() and name and (match := BRATS_FILE.fullmatch(name[1])):
            # One mask of 2020 is called W39_1998.09.19_Segm.nii.
            patients[one.parent][match[2].lower().replace("segm", "seg")] = one
    years = {2023 if "t2f" in found or "t1n" in found else 2020 for found in patients.values()}
    if not patients or len(years) > 1:
        problem = "mixes names of 2020 and 2023" if patients else "holds no patient of BraTS"
        raise InputError(path, problem, "Give the folder of one year's training data")
    year = years.pop()
    cases = []
    for folder, found in patients.items():
        for what in (*BRATS_CHANNELS[year], "seg"):
            if what not in found:
                remedy = "Download it again, or leave the patient out"
                if what == "seg":
                    remedy = "Give training data; that for validation comes without masks"
                raise InputError(folder, f"has no file that ends in {what}.nii(.gz)", remedy)
        files = tuple(found[what] for what in BRATS_CHANNELS[year])
        # From 2023 on names end in the number of the visit: BraTS-GLI-00005-001.
        patient = folder.name.rpartition("-")[0] if year == 2023 else folder.name
        cases.append(Case(folder.name, patient or folder.name, files, found["seg"]))
    return Layout(f"BraTS {year}", tuple(cases), BRATS_CLASSES, BRATS_VALUES[year], nonzero=True)


def lits(path: Path) -> Layout:
    """Liver tumours of LiTS: ``volume-N.nii`` and ``segmentation-N.nii``, at any depth.

    Intensities are clipped to `LITS_WINDOW` and normalised over all voxels.

    Raises
    ------
    InputError
        If there is no volume, or one has no segmentation.
    """
    if not path.is_dir():
        raise InputError(path, "is no folder", "Give the folder that holds volume-0.nii")
    found: dict[str, dict[str, Path]] = {"volume": {}, "segmentation": {}}
    for one in sorted(path.rglob("*.nii*")):
        if match := re.fullmatch(r"(volume|segmentation)-(\d+)\.nii(?:\.gz)?", one.name):
            found[match[1]][match[2]] = one
    if not found["volume"]:
        raise InputError(path, "holds no volume-N.nii", "Give the folder of the training data")
    cases = []
    for number, image in sorted(found["volume"].items(), key=lambda one: int(one[0])):
        if number not in found["segmentation"]:
            remedy = f"Add segmentation-{number}.nii, or leave the volume out"
            raise InputError(image, "has no segmentation", remedy)
        mask = found["segmentation"][number]
        cases.append(Case(f"volume-{number}", number, (image,), mask))
    values = {0: 0, 1: 1, 2: 2}
    classes = ("background", "liver", "tumour")
    return Layout("LiTS", tuple(cases), classes, values, window=LITS_WINDOW)


def _files(folder: Path) -> dict[str, Path]:
    """NIfTI files by name without ending; copies of resource forks (``._NAME``) are passed over."""
    if not folder.is_dir():
        remedy = "Give the folder of the task, which holds imagesTr and labelsTr"
        raise InputError(folder, "does not exist", remedy)
    found = {
        match[1]: one for one in sorted(folder.iterdir()) if (match := NIFTI.fullmatch(one.name))
    }
    if not found:
        raise InputError(folder, "holds no NIfTI file", "Give files NAME.nii.gz or NAME.nii")
    return found


def _mask(masks: dict[str, Path], name: str, image: Path, folder: Path) -> Path:
    if name not in masks:
        remedy = f"Add {name}.nii.gz there, or leave the image out"
        raise InputError(image, f"has no mask in {folder}", remedy)
    return masks[name]


def _dataset(path: Path, key: str) -> Any:
    try:
        return json.loads((path / "dataset.json").read_text())[key]
    except (ValueError, KeyError, TypeError) as error:
        problem = f"states no {key!r} ({type(error).__name__})"
        raise InputError(path / "dataset.json", problem, "Correct it") from None


def _labels(path: Path) -> dict[str, list[int]]:
    """Values of every name in ``dataset.json``, which maps either one to the other."""
    try:
        pairs = dict(_dataset(path, "labels")).items()
        by_value = all(str(key).isdigit() for key, _ in pairs)
        found: dict[str, list[int]] = defaultdict(list)
        for key, value in pairs:
            name, values = (value, key) if by_value else (key, value)
            found[str(name)] += map(int, values if isinstance(values, list) else [values])
        return found
    except (TypeError, ValueError):
        remedy = "Give names with whole numbers"
        raise InputError(path / "dataset.json", "has no usable 'labels'", remedy) from None


def _layout(kind: str, cases: tuple[Case, ...], names: dict[int, str], path: Path) -> Layout:
    """Classes in the order of their values."""
    if 0 not in names:
        raise InputError(path / "dataset.json", "names no background with value 0", "Correct it")
    values = {value: index for index, value in enumerate(sorted(names))}
    return Layout(kind, cases, tuple(names[value] for value in values), values)
