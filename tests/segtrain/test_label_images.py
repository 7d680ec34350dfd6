"""Instances as files: numbers of 16 bits, volumes, and what the Cell Tracking Challenge reads."""

import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from phasegen.errors import InputError
from phasegen.images import write_image
from segtrain.data.ctc import from_ctc
from segtrain.data.scans import read_labels
from segtrain.evaluate import evaluate_source, predict_folder
from segtrain.label_images import predict_ctc, segment_scan, write_labels
from segtrain.metrics import overlaps, panoptic_quality
from segtrain.volume_files import plan
from tests.segtrain.cells import discs, field_model

FLAT, DEEP = (60, 70), (20, 24, 30)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_numbers_beyond_8_bits_are_kept(tmp_path, suffix):
    labels = np.arange(300 * 200, dtype=np.uint32).reshape(300, 200)
    write_labels(tmp_path / f"a{suffix}", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / f"a{suffix}", labels.shape), labels)
    if suffix == ".png":
        with Image.open(tmp_path / "a.png") as image:
            assert image.mode.startswith("I;16")


@pytest.mark.parametrize("shape", [(260, 260), (4, 130, 130)])
def test_numbers_beyond_16_bits_are_refused(tmp_path, shape):
    labels = np.zeros(shape, np.uint32)
    labels.flat[:65536] = np.arange(65536)
    write_labels(tmp_path / "a.tif", labels)
    labels.flat[65536] = 65536
    with pytest.raises(InputError, match=r"b\.tif: cannot hold 65536 instances"):
        write_labels(tmp_path / "b.tif", labels)
    assert [one.name for one in tmp_path.iterdir()] == ["a.tif"]


def test_instances_of_images(tmp_path):
    labels, image = discs(FLAT, 0)
    write_image(tmp_path / "in.tif", image)
    (tmp_path / "images").mkdir()
    with_bar = np.vstack([image, np.zeros((14, FLAT[1]), np.uint16)])
    with_bar[-9:-4, 4:-4:5] = 60000
    write_image(tmp_path / "images/a.tif", image)
    write_image(tmp_path / "images/b.png", with_bar)
    predict_folder(field_model(), tmp_path / "images", tmp_path / "out")
    assert {one.name for one in (tmp_path / "out").iterdir()} == {"a.tif", "b.png"}
    found = tifffile.imread(tmp_path / "out/a.tif")
    assert found.dtype == np.uint16
    assert panoptic_quality(overlaps(found, labels)).pq > 0.9
    barred = read_labels(tmp_path / "out/b.png", with_bar.shape)
    assert (barred[-14:] == 0).all()
    assert panoptic_quality(overlaps(barred[:-14], labels)).pq > 0.9


def test_files_of_the_wrong_kind(tmp_path):
    for name, shape in (("flat", FLAT), ("deep", DEEP)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "t000.tif", discs(shape, 0)[1], photometric="minisblack")
    with pytest.raises(InputError, match="is an image, the model takes a volume"):
        plan(field_model(3), tmp_path / "flat", tmp_path / "out")
    with pytest.raises(InputError, match="volume"):
        predict_folder(field_model(2), tmp_path / "deep", tmp_path / "out")
    with pytest.raises(InputError, match="is a volume, the model takes an image"):
        predict_ctc(field_model(2), tmp_path / "deep")
    assert {one.name for one in tmp_path.iterdir()} == {"flat", "deep"}


def sequence(path, shape=FLAT, digits=3, count=3):
    """A data set with gold truth for every frame."""
    (path / "01").mkdir(parents=True)
    (path / "01_GT/SEG").mkdir(parents=True)
    for frame in range(count):
        labels, image = discs(shape, frame)
        number = f"{frame:0{digits}d}"
        for name, pixels in ((f"01/t{number}", image), (f"01_GT/SEG/man_seg{number}", labels)):
            tifffile.imwrite(path / f"{name}.tif", pixels, photometric="minisblack")
    return path


@pytest.mark.parametrize(("shape", "digits"), [(FLAT, 3), (FLAT, 4), (DEEP, 3)])
def test_the_challenge_reads_what_is_written(tmp_path, shape, digits):
    data = sequence(tmp_path / "data", shape, digits)
    model, calls = field_model(len(shape)), []
    result = predict_ctc(model, data / "01", advance=lambda: calls.append(1))
    assert (result, len(calls)) == (data / "01_RES", 3)
    assert sorted(one.name for one in result.iterdir()) == [
        f"mask{frame:0{digits}d}.tif" for frame in range(3)
    ]
    # Read back as if it were the truth: the model agrees with itself altogether.
    shutil.rmtree(data / "01_GT/SEG")
    (data / "01_GT/SEG").mkdir()
    for one in result.iterdir():
        shutil.copy(one, data / "01_GT/SEG" / one.name.replace("mask", "man_seg"))
    evaluation = evaluate_source(model, from_ctc(data, 8), 2.0)
    assert evaluation.pooled["pq"] == 1
    assert evaluation.pooled["seg"] == 1


def test_an_empty_frame_gets_an_empty_mask(tmp_path):
    data = sequence(tmp_path / "data", count=2)
    noise = np.random.default_rng(0).integers(500, 504, FLAT).astype(np.uint16)
    tifffile.imwrite(data / "01/t001.tif", noise, photometric="minisblack")
    predict_ctc(field_model(epsilon=0.9), data / "01", tmp_path / "mine")
    empty = tifffile.imread(tmp_path / "mine/mask001.tif")
    assert (empty.shape, empty.dtype, empty.max()) == (FLAT, np.uint16, 0)


def test_what_the_challenge_is_not_given(tmp_path):
    data = sequence(tmp_path / "data")
    with pytest.raises(InputError, match="asks for instances"):
        predict_ctc(field_model(target="classes"), data / "01")
    with pytest.raises(InputError, match="no frame such as"):
        predict_ctc(field_model(), data / "01_GT/SEG")
    predict_ctc(field_model(), data / "01")
    with pytest.raises(InputError, match=r"01_RES/mask000\.tif: exists already"):
        predict_ctc(field_model(), data / "01")
    predict_ctc(field_model(), data / "01", overwrite=True)
    (data / "01/t0003.tif").write_bytes((data / "01/t000.tif").read_bytes())
    with pytest.raises(InputError, match="3 and with 4 digits"):
        predict_ctc(field_model(), data / "01", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_scan_has_no_info_bar(tmp_path):
    _, image = discs(FLAT, 0)
    image[-14:] = 0
    image[-9:-4, 4:-4:5] = 60000
    write_image(tmp_path / "a.tif", image)
    assert segment_scan(field_model(min_size=1), tmp_path / "a.tif")[-14:].any()
