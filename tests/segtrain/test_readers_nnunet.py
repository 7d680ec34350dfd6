"""Decathlon and nnU-Net, read from files as they are published, axes in the order z, y, x."""

import json
import sys

import nibabel
import numpy as np
import pytest

from phasegen.errors import InputError
from segtrain.data.cases import Case, choose, from_volumes
from segtrain.data.medical import msd, nnunet
from segtrain.data.source import standardise
from tests.data import real
from tests.segtrain.scans import LPS, RAS, SHAPE, mask, save, voxels


def decathlon(path, count=3, labels=None, shape=SHAPE, **options):
    content = []
    for k in range(count):
        image = save(path / "imagesTr" / f"case_{k:03d}.nii.gz", voxels(shape), **options)
        drawn = save(path / "labelsTr" / f"case_{k:03d}.nii.gz", mask(shape=shape[:3]), **options)
        content.append((image, drawn))
    if labels is not None:
        (path / "dataset.json").write_text(json.dumps({"labels": labels, "tensorImageSize": "3D"}))
    return content


def test_a_task_of_the_decathlon(tmp_path):
    content = decathlon(tmp_path, labels={"0": "background", "1": "Anterior", "2": "Posterior"})
    (tmp_path / "imagesTr" / "._case_000.nii.gz").write_bytes(b"resource fork")
    source = from_volumes(msd(tmp_path), tmp_path, 4)
    assert source.classes == ("background", "Anterior", "Posterior")
    assert (source.count, source.channels, source.spacing) == (3, 1, (1.0, 1.0, 1.0))
    assert source.names == ("case_000", "case_001", "case_002")
    for index, (image, drawn) in enumerate(content):
        read = source.load(index)
        np.testing.assert_array_equal(read.image, standardise(image.T.astype(np.float32))[None])
        np.testing.assert_array_equal(read.mask, drawn.T)
        assert (read.image.dtype, read.mask.dtype) == (np.float32, np.uint8)
        np.testing.assert_array_equal(read.weight, np.ones(SHAPE[::-1], np.float32))
    assert source.record["labels"] == "drawn"
    assert source.record["kind"] == "Medical Segmentation Decathlon"


def test_without_a_description_classes_are_numbered(tmp_path):
    decathlon(tmp_path)
    assert msd(tmp_path).classes == ("background", "class 1", "class 2")


def test_channels_along_a_fourth_axis(tmp_path):
    content = decathlon(tmp_path, shape=(*SHAPE, 4))
    source = from_volumes(msd(tmp_path), tmp_path, 4)
    assert source.channels == 4
    read = source.load(1)
    assert (read.image.shape, read.mask.shape) == ((4, *SHAPE[::-1]), SHAPE[::-1])
    for channel in range(4):
        expected = standardise(content[1][0][..., channel].T.astype(np.float32))
        np.testing.assert_allclose(read.image[channel], expected, atol=1e-6)


def test_spacing_and_axes_come_from_the_header(tmp_path):
    """Stored as (S, R, A) with S pointing down, which turns back to z, y, x."""
    affine = np.array([[0, 0.5, 0, 3], [0, 0, 0.7, 1], [-2.0, 0, 0, 9], [0, 0, 0, 1]])
    content = decathlon(tmp_path, 1, affine=affine)
    source = from_volumes(msd(tmp_path), tmp_path, (5, 4, 4))
    assert source.spacing == pytest.approx((2.0, 0.7, 0.5))
    image, drawn = (np.flip(one, 0).transpose(0, 2, 1) for one in content[0])
    np.testing.assert_array_equal(source.load(0).mask, drawn)
    np.testing.assert_allclose(
        source.load(0).image[0], standardise(image.astype(np.float32)), atol=1e-6
    )


def test_a_mask_is_turned_as_its_image_is(tmp_path):
    content = decathlon(tmp_path, 1, affine=LPS)
    save(tmp_path / "labelsTr" / "case_000.nii.gz", content[0][1], RAS)
    read = from_volumes(msd(tmp_path), tmp_path, 4).load(0)
    np.testing.assert_array_equal(read.mask, content[0][1][::-1, ::-1].T)


def mixed_spacings(path):
    decathlon(path, 2)
    coarse = np.diag([1.0, 1.0, 2.5, 1.0])
    for part, array in (("imagesTr", voxels()), ("labelsTr", mask())):
        save(path / part / "case_001.nii.gz", array, coarse)


def test_spacings_that_differ_must_be_resampled(tmp_path):
    mixed_spacings(tmp_path)
    with pytest.raises(InputError, match=r"case_001.* 2\.5 x 1 x 1 mm.*median is 1\.75 x 1 x 1"):
        from_volumes(msd(tmp_path), tmp_path, 4)
    source = from_volumes(msd(tmp_path), tmp_path, 4, spacing=(1, 1, 1))
    assert source.spacing == (1.0, 1.0, 1.0)
    assert [source.load(k).image.shape for k in (0, 1)] == [(1, 5, 6, 7), (1, 12, 6, 7)]
    with pytest.raises(InputError, match="three positive sizes"):
        from_volumes(msd(tmp_path), tmp_path, 4, spacing=(1, 0, 1))


def test_what_is_finer_than_the_new_voxels_does_not_alias(tmp_path):
    """Stripes that alternate become nearly even at 0.4 times the size; masks keep their values."""
    x = np.indices((60, 20, 20))[0]
    save(tmp_path / "imagesTr" / "a.nii", (x % 2).astype(np.float32))
    save(tmp_path / "labelsTr" / "a.nii", ((x // 20) % 3).astype(np.uint8))
    read = from_volumes(msd(tmp_path), tmp_path, 4, spacing=(1, 1, 2.5)).load(0)
    assert read.image.shape == (1, 20, 20, 24)
    assert np.abs(read.image[..., 1:-1]).max() < 0.2  # 1 is the amplitude of the stripes
    np.testing.assert_array_equal(read.mask[5, 5], np.repeat([0, 1, 2], 8))
    # Along the axes that do not shrink nothing is smoothed.
    y = np.indices((60, 20, 20))[1]
    save(tmp_path / "imagesTr" / "a.nii", (y % 2).astype(np.float32))
    kept = from_volumes(msd(tmp_path), tmp_path, 4, spacing=(1, 1, 2.5)).load(0)
    np.testing.assert_allclose(kept.image[0, 5, :, 5], np.tile([-1, 1], 10), atol=1e-5)


def test_resampling_keeps_shapes_in_place(tmp_path):
    """A ball stays where it is, in mm, and a linear ramp stays one."""
    x, y, z = np.mgrid[:24, :24, :12] + 0.5
    ball = (np.hypot(np.hypot(x - 13, y - 10), 2 * z - 8) < 6).astype(np.uint8)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    save(tmp_path / "imagesTr" / "a.nii", (2 * z).astype(np.float32), affine)
    save(tmp_path / "labelsTr" / "a.nii", ball, affine)
    read = from_volumes(msd(tmp_path), tmp_path, 4, spacing=(1, 1, 1)).load(0)
    assert read.mask.shape == (24, 24, 24)
    centre = np.argwhere(read.mask).mean(axis=0) + 0.5
    np.testing.assert_allclose(centre, [8, 10, 13], atol=0.1)
    assert read.mask.sum() == pytest.approx(2 * ball.sum(), rel=0.01)
    line = read.image[0, :, 5, 5] * (2 * z).std() + (2 * z).mean()
    np.testing.assert_allclose(line[1:-1], np.arange(1, 23) + 0.5, atol=1e-4)
    flat = from_volumes(msd(tmp_path), tmp_path, 4, spacing=(1, 1, 1), middle_slice=True).load(0)
    np.testing.assert_array_equal(flat.image, read.image[:, 12])
    np.testing.assert_array_equal(flat.mask, read.mask[12])


def test_patches_may_be_larger_than_volumes_but_not_much(tmp_path):
    decathlon(tmp_path, 2)
    for part, array in (("imagesTr", voxels((9, 6, 5))), ("labelsTr", mask(shape=(9, 6, 5)))):
        save(tmp_path / part / "case_009.nii.gz", array)
    assert from_volumes(msd(tmp_path), tmp_path, (10, 12, 18)).count == 3
    for patch in ((11, 6, 9), (5, 13, 9), (5, 6, 19)):
        with pytest.raises(InputError, match="no volume of more than 5 x 6 x 9 voxels"):
            from_volumes(msd(tmp_path), tmp_path, patch)
    with pytest.raises(InputError, match="3 axes, the patch 2"):
        from_volumes(msd(tmp_path), tmp_path, (5, 5))


def test_a_missing_mask(tmp_path):
    decathlon(tmp_path)
    (tmp_path / "labelsTr" / "case_001.nii.gz").unlink()
    with pytest.raises(InputError, match=r"case_001\.nii\.gz: has no mask in .*labelsTr"):
        msd(tmp_path)
    with pytest.raises(InputError, match="imagesTr: does not exist"):
        msd(tmp_path / "absent")
    (tmp_path / "empty" / "imagesTr").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no NIfTI file"):
        msd(tmp_path / "empty")


def test_a_mask_of_another_shape(tmp_path):
    decathlon(tmp_path)
    save(tmp_path / "labelsTr" / "case_002.nii.gz", mask(shape=(7, 6, 4)))
    with pytest.raises(InputError, match=r"labelsTr.case_002.*7 x 6 x 4 voxels.*7 x 6 x 5"):
        from_volumes(msd(tmp_path), tmp_path, 4)


@pytest.mark.parametrize(
    ("drawn", "problem"),
    [
        (mask((0, 1, 7)), r"holds the value 7, which is none of 0, 1, 2"),
        (mask().astype(np.float32) + 0.5, "no whole numbers"),
    ],
)
def test_masks_that_are_none(tmp_path, drawn, problem):
    decathlon(tmp_path, labels={"0": "background", "1": "a", "2": "b"})
    save(tmp_path / "labelsTr" / "case_001.nii.gz", drawn)
    source = from_volumes(msd(tmp_path), tmp_path, 4)
    with pytest.raises(InputError, match=rf"case_001\.nii\.gz: .*{problem}"):
        source.load(1)


def test_damaged_volumes_are_named(tmp_path):
    decathlon(tmp_path)
    image = tmp_path / "imagesTr" / "case_001.nii.gz"
    whole = image.read_bytes()
    broken = voxels().astype(np.float32)
    broken[1, 2, 3] = np.nan
    save(image, broken)
    with pytest.raises(InputError, match=r"case_001\.nii\.gz: holds 1 voxels that are NaN"):
        from_volumes(msd(tmp_path), tmp_path, 4).load(1)
    image.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(InputError, match=r"case_001\.nii\.gz: cannot be read as NIfTI"):
        from_volumes(msd(tmp_path), tmp_path, 4).load(1)
    image.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"case_001\.nii\.gz: cannot be read as NIfTI"):
        from_volumes(msd(tmp_path), tmp_path, 4)


def test_without_nibabel_the_extra_is_named(tmp_path, monkeypatch):
    decathlon(tmp_path, labels={"0": "background", "1": "a", "2": "b"})
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match=r"needs nibabel.*sim2sem\[medical\]"):
        from_volumes(msd(tmp_path), tmp_path, 4)


@pytest.mark.parametrize("content", ["{", '{"labels": [1]}', "{}", '{"labels": {"1": "a"}}'])
def test_a_damaged_description(tmp_path, content):
    decathlon(tmp_path)
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(InputError, match=r"dataset\.json: "):
        msd(tmp_path)


def raw(path, labels, values=(0, 1, 2), ending=".nii.gz"):
    content = []
    for k in range(2):
        images = [
            save(path / "imagesTr" / f"BRATS_{k:03d}_{channel:04d}.nii.gz", voxels())
            for channel in range(2)
        ]
        content.append((images, save(path / "labelsTr" / f"BRATS_{k:03d}.nii.gz", mask(values))))
    description = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": labels,
        "numTraining": 2,
        "file_ending": ending,
    }
    (path / "dataset.json").write_text(json.dumps(description))
    return content


def test_a_raw_data_set_of_nnunet(tmp_path):
    content = raw(tmp_path, {"background": 0, "liver": 1, "tumour": 2})
    source = from_volumes(nnunet(tmp_path), tmp_path, 4)
    assert (source.channels, source.names) == (2, ("BRATS_000", "BRATS_001"))
    assert source.classes == ("background", "liver", "tumour")
    read = source.load(1)
    for channel in range(2):
        expected = standardise(content[1][0][channel].T.astype(np.float32))
        np.testing.assert_array_equal(read.image[channel], expected)
    np.testing.assert_array_equal(read.mask, content[1][1].T)


def test_ignored_voxels_have_no_weight(tmp_path):
    content = raw(tmp_path, {"background": 0, "a": 1, "b": 2, "ignore": 3}, (0, 1, 2, 3))
    source = from_volumes(nnunet(tmp_path), tmp_path, 4)
    assert source.classes == ("background", "a", "b")
    read, drawn = source.load(0), content[0][1].T
    np.testing.assert_array_equal(read.weight == 0, drawn == 3)
    np.testing.assert_array_equal(read.mask, np.where(drawn == 3, 0, drawn))


def test_values_of_regions_are_called_after_the_smallest(tmp_path):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
    raw(tmp_path, labels, (0, 1, 2, 3))
    assert nnunet(tmp_path).classes == ("background", "whole", "core", "enhancing")


def test_what_nnunet_lacks(tmp_path):
    labels = {"background": 0, "a": 1, "b": 2}
    raw(tmp_path, labels, ending=".png")
    with pytest.raises(InputError, match=r"holds \.png files"):
        nnunet(tmp_path)
    raw(tmp_path, labels)
    (tmp_path / "imagesTr" / "BRATS_001_0001.nii.gz").unlink()
    with pytest.raises(InputError, match=r"has of BRATS_001 the channels 0000\. Give .*_0001"):
        nnunet(tmp_path)
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"dataset\.json: does not exist"):
        nnunet(tmp_path)


def patients(count, visits=1):
    return [
        Case(f"{patient:03d}-{visit}", f"{patient:03d}", (), None)
        for patient in range(count)
        for visit in range(visits)
    ]


@pytest.mark.parametrize(("count", "tenth"), [(369, 37), (100, 10), (10, 1), (14, 1)])
def test_parts_are_disjoint_and_80_10_10(count, tenth):
    parts = [choose(patients(count), part, 3, "") for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [count - 2 * tenth, tenth, tenth]
    assert sorted(case.name for part in parts for case in part) == [
        case.name for case in patients(count)
    ]
    again = choose(patients(count)[::-1], "test", 3, "")
    assert {case.name for case in again} == {case.name for case in parts[2]}
    assert count < 100 or choose(patients(count), "test", 4, "") != parts[2]


def test_visits_of_a_patient_stay_together():
    parts = [choose(patients(20, 3), part, 0, "") for part in ("train", "validation", "test")]
    owners = [{case.patient for case in part} for part in parts]
    assert not owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2]
    assert [len(part) for part in parts] == [48, 6, 6]


def test_folds_test_every_patient_once():
    cases = patients(12, 2)
    folds = [choose(cases, f"{number}-of-5", 0, "") for number in range(1, 6)]
    assert sorted(case.name for fold in folds for case in fold) == sorted(c.name for c in cases)
    assert sorted({len(fold) for fold in folds}) == [4, 6]
    for number, fold in enumerate(folds, start=1):
        rest = choose(cases, f"without-{number}-of-5", 0, "")
        assert not {case.patient for case in fold} & {case.patient for case in rest}
        assert len(fold) + len(rest) == len(cases)
    assert choose(cases[::-1], "2-of-5", 0, "") == folds[1][::-1]
    assert choose(cases, "2-of-5", 1, "") != folds[1]
    for part in ("6-of-5", "0-of-5", "1-of-13"):
        with pytest.raises(InputError, match="part: is"):
            choose(cases, part, 0, "")


def test_parts_of_nothing():
    with pytest.raises(InputError, match="holds 4 patients, too few"):
        choose(patients(4), "test", 0, "here")
    with pytest.raises(InputError, match=r"part: is 'val'.*train, validation, test"):
        choose(patients(10), "val", 0, "here")


def test_hippocampus():
    path = real("Task04_Hippocampus")
    source = from_volumes(msd(path), path, 16)
    assert (source.count, source.channels, source.spacing) == (130, 1, (1.0, 1.0, 1.0))
    assert source.classes == ("background", "class 1", "class 2")
    for index in range(0, source.count, 13):
        read = source.load(index)
        stored = nibabel.load(path / "labelsTr" / f"{source.names[index]}.nii.gz")
        assert nibabel.aff2axcodes(stored.affine) == ("R", "A", "S")
        np.testing.assert_array_equal(read.mask, np.asarray(stored.dataobj).T)
        assert read.image.std() == pytest.approx(1, abs=1e-3)
