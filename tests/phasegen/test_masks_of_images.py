"""Mask files are class indices, and go with the image of their name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from phasegen.errors import InputError
from phasegen.images import (
    pair_masks,
    read_mask,
)
from tests.phasegen.pictures import (
    CLASSES,
    COLOUR,
    palette,
    png,
    rgb,
    tiff,
)


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
