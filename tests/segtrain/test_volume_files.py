"""Folders of volumes that a model does not take: one line says why, and nothing is written."""

import numpy as np
import pytest
import tifffile
import zarr

from cli import segtrain
from tests.cli.conftest import call, snapshot
from tests.segtrain.cells import field_model
from tests.segtrain.scans import save
from tests.segtrain.test_predict_volumes import SHAPE, grey, model


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Function that predicts a folder by a model, which must be refused; what it says."""

    def files():
        return {name: content for name, content in snapshot(tmp_path).items() if content}

    def refused(segmenter, folder, *options):
        monkeypatch.setattr(segtrain, "load_segmenter", lambda path, device: segmenter)
        before = files()
        assert call(segtrain.app, "predict", folder, "--out", tmp_path / "out", *options) == 2
        # Of damage that shows in the voxels the folder of the masks remains, empty.
        assert files() == before
        *_, last = capsys.readouterr().err.splitlines()
        assert last.startswith("error: ")
        assert last.endswith(".")
        return last

    return refused


def nifti(path):
    save(path, grey(*SHAPE))


def array(path, volume=None):
    zarr.create_array(path, data=grey(*SHAPE) if volume is None else volume)


def stack(path, shape=SHAPE):
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, grey(*shape), photometric="minisblack")


def test_what_is_no_folder_of_volumes(refused, tmp_path):
    (tmp_path / "in").mkdir()
    assert "in: holds no volume. Give a folder of TIFF stacks, NIfTI" in refused(
        model(), tmp_path / "in"
    )
    nifti(tmp_path / "in/a.nii")
    assert "a.nii: is a file, not a folder" in refused(model(), tmp_path / "in/a.nii")
    assert "nowhere: does not exist" in refused(model(), tmp_path / "nowhere")
    array(tmp_path / "b.zarr")
    assert "is a Zarr array or store itself" in refused(model(), tmp_path / "b.zarr")


def test_kinds_that_are_mixed(refused, tmp_path):
    nifti(tmp_path / "in/b.nii.gz")
    stack(tmp_path / "in/a.tif")
    said = "in: holds image files (a.tif) and NIfTI files (b.nii.gz). Give"
    assert said in refused(model(), tmp_path / "in")


def test_a_model_of_images(refused, tmp_path):
    flat = field_model(2, target="classes")
    nifti(tmp_path / "a/b.nii.gz")
    array(tmp_path / "b/c.zarr")
    assert "a: holds NIfTI files (b.nii.gz) and no image" in refused(flat, tmp_path / "a")
    assert "b: holds Zarr arrays (c.zarr) and no image" in refused(flat, tmp_path / "b")
    stack(tmp_path / "c/a.tif")
    assert "a.tif: is a volume or stack of 9 planes" in refused(flat, tmp_path / "c")


def test_a_model_of_volumes_gets_an_image(refused, tmp_path):
    stack(tmp_path / "a/a.tif", (20, 30))
    assert "is an image, the model takes a volume" in refused(model(), tmp_path / "a")
    save(tmp_path / "b/a.nii", grey(20, 30))
    assert "a.nii: is 20 x 30 voxels, which is no volume" in refused(model(), tmp_path / "b")
    array(tmp_path / "c/a.zarr", grey(20, 30))
    said = "a.zarr: has shape (20, 30), the model 1 channel. Give (C, Z, Y, X)"
    assert said in refused(model(), tmp_path / "c")


def test_other_channels_than_the_models(refused, tmp_path):
    save(tmp_path / "a/a.nii", grey(*SHAPE, 2))
    assert "a.nii: has 2 channels, the model 1" in refused(model(), tmp_path / "a")
    assert "a.nii: has 2 channels, the model 3" in refused(model(3), tmp_path / "a")
    nifti(tmp_path / "b/a.nii")
    assert "a.nii: has 1 channel, the model 2" in refused(model(2), tmp_path / "b")
    for name in ("x_0000", "x_0001", "y_0000"):
        nifti(tmp_path / f"c/{name}.nii")
    said = "c: has of y.nii the channels 0000. Give 0000, 0001, as"
    assert said in refused(model(2), tmp_path / "c")
    nifti(tmp_path / "c/y_0001.nii")
    said = "c: has of x.nii the channels 0000, 0001. Give 0000, as"
    assert said in refused(model(), tmp_path / "c")
    array(tmp_path / "d/a.zarr", grey(2, *SHAPE))
    assert "has shape (2, 9, 11, 8), the model 1 channel." in refused(model(), tmp_path / "d")
    assert "has shape (2, 9, 11, 8), the model 3 channels." in refused(model(3), tmp_path / "d")
    stack(tmp_path / "e/a.tif")
    said = "a.tif: has one channel, the model 2. Give volumes of that many as NIfTI or Zarr"
    assert said in refused(model(2), tmp_path / "e")


def test_channels_on_other_grids(refused, tmp_path):
    nifti(tmp_path / "in/a_0000.nii")
    save(tmp_path / "in/a_0001.nii", grey(9, 11, 7))
    assert "a_0001.nii: is 9 x 11 x 7 voxels (x, y, z)" in refused(model(2), tmp_path / "in")


def cut(path):
    """Lose the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_files(refused, tmp_path):
    """In the header, which is read of all files first, or in the voxels."""
    for one in "ab":
        nifti(tmp_path / f"n/{one}.nii")
        stack(tmp_path / f"t/{one}.tif")
    (tmp_path / "t/b.tif").write_bytes(b"II*\0 nonsense")
    assert "b.tif: cannot be read as an image" in refused(model(), tmp_path / "t")
    cut(tmp_path / "n/a.nii")
    assert "a.nii: cannot be read as NIfTI" in refused(model(), tmp_path / "n")
    nifti(tmp_path / "n/a.nii")
    (tmp_path / "n/b.nii").write_bytes(b"nonsense")
    assert "b.nii: cannot be read as NIfTI" in refused(model(), tmp_path / "n")


def test_damaged_arrays(refused, tmp_path):
    path = tmp_path / "in/a.zarr"
    array(path)
    (chunk,) = (one for one in path.rglob("*") if one.is_file() and one.name != "zarr.json")
    cut(chunk)
    assert f"{path}: cannot be read (" in refused(model(), tmp_path / "in")
    (path / "zarr.json").write_text("{")
    assert f"{path}: cannot be read as Zarr" in refused(model(), tmp_path / "in")
    (path / "zarr.json").unlink()
    assert f"{path}: cannot be read as Zarr" in refused(model(), tmp_path / "in")


def test_arrays_that_are_none(refused, tmp_path):
    zarr.create_group(tmp_path / "a/a.zarr").create_array("image", data=grey(*SHAPE))
    said = "a.zarr: is a group of arrays (image), not an array"
    assert said in refused(model(), tmp_path / "a")
    array(tmp_path / "b/a.zarr", grey(*SHAPE) * 1j)
    assert "a.zarr: holds complex128 values" in refused(model(), tmp_path / "b")
    array(tmp_path / "c/a.zarr", np.zeros((0, 4, 4), np.uint8))
    assert "a.zarr: has shape (0, 4, 4)" in refused(model(), tmp_path / "c")


def test_voxels_that_are_no_numbers(refused, tmp_path):
    volume = grey(*SHAPE, dtype=np.float32)
    volume[3, 4, 5] = np.nan
    save(tmp_path / "a/a.nii", volume)
    assert "a.nii: holds 1 voxels that are NaN" in refused(model(), tmp_path / "a")
    array(tmp_path / "b/a.zarr", volume)
    assert "a.zarr: holds NaN or infinity" in refused(model(), tmp_path / "b")


def test_masks_that_are_there(refused, tmp_path):
    for folder, fill in (("a", nifti), ("b", array)):
        path = tmp_path / folder / ("v.nii.gz" if fill is nifti else "v.zarr")
        fill(path)
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / path.name).touch()
        assert f"{path.name}: exists already" in refused(model(), tmp_path / folder)


@pytest.mark.parametrize("options", [["--adapt"], ["--witness", "other.pt"]])
def test_options_for_images(refused, tmp_path, options):
    nifti(tmp_path / "in/a.nii")
    said = f"{options[0]}: is for images, the model takes volumes"
    assert said in refused(model(), tmp_path / "in", *options)


def test_more_instances_than_16_bits_number(refused, tmp_path, monkeypatch):
    nifti(tmp_path / "in/a.nii")
    monkeypatch.setattr("segtrain.volumes.decode", lambda *_, **__: np.full(SHAPE[::-1], 65536))
    said = "a.nii: cannot hold 65536 instances"
    assert said in refused(field_model(3), tmp_path / "in")
