"""Read any micrograph as grey values with its info bar found; read masks; write both atomically."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from phasegen.errors import InputError
from phasegen.files import written_whole

T = TypeVar("T")

TIFF = (".tif", ".tiff")
JPEG = (".jpg", ".jpeg")
SUFFIXES = (*TIFF, *JPEG, ".png", ".bmp")

JPEG_ERROR = 8 / 255
"""Largest deviation, as a share of the grey range, that is put down to lossy compression."""

TALLEST_BAR = 1 / 4
"""Share of the image's height beyond which a bottom region is no info bar."""


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One greyscale image as the microscope stored it.

    Attributes
    ----------
    path : Path
        The file it was read from.
    pixels : NDArray, shape (Y, X), float32
        Native grey units (0..255, 0..65535 or the file's own floats), info bar included.
    dtype : numpy.dtype
        The sample type of the file.
    bar : int
        Rows of the info bar at the bottom, 0 if there is none.
    """

    path: Path
    pixels: NDArray[np.float32]
    dtype: np.dtype[Any]
    bar: int

    @property
    def scene(self) -> NDArray[np.float32]:
        """The pixels above the info bar, shape (Y - bar, X)."""
        return self.pixels[: len(self.pixels) - self.bar]


def read_micrograph(path: Path, *, min_size: int = 1) -> Micrograph:
    """Read a single-plane greyscale image from TIFF, PNG, JPEG or BMP.

    Grey stored as RGB or through a palette is accepted, an alpha channel is ignored, axes of
    length 1 are dropped, and 1-bit images become 0 and 255.

    Parameters
    ----------
    path : Path
        The image file.
    min_size : int
        Side of the patches to be cut; the scene must hold one.

    Raises
    ------
    InputError
        If the file cannot be read, is a volume or a colour image, holds NaN or infinity, shows
        nothing (one grey value), or is smaller than a patch.
    """
    grey = _grey(_decode(path), path)
    pixels = grey.astype(np.float32)
    if not np.isfinite(pixels).all():
        count = int((~np.isfinite(pixels)).sum())
        raise InputError(
            path, f"holds {count} pixels that are NaN or infinite", "Replace them or leave it out"
        )
    micrograph = Micrograph(path, pixels, grey.dtype.newbyteorder("="), find_info_bar(pixels))
    scene = micrograph.scene
    if min(scene.shape) < min_size:
        raise InputError(
            path,
            f"is {scene.shape[0]} x {scene.shape[1]} pixels (rows x columns, without info bar), "
            f"smaller than the patch size of {min_size}",
            "Give a larger image or a smaller patch size",
        )
    # The part that is never info bar: on a blank scene no bar stands out.
    shown = pixels[: len(pixels) - int(len(pixels) * TALLEST_BAR)]
    if shown.min() == shown.max():
        raise InputError(
            path, f"shows nothing: every pixel is {shown.flat[0]:g}", "Leave it out or export again"
        )
    return micrograph


def list_images(folder: Path) -> list[Path]:
    """The images of a folder, sorted by name; hidden files and subfolders are passed over.

    Raises
    ------
    InputError
        If the folder is missing, is a file, or holds no image.
    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InputError(folder, problem, "Give the folder that holds the images")
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not images:
        raise InputError(
            folder, "holds no image", f"Give a folder with files of type {', '.join(SUFFIXES)}"
        )
    return images


def spread(items: Sequence[T], most: int) -> list[T]:
    """Up to `most` of some items, evenly spread, the first and the last among them."""
    chosen = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[index] for index in chosen.tolist()]


def digest_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files."""
    total = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.name} {content}\n".encode())
    return total.hexdigest()


def grey_range(scene: NDArray[np.float32]) -> tuple[float, float]:
    """The 0.5 and 99.5 percentiles of a scene, or its extremes if these coincide.

    Taken once per image, info bar excluded, and never per tile: tiles with ranges of their own
    show seams.

    Parameters
    ----------
    scene : NDArray, shape (Y, X)
        `Micrograph.scene`: grey values without the info bar.
    """
    low, high = (float(value) for value in np.percentile(scene, (0.5, 99.5)))
    return (low, high) if low < high else (float(scene.min()), float(scene.max()))


def normalise(pixels: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Map `low` to 0 and `high` to 1 without clipping; undo it by ``low + (high - low) * x``."""
    return (pixels - np.float32(low)) / np.float32(high - low)


def find_info_bar(pixels: NDArray[np.float32]) -> int:
    """Number of rows at the bottom that are a burnt-in info bar, 0 if there is none.

    A bar spans the full width, at most a quarter of the height, on a background of one exact grey
    value that makes up at least half of every row apart from frame lines. It starts with a row
    free of text, or a frame line, where the scene ends abruptly, and it has writing on it. Images
    that have passed through a JPEG are searched with a tolerance, and two more rows count as bar
    there, since compression smears its edge.

    Parameters
    ----------
    pixels : NDArray, shape (Y, X)
        Grey values of the whole image.
    """
    contrast = float(pixels.max()) - float(pixels.min())
    exact, smeared = _bar_rows(pixels, 0.0), _bar_rows(pixels, 2 * JPEG_ERROR * contrast)
    return smeared + 2 if smeared > exact else exact


def _bar_rows(pixels: NDArray[np.float32], tolerance: float) -> int:
    height = len(pixels)
    # The tallest possible bar and one row of scene: if all of it could be bar, none of it is.
    bottom = pixels[-int(height * TALLEST_BAR) - 1 :]
    values, counts = np.unique(pixels[-max(8, height // 50) :], return_counts=True)
    background = values[counts.argmax()]
    blank = np.abs(bottom - background) <= tolerance
    share, changes = blank.mean(axis=1), (blank[:, 1:] != blank[:, :-1]).sum(axis=1)
    middle = np.median(bottom, axis=1, keepdims=True)
    flat = (np.abs(bottom - middle) <= tolerance).mean(axis=1) >= 0.95
    outside = ~flat & (share < 0.5)
    rows = int(np.argmax(outside[::-1]))
    if rows < 8:
        return 0
    share, changes, flat = share[-rows:], changes[-rows:], flat[-rows:]
    is_bar = (
        flat[:2].any()
        and changes.max() >= 8  # four strokes of writing side by side
        and np.median(share) >= 0.5  # frame lines are few
    )
    return rows if is_bar else 0


def read_mask(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Read a class mask from PNG, TIFF or BMP.

    Palette images give their indices. A mask with no values but 0 and 255, the habit of image
    editors for a binary mask, gives 0 and 1.

    Parameters
    ----------
    path : Path
        The mask file.
    shape : tuple of int, optional
        Shape (Y, X) of the image that it belongs to.

    Returns
    -------
    NDArray, shape (Y, X), uint8
        Class indices.

    Raises
    ------
    InputError
        If it cannot be read, is compressed with loss, is no plane of integers 0..255, or does not
        have the image's shape.
    """
    if path.suffix.lower() in JPEG:
        raise InputError(
            path, "is a JPEG, whose compression changes class indices", "Save masks as PNG or TIFF"
        )
    mask = _grey(_decode(path, indices=True), path, tolerance=0.0)
    if mask.dtype.kind not in "bui" or mask.min() < 0 or mask.max() > 255:
        raise InputError(
            path,
            f"holds {mask.dtype} values from {mask.min()} to {mask.max()}, which are no classes",
            "Save class indices 0, 1, 2, ... as 8-bit PNG or TIFF",
        )
    if shape is not None and mask.shape != shape:
        raise InputError(
            path,
            f"is {mask.shape[0]} x {mask.shape[1]} pixels, its image {shape[0]} x {shape[1]}",
            "Give the mask that was drawn on this image, at full size",
        )
    if mask.max() == 255 and not ((mask > 0) & (mask < 255)).any():
        mask = mask > 0
    return mask.astype(np.uint8)


def pair_masks(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pair the images of a folder with the masks of another by file name without suffix.

    Masks without an image are ignored, so that a subset of the images may be scored against a
    folder with all masks.

    Raises
    ------
    InputError
        If an image has no mask, or two masks bear the same name.
    """
    candidates = list_images(masks)
    pairs = []
    for image in list_images(images):
        found = [path for path in candidates if path.stem == image.stem]
        if len(found) > 1:
            problem = f"holds {len(found)} masks named {image.stem!r}"
            raise InputError(masks, problem, "Keep one of them")
        if not found:
            raise InputError(
                image, f"has no mask in {masks}", f"Add {image.stem}.png there or leave it out"
            )
        pairs.append((image, found[0]))
    return pairs


def write_image(path: Path, array: NDArray[Any]) -> None:
    """Write an image without loss; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
        Its suffix selects PNG (uint8, uint16) or TIFF (also float32).
    array : NDArray, shape (Y, X), or (Y, X, 3) for uint8 colour
        The pixels, written as they are.

    Raises
    ------
    InputError
        If the suffix names another format.
    TypeError
        If the format cannot hold the array's type or shape.
    """
    suffix = path.suffix.lower()
    if suffix not in (".png", *TIFF):
        raise InputError(path, f"would not be stored exactly as {suffix!r}", "Use .png or .tif")
    colour = array.ndim == 3 and array.shape[-1] == 3 and array.dtype == np.uint8
    types = ("uint8", "uint16") if suffix == ".png" else ("uint8", "uint16", "float32")
    if not (colour or array.ndim == 2) or array.dtype.name not in types:
        raise TypeError(f"{suffix} cannot hold {array.dtype} of shape {array.shape}")
    with written_whole(path) as partial:
        if suffix == ".png":
            partial.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))
        else:
            tifffile.imwrite(partial, array, photometric="rgb" if colour else "minisblack")


def _decode(path: Path, *, indices: bool = False) -> NDArray[Any]:
    """Pixels as (Y, X) or (Y, X, channels); `indices` keeps those of a palette."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(path, "is of no known image type", f"Use one of {', '.join(SUFFIXES)}")
    try:
        if path.suffix.lower() in TIFF:
            return _decode_tiff(path, indices)
        # Pillow would cut 16-bit colour down to 8 bits, but only Pillow shows a palette's indices.
        if path.suffix.lower() == ".png" and not indices:
            return np.asarray(imagecodecs.png_decode(path.read_bytes()))
        with Image.open(path) as image:
            if indices or image.mode in ("L", "RGB"):
                return np.asarray(image)
            return np.asarray(image.convert("L" if image.mode == "1" else "RGB"))
    except InputError:
        raise
    except Exception as error:  # a damaged file may fail anywhere inside a codec
        problem = "does not exist" if not path.exists() else f"cannot be read as an image ({error})"
        raise InputError(path, " ".join(problem.split()), "Export it again") from None


def _decode_tiff(path: Path, indices: bool) -> NDArray[Any]:
    with tifffile.TiffFile(path) as file:
        # Reduced pages are the thumbnails that some microscopes add.
        series = [one for one in file.series if not one.keyframe.is_reduced]
        axes, sizes = series[0].axes, series[0].sizes
        pixels = np.asarray(series[0].asarray())
        photometric, colours = series[0].keyframe.photometric, series[0].keyframe.colormap
    if "S" in axes:
        pixels = np.moveaxis(pixels, axes.index("S"), -1)
    channels = pixels.shape[-1] if "S" in axes else 1
    planes = len(series) * pixels.size // (sizes["height"] * sizes["width"] * channels)
    if planes > 1:
        raise InputError(path, f"is a volume or stack of {planes} planes", "Save one plane a file")
    shape = (sizes["height"], sizes["width"])
    pixels = pixels.reshape(*shape, channels) if channels > 1 else pixels.reshape(shape)
    if indices:
        return pixels
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if photometric == tifffile.PHOTOMETRIC.PALETTE:
        return np.asarray(np.moveaxis(colours[:, pixels] >> 8, 0, -1), np.uint8)
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    return pixels


def _grey(pixels: NDArray[Any], path: Path, tolerance: float = JPEG_ERROR) -> NDArray[Any]:
    if pixels.dtype.kind not in "buif":
        raise InputError(path, f"holds {pixels.dtype} values", "Save it as 8-bit, 16-bit or float")
    if pixels.ndim == 2:
        return pixels
    colours = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
    if colours.shape[-1] not in (1, 3):
        raise InputError(path, f"has {pixels.shape[-1]} channels", "Save one channel per file")
    whole = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else np.abs(colours).max()
    # In double precision, since unsigned differences would wrap around.
    if np.ptp(colours.astype(np.float64), axis=-1).max() > tolerance * whole:
        raise InputError(path, "is a colour image", "Convert it to greyscale")
    # Green carries most of the luma, so JPEG keeps it best; a mean would round.
    return np.asarray(colours[..., colours.shape[-1] // 2])
