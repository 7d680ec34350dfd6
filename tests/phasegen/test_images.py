"""Every grey format gives the same pixels; bad files and folders are refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from phasegen.errors import InputError
from phasegen.images import (
    grey_range,
    list_images,
    normalise,
    read_micrograph,
    spread,
)
from tests.phasegen.pictures import (
    COLOUR,
    GREY8,
    GREY16,
    palette,
    png,
    rgb,
    texture,
    tiff,
    with_alpha,
)

GREY_RAMP = [level for level in range(256) for _ in range(3)]


@pytest.mark.parametrize(
    ("name", "write", "stored", "grey"),
    [
        ("a.png", png, GREY8, GREY8),
        ("a.PNG", png, GREY16, GREY16),
        ("a.png", png, rgb(GREY16), GREY16),
        ("a.png", png, with_alpha(GREY8), GREY8),
        ("a.png", png, with_alpha(GREY16), GREY16),
        ("a.png", png, with_alpha(rgb(GREY8)), GREY8),
        ("a.png", lambda path, pixels: palette(path, pixels, GREY_RAMP), GREY8, GREY8),
        (
            "a.png",
            lambda path, pixels: Image.fromarray(pixels).save(path),
            GREY8 > 128,
            (GREY8 > 128) * np.uint8(255),
        ),
        ("a.bmp", lambda path, pixels: Image.fromarray(pixels).save(path), GREY8, GREY8),
        ("a.tif", tiff(), GREY8, GREY8),
        ("a.tiff", tiff(compression="zlib"), GREY16, GREY16),
        ("a.tif", tiff(byteorder=">"), GREY16, GREY16),
        ("a.tif", tiff(), texture().astype(np.float32), texture().astype(np.float32)),
        ("a.tif", tiff(), texture(), texture()),
        ("a.tif", tiff(photometric="minisblack"), GREY8[None], GREY8),
        ("a.tif", tiff(photometric="minisblack"), GREY8[..., None], GREY8),
        ("a.tif", tiff(photometric="rgb"), rgb(GREY16), GREY16),
        (
            "a.tif",
            tiff(photometric="rgb", planarconfig="separate"),
            np.repeat(GREY8[None], 3, axis=0),
            GREY8,
        ),
        ("a.tif", tiff(photometric="miniswhite"), 255 - GREY8, GREY8),
        (
            "a.tif",
            tiff(photometric="palette", colormap=np.tile(np.arange(256) * 257, (3, 1))),
            GREY8,
            GREY8,
        ),
        (
            "a.tif",
            tiff(photometric="minisblack"),
            GREY8 > 128,
            (GREY8 > 128) * np.uint8(255),
        ),
    ],
)
def test_every_grey_format_is_read_exactly(
    tmp_path: Path,
    name: str,
    write: Callable[[Path, NDArray[Any]], None],
    stored: NDArray[Any],
    grey: NDArray[Any],
) -> None:
    write(tmp_path / name, stored)
    micrograph = read_micrograph(tmp_path / name)
    assert micrograph.pixels.dtype == np.float32
    assert micrograph.dtype == grey.dtype
    assert micrograph.bar == 0
    np.testing.assert_array_equal(micrograph.pixels, grey.astype(np.float32))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_read_as_grey(tmp_path: Path, mode: str) -> None:
    smooth = np.rint(ndimage.gaussian_filter(texture(), 3) * 255).astype(np.uint8)
    Image.fromarray(smooth).convert(mode).save(tmp_path / "a.jpg", quality=90)
    pixels = read_micrograph(tmp_path / "a.jpg").pixels
    assert np.abs(pixels - smooth).max() <= 8


def test_thumbnail_pages_are_passed_over(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY8)
        file.write(GREY8[::4, ::4], subfiletype=1)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.tif").pixels, GREY8)


def two_pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(GREY8)
        file.write(GREY8[:50])


def poisoned(value: float) -> NDArray[np.float32]:
    pixels = texture().astype(np.float32)
    pixels[3, 4] = value
    return pixels


def truncated(path: Path) -> None:
    Image.fromarray(GREY8).save(path.with_suffix(".whole"), format=_FORMATS[path.suffix])
    path.write_bytes(path.with_suffix(".whole").read_bytes()[:9000])


_FORMATS = {".tif": "TIFF", ".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP"}


@pytest.mark.parametrize(
    ("name", "write", "problem"),
    [
        ("a.png", lambda path: None, "does not exist"),
        ("a.gif", lambda path: path.write_bytes(b"GIF89a"), "no known image type"),
        ("a.tif", lambda path: path.write_text("not an image"), "cannot be read"),
        ("a.png", lambda path: path.write_text("not an image"), "cannot be read"),
        ("a.tif", lambda path: path.write_bytes(b""), "cannot be read"),
        ("a.tif", truncated, "cannot be read"),
        ("a.png", truncated, "cannot be read"),
        ("a.jpg", truncated, "cannot be read"),
        ("a.bmp", truncated, "cannot be read"),
        ("a.tif", two_pages, "2 planes"),
        (
            "a.tif",
            lambda path: tifffile.imwrite(path, np.stack([GREY8] * 5), photometric="minisblack"),
            "5 planes",
        ),
        ("a.tif", lambda path: tifffile.imwrite(path, np.stack([GREY8] * 4), imagej=True), "4 pl"),
        ("a.png", lambda path: png(path, COLOUR), "colour"),
        ("a.jpg", lambda path: Image.fromarray(COLOUR).save(path), "colour"),
        ("a.tif", lambda path: tifffile.imwrite(path, COLOUR, photometric="rgb"), "colour"),
        ("a.png", lambda path: palette(path, GREY8, [255, 0, 0, 0, 255, 0] * 128), "colour"),
        ("a.tif", lambda path: tifffile.imwrite(path, GREY8 * 1j), "complex"),
        ("a.tif", lambda path: tifffile.imwrite(path, poisoned(np.nan)), "1 pixels that are NaN"),
        ("a.tif", lambda path: tifffile.imwrite(path, poisoned(-np.inf)), "infinite"),
        ("a.png", lambda path: png(path, GREY8 * 0), "every pixel is 0"),
        ("a.png", lambda path: png(path, GREY16 * 0 + 9), "every pixel is 9"),
        ("a.png", lambda path: png(path, GREY8[:31]), "31 x 200 .* patch size of 32"),
    ],
)
def test_bad_files_are_refused_by_name(
    tmp_path: Path, name: str, write: Callable[[Path], object], problem: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError, match=problem) as refusal:
        read_micrograph(tmp_path / name, min_size=32)
    assert refusal.value.source == tmp_path / name


def test_folder_is_listed_in_order(tmp_path: Path) -> None:
    for name in ("b.TIF", "a.png", "c.jpeg", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.TIF", "c.jpeg"]


@pytest.mark.parametrize(
    ("name", "problem"), [("absent", "exist"), ("file", "is a file"), ("empty", "holds no image")]
)
def test_useless_folders_are_refused(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=problem):
        list_images(tmp_path / name)


def test_normalise_maps_the_percentiles_and_inverts() -> None:
    scene = GREY16.astype(np.float32)
    low, high = grey_range(scene)
    unit = normalise(scene, low, high)
    assert unit.dtype == np.float32
    assert (unit < 0).mean() == pytest.approx(0.005, abs=1e-3)
    assert (unit > 1).mean() == pytest.approx(0.005, abs=1e-3)
    np.testing.assert_allclose(low + (high - low) * unit, scene, rtol=1e-5)


def test_sparse_image_falls_back_to_its_extremes() -> None:
    scene = np.zeros((100, 100), np.float32)
    scene[3, 3] = 5
    assert grey_range(scene) == (0.0, 5.0)


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(0, 3, []), (1, 3, [0]), (3, 3, [0, 1, 2]), (9, 3, [0, 4, 8]), (5, 1, [0])],
)
def test_some_of_many_are_evenly_spread(count, most, expected):
    assert spread(range(count), most) == expected
