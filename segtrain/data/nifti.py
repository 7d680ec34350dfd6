"""NIfTI volumes: headers, intensities and masks, read and written, whatever the layout.

Volumes are turned to the axes nearest to RAS+ and returned in the order z, y, x, z pointing to the
head, so that a middle slice is axial. A mask is turned as its image is, by voxel numbers, whatever
its own header says: in published data headers of the two differ while their voxels agree.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.errors import InputError
from phasegen.files import written_whole

PLAIN = np.array([[0, 1], [1, 1], [2, 1]], float)
"""The orientation RAS+ in the terms of `nibabel.orientations`."""


@dataclass(frozen=True)
class Header:
    """Shape (C, Z, Y, X) and voxel size (z, y, x) of a volume after it is turned."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]


def read_header(images: Sequence[Path], mask: Path | None = None) -> Header:
    """Shape and voxel size of a volume, without its voxels.

    Parameters
    ----------
    images : sequence of Path
        One file for every channel, or one with channels along its fourth axis.
    mask : Path, optional
        Its mask.

    Raises
    ------
    InputError
        If a file cannot be read, is no volume, or they differ in shape.
    """
    channels, first = 0, _opened(images[0])
    if len(first.shape) not in (3, 4) or not all(first.shape):
        found = " x ".join(map(str, first.shape))
        remedy = "Give three axes of voxels, and a fourth of channels if there are several"
        raise InputError(images[0], f"is {found} voxels, which is no volume", remedy)
    for path in (*images, *([mask] if mask else [])):
        file = first if path == images[0] else _opened(path)
        sizes = file.shape
        if path == mask:
            sizes = sizes[:3] if set(sizes[3:]) <= {1} else sizes
        elif len(sizes) == 4:
            channels, sizes = channels + sizes[3], sizes[:3]
        else:
            channels += 1
        if len(sizes) != 3 or sizes != first.shape[:3]:
            found, wanted = (" x ".join(map(str, s)) for s in (file.shape, first.shape[:3]))
            problem = f"is {found} voxels (x, y, z), {images[0].name} {wanted}"
            raise InputError(path, problem, "Give volumes of one patient on one grid")
    axes = _turn(first)[:, 0].astype(int)
    shape, size = [0] * 3, [0.0] * 3
    for stored, axis in enumerate(axes):
        shape[axis] = int(first.shape[stored])
        size[axis] = float(first.header.get_zooms()[stored])
    if min(size) <= 0:
        raise InputError(images[0], f"states voxels of {size} mm", "Correct its header")
    return Header((channels, *shape[::-1]), tuple(size[::-1]))


def read_volume(
    images: Sequence[Path], mask: Path
) -> tuple[list[NDArray[np.float32]], NDArray[Any]]:
    """The intensities (Z, Y, X) of every channel and the mask values (Z, Y, X) of one volume.

    Raises
    ------
    InputError
        If a file cannot be read, intensities are NaN or infinite, or mask values no whole numbers.
    """
    turn = _turn(_opened(images[0]))
    return read_images(images), _turned(_integers(_opened(mask), mask), turn)


def read_images(images: Sequence[Path]) -> list[NDArray[np.float32]]:
    """The intensities (Z, Y, X) of every channel of one volume.

    Raises
    ------
    InputError
        If a file cannot be read, or intensities are NaN or infinite.
    """
    files = [_opened(path) for path in images]
    turn = _turn(files[0])
    return [
        channel
        for path, file in zip(images, files, strict=True)
        for channel in _channels(file, path, turn)
    ]


def write_like(path: Path, labels: NDArray[Any], image: Path) -> None:
    """Write labels (Z, Y, X) with the axes, affine and header of the volume that they belong to.

    Parameters
    ----------
    path : Path
        NAME.nii or NAME.nii.gz.
    labels : ndarray, shape (Z, Y, X)
        On the voxels of the volume, turned as `read_images` turns them.
    image : Path
        File of the volume.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    import nibabel
    from nibabel.orientations import apply_orientation, ornt_transform

    file = _opened(image)
    stored = apply_orientation(labels.T, ornt_transform(PLAIN, _turn(file)))
    header = file.header.copy()
    header.set_data_dtype(labels.dtype)
    header["cal_min"] = header["cal_max"] = 0  # how to show the grey values of the image
    kind = nibabel.Nifti2Image if header["sizeof_hdr"] == 540 else nibabel.Nifti1Image
    content = kind(stored, file.affine, header).to_bytes()
    with written_whole(path) as partial:
        partial.write_bytes(gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)


def mask_values(path: Path) -> list[int]:
    """The values that the mask in a file holds."""
    return [int(value) for value in np.unique(_integers(_opened(path), path))]


def _opened(path: Path) -> Any:
    try:
        import nibabel
    except ImportError:
        remedy = "Install the extra: pip install 'sim2sem[medical]'"
        raise InputError(path, "needs nibabel, which is not installed", remedy) from None
    try:
        return nibabel.load(path)
    except Exception as error:  # a damaged file may fail anywhere inside a codec
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    problem = f"cannot be read as NIfTI ({error})" if path.exists() else "does not exist"
    return InputError(path, " ".join(problem.split()), "Export or download it again")


def _data(file: Any, path: Path) -> NDArray[Any]:
    try:
        return np.asarray(file.dataobj)
    except Exception as error:  # as above
        raise _unreadable(path, error) from None


def _integers(file: Any, path: Path) -> NDArray[Any]:
    values = _data(file, path)
    values = values.reshape(values.shape[:3])
    if values.dtype.kind in "ui":
        return values
    whole = np.rint(values)
    if not np.array_equal(whole, values):
        raise InputError(path, "holds values that are no whole numbers", "Give a mask of classes")
    return np.asarray(whole, np.int64)


def _channels(file: Any, path: Path, turn: NDArray[Any]) -> list[NDArray[np.float32]]:
    values = _data(file, path).astype(np.float32)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        problem = f"holds {count} voxels that are NaN or infinite"
        raise InputError(path, problem, "Replace them or leave it out")
    volumes = [values] if values.ndim == 3 else list(np.moveaxis(values, 3, 0))
    return [_turned(volume, turn) for volume in volumes]


def _turn(file: Any) -> NDArray[Any]:
    """Which axis of RAS+ every stored axis is nearest to, and whether it points the other way."""
    from nibabel.orientations import io_orientation

    turn = np.asarray(io_orientation(file.affine))
    return PLAIN if np.isnan(turn).any() else turn


def _turned(volume: NDArray[Any], turn: NDArray[Any]) -> NDArray[Any]:
    from nibabel.orientations import apply_orientation

    return np.asarray(apply_orientation(volume, turn).T)
