"""Folders of the Cell Tracking Challenge: read annotated frames, write segmentations."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from phasegen.errors import InputError
from phasegen.files import make_folder, written_whole
from phasegen.images import digest_files
from segtrain.data.cache import cached
from segtrain.data.instances import CLASSES
from segtrain.data.readers import require_room
from segtrain.data.scans import common_spacing, read_labels, read_scan, scan_shape
from segtrain.data.source import Labelled, Source, standardise

SEQUENCE = re.compile(r"\d\d")
FRAME = re.compile(r"t(\d{3,4})\.tif")
ANNOTATION = re.compile(r"man_seg_?(\d{3,4})(?:_(\d{3,4}))?\.tif")


class Frame(NamedTuple):
    """An annotated frame: its image, its annotations by slice (None: all slices), its markers."""

    image: Path
    annotations: dict[int | None, Path]
    markers: Path


def from_ctc(
    path: Path,
    patch: int | Sequence[int],
    *,
    truth: str = "GT",
    sequences: Sequence[str] = (),
    spacing: Sequence[float] | None = None,
) -> Source:
    """The annotated frames of one data set of the Cell Tracking Challenge.

    Read are ``01/tTTT.tif`` and ``01_GT/SEG/man_segTTT.tif`` (``01_ST/SEG`` for the silver truth),
    with three or four digits; frames without annotation are left out. Of volumes annotated in
    single slices (``man_seg_TTT_ZZZ.tif``) all other slices have weight 0; where a data set has
    such volumes, scalar fields are those of the sections in each slice, not of the cells, whose
    extent along z nobody has drawn. Where the tracking truth (``01_GT/TRA``) marks a cell that the
    gold truth does not outline, background nearer to the marker than the diameter of the largest
    outlined cell has weight 0: it may be that cell.

    Parameters
    ----------
    path : Path
        The folder of the data set, such as ``PhC-C2DH-U373``.
    patch : int or sequence of int
        Sides of the patches that will be cut.
    truth : {"GT", "ST"}
        Gold truth (drawn, few frames) or silver truth (computed from the best participants).
    sequences : sequence of str
        Such as ``("01",)``; all annotated ones if left out.
    spacing : sequence of float, optional
        Pixel size along [z,] y, x; left out, that of the TIFF metadata, else 1.

    Raises
    ------
    InputError
        If there is no such sequence or annotation, an annotated frame has no image, shapes differ
        or are smaller than a patch.
    """
    if truth not in ("GT", "ST"):
        raise InputError("truth", f"is {truth!r}", "Use GT (gold) or ST (silver)")
    if not path.is_dir():
        raise InputError(path, "is no folder", "Give the folder that holds 01 and 01_GT")
    known = sorted(
        one.name
        for one in path.iterdir()
        if SEQUENCE.fullmatch(one.name) and (path / f"{one.name}_{truth}" / "SEG").is_dir()
    )
    for name in sequences or known:
        if name not in known:
            remedy = f"Choose from {', '.join(known)}" if known else "Give the training data"
            raise InputError(path, f"has no sequence {name} with {name}_{truth}/SEG", remedy)
    frames = [frame for name in sequences or known for frame in _frames(path, name, truth)]
    if not frames:
        remedy = f"Give a folder of training data, which holds 01 and 01_{truth}/SEG/man_seg*.tif"
        raise InputError(path, "holds no annotated frame", remedy)
    shapes = [scan_shape(frame.image) for frame in frames]
    for frame, shape in zip(frames, shapes, strict=True):
        if len(shape) != len(shapes[0]):
            problem = f"has {len(shape)} axes, {frames[0].image.name} {len(shapes[0])}"
            raise InputError(
                frame.image, problem, "Keep images and volumes in folders of their own"
            )
        require_room(frame.image, shape, patch)
    size = common_spacing([frame.image for frame in frames], len(shapes[0]), spacing)

    @cached
    def load(index: int) -> Labelled:
        mask, weight = _truth(frames[index], shapes[index], size)
        return Labelled(standardise(read_scan(frames[index].image))[None], mask, weight)

    files = [one for frame in frames for one in (frame.image, *frame.annotations.values())]
    record: dict[str, Any] = {
        "labels": "drawn",
        "path": str(path),
        "kind": f"Cell Tracking Challenge, {'gold' if truth == 'GT' else 'silver'} truth",
        "samples": len(frames),
        "digest": digest_files(files),
        "parents": [],
    }
    names = tuple(f"{frame.image.parent.name}/{frame.image.name}" for frame in frames)
    return Source(
        CLASSES,
        len(frames),
        load,
        record,
        spacing=size,
        instances=True,
        sections=any(None not in frame.annotations for frame in frames),
        names=names,
    )


def write_ctc_result(folder: Path, frame: int, labels: NDArray[Any], digits: int = 3) -> Path:
    """Write the segmentation of one frame as the challenge's evaluation reads it.

    The measures SEG and DET and the Cell Segmentation Benchmark need nothing but the masks, one
    for every frame, empty ones included. ``res_track.txt`` states tracks; segmentation has none to
    state, so none is written. Files are 16-bit and not compressed.

    Parameters
    ----------
    folder : Path
        ``01_RES`` for the sequence ``01``; made if need be.
    frame : int
        Number of the frame, from 0.
    labels : ndarray ([Z,] Y, X)
        Instance numbers, 0 for background.
    digits : int
        Of frame numbers, 3 or 4: as many as those of the data set's images have.

    Returns
    -------
    Path
        ``folder/maskTTT.tif``.

    Raises
    ------
    InputError
        If a number does not fit the file or the frame its digits.
    """
    target = folder / f"mask{frame:0{digits}d}.tif"
    if not 0 <= frame < 10**digits:
        raise InputError(target, f"is of frame {frame}, beyond {digits} digits", "Use 4 digits")
    low, high = labels.min(), labels.max()
    if labels.dtype.kind not in "ui" or low < 0 or high > np.iinfo(np.uint16).max:
        problem = f"cannot hold {labels.dtype} numbers from {low} to {high} in 16 bits"
        raise InputError(target, problem, "Number the instances 1, 2, ... within every frame")
    make_folder(folder)
    with written_whole(target) as partial:
        pixels = labels.astype(np.uint16)
        tifffile.imwrite(partial, pixels, photometric="minisblack", metadata=None)
    return target


def _frames(path: Path, sequence: str, truth: str) -> list[Frame]:
    images = {
        int(match[1]): one
        for one in (path / sequence).iterdir()
        if (match := FRAME.fullmatch(one.name))
    }
    found: dict[int, dict[int | None, Path]] = defaultdict(dict)
    for one in sorted((path / f"{sequence}_{truth}" / "SEG").iterdir()):
        if match := ANNOTATION.fullmatch(one.name):
            found[int(match[1])][int(match[2]) if match[2] else None] = one
    for number, annotations in found.items():
        if number not in images:
            one = next(iter(annotations.values()))
            remedy = f"Complete {path / sequence}, or leave the annotation out"
            raise InputError(one, f"annotates frame {number}, which has no image", remedy)
    tracks = path / f"{sequence}_GT" / "TRA"
    return [
        Frame(images[number], annotations, tracks / f"man_track{images[number].name[1:]}")
        for number, annotations in sorted(found.items())
    ]


def _truth(
    frame: Frame, shape: tuple[int, ...], spacing: Sequence[float]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    mask, weight = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    markers = read_labels(frame.markers, shape, True) if frame.markers.exists() else None
    for z, path in frame.annotations.items():
        if z is not None and (len(shape) == 2 or z >= shape[0]):
            problem = f"annotates slice {z} of an image of {' x '.join(map(str, shape))} pixels"
            raise InputError(path, problem, "Give the annotation of this data set")
        place = ... if z is None else z
        part = read_labels(path, shape if z is None else shape[1:], numbered=True)
        mask[place] = part
        known = np.ones(part.shape, bool)
        if markers is not None:
            known = _known(part, markers[place], spacing[-part.ndim :])
        weight[place] = known
    return mask, weight


def _known(
    mask: NDArray[np.int32], markers: NDArray[np.int32], spacing: Sequence[float]
) -> NDArray[np.bool_]:
    """Pixels that are either outlined or too far from any cell that is not."""
    missed = np.setdiff1d(markers, markers[mask > 0])
    missed = missed[missed > 0]
    if not len(missed):
        return np.ones(mask.shape, bool)
    extents = [
        math.hypot(*((one.stop - one.start) * size for one, size in zip(box, spacing, strict=True)))
        for box in ndimage.find_objects(mask)
        if box is not None
    ]
    reach = max(extents, default=math.inf)
    away = ndimage.distance_transform_edt(~np.isin(markers, missed), sampling=spacing)
    return np.asarray((mask > 0) | (away > reach))
