"""Every grey format gives the same pixels, info bars are found, bad files are refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from phasegen.errors import InputError
from phasegen.images import (
    find_info_bar,
    grey_range,
    list_images,
    normalise,
    pair_masks,
    read_mask,
    read_micrograph,
    write_image,
)
from tests.data import real


def texture(shape: tuple[int, int] = (160, 200), seed: int = 0) -> NDArray[np.float64]:
    """Two noisy phases, grey values within 0..1."""
    rng = np.random.default_rng(seed)
    phases = ndimage.gaussian_filter(rng.normal(size=shape), 4) > 0
    return np.clip(0.3 + 0.35 * phases + rng.normal(scale=0.06, size=shape), 0.02, 0.98)


GREY8 = np.rint(texture() * 255).astype(np.uint8)
GREY16 = np.rint(texture() * 65535).astype(np.uint16)


def rgb(grey: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(grey[..., None], 3, axis=-1)


def with_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    pixels = np.atleast_3d(pixels)
    return np.concatenate([pixels, np.full_like(pixels[..., :1], 7)], axis=-1)


def png(path: Path, pixels: NDArray[Any]) -> None:
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


def palette(path: Path, pixels: NDArray[Any], colours: list[int]) -> None:
    image = Image.fromarray(pixels).convert("L")
    image.putpalette(colours)
    image.save(path)


def tiff(**options: Any) -> Callable[[Path, NDArray[Any]], None]:
    return lambda path, pixels: tifffile.imwrite(path, pixels, **options)


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
COLOUR = np.stack([GREY8, GREY8, 255 - GREY8], axis=-1)


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


def burn_bar(
    scene: NDArray[np.float64], rows: int, back: float, ink: float, frame: bool
) -> NDArray[np.float64]:
    """Write an info bar on the lowest rows, as SEM vendors do."""
    image = Image.fromarray(np.zeros((rows, scene.shape[1]), np.uint8))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=rows // 2)
    draw.text((5, rows // 5), "15.00 kV  x20 000  WD 10.1 mm", fill=255, font=font)
    draw.line([scene.shape[1] - 80, rows // 2, scene.shape[1] - 10, rows // 2], fill=255, width=3)
    if frame:
        draw.rectangle([0, 0, scene.shape[1] - 1, rows - 1], outline=255)
    burnt = scene.copy()
    burnt[-rows:] = back + (ink - back) * np.asarray(image) / 255
    return burnt


BARS = [(0.0, 1.0), (1.0, 0.0), (0.5, 1.0), (0.5, 0.0)]


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize(("back", "ink"), BARS)
@pytest.mark.parametrize("rows", [20, 37, 60])
@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_info_bar_is_found_to_the_row(
    tmp_path: Path, dtype: type, white: int, rows: int, back: float, ink: float, frame: bool
) -> None:
    scene = texture((320, 480), seed=rows)
    burnt = np.rint(burn_bar(scene, rows, back, ink, frame) * white).astype(dtype)
    png(tmp_path / "a.png", burnt)
    micrograph = read_micrograph(tmp_path / "a.png")
    assert micrograph.bar == rows
    np.testing.assert_array_equal(micrograph.scene, burnt[:-rows])
    np.testing.assert_array_equal(micrograph.pixels, burnt)


@pytest.mark.parametrize(("back", "ink"), BARS)
@pytest.mark.parametrize("quality", [75, 90])
def test_info_bar_survives_jpeg(tmp_path: Path, quality: int, back: float, ink: float) -> None:
    burnt = burn_bar(texture((320, 480)), 37, back, ink, frame=True)
    Image.fromarray(np.rint(burnt * 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=quality)
    assert 37 <= read_micrograph(tmp_path / "a.jpg").bar <= 39


def test_a_scene_without_grey_above_a_bar_shows_nothing(tmp_path: Path) -> None:
    png(tmp_path / "a.png", np.uint8(255 * burn_bar(np.full((320, 480), 0.5), 37, 0, 1, False)))
    with pytest.raises(InputError, match="every pixel is 127"):
        read_micrograph(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["nickel_superalloy", "uhcs_steel"])
def test_real_images_and_their_flat_masks_have_no_bar(name: str) -> None:
    micrographs = [read_micrograph(path) for path in list_images(real(name) / "images")]
    assert [one.path.name for one in micrographs if one.bar] == []
    masks = [read_mask(path).astype(np.float32) for path in list_images(real(name) / "masks")]
    assert len(masks) == len(micrographs)
    assert not any(find_info_bar(mask) for mask in masks)


def test_real_image_with_a_bar_burnt_in() -> None:
    for path in list_images(real("uhcs_steel") / "images")[:6]:
        pixels = read_micrograph(path).pixels.astype(np.float64)
        for back, ink in BARS:
            burnt = burn_bar(pixels, 40, back * 255, ink * 255, frame=False).astype(np.float32)
            assert find_info_bar(burnt) == 40


def test_noise_free_microstructures_have_no_bar() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        # From equiaxed to lamellae that lie flat, from dilute to dense, sharp and diffuse.
        lengths = (rng.uniform(1, 12), rng.uniform(1, 40))
        field = ndimage.gaussian_filter(rng.normal(size=(160, 160)), lengths, mode="wrap")
        field = field / field.std() - rng.uniform(-2, 2)
        for pixels in (field > 0, np.tanh(8 * field), np.rint(127 * np.tanh(field))):
            assert find_info_bar(pixels.astype(np.float32)) == 0


def test_layers_and_gradients_have_no_bar() -> None:
    pixels = texture((320, 480)).astype(np.float32)
    layered = pixels.copy()
    layered[-40:] = 0.5
    assert find_info_bar(layered) == 0
    ramp = np.repeat(np.linspace(0, 1, 320, dtype=np.float32)[:, None], 480, axis=1)
    assert find_info_bar(ramp) == 0
    assert find_info_bar(burn_bar(pixels, 200, 0, 1, False).astype(np.float32)) == 0


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


CLASSES = (np.arange(160 * 200).reshape(160, 200) // 7 % 4).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "write", "stored", "classes"),
    [
        ("m.png", png, CLASSES, CLASSES),
        ("m.png", png, rgb(CLASSES), CLASSES),
        ("m.tif", tiff(), CLASSES.astype(np.uint16), CLASSES),
        ("m.tif", tiff(), CLASSES > 0, CLASSES > 0),
        ("m.png", lambda path, mask: Image.fromarray(mask).save(path), CLASSES > 0, CLASSES > 0),
        ("m.png", png, (CLASSES > 0) * np.uint8(255), CLASSES > 0),
        (
            "m.png",
            lambda path, mask: palette(path, mask, [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]),
            CLASSES,
            CLASSES,
        ),
        ("m.png", png, CLASSES * 0, CLASSES * 0),
    ],
)
def test_masks_are_class_indices(
    tmp_path: Path,
    name: str,
    write: Callable[[Path, NDArray[Any]], None],
    stored: NDArray[Any],
    classes: NDArray[Any],
) -> None:
    write(tmp_path / name, stored)
    mask = read_mask(tmp_path / name, (160, 200))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, classes)


@pytest.mark.parametrize(
    ("name", "write", "stored", "problem"),
    [
        ("m.jpg", lambda path, mask: Image.fromarray(mask).save(path), CLASSES, "JPEG"),
        ("m.png", png, CLASSES[1:], "159 x 200 pixels, its image 160 x 200"),
        ("m.tif", tiff(), CLASSES.astype(np.float32), "float32"),
        ("m.tif", tiff(), CLASSES.astype(np.uint16) * 200, "from 0 to 600"),
        ("m.png", png, COLOUR, "colour"),
    ],
)
def test_bad_masks_are_refused(
    tmp_path: Path,
    name: str,
    write: Callable[[Path, NDArray[Any]], None],
    stored: NDArray[Any],
    problem: str,
) -> None:
    write(tmp_path / name, stored)
    with pytest.raises(InputError, match=problem):
        read_mask(tmp_path / name, (160, 200))


def test_images_are_paired_with_masks_by_stem(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for path in (images / "a.tif", images / "b.png", masks / "a.png", masks / "c.png"):
        path.touch()
    with pytest.raises(InputError, match="has no mask") as refusal:
        pair_masks(images, masks)
    assert refusal.value.source == images / "b.png"
    (masks / "b.tif").touch()
    expected = [(images / "a.tif", masks / "a.png"), (images / "b.png", masks / "b.tif")]
    assert pair_masks(images, masks) == expected
    (masks / "b.png").touch()
    with pytest.raises(InputError, match="2 masks named 'b'"):
        pair_masks(images, masks)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("a.png", GREY8),
        ("a.png", GREY16),
        ("a.tif", GREY16),
        ("a.tiff", texture().astype(np.float32)),
        ("a.png", rgb(GREY8)),
        ("a.tif", rgb(GREY8)),
    ],
)
def test_written_images_come_back(tmp_path: Path, name: str, array: NDArray[Any]) -> None:
    write_image(tmp_path / name, array)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    grey = array if array.ndim == 2 else array[..., 0]
    np.testing.assert_array_equal(read_micrograph(tmp_path / name).pixels, grey)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", GREY8)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("phasegen.files.os.replace", fail)
    with pytest.raises(InputError, match="disk full"):
        write_image(tmp_path / "a.png", 255 - GREY8)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.png").pixels, GREY8)
    assert list_images(tmp_path) == [tmp_path / "a.png"]


def test_lossy_or_unfit_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.jpg"):
        write_image(tmp_path / "a.jpg", GREY8)
    for array in (texture(), texture().astype(np.float32), CLASSES > 0, GREY8[None]):
        with pytest.raises(TypeError, match="cannot hold"):
            write_image(tmp_path / "a.png", array)
    assert not list(tmp_path.iterdir())
