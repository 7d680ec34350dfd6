"""Tumours of BraTS and LiTS, read from files as they are published, axes in the order z, y, x."""

import numpy as np
import pytest

from phasegen.errors import InputError
from segtrain.data.cases import from_volumes
from segtrain.data.medical import LITS_WINDOW, brats, lits
from segtrain.data.source import standardise
from tests.segtrain.scans import LPS, RNG, SHAPE, mask, save, voxels

NAMES_2020 = ("_flair", "_t1", "_t1ce", "_t2", "_seg")
NAMES_2023 = ("-t2f", "-t1n", "-t1c", "-t2w", "-seg")


def tumours(path, year=2020, count=3, shape=(6, 6, 5)):
    """Patients as published, brains surrounded by zeros; returns [(channels, labels)]."""
    content = []
    for k in range(count):
        name = f"BraTS20_Training_{k + 1:03d}" if year == 2020 else f"BraTS-GLI-{k:05d}-000"
        suffixes, values, end = (
            (NAMES_2020, (0, 1, 2, 4), ".nii")
            if year == 2020
            else (NAMES_2023, (0, 1, 2, 3), ".nii.gz")
        )
        images = [voxels(shape) + 1 for _ in range(4)]
        for image in images:
            image[0] = 0
        drawn = mask(values, shape)
        for suffix, array in zip(suffixes, [*images, drawn], strict=True):
            save(path / "MICCAI_Training" / name / f"{name}{suffix}{end}", array, LPS)
        content.append((images, drawn))
    (path / "MICCAI_Training" / "name_mapping.csv").write_text("Grade\n")
    return content


@pytest.mark.parametrize(("year", "enhancing"), [(2020, 4), (2023, 3)])
def test_brain_tumours_of_both_years(tmp_path, year, enhancing):
    content = tumours(tmp_path, year)
    source = from_volumes(brats(tmp_path), tmp_path, 4)
    assert (source.count, source.channels, len(source.classes)) == (3, 4, 4)
    assert source.record["kind"] == f"BraTS {year}"
    for index, (images, drawn) in enumerate(content):
        read, stored = source.load(index), drawn[::-1, ::-1].T
        for value, label in {0: 0, 1: enhancing, 2: 1, 3: 2}.items():
            np.testing.assert_array_equal(read.mask == value, stored == label)
        for channel, image in enumerate(images):
            brain = image[::-1, ::-1].T.astype(np.float32)
            inside, result = brain != 0, read.image[channel]
            np.testing.assert_array_equal(result[~inside], 0)
            assert result[inside].mean() == pytest.approx(0, abs=1e-5)
            assert result[inside].std() == pytest.approx(1, abs=1e-5)
            assert np.corrcoef(result[inside], brain[inside])[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("year", [2020, 2023])
def test_middle_slices_of_brain_tumours(tmp_path, year):
    tumours(tmp_path, year)
    volumes = from_volumes(brats(tmp_path), tmp_path, 4)
    slices = from_volumes(brats(tmp_path), tmp_path, 4, middle_slice=True)
    assert (slices.axes, slices.channels, slices.spacing) == (2, 4, (1.0, 1.0))
    assert slices.record["kind"] == f"BraTS {year}, middle slices"
    for index in range(3):
        whole, flat = volumes.load(index), slices.load(index)
        np.testing.assert_array_equal(flat.image, whole.image[:, 2])
        np.testing.assert_array_equal(flat.mask, whole.mask[2])
        assert flat.weight.shape == (6, 6)


def test_the_mask_of_2020_with_another_name(tmp_path):
    tumours(tmp_path)
    folder = tmp_path / "MICCAI_Training" / "BraTS20_Training_002"
    (folder / f"{folder.name}_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    assert brats(tmp_path).cases[1].mask.name == "W39_1998.09.19_Segm.nii"


def test_what_brain_tumours_lack(tmp_path):
    tumours(tmp_path)
    folder = tmp_path / "MICCAI_Training" / "BraTS20_Training_002"
    stored = save(folder / f"{folder.name}_seg.nii", mask((0, 1, 2, 3), (6, 6, 5)))
    with pytest.raises(InputError, match=r"_002_seg\.nii: holds the value 3.*none of 0, 1, 2, 4"):
        from_volumes(brats(tmp_path), tmp_path, 4).load(1)
    assert stored.max() == 3
    for suffix, remedy in (
        ("seg", "validation comes without masks"),
        ("t1ce", "leave the patient"),
    ):
        (folder / f"{folder.name}_{suffix}.nii").unlink()
        with pytest.raises(InputError, match=rf"_002: has no file that ends in .*{remedy}"):
            brats(tmp_path)
    tumours(tmp_path / "other", 2023)
    with pytest.raises(InputError, match="mixes names of 2020 and 2023"):
        brats(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no patient of BraTS"):
        brats(tmp_path / "empty")
    with pytest.raises(InputError, match="is no folder"):
        brats(tmp_path / "absent")


def test_visits_are_of_the_patient_that_the_name_says(tmp_path):
    tumours(tmp_path, 2023, 1)
    assert brats(tmp_path).cases[0].patient == "BraTS-GLI-00000"


def test_livers(tmp_path):
    content = {}
    for number in (0, 2, 10):
        batch = tmp_path / ("Training Batch 1" if number < 5 else "Training Batch 2")
        image = RNG.integers(-1000, 1500, SHAPE).astype(np.int16)
        content[number] = save(batch / f"volume-{number}.nii", image)
        save(batch / f"segmentation-{number}.nii", mask())
    source = from_volumes(lits(tmp_path), tmp_path, 4)
    assert source.names == ("volume-0", "volume-2", "volume-10")
    assert source.classes == ("background", "liver", "tumour")
    clipped = content[10].T.clip(*LITS_WINDOW).astype(np.float32)
    np.testing.assert_allclose(source.load(2).image[0], standardise(clipped), atol=1e-6)
    (tmp_path / "Training Batch 1" / "segmentation-2.nii").unlink()
    with pytest.raises(InputError, match=r"volume-2\.nii: has no segmentation"):
        lits(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no volume-N\.nii"):
        lits(tmp_path / "empty")
    with pytest.raises(InputError, match="is no folder"):
        lits(tmp_path / "absent")
