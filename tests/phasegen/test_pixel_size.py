"""Pixel sizes as microscopes and programs write them."""

import numpy as np
import pytest
import tifffile

from phasegen.images import write_image
from phasegen.pixel_size import read_pixel_size

PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)

FEI = "[User]\r\nUser=supervisor\r\n[Scan]\r\nPixelWidth=2.5e-08\r\nPixelHeight=2.5e-08\r\n"

ZEISS = "0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 25.00 nm\r\nAP_MAG\r\nMag = 5.00 K X\r\n"


def tagged(path, code, text):
    data = text.encode() + b"\0"
    tifffile.imwrite(path, PIXELS, extratags=[(code, 2, len(data), data, True)], metadata=None)


def test_fei(tmp_path):
    tagged(tmp_path / "fei.tif", 34682, FEI)
    assert read_pixel_size(tmp_path / "fei.tif") == pytest.approx(0.025)


def test_zeiss(tmp_path):
    tagged(tmp_path / "zeiss.tif", 34118, ZEISS)
    assert read_pixel_size(tmp_path / "zeiss.tif") == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("unit", "pixels"), [("um", 40), ("\\u00B5m", 40), ("nm", 0.04), ("mm", 40e3)]
)
def test_imagej(tmp_path, unit, pixels):
    path = tmp_path / "imagej.tif"
    tifffile.imwrite(
        path, PIXELS, imagej=True, resolution=(pixels, pixels), metadata={"unit": unit}
    )
    assert read_pixel_size(path) == pytest.approx(0.025, rel=1e-4)


@pytest.mark.parametrize(("size", "unit"), [(0.025, "µm"), (25, "nm")])
def test_ome(tmp_path, size, unit):
    path = tmp_path / "sample.ome.tif"
    metadata = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    tifffile.imwrite(path, PIXELS, metadata=metadata)
    assert read_pixel_size(path) == pytest.approx(0.025)


def test_a_printers_resolution_is_no_pixel_size(tmp_path):
    path = tmp_path / "dpi.tif"
    tifffile.imwrite(path, PIXELS, resolution=(300, 300), resolutionunit="INCH", metadata=None)
    assert read_pixel_size(path) is None


def test_files_that_cannot_tell(tmp_path):
    write_image(tmp_path / "plain.png", PIXELS)
    write_image(tmp_path / "plain.tif", PIXELS)
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    tagged(tmp_path / "odd.tif", 34682, "[Scan]\r\nPixelWidth=unknown\r\n")
    for name in ("plain.png", "plain.tif", "broken.tif", "odd.tif"):
        assert read_pixel_size(tmp_path / name) is None
