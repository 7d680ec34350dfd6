"""Segmentations as files: masks and instance numbers of images and volumes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from phasegen.errors import InputError
from phasegen.files import written_whole
from phasegen.images import list_images, write_image
from segtrain.config import CLASSES
from segtrain.data.ctc import FRAME, write_ctc_result
from segtrain.data.scans import read_scan, scan_shape
from segtrain.data.source import standardise
from segtrain.predict import Segmenter, segment_image


def segment_scan(segmenter: Segmenter, path: Path) -> NDArray[Any]:
    """Class mask or instances ([Z,] Y, X) of an image or a TIFF volume, which has no info bar.

    Raises
    ------
    InputError
        If it cannot be read, or the segmenter is for several channels or other axes.
    """
    require_kind(segmenter, path)
    return segment_image(segmenter, standardise(read_scan(path))[None])


def require_kind(segmenter: Segmenter, path: Path) -> None:
    """Refuse a file of other axes than the segmenter's, without reading its pixels.

    Raises
    ------
    InputError
        If it has, or the segmenter takes several channels, which no single file has.
    """
    if segmenter.channels != 1:
        problem = f"has one channel, the model {segmenter.channels}"
        remedy = "Give volumes of that many as NIfTI or Zarr; images are for evaluate --data alone"
        raise InputError(path, problem, remedy)
    if (axes := len(scan_shape(path))) != segmenter.axes:
        kinds = {2: "an image", 3: "a volume"}
        problem = f"is {kinds[axes]}, the model takes {kinds[segmenter.axes]}"
        raise InputError(path, problem, "Give data of the model's kind")


def write_labels(target: Path, labels: NDArray[Any]) -> None:
    """Write a class mask (uint8) as it is, and instance numbers with 16 bits.

    Parameters
    ----------
    target : Path
        PNG or TIFF; volumes TIFF.
    labels : ndarray ([Z,] Y, X)
        Class index (uint8), or instance numbers of any integer type.

    Raises
    ------
    InputError
        If there are more instances than 16 bits can number, or the file cannot be written.
    """
    if labels.dtype != np.uint8:
        labels = numbered(target, labels)
    if labels.ndim == 2:
        write_image(target, labels)
        return
    with written_whole(target) as partial:
        tifffile.imwrite(partial, labels, photometric="minisblack", metadata={"axes": "ZYX"})


def numbered(target: Path, labels: NDArray[Any]) -> NDArray[np.uint16]:
    """Instance numbers with 16 bits.

    Raises
    ------
    InputError
        If there are more instances than these can number.
    """
    if labels.size and (most := int(labels.max())) > np.iinfo(np.uint16).max:
        problem = f"cannot hold {most} instances: 16 bits number 65535"
        raise InputError(target, problem, "Cut the image into parts")
    return labels.astype(np.uint16)


def predict_ctc(
    segmenter: Segmenter,
    folder: Path,
    out: Path | None = None,
    advance: Callable[[], None] = lambda: None,
    overwrite: bool = False,
) -> Path:
    """Segment a sequence of the Cell Tracking Challenge into the masks that its evaluation reads.

    Parameters
    ----------
    folder : Path
        Frames ``tTTT.tif``, images or volumes, such as ``PhC-C2DH-U373/01``.
    out : Path, optional
        Folder for ``maskTTT.tif``; ``01_RES`` beside the folder if left out.

    Returns
    -------
    Path
        The folder of the masks.

    Raises
    ------
    InputError
        If the segmenter finds no instances, there is no frame, one cannot be read, two have one
        number, or, without `overwrite`, a mask is there already; nothing is written then.
    """
    if segmenter.target == CLASSES:
        problem = "predicts classes, the challenge asks for instances"
        raise InputError("the model", problem, "Train with --target poisson")
    frames = [
        (path, match[1]) for path in list_images(folder) if (match := FRAME.fullmatch(path.name))
    ]
    if not frames:
        raise InputError(folder, "holds no frame such as t000.tif", "Give a sequence, such as 01")
    digits = {len(number) for _, number in frames}
    if len(digits) > 1:
        raise InputError(folder, "numbers frames with 3 and with 4 digits", "Rename them")
    result = folder.with_name(f"{folder.name}_RES") if out is None else out
    for path, number in frames:
        require_kind(segmenter, path)
        target = result / f"mask{number}.tif"
        if target.exists() and not overwrite:
            raise InputError(target, "exists already", "Choose another --out, or --overwrite")
    for path, number in frames:
        labels = segment_scan(segmenter, path)
        write_ctc_result(result, int(number), labels, len(number))
        advance()
    return result
