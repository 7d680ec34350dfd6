"""The side of a pixel that a microscope wrote into its file."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tifffile

from phasegen.images import TIFF

MICROMETRES = {
    "m": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "pm": 1e-6,
}
"""Micrometres per unit, as files spell it: both letters mu, and ImageJ's escape of one."""


def read_pixel_size(path: Path) -> float | None:
    """Side of a pixel in micrometres, as the file says, or None if it does not.

    Known are the headers of FEI / Thermo Fisher and Zeiss scanning microscopes, OME-TIFF, and
    ImageJ's unit with the resolution tags. Resolution in dots per inch is that of a printer and
    means nothing here.

    Parameters
    ----------
    path : Path
        An image file of any type; only TIFF can tell.
    """
    if path.suffix.lower() not in TIFF:
        return None
    try:
        with tifffile.TiffFile(path) as file:
            found = _fei(file) or _zeiss(file) or _ome(file) or _imagej(file)
    except (tifffile.TiffFileError, OSError, LookupError, ValueError, TypeError):
        return None  # a damaged header; the pixels are read, and complained of, elsewhere
    return found if found is not None and math.isfinite(found) and found > 0 else None


def _fei(file: tifffile.TiffFile) -> float | None:
    scan = (file.fei_metadata or {}).get("Scan", {})
    return float(scan["PixelWidth"]) * 1e6 if "PixelWidth" in scan else None


def _zeiss(file: tifffile.TiffFile) -> float | None:
    header: Mapping[str, Any] = file.sem_metadata or {}
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        if len(header.get(key, ())) == 3:
            _, value, unit = header[key]
            return float(value) * MICROMETRES[unit]
    return None


def _ome(file: tifffile.TiffFile) -> float | None:
    if not file.ome_metadata:
        return None
    image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    if "PhysicalSizeX" not in pixels:
        return None
    return float(pixels["PhysicalSizeX"]) * MICROMETRES[pixels.get("PhysicalSizeXUnit", "µm")]


def _imagej(file: tifffile.TiffFile) -> float | None:
    unit = str((file.imagej_metadata or {}).get("unit")).lower()
    resolution = file.pages.first.tags.get("XResolution")
    if unit not in MICROMETRES or resolution is None:
        return None
    pixels, per = resolution.value
    return float(per / pixels * MICROMETRES[unit])
