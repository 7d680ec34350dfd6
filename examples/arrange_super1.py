"""Arrange the Super1 benchmark of nasa/pretrained-microscopy-models as ``nickel_superalloy``.

::

    git clone --depth 1 https://github.com/nasa/pretrained-microscopy-models
    python examples/arrange_super1.py \\
        pretrained-microscopy-models/benchmark_segmentation_data/Super1 data/nickel_superalloy

It expects what that repository holds: the folders ``train``, ``val`` and ``test`` with 10, 4 and 4
grey images ``spotS_Td_I.tif`` (specimen spot, stage rotation in degrees, field), and beside each
the folder ``train_annot``, ``val_annot`` or ``test_annot`` with the masks
``spotS_Td_I_mask.tif``, painted in RGB: secondary gamma-prime blue, tertiary gamma-prime red,
anything else matrix. (The repository's own reader lists secondary as ``[255, 0, 0]`` and tertiary
as ``[0, 0, 255]``, but in the blue-green-red order of OpenCV.)

It writes ``images/NAME.png`` (8-bit grey), ``masks/NAME.png`` (0 matrix, 1 tertiary, 2 secondary)
and ``splits.json``, and prints the area of each class: about half matrix, half secondary, 2 %
tertiary.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cli import common
from phasegen.errors import InputError

SPLITS = {"train": 10, "val": 4, "test": 4}
CLASSES = ("matrix", "tertiary", "secondary")
COLOURS = {1: (255, 0, 0), 2: (0, 0, 255)}
CLONE_AGAIN = "Give the folder benchmark_segmentation_data/Super1 of a complete clone"

Image8 = NDArray[np.uint8]


def arrange(source: Path, out: Path) -> dict[str, list[str]]:
    """Write the images, masks and splits of `source` to the new folder `out`.

    Returns
    -------
    dict of str to list of str
        Names of the images in each split.

    Raises
    ------
    InputError
        If `source` is not laid out as the module says, or `out` exists.
    """
    if out.exists():
        raise InputError(out, "exists already", "Give the name of a new folder")
    splits = {split: _names(source, split) for split in SPLITS}
    # Everything is read before anything is written, so that a refusal leaves no trace.
    pairs = {name: _pair(source, split, name) for split, names in splits.items() for name in names}
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for folder in ("images", "masks"):
        (partial / folder).mkdir(parents=True)
    for name, (image, mask) in pairs.items():
        Image.fromarray(image).save(partial / "images" / f"{name}.png")
        Image.fromarray(mask).save(partial / "masks" / f"{name}.png")
    (partial / "splits.json").write_text(json.dumps(splits, indent=1))
    os.replace(partial, out)
    return splits


def _names(source: Path, split: str) -> list[str]:
    folder = source / split
    if not folder.is_dir():
        raise InputError(folder, "is not a folder", CLONE_AGAIN)
    names = sorted(image.stem for image in folder.glob("*.tif"))
    if len(names) != SPLITS[split]:
        problem = f"holds {len(names)} .tif images, not {SPLITS[split]}"
        raise InputError(folder, problem, CLONE_AGAIN)
    return names


def _pair(source: Path, split: str, name: str) -> tuple[Image8, Image8]:
    mask_file = source / f"{split}_annot" / f"{name}_mask.tif"
    image, mask = read_image(source / split / f"{name}.tif"), read_mask(mask_file)
    if image.shape != mask.shape:
        problem = f"is {mask.shape} pixels but its image {image.shape}"
        raise InputError(mask_file, problem, CLONE_AGAIN)
    return image, mask


def read_image(file: Path) -> Image8:
    """Read one grey image, which may be stored as RGB with equal channels; (Y, X), 0..255."""
    rgb = _read_rgb(file)
    if (rgb != rgb[..., :1]).any():
        raise InputError(file, "is a colour image, not a grey one", CLONE_AGAIN)
    return rgb[..., 0]


def read_mask(file: Path) -> Image8:
    """Read one painted mask as class indices; (Y, X), 0..2."""
    rgb = _read_rgb(file)
    mask = np.zeros(rgb.shape[:2], np.uint8)
    for index, colour in COLOURS.items():
        mask[(rgb == colour).all(axis=-1)] = index
    if not (mask == CLASSES.index("secondary")).any():
        raise InputError(file, f"has no secondary particle in {COLOURS[2]}", CLONE_AGAIN)
    return mask


def _read_rgb(file: Path) -> Image8:
    try:
        with Image.open(file) as image:
            if image.mode not in ("L", "P", "RGB", "RGBA"):
                raise InputError(file, f"has pixels of mode {image.mode}, not 8-bit", CLONE_AGAIN)
            return np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise InputError(file, "is missing", CLONE_AGAIN) from None
    except OSError:
        raise InputError(file, "is not a readable image", CLONE_AGAIN) from None


program = common.app("arrange_super1", "Arrange Super1 into images/, masks/ and splits.json.")


@program.command()
def main(source: Path, out: Path) -> None:
    """Arrange the folder SOURCE (Super1 of the clone) as the new folder OUT."""
    splits = arrange(source, out)
    rows = []
    for split, names in splits.items():
        masks = np.stack([np.array(Image.open(out / "masks" / f"{name}.png")) for name in names])
        fractions = [f"{(masks == index).mean():.3f}" for index in range(len(CLASSES))]
        rows.append([split, len(names), *fractions])
    common.table(["split", "images", *CLASSES], rows)


if __name__ == "__main__":
    common.run(program)
