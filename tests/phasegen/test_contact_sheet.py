"""The contact sheet shows every image above its mask."""

import numpy as np
import pytest
from PIL import Image

from phasegen import contact_sheet, store
from phasegen.contact_sheet import GAP, PALETTE, THUMBNAIL
from phasegen.errors import InputError


def make(path, samples, shape=(40, 50), dtype="float32", written=None):
    target = store.create(
        path,
        samples=samples,
        shape=shape,
        classes=["a", "b"],
        kind="simulation",
        seeds=np.arange(samples),
        config={},
        parameters=[{}] * samples,
        image_dtype=dtype,
        instances=False,
    )
    top = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    for index in range(samples) if written is None else written:
        image = np.full((1, *shape), top * index / max(samples - 1, 1)).astype(dtype)
        mask = np.zeros(shape, np.uint8)
        mask[: shape[0] // 2] = 1
        target.write(index, image=image, mask=mask)
    return target


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_images_above_masks_in_rows_of_four(tmp_path, dtype):
    target = make(tmp_path / "a.zarr", 5, dtype=dtype)
    contact_sheet.write(tmp_path / "new" / "a.png", target)
    sheet = pixels(tmp_path / "new" / "a.png")
    height, width = 2 * (40 + GAP) + GAP, 50 + 2 * GAP
    assert sheet.shape == (2 * height, 4 * width, 3)
    for index in range(5):
        y, x = height * (index // 4), width * (index % 4)
        assert sheet[y + 20, x + 25].tolist() == [int(255 * index / 4)] * 3
        assert sheet[y + 40 + GAP + 10, x + 25].tolist() == PALETTE[1].tolist()
        assert sheet[y + 40 + GAP + 30, x + 25].tolist() == PALETTE[0].tolist()
    assert (sheet[height:, width:] == 255).all()


def test_a_volume_shows_three_sections_through_its_middle():
    z, y, x = np.indices((20, 30, 40))
    mask = ((z >= 10) & (y >= 15)).astype(np.uint8)
    shown = contact_sheet.picture(x.astype(np.uint8), mask)
    assert shown.shape == (2 * (30 + 20 + GAP) + GAP, 40 + 20 + 2 * GAP, 3)
    grey, colours = shown[: 30 + 20, : 40 + 20, 0], shown[30 + 20 + GAP :]
    np.testing.assert_array_equal(grey[:30, :40], np.tile(np.arange(40), (30, 1)))
    assert (grey[:30, 40:] == 20).all()
    np.testing.assert_array_equal(grey[30:, :40], np.tile(np.arange(40), (20, 1)))
    assert (grey[30:, 40:] == 255).all()
    background, second = (PALETTE[number].tolist() for number in (0, 1))
    assert colours[14, 20].tolist() == background  # XY: y runs down
    assert colours[15, 20].tolist() == second
    assert colours[20, 40 + 9].tolist() == background  # ZY: z runs to the right
    assert colours[20, 40 + 10].tolist() == second
    assert colours[30 + 9, 20].tolist() == background  # XZ: z runs down
    assert colours[30 + 10, 20].tolist() == second


def test_large_samples_become_thumbnails(tmp_path):
    target = make(tmp_path / "a.zarr", 1, shape=(THUMBNAIL * 2 + 1, 10))
    contact_sheet.write(tmp_path / "a.png", target)
    assert pixels(tmp_path / "a.png").shape[0] <= 2 * (THUMBNAIL + GAP) + GAP


def test_only_complete_samples_are_shown(tmp_path):
    target = make(tmp_path / "a.zarr", 3, written=[2])
    contact_sheet.write(tmp_path / "a.png", target)
    sheet = pixels(tmp_path / "a.png")
    assert sheet.shape[1] == 50 + 2 * GAP
    assert sheet[20, 25].tolist() == [255] * 3


def test_a_store_without_samples_has_no_sheet(tmp_path):
    target = make(tmp_path / "a.zarr", 2, written=[])
    with pytest.raises(InputError, match="no complete sample"):
        contact_sheet.write(tmp_path / "a.png", target)
    assert not (tmp_path / "a.png").exists()


def test_more_classes_than_colours_are_still_shown():
    mask = np.arange(2 * len(PALETTE), dtype=np.uint8)[None]
    np.testing.assert_array_equal(contact_sheet.colour(mask)[0], np.tile(PALETTE, (2, 1)))
