"""Folders of label images: what is read is what was written, and mistakes are named."""

import csv
import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from phasegen.errors import InputError
from segtrain.data.instances import PARTS, from_label_folders, percentile
from segtrain.data.source import standardise
from tests.data import real

RNG = np.random.default_rng(0)
FLAT, DEEP = (24, 30), (6, 20, 22)


def numbered(shape, count=5):
    """Scattered boxes with numbers that leave gaps."""
    labels = np.zeros(shape, np.uint16)
    for number in range(count):
        corner = [int(RNG.integers(0, n - 3)) for n in shape]
        labels[tuple(slice(c, c + 3) for c in corner)] = 1 + 70 * number
    return labels


def folder(path, shape=FLAT, count=3, name="labels", **metadata):
    """The layout on disk, and its content as (image, labels)."""
    content = []
    for part in ("images", name):
        (path / part).mkdir()
    for index in range(count):
        image = RNG.integers(0, 60000, shape).astype(np.uint16)
        labels = numbered(shape)
        tifffile.imwrite(path / "images" / f"{index}.tif", image, **metadata)
        tifffile.imwrite(path / name / f"{index}.tif", labels, photometric="minisblack")
        content.append((image, labels))
    return content


@pytest.mark.parametrize("shape", [FLAT, DEEP])
@pytest.mark.parametrize("name", ["labels", "masks"])
def test_images_and_labels_are_those_of_the_files(tmp_path, shape, name):
    content = folder(tmp_path, shape, name=name)
    source = from_label_folders(tmp_path, 16 if shape is FLAT else (4, 16, 16))
    assert (source.count, source.channels, source.axes) == (3, 1, len(shape))
    assert source.classes == ("background", "instance")
    assert source.instances
    assert source.names == ("0.tif", "1.tif", "2.tif")
    assert source.spacing == (1.0,) * len(shape)
    for index, (image, labels) in enumerate(content):
        read = source.load(index)
        np.testing.assert_array_equal(read.image, standardise(image.astype(np.float32))[None])
        np.testing.assert_array_equal(read.mask, labels)
        assert read.mask.dtype == np.int32
        np.testing.assert_array_equal(read.weight, np.ones(shape, np.float32))
    assert source.record["labels"] == "drawn"
    assert (source.record["samples"], source.record["parents"]) == (3, [])


def test_the_digest_is_that_of_images_and_labels(tmp_path):
    folder(tmp_path)
    before = from_label_folders(tmp_path, 16).record["digest"]
    labels = tifffile.imread(tmp_path / "labels" / "1.tif")
    tifffile.imwrite(tmp_path / "labels" / "1.tif", labels + 1)
    assert from_label_folders(tmp_path, 16).record["digest"] != before


def test_label_images_may_be_png(tmp_path):
    folder(tmp_path, count=1)
    labels = numbered(FLAT)
    (tmp_path / "labels" / "0.tif").unlink()
    Image.fromarray(labels).save(tmp_path / "labels" / "0.png")
    np.testing.assert_array_equal(from_label_folders(tmp_path, 16).load(0).mask, labels)


def test_spacing_from_imagej(tmp_path):
    metadata = {"axes": "ZYX", "spacing": 2.5, "unit": "um"}
    folder(tmp_path, DEEP, imagej=True, resolution=(2.0, 4.0), metadata=metadata)
    source = from_label_folders(tmp_path, 4)
    assert source.spacing == pytest.approx((2.5, 0.25, 0.5))  # resolution is x, y, in 1 / um
    assert from_label_folders(tmp_path, 4, spacing=(3, 2, 1)).spacing == (3.0, 2.0, 1.0)


def test_spacing_from_ome(tmp_path):
    sizes = {f"PhysicalSize{axis}": size for axis, size in (("X", 0.2), ("Y", 0.3), ("Z", 1.5))}
    folder(tmp_path, DEEP, ome=True, metadata={"axes": "ZYX", **sizes})
    assert from_label_folders(tmp_path, 4).spacing == pytest.approx((1.5, 0.3, 0.2))


def test_the_resolution_of_a_screen_is_no_pixel_size(tmp_path):
    folder(tmp_path, resolution=(72, 72), resolutionunit="INCH")
    assert from_label_folders(tmp_path, 16).spacing == (1.0, 1.0)


def test_spacings_that_differ(tmp_path):
    folder(tmp_path, DEEP, imagej=True, metadata={"axes": "ZYX", "spacing": 2.0})
    image = tifffile.imread(tmp_path / "images" / "2.tif")
    tifffile.imwrite(
        tmp_path / "images" / "2.tif", image, imagej=True, metadata={"axes": "ZYX", "spacing": 3.0}
    )
    with pytest.raises(InputError, match=r"2\.tif: has pixels of \(3.*0\.tif of \(2"):
        from_label_folders(tmp_path, 4)
    assert from_label_folders(tmp_path, 4, spacing=(2, 1, 1)).spacing == (2.0, 1.0, 1.0)


def test_a_missing_label_image(tmp_path):
    folder(tmp_path)
    (tmp_path / "labels" / "1.tif").unlink()
    with pytest.raises(InputError, match=r"1\.tif: has no mask in .*labels"):
        from_label_folders(tmp_path, 16)


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        from_label_folders(tmp_path, 16)


def test_labels_of_another_shape(tmp_path):
    folder(tmp_path)
    tifffile.imwrite(tmp_path / "labels" / "1.tif", numbered((24, 29)))
    with pytest.raises(InputError, match=r"labels.1\.tif: is 24 x 29 pixels, its image 24 x 30"):
        from_label_folders(tmp_path, 16)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (numbered(FLAT) > 0, "is a binary mask"),
        (((numbered(FLAT) > 0) * 255).astype(np.uint8), "is a binary mask"),
        (numbered(FLAT).astype(np.float32), "holds float32 values"),
        (numbered(FLAT).astype(np.int16) - 1, "holds int16 values from -1"),
    ],
)
def test_labels_that_number_no_instances(tmp_path, labels, problem):
    folder(tmp_path, count=1)
    tifffile.imwrite(tmp_path / "labels" / "0.tif", labels, photometric="minisblack")
    with pytest.raises(InputError, match=problem):
        from_label_folders(tmp_path, 16).load(0)


def test_255_is_a_number_like_others_in_16_bits(tmp_path):
    folder(tmp_path, count=1)
    labels = ((numbered(FLAT) == 1) * 255).astype(np.uint16)
    tifffile.imwrite(tmp_path / "labels" / "0.tif", labels, photometric="minisblack")
    np.testing.assert_array_equal(from_label_folders(tmp_path, 16).load(0).mask, labels)


def test_labels_without_instances_are_background(tmp_path):
    folder(tmp_path, count=1)
    tifffile.imwrite(tmp_path / "labels" / "0.tif", np.zeros(FLAT, np.uint16))
    assert not from_label_folders(tmp_path, 16).load(0).mask.any()


def test_images_and_volumes_are_not_mixed(tmp_path):
    folder(tmp_path, DEEP)
    for part in ("images", "labels"):
        tifffile.imwrite(tmp_path / part / "3.tif", numbered(FLAT))
    with pytest.raises(InputError, match=r"3\.tif: has 2 axes, 0\.tif 3"):
        from_label_folders(tmp_path, 4)


@pytest.mark.parametrize(
    ("patch", "problem"), [(25, "has images of 24 x 30"), ((4, 16, 16), "axes")]
)
def test_patches_that_do_not_fit(tmp_path, patch, problem):
    folder(tmp_path)
    with pytest.raises(InputError, match=problem):
        from_label_folders(tmp_path, patch)


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0)])
def test_a_spacing_that_is_none(tmp_path, spacing):
    folder(tmp_path, DEEP)
    with pytest.raises(InputError, match=r"Give 3 positive sizes of a pixel, in the order z, y, x"):
        from_label_folders(tmp_path, 4, spacing=spacing)


def test_damaged_files_are_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "images" / "1.tif").write_bytes(b"II*\0nonsense")
    with pytest.raises(InputError, match=r"1\.tif: cannot be read as an image"):
        from_label_folders(tmp_path, 16)


def test_volumes_with_channels_or_infinite_voxels(tmp_path):
    folder(tmp_path, DEEP, count=1)
    image = np.ones(DEEP, np.float32)
    image[1, 2, 3] = np.inf
    tifffile.imwrite(tmp_path / "images" / "0.tif", image, photometric="minisblack")
    with pytest.raises(InputError, match="1 voxels that are NaN or infinite"):
        from_label_folders(tmp_path, 4).load(0)
    tifffile.imwrite(
        tmp_path / "images" / "0.tif", np.zeros((*DEEP, 3), np.uint8), photometric="rgb"
    )
    with pytest.raises(InputError, match="has 3 channels"):
        from_label_folders(tmp_path, 4)
    channels = np.zeros((2, 20, 22), np.uint8)
    tifffile.imwrite(tmp_path / "images" / "0.tif", channels, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(InputError, match="has 2 channels"):
        from_label_folders(tmp_path, 4)


def test_grey_stored_as_rgb(tmp_path):
    (image, _), *_ = folder(tmp_path)
    grey = (image >> 8).astype(np.uint8)
    tifffile.imwrite(tmp_path / "images" / "0.tif", np.dstack([grey] * 3), photometric="rgb")
    read = from_label_folders(tmp_path, 16).load(0)
    np.testing.assert_array_equal(read.image, standardise(grey.astype(np.float32))[None])


def manifest(path):
    with (path / "manifest.csv").open() as file:
        return {re.sub(r"\.tif$", "", row["id"]): row for row in csv.DictReader(file)}


def test_nuclei_of_the_data_science_bowl():
    path = real("nuclei_2d")
    source, rows = from_label_folders(path, 64), manifest(path)
    assert source.count == len(rows) == 451
    for index in range(0, source.count, 9):
        row = rows[source.names[index].removesuffix(".tif")]
        read = source.load(index)
        assert read.mask.shape == (int(row["h"]), int(row["w"]))
        assert len(np.unique(read.mask[read.mask > 0])) == int(row["n_nuclei"])


def test_volumes_of_bbbc050():
    path = real("nuclei_3d")
    source, rows = from_label_folders(path, (32, 64, 64), spacing=(2, 1, 1)), manifest(path)
    assert (source.count, source.spacing) == (24, (2.0, 1.0, 1.0))
    for index in range(0, source.count, 3):
        row = rows[source.names[index].removesuffix(".tif")]
        read = source.load(index)
        assert read.image.shape == (1, int(row["z"]), int(row["y"]), int(row["x"]))
        assert len(np.unique(read.mask[read.mask > 0])) == int(row["n_nuclei"])


def test_parts_follow_from_the_name_alone(tmp_path):
    folder(tmp_path, count=60)
    parts = {part: from_label_folders(tmp_path, 16, part=part) for part in PARTS}
    names = {part: set(source.names) for part, source in parts.items()}
    apart = ("train", "validation", "test")
    assert sum(len(names[part]) for part in apart) == 60
    assert set().union(*(names[part] for part in apart)) == names["all"]
    # SHA-256 of "0", "1", "2" modulo 100, from `printf 0 | sha256sum`.
    assert [percentile(name) for name in "012"] == [5, 15, 61]
    for image in sorted(tmp_path.glob("images/*"))[::2]:
        image.unlink()
    for part in apart:
        assert set(from_label_folders(tmp_path, 16, part=part).names) <= names[part]
    with pytest.raises(InputError, match="Use one of train, validation, test, all"):
        from_label_folders(tmp_path, 16, part="training")


def test_a_part_without_images(tmp_path):
    folder(tmp_path, count=1)
    with pytest.raises(InputError, match="holds 1 images, none of them in the part validation"):
        from_label_folders(tmp_path, 16, part="validation")


def test_shares_of_the_parts():
    counts = {part: from_label_folders(real("nuclei_2d"), 64, part=part).count for part in PARTS}
    assert counts == {"train": 312, "validation": 46, "test": 93, "all": 451}
