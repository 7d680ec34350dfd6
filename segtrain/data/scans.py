"""Grey images and volumes with label images that number instances, as microscopy stores them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from phasegen.errors import InputError
from phasegen.images import JPEG, TIFF, read_micrograph

BINARY = ({0, 255}, {255})
"""Values of a mask of 8 bits that tells foreground alone."""


def scan_shape(path: Path) -> tuple[int, ...]:
    """Shape ([Z,] Y, X) of an image or volume; axes of length 1 are dropped, pixels are not read.

    Raises
    ------
    InputError
        If it cannot be read, or has more than three axes.
    """
    if path.suffix.lower() in TIFF:
        return _planes(path)[0]
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except Exception as error:  # a damaged file may fail anywhere inside a codec
        raise _unreadable(path, error) from None


def read_scan(path: Path) -> NDArray[np.float32]:
    """Grey values of an image (Y, X) or of a volume (Z, Y, X); no info bar is looked for.

    Raises
    ------
    InputError
        As `phasegen.images.read_micrograph` does, and if a volume has channels, NaN or infinity.
    """
    if len(scan_shape(path)) == 2:
        return read_micrograph(path).pixels
    pixels = _planes(path, read=True)[1].astype(np.float32)
    if not np.isfinite(pixels).all():
        count = int((~np.isfinite(pixels)).sum())
        raise InputError(
            path, f"holds {count} voxels that are NaN or infinite", "Replace them or leave it out"
        )
    return pixels


def read_labels(path: Path, shape: Sequence[int], numbered: bool = False) -> NDArray[np.int32]:
    """Instance numbers, 0 for background, from TIFF, PNG or BMP.

    Parameters
    ----------
    path : Path
        The label image.
    shape : sequence of int
        Shape ([Z,] Y, X) of the image that it belongs to.
    numbered : bool
        Whether the format promises instance numbers, so that 255 may be one. In 8 bits 0 and 255
        alone are a binary mask otherwise; in 16 bits nobody writes one like that.

    Raises
    ------
    InputError
        If it cannot be read, is compressed with loss, holds no instance numbers but a binary mask
        or colours, or does not have the image's shape.
    """
    if path.suffix.lower() in JPEG:
        raise InputError(
            path, "is a JPEG, whose compression changes numbers", "Save labels as TIFF or PNG"
        )
    if path.suffix.lower() in TIFF:
        labels = _planes(path, read=True)[1]
    else:
        try:
            with Image.open(path) as image:
                labels = np.asarray(image)
        except Exception as error:  # as above
            raise _unreadable(path, error) from None
    if labels.shape != tuple(shape):
        found, wanted = (" x ".join(map(str, one)) for one in (labels.shape, shape))
        remedy = "Give the labels that were drawn on this image, at full size"
        raise InputError(path, f"is {found} pixels, its image {wanted}", remedy)
    binary = labels.dtype == np.uint8 and not numbered and set(np.unique(labels)) in BINARY
    if labels.dtype == bool or binary:
        remedy = "Number the instances 1, 2, ... (connected pieces: scipy.ndimage.label)"
        raise InputError(path, "is a binary mask, without numbers of instances", remedy)
    if labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        problem = f"holds {labels.dtype} values from {labels.min()} to {labels.max()}"
        raise InputError(path, problem, "Save instance numbers 0, 1, 2, ... as 16-bit TIFF")
    return labels.astype(np.int32)


def common_spacing(
    paths: Sequence[Path], axes: int, spacing: Sequence[float] | None
) -> tuple[float, ...]:
    """The pixel size of a data set along every axis.

    What is given, else what the TIFF metadata of all files (OME, ImageJ) say, else 1.

    Raises
    ------
    InputError
        If what is given has another number of axes or is not positive, or the metadata of two files
        differ by more than 1 %.
    """
    if spacing is not None:
        if len(spacing) != axes or min(spacing) <= 0:
            order = "z, y, x" if axes == 3 else "y, x"
            remedy = f"Give {axes} positive sizes of a pixel, in the order {order}"
            raise InputError("spacing", f"is {tuple(spacing)} for {axes} axes", remedy)
        return tuple(float(size) for size in spacing)
    found = [stored_spacing(path, axes) for path in paths]
    first = found[0]
    for path, size in zip(paths, found, strict=True):
        same = size is first is None or (
            size is not None and first is not None and np.allclose(size, first, rtol=0.01)
        )
        if not same:
            problem = f"has pixels of {size or 'no stated size'}, {paths[0].name} of {first}"
            raise InputError(path, problem, "Resample them to one size, or give spacing")
    return first or (1.0,) * axes


def stored_spacing(path: Path, axes: int) -> tuple[float, ...] | None:
    """Pixel size that the OME or ImageJ metadata of a TIFF state, None if they do not."""
    if path.suffix.lower() not in TIFF:
        return None
    with tifffile.TiffFile(path) as file:
        sizes: list[Any]
        if file.is_ome:
            image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
            pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
            sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"[-axes:]]
        elif file.is_imagej:
            tags = file.pages[0].tags
            plane = [tags[f"{axis}Resolution"].value for axis in "YX"]
            depth = [(file.imagej_metadata or {}).get("spacing")] if axes == 3 else []
            sizes = [*depth, *(below / above if above else None for above, below in plane)]
        else:
            return None
    if any(size is None or not size > 0 for size in sizes):
        return None
    return tuple(float(size) for size in sizes)


def _planes(path: Path, read: bool = False) -> tuple[tuple[int, ...], NDArray[Any]]:
    """Shape without axes of length 1, and pixels if they are to be read."""
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            sizes = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if n > 1]
            pixels = np.squeeze(series.asarray()) if read else np.empty(0)
    except Exception as error:  # as above
        raise _unreadable(path, error) from None
    # A plane of grey stored as RGB is one that `read_micrograph` understands.
    channels = [n for axis, n in sizes if axis == "C" or (axis == "S" and len(sizes) > 3)]
    if channels:
        raise InputError(path, f"has {channels[0]} channels", "Save one channel a file")
    shape = tuple(n for axis, n in sizes if axis != "S")
    if len(shape) not in (2, 3):
        found = " x ".join(str(n) for n in shape)
        raise InputError(path, f"is {found} pixels", "Save one image or volume a file")
    return shape, pixels


def _unreadable(path: Path, error: Exception) -> InputError:
    problem = f"cannot be read as an image ({error})" if path.exists() else "does not exist"
    return InputError(path, " ".join(problem.split()), "Export it again")
