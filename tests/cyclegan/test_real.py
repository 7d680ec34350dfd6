"""The real folder: one grey scale for 8 and 16 bits, statistics per image, info bars left out."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cyclegan import real
from cyclegan.real import HEADROOM, read_real
from phasegen.errors import InputError
from phasegen.images import write_image

MICROMETRE = {"unit": "um"}


def grain(shape=(96, 80), seed=0):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    return 0.5 + 0.4 * field / np.abs(field).max()


def barred(image, rows=20, white=255):
    bar = np.zeros((rows, image.shape[1]), image.dtype)
    bar[6:14, 10:60:4] = white
    return np.vstack([image, bar])


@pytest.fixture
def folder(tmp_path):
    """The same scene in 8 and 16 bits, and another one of low contrast."""
    scene = (grain() * 255).round().astype(np.uint8)
    write_image(tmp_path / "a.png", scene)
    write_image(tmp_path / "b.tif", scene.astype(np.uint16) * 57 + 900)
    write_image(tmp_path / "c.png", (grain(seed=1) * 60 + 20).round().astype(np.uint8))
    return tmp_path


def test_percentiles_of_every_image_leave_headroom(folder):
    found = read_real(folder, 32)
    margin = HEADROOM / (1 + 2 * HEADROOM)
    assert [scene.shape for scene in found.scenes] == [(96, 80)] * 3
    for scene in found.scenes:
        assert scene.dtype == np.float32
        assert 0 <= scene.min() < scene.max() <= 1
        low, high = np.percentile(scene, (0.5, 99.5))
        assert (low, high) == pytest.approx((margin, 1 - margin), abs=1e-5)


def test_bit_depth_and_offset_do_not_matter(folder):
    a, b, _ = read_real(folder, 32).scenes
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_record_names_files_with_their_statistics(folder):
    record = read_real(folder, 32).record
    assert record["folder"] == str(folder.resolve())
    assert [one["name"] for one in record["files"]] == ["a.png", "b.tif", "c.png"]
    a, b, _ = record["files"]
    assert b["low"] == pytest.approx(57 * a["low"] + 900)
    assert b["high"] == pytest.approx(57 * a["high"] + 900)
    assert a["bar"] == 0


def test_info_bars_are_neither_shown_nor_counted(folder, tmp_path):
    plain = (grain() * 255).round().astype(np.uint8)
    write_image(tmp_path / "a.png", barred(plain))
    found = read_real(folder, 32)
    assert found.record["files"][0]["bar"] == 20
    np.testing.assert_allclose(found.scenes[0], found.scenes[1], atol=1e-5)
    with pytest.raises(InputError, match=r"a\.png.*96 x 80.*without info bar"):
        read_real(folder, 84)


def test_large_images_give_several_equal_scenes(folder, monkeypatch):
    monkeypatch.setattr(real, "LARGEST", 50)
    found = read_real(folder, 32)
    assert len(found.scenes) == 3 * 4
    assert {scene.shape for scene in found.scenes} == {(48, 40)}
    monkeypatch.undo()
    whole = read_real(folder, 32).scenes[0]
    halves = np.vstack([np.hstack(found.scenes[:2]), np.hstack(found.scenes[2:4])])
    np.testing.assert_array_equal(halves, whole)


@pytest.mark.parametrize(("patch", "shape"), [(48, (48, 80)), (56, (96, 80)), (40, (48, 40))])
def test_scenes_are_never_smaller_than_a_patch(folder, monkeypatch, patch, shape):
    monkeypatch.setattr(real, "LARGEST", 50)
    assert {scene.shape for scene in read_real(folder, patch).scenes} == {shape}


@pytest.mark.parametrize("largest", [30, 200])
def test_the_number_of_scenes_is_limited(tmp_path, monkeypatch, largest):
    for number in range(10):
        write_image(tmp_path / f"{number}.png", (grain(seed=number) * 255).astype(np.uint8))
    monkeypatch.setattr(real, "LARGEST", largest)
    monkeypatch.setattr(real, "MOST", 6)
    found = read_real(tmp_path, 16)
    assert 4 <= len(found.scenes) <= 8
    assert len(found.record["files"]) == 10  # all of them are read, and identify the run


def test_a_single_image_is_no_style(folder):
    for name in ("b.tif", "c.png"):
        (folder / name).unlink()
    with pytest.raises(InputError, match=r"single image.*at least two"):
        read_real(folder, 32)


def particles(dark=True, shape=(160, 160), seed=0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    spots = ((x % 32 - 16) ** 2 + (y % 32 - 16) ** 2 < 81).astype(float)
    grey = ndimage.gaussian_filter(spots, 1) * (-120 if dark else 120) + (190 if dark else 60)
    return (grey + np.random.default_rng(seed).normal(0, 5, shape)).clip(1, 254)


def test_a_folder_of_like_images_gives_no_warning(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", particles(seed=number).astype(np.uint8))
    found = read_real(tmp_path, 32)
    assert found.warnings == []
    assert all(file["polarity"] < -0.5 for file in found.record["files"])


def test_mixed_sizes_types_and_polarities_are_told(tmp_path):
    write_image(tmp_path / "a.png", particles().astype(np.uint8))
    write_image(tmp_path / "b.png", particles(seed=1)[:128].astype(np.uint8))
    write_image(tmp_path / "c.tif", (particles(dark=False) * 200).astype(np.uint16))
    found = read_real(tmp_path, 32)
    types, sizes, polarity = found.warnings
    assert "uint16, uint8" in types
    assert "[128, 160], [160, 160]" in sizes
    assert "bright in 1 images (c.tif) and dark in 2" in polarity
    assert [scene.shape for scene in found.scenes] == [(160, 160), (128, 160), (160, 160)]


def test_mixed_magnifications_are_told(tmp_path):
    for name, pixels in (("a.tif", 40), ("b.tif", 80)):
        grey, size = particles().astype(np.uint8), (pixels, pixels)
        tifffile.imwrite(tmp_path / name, grey, imagej=True, resolution=size, metadata=MICROMETRE)
    (warning,) = read_real(tmp_path, 32).warnings
    assert "pixels of 0.0125 to 0.025 um" in warning


@pytest.mark.parametrize(("row", "rows"), [(186, [186]), (116, [116, 116])])
def test_a_strip_beside_a_scale_bar_is_no_scene(tmp_path, row, rows):
    grey = particles(shape=(240, 240)).astype(np.uint8)
    grey[row : row + 8] = 255
    for name in "ab":
        write_image(tmp_path / f"{name}.png", grey)
    found = read_real(tmp_path, 32)
    # Of three scenes drawn alike, the strip of 38 rows would make every second one.
    assert len(found.scenes) == 2 * len(rows)
    for scene in found.scenes:
        assert scene.shape[1] == 240
        assert rows[0] - 12 < scene.shape[0] <= rows[0]


def test_scale_bars_are_no_style(tmp_path):
    grey = particles(shape=(240, 240)).astype(np.uint8)
    write_image(tmp_path / "a.png", grey)
    grey[212:218, 150:230] = 255
    write_image(tmp_path / "b.png", grey)
    found = read_real(tmp_path, 64)
    assert found.scenes[0].shape == (240, 240)
    assert len(found.scenes) == 2
    assert all(scene.max() < 0.99 for scene in found.scenes[1:])
    plain, barred = found.record["files"]
    assert plain["marked"] == 0 < barred["marked"] < 0.1
    assert barred["high"] == pytest.approx(plain["high"], abs=1.5)


def test_a_folder_that_is_saturated_all_over_keeps_its_scenes_and_says_so(tmp_path):
    for number in range(2):
        grey = particles(seed=number).astype(np.uint8)
        grey[grey < 110] = 0
        write_image(tmp_path / f"{number}.png", grey)
    found = read_real(tmp_path, 64)
    assert [scene.shape for scene in found.scenes] == [(160, 160)] * 2
    assert "saturated" in found.warnings[-1]


def shaded(seed, top=120):
    """Grain on a bowl of uneven light."""
    y, x = np.mgrid[-1:1:96j, -1:1:80j]
    bowl = 0.5 * top * (0.6 * x + 0.4 * y * y + 0.3 * x * y)
    return 400 + bowl + top * (grain(seed=seed) - 0.5)


def test_flattening_takes_the_background_away_and_keeps_the_mean(tmp_path):
    for number in range(2):
        image = np.round(100 * shaded(number)).astype(np.uint16)
        write_image(tmp_path / f"{number}.tif", image)
    plain, flat = (read_real(tmp_path, 32, order) for order in (0, 2))
    assert (plain.record["flatten"], flat.record["flatten"]) == (0, 2)
    for number, (before, after) in enumerate(zip(plain.scenes, flat.scenes, strict=True)):
        low, high = (flat.record["files"][number][key] for key in ("low", "high"))
        grey = low + (high - low) * (after * (1 + 2 * HEADROOM) - HEADROOM)
        assert grey.mean() == pytest.approx(100 * shaded(number).mean(), rel=1e-3)
        alone = 100 * 120 * grain(seed=number)
        assert np.corrcoef(after.ravel(), alone.ravel())[0, 1] > 0.97
        assert np.corrcoef(before.ravel(), alone.ravel())[0, 1] < 0.8


def test_a_saturated_mark_does_not_bend_the_background(tmp_path):
    clean = np.round(100 * shaded(0)).astype(np.uint16)
    marked = clean.copy()
    marked[60:80, 10:70] = 65535
    for name, image in (("a", clean), ("b", marked)):
        write_image(tmp_path / f"{name}.tif", image)
    kept = read_real(tmp_path, 32, 1).record["files"]
    assert kept[1]["marked"] > 0.1
    for key in ("low", "high"):
        assert kept[1][key] == pytest.approx(kept[0][key], rel=0.02)
