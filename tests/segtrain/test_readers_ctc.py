"""Cell Tracking Challenge: annotated frames alone, unknown pixels without weight, results back."""

import numpy as np
import pytest
import tifffile

from phasegen.errors import InputError
from segtrain.data.ctc import from_ctc, write_ctc_result
from segtrain.data.source import standardise, with_field
from segtrain.targets.poisson import poisson_field

RNG = np.random.default_rng(0)
FLAT, DEEP = (40, 50), (5, 30, 32)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack")


def cells(shape=FLAT, *corners):
    """Squares of 6 pixels with numbers 3, 4, ...; two if no corners are given."""
    labels = np.zeros(shape, np.uint16)
    for number, corner in enumerate(corners or [(2, 2), (20, 20)]):
        labels[..., corner[0] : corner[0] + 6, corner[1] : corner[1] + 6] = 3 + number
    return labels


def data_set(path, shape=FLAT, digits=3, frames=6, annotated=(1, 4), truth="GT"):
    """Two sequences; returns their images by (sequence, frame)."""
    images = {}
    for sequence in ("01", "02"):
        for frame in range(frames):
            image = RNG.integers(0, 255, shape).astype(np.uint8)
            write(path / sequence / f"t{frame:0{digits}d}.tif", image)
            images[sequence, frame] = image
        for frame in annotated:
            name = f"man_seg{frame:0{digits}d}.tif"
            write(path / f"{sequence}_{truth}" / "SEG" / name, cells(shape))
    return images


@pytest.mark.parametrize("digits", [3, 4])
@pytest.mark.parametrize(("shape", "patch"), [(FLAT, 32), (DEEP, (4, 16, 16))])
def test_annotated_frames_are_read_and_no_others(tmp_path, digits, shape, patch):
    images = data_set(tmp_path, shape, digits)
    source = from_ctc(tmp_path, patch)
    assert (source.count, source.axes, source.instances) == (4, len(shape), True)
    frames = [("01", 1), ("01", 4), ("02", 1), ("02", 4)]
    assert source.names == tuple(f"{s}/t{frame:0{digits}d}.tif" for s, frame in frames)
    for index, frame in enumerate(frames):
        read = source.load(index)
        image = images[frame].astype(np.float32)
        np.testing.assert_array_equal(read.image, standardise(image)[None])
        np.testing.assert_array_equal(read.mask, cells(shape))
        assert (read.weight == 1).all()
    assert source.record["kind"] == "Cell Tracking Challenge, gold truth"


def test_one_sequence_and_silver_truth(tmp_path):
    data_set(tmp_path)
    data_set(tmp_path, annotated=range(6), truth="ST")
    assert from_ctc(tmp_path, 32, sequences=("02",)).names == ("02/t001.tif", "02/t004.tif")
    silver = from_ctc(tmp_path, 32, truth="ST")
    assert silver.count == 12
    assert silver.record["kind"] == "Cell Tracking Challenge, silver truth"


def test_slices_of_volumes(tmp_path):
    data_set(tmp_path, DEEP, annotated=())
    for z in (1, 3):
        write(tmp_path / "01_GT" / "SEG" / f"man_seg_002_{z:03d}.tif", cells(DEEP[1:]) * (z > 1))
    source = from_ctc(tmp_path, (4, 16, 16), spacing=(2, 1, 1))
    assert (source.count, source.spacing) == (1, (2.0, 1.0, 1.0))
    read = source.load(0)
    assert read.weight.sum(axis=(1, 2)).tolist() == [0, 960, 0, 960, 0]
    np.testing.assert_array_equal(read.mask[3], cells(DEEP[1:]))
    assert not read.mask[[0, 1, 2, 4]].any()


def test_background_round_a_cell_that_is_not_outlined_has_no_weight(tmp_path):
    data_set(tmp_path, (60, 60), annotated=(1,))
    markers = np.zeros((60, 60), np.uint16)
    markers[4, 4], markers[22, 22], markers[50, 50] = 1, 2, 9
    outlined = cells((60, 60))
    outlined[20:26, 26:29] = 4
    write(tmp_path / "01_GT" / "SEG" / "man_seg001.tif", outlined)
    write(tmp_path / "01_GT" / "TRA" / "man_track001.tif", markers)
    first, second = from_ctc(tmp_path, 32).load(0), from_ctc(tmp_path, 32).load(1)
    y, x = np.mgrid[:60, :60]
    near = np.hypot(y - 50, x - 50) <= np.hypot(6, 9)  # the diameter of the larger one
    np.testing.assert_array_equal(first.weight == 0, near)
    assert (second.weight == 1).all()  # no tracking truth there


def test_an_outline_stays_known_beside_one_that_lacks(tmp_path):
    data_set(tmp_path, annotated=(1,))
    markers = np.zeros(FLAT, np.uint16)
    markers[22, 28] = 1  # next to the cell at (20, 20)
    write(tmp_path / "01_GT" / "TRA" / "man_track001.tif", markers)
    read = from_ctc(tmp_path, 32).load(0)
    assert (read.weight[read.mask > 0] == 1).all()
    assert read.weight[22, 27] == 0


def test_a_frame_with_markers_alone_is_unknown(tmp_path):
    data_set(tmp_path, annotated=(1,))
    write(tmp_path / "01_GT" / "SEG" / "man_seg001.tif", np.zeros(FLAT, np.uint16))
    write(tmp_path / "01_GT" / "TRA" / "man_track001.tif", cells())
    assert not from_ctc(tmp_path, 32).load(0).weight.any()


@pytest.mark.parametrize("shape", [FLAT, DEEP, (3, 40, 50)])
@pytest.mark.parametrize(("frame", "digits", "name"), [(7, 3, "mask007"), (1234, 4, "mask1234")])
def test_results_come_back_as_they_were_written(tmp_path, shape, frame, digits, name):
    labels = RNG.integers(0, 65536, shape).astype(np.int32)
    path = write_ctc_result(tmp_path / "01_RES", frame, labels, digits)
    assert path == tmp_path / "01_RES" / f"{name}.tif"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == (shape[0] if len(shape) == 3 else 1)
        page = file.pages[0]
        assert (page.dtype, page.shape, page.compression) == (np.uint16, shape[-2:], 1)
        assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
    read = tifffile.imread(path)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, labels)


def test_an_empty_frame_is_written(tmp_path):
    path = write_ctc_result(tmp_path, 0, np.zeros(FLAT, np.uint8))
    assert path.name == "mask000.tif"
    assert not tifffile.imread(path).any()


@pytest.mark.parametrize(
    ("labels", "frame", "problem"),
    [
        (np.full(FLAT, 65536), 0, "numbers from 65536 to 65536 in 16 bits"),
        (np.full(FLAT, -1), 0, "from -1 to -1"),
        (np.ones(FLAT, np.float32), 0, "cannot hold float32"),
        (np.ones(FLAT, np.uint8), 1000, r"mask1000\.tif: is of frame 1000, beyond 3 digits"),
    ],
)
def test_results_that_do_not_fit(tmp_path, labels, frame, problem):
    with pytest.raises(InputError, match=problem):
        write_ctc_result(tmp_path, frame, labels)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_annotations(tmp_path):
    data_set(tmp_path, annotated=())
    with pytest.raises(InputError, match=r"holds no annotated frame.*01_GT/SEG/man_seg\*\.tif"):
        from_ctc(tmp_path, 32)
    (tmp_path / "01_GT" / "SEG").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no annotated frame"):
        from_ctc(tmp_path, 32)
    with pytest.raises(InputError, match="is no folder"):
        from_ctc(tmp_path / "absent", 32)


def test_an_unknown_sequence_or_truth(tmp_path):
    data_set(tmp_path)
    with pytest.raises(InputError, match=r"has no sequence 03 .*Choose from 01, 02"):
        from_ctc(tmp_path, 32, sequences=("03",))
    with pytest.raises(InputError, match=r"truth: is 'gold'.*GT \(gold\) or ST"):
        from_ctc(tmp_path, 32, truth="gold")
    with pytest.raises(InputError, match="holds no annotated frame"):
        from_ctc(tmp_path, 32, truth="ST")


def test_an_annotation_without_its_image(tmp_path):
    data_set(tmp_path)
    (tmp_path / "02" / "t004.tif").unlink()
    with pytest.raises(InputError, match=r"man_seg004\.tif: annotates frame 4, which has no image"):
        from_ctc(tmp_path, 32)


def test_an_annotation_of_another_shape_or_slice(tmp_path):
    data_set(tmp_path, DEEP, annotated=(1,))
    write(tmp_path / "01_GT" / "SEG" / "man_seg001.tif", cells(DEEP[1:]))
    with pytest.raises(InputError, match=r"man_seg001\.tif: is 30 x 32 pixels, its image 5 x 30"):
        from_ctc(tmp_path, 4).load(0)
    (tmp_path / "01_GT" / "SEG" / "man_seg001.tif").unlink()
    write(tmp_path / "01_GT" / "SEG" / "man_seg_001_005.tif", cells(DEEP[1:]))
    with pytest.raises(InputError, match=r"annotates slice 5 of an image of 5 x 30 x 32"):
        from_ctc(tmp_path, 4).load(0)


def test_frames_smaller_than_a_patch(tmp_path):
    data_set(tmp_path)
    with pytest.raises(InputError, match=r"t001\.tif: has images of 40 x 50 pixels"):
        from_ctc(tmp_path, 41)


def test_fields_of_single_slices_are_those_of_the_sections(tmp_path):
    """In three dimensions a disc in one slice would have a plateau: nothing ends it along z."""
    data_set(tmp_path, DEEP, annotated=())
    y, x = np.mgrid[: DEEP[1], : DEEP[2]]
    disc = (np.hypot(y - 15, x - 15) < 10).astype(np.uint16)
    for z in (1, 3):
        write(tmp_path / "01_GT" / "SEG" / f"man_seg_002_{z:03d}.tif", disc)
    source = from_ctc(tmp_path, (4, 16, 16), spacing=(2, 1, 1))
    expected = poisson_field(disc.astype(np.int32), (1.0, 1.0))
    read = with_field(source, poisson_field).load(0)
    for z in range(DEEP[0]):
        np.testing.assert_array_equal(read.mask[z], expected if z in (1, 3) else 0)
    assert (read.mask > 0.9).sum() < 0.15 * (read.mask > 0).sum()
    # Volumes that are annotated throughout keep fields in three dimensions.
    data_set(tmp_path / "whole", DEEP)
    whole = from_ctc(tmp_path / "whole", (4, 16, 16))
    solved = poisson_field(whole.load(0).mask, whole.spacing)
    np.testing.assert_array_equal(with_field(whole, poisson_field).load(0).mask, solved)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_cell_may_have_the_number_255(tmp_path, kind):
    data_set(tmp_path, annotated=(1,))
    write(
        tmp_path / "01_GT" / "SEG" / "man_seg001.tif", (cells(FLAT, (2, 2)) // 3 * 255).astype(kind)
    )
    assert np.unique(from_ctc(tmp_path, 32).load(0).mask).tolist() == [0, 255]


def test_images_and_volumes_are_not_mixed(tmp_path):
    data_set(tmp_path, DEEP)
    write(tmp_path / "02" / "t001.tif", np.ones(FLAT, np.uint8))
    for patch in (4, (4, 16, 16)):
        with pytest.raises(InputError, match=r"t001\.tif: has 2 axes, t001\.tif 3\. Keep images"):
            from_ctc(tmp_path, patch)


def test_volumes_thinner_than_a_patch(tmp_path):
    data_set(tmp_path, DEEP)
    with pytest.raises(InputError, match=r"5 x 30 x 32 pixels\. Use --patch 5,16,16 or less"):
        from_ctc(tmp_path, 16)
