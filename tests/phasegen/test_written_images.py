"""What is written comes back, and a failed write leaves what was there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phasegen.errors import InputError
from phasegen.images import (
    list_images,
    read_micrograph,
    write_image,
)
from tests.phasegen.pictures import (
    CLASSES,
    GREY8,
    GREY16,
    rgb,
    texture,
)


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
