"""Masks of volumes as files: of the format, the shape, the axes and the affine of the volume."""

import json
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import tifffile
import torch
import zarr

from cli import segtrain
from phasegen.errors import InputError
from segtrain.data.source import standardise
from segtrain.metrics import overlaps, panoptic_quality
from segtrain.models import MODELS
from segtrain.predict import Segmenter, segment_image
from segtrain.preparation import Preparation
from segtrain.volume_files import plan
from segtrain.volumes import predict_volumes
from tests.cli.conftest import call
from tests.segtrain.cells import CPU, discs, field_model
from tests.segtrain.scans import save

SHAPE = (9, 11, 8)
"""Voxels along x, y, z of NIfTI files; z, y, x of others."""

SCALED = np.array([[1.5, 0, 0, -7], [0, 0.8, 0, 11], [0, 0, 2.5, 3], [0, 0, 0, 1]])


class Bright(torch.nn.Module):
    """Class 1 where the sum of the channels, the last one doubled, is above its mean."""

    multiple, halo = 1, 0

    def __init__(self):
        super().__init__()
        self.shown = set()

    def forward(self, x):
        self.shown.add(tuple(x.shape[2:]))
        value = x.sum(dim=1, keepdim=True) + x[:, -1:]
        return torch.cat([-value, value], dim=1)


def model(channels=1, network=None, **options):
    """A segmenter whose masks are easily told."""
    known = {"spacing": (1.0,) * 3, "window": (6, 8, 8), "channels": channels} | options
    return Segmenter(network or Bright(), ("dark", "bright"), CPU, (), **known)


def grey(*shape, seed=0, dtype=np.int16):
    return np.random.default_rng(seed).integers(0, 3000, shape).astype(dtype)


def expected(*channels):
    """What `Bright` says of channels."""
    standard = [standardise(one.astype(np.float32)) for one in channels]
    return (sum(standard) + standard[-1] > 0).astype(np.uint8)


def run(segmenter, folder, out, **options):
    """Predict a folder; the steps of progress by name of the mask."""
    steps = {}

    def advance(planes, name):
        steps[name] = steps.get(name, 0) + planes

    jobs = plan(segmenter, folder, out)
    predict_volumes(segmenter, jobs, advance, **options)
    assert steps == {job.target.name: job.shape[0] for job in jobs}


def same_grid(a, b):
    """Affines bit for bit, what they mean, and voxels."""
    a, b = nibabel.load(a), nibabel.load(b)
    np.testing.assert_array_equal(a.affine, b.affine)
    assert a.header.get_xyzt_units() == b.header.get_xyzt_units()
    for form in ("sform", "qform"):
        (x, m), (y, n) = (getattr(one, f"get_{form}")(coded=True) for one in (a, b))
        assert m == n
        if m:
            np.testing.assert_array_equal(x, y)
    assert a.shape == b.shape[:3]
    return np.asarray(a.dataobj)


def test_a_mask_lies_on_its_volume_however_that_is_stored(tmp_path):
    """All 48 ways to store axes, each of them told apart by voxels that have no symmetry."""
    for number, (order, signs) in enumerate(
        product(permutations(range(3)), product((1, -1), repeat=3))
    ):
        affine = np.eye(4)
        affine[:3, :3] = np.diag([1.5, 0.8, 2.5])[:, order] * signs
        affine[:3, 3] = 3, -70, number
        save(tmp_path / f"in/{number:02d}.nii.gz", grey(*SHAPE, seed=number), affine)
    run(model(), tmp_path / "in", tmp_path / "out")
    for path in (tmp_path / "in").iterdir():
        found = same_grid(tmp_path / "out" / path.name, path)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected(np.asarray(nibabel.load(path).dataobj)))


def oblique(path):
    """Turned by half a radian, and with other codes, units, byte order and range to be shown."""
    turn = np.array([[np.cos(0.5), -np.sin(0.5), 0], [np.sin(0.5), np.cos(0.5), 0], [0, 0, 1]])
    header = nibabel.Nifti1Header(endianness=">")
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.0, 1, 3])
    image = nibabel.Nifti1Image(grey(*SHAPE) * 0.25, affine, header)
    image.set_sform(affine, 4)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = 500
    image.header.set_data_dtype(np.int16)  # scaled
    nibabel.save(image, path)
    return np.asarray(nibabel.load(path).dataobj)


def test_the_header_is_that_of_the_volume_but_for_what_the_voxels_are(tmp_path):
    (tmp_path / "in").mkdir()
    values = oblique(tmp_path / "in/a.nii")
    save(tmp_path / "in/b.nii", grey(*SHAPE), SCALED, kind=nibabel.Nifti2Image)
    run(model(), tmp_path / "in", tmp_path / "out", confidence=False)
    np.testing.assert_array_equal(
        same_grid(tmp_path / "out/a.nii", tmp_path / "in/a.nii"), expected(values)
    )
    same_grid(tmp_path / "out/b.nii", tmp_path / "in/b.nii")
    assert isinstance(nibabel.load(tmp_path / "out/b.nii"), nibabel.Nifti2Image)
    header = nibabel.load(tmp_path / "out/a.nii").header
    assert header["cal_max"] == 0
    assert header.get_slope_inter() == (None, None)
    assert {one.name for one in (tmp_path / "out").iterdir()} == {"a.nii", "b.nii"}


def test_channels_along_a_fourth_axis_or_in_files_of_their_own(tmp_path):
    channels = [grey(*SHAPE, seed=k) for k in range(2)]
    save(tmp_path / "msd/BRATS_001.nii.gz", np.stack(channels, axis=-1), SCALED)
    for k in (1, 0):
        save(tmp_path / f"nnunet/case_7_{k:04d}.nii.gz", channels[k], SCALED)
    run(model(2), tmp_path / "msd", tmp_path / "a")
    run(model(2), tmp_path / "nnunet", tmp_path / "b")
    for mask, volume in (
        ("a/BRATS_001.nii.gz", "msd/BRATS_001.nii.gz"),
        ("b/case_7.nii.gz", "nnunet/case_7_0000.nii.gz"),
    ):
        found = same_grid(tmp_path / mask, tmp_path / volume)
        np.testing.assert_array_equal(found, expected(*channels))
        assert not np.array_equal(found, expected(*channels[::-1]))


@pytest.mark.parametrize(
    ("names", "channels", "masks"),
    [
        (["a_0000", "b_0000"], 1, ["a", "b"]),
        (["scan_0000", "scan_0001"], 1, ["scan_0000", "scan_0001"]),
        (["a_001", "a_002"], 1, ["a_001", "a_002"]),
        (["a_2019", "b_2019"], 1, ["a_2019", "b_2019"]),
        (["a_0000", "a_0001", "b_0000", "b_0001"], 2, ["a", "b"]),
    ],
)
def test_which_files_are_one_volume(tmp_path, names, channels, masks):
    for name in names:
        save(tmp_path / f"{name}.nii.gz", grey(*SHAPE))
    (tmp_path / "._a_0000.nii.gz").write_bytes(b"resource fork")
    jobs = plan(model(channels), tmp_path, tmp_path / "out")
    assert [job.target.name for job in jobs] == [f"{mask}.nii.gz" for mask in masks]


def cone(*places):
    """Brightness that falls with the distance from a point off the middle; x, y, z in mm."""
    x, y, z = np.meshgrid(*places, indexing="ij")
    return (1000 - 40 * np.sqrt((x - 12) ** 2 + (y - 11) ** 2 + (z - 17) ** 2)).astype(np.float32)


def test_where_training_resampled_the_volume_is_and_the_mask_back(tmp_path):
    sides, spacing, wanted = (36, 28, 13), (0.75, 1.0, 2.5), (1.5, 2.0, 1.25)
    places = [(np.arange(n) + 0.5) * size for n, size in zip(sides, spacing, strict=True)]
    volume = cone(*places)
    # The first axis points left, the last one, the thickest, to the front.
    affine = np.zeros((4, 4))
    affine[0, 0], affine[2, 1], affine[1, 2], affine[3, 3] = -spacing[0], spacing[1], spacing[2], 1
    save(tmp_path / "in/a.nii.gz", volume, affine)
    network = Bright()
    prepared = Preparation(spacing=(2.0, 1.25, 1.5), resampled=True)
    segmenter = model(network=network, window=(14, 26, 18), prepared=prepared)
    (job,) = plan(segmenter, tmp_path / "in", tmp_path / "out")
    assert job.shape == (14, 26, 18)  # 28 mm by 2, 32.5 by 1.25, 27 by 1.5
    run(segmenter, tmp_path / "in", tmp_path / "out")
    assert network.shown == {(14, 26, 18)}
    found = same_grid(tmp_path / "out/a.nii.gz", tmp_path / "in/a.nii.gz") > 0
    # Every voxel has the class of the one of the network that its middle lies in.
    seen = [(np.floor(at / size) + 0.5) * size for at, size in zip(places, wanted, strict=True)]
    truth = cone(*seen) > volume.mean()
    assert np.mean(found != truth) < 0.01
    for axis in range(3):
        assert np.mean(np.roll(found, 1, axis) != truth) > 0.03
    same_grid(tmp_path / "out/confidence/a.nii.gz", tmp_path / "in/a.nii.gz")


@pytest.mark.parametrize(
    ("prepared", "said"),
    [
        (Preparation(spacing=(2.5, 0.8, 1.5)), None),
        (Preparation(), None),
        (Preparation(spacing=(1.0, 1.0, 1.0), resampled=True), None),
        (Preparation(spacing=(1.0, 1.0, 1.0)), "2.5 x 0.8 x 1.5, those of the training 1 x 1 x 1"),
    ],
)
def test_voxels_of_another_size_are_warned_of(tmp_path, caplog, prepared, said):
    save(tmp_path / "a.nii", grey(*SHAPE), SCALED)
    plan(model(prepared=prepared), tmp_path, tmp_path / "out")
    assert [said in one.getMessage() for one in caplog.records] == [True] * (said is not None)


def test_a_stack_that_states_no_size_is_warned_of_where_training_resampled(tmp_path, caplog):
    tifffile.imwrite(tmp_path / "a.tif", grey(*SHAPE), photometric="minisblack")
    sizes = {"imagej": True, "resolution": (2, 2), "metadata": {"axes": "ZYX", "spacing": 2.0}}
    tifffile.imwrite(tmp_path / "b.tif", grey(*SHAPE, dtype=np.uint16), **sizes)
    prepared = Preparation(spacing=(2.0, 0.5, 0.5), resampled=True)
    plan(model(prepared=prepared), tmp_path, tmp_path / "out")
    (said,) = [one.getMessage() for one in caplog.records]
    assert said.startswith("1 of 2 volumes, such as a.tif, have voxels of an unstated size")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_stacks_get_masks_of_8_bits(tmp_path, dtype):
    volumes = {f"{k}.tif": (grey(*SHAPE, seed=k) // 12).astype(dtype) for k in range(2)}
    (tmp_path / "in").mkdir()
    for name, volume in volumes.items():
        tifffile.imwrite(tmp_path / "in" / name, volume, photometric="minisblack")
    run(model(), tmp_path / "in", tmp_path / "out")
    for name, volume in volumes.items():
        found = tifffile.imread(tmp_path / "out" / name)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected(volume))
        assert tifffile.imread(tmp_path / "out/confidence" / name).shape == SHAPE


@pytest.mark.parametrize(("shape", "channels"), [(SHAPE, 1), ((1, *SHAPE), 1), ((2, *SHAPE), 2)])
def test_arrays_are_streamed_to_arrays(tmp_path, shape, channels):
    torch.manual_seed(0)
    ours = model(channels, MODELS["unet3d"](channels, 3, (4, 8), 3).eval())
    volume = grey(*shape, dtype=np.uint16)
    (tmp_path / "in").mkdir()
    zarr.create_array(tmp_path / "in/a.zarr", data=volume, chunks=(4,) * len(shape))
    run(ours, tmp_path / "in", tmp_path / "out")
    found = zarr.open_array(tmp_path / "out/a.zarr", mode="r")
    assert found.dtype == np.uint8
    assert found.attrs["classes"] == ["dark", "bright"]
    channel = volume.reshape(-1, *SHAPE)
    wanted = segment_image(ours, np.stack([standardise(one) for one in channel]))
    assert len(np.unique(wanted)) > 1
    np.testing.assert_array_equal(found[:], wanted)
    assert {one.name for one in (tmp_path / "out").iterdir()} == {"a.zarr", "confidence"}
    again = plan(ours, tmp_path / "in", tmp_path / "out", overwrite=True)
    predict_volumes(ours, again)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out/a.zarr")[:], wanted)


def test_the_confidence_is_the_probability_of_the_class(tmp_path):
    volume = grey(*SHAPE)
    save(tmp_path / "in/a.nii", volume, np.eye(4))
    (tmp_path / "stack").mkdir()
    tifffile.imwrite(tmp_path / "stack/a.tif", volume.T, photometric="minisblack")
    zarr.create_array(tmp_path / "lazy/a.zarr", data=volume.T)
    for folder in ("in", "stack", "lazy"):
        run(model(), tmp_path / folder, tmp_path / f"{folder}.out")
    twice = 2 * standardise(volume.astype(np.float32))  # one channel, which is the last as well
    wanted = 255 / (1 + np.exp(-2 * np.abs(twice)))
    maps = (
        nibabel.load(tmp_path / "in.out/confidence/a.nii").dataobj,
        tifffile.imread(tmp_path / "stack.out/confidence/a.tif").T,
        zarr.open_array(tmp_path / "lazy.out/confidence/a.zarr")[:].T,
    )
    for found in maps:
        # Half a unit of rounding; bfloat16, where a processor has it, has 8 bits.
        assert np.abs(np.asarray(found, float) - wanted).max() < 2


def test_instances_are_found_in_files_and_left_as_a_field_in_arrays(tmp_path, caplog):
    labels, volume = discs((20, 24, 30), 0)
    segmenter = field_model(3, h=0.5)
    save(tmp_path / "nifti/a.nii.gz", volume.T, np.eye(4))
    run(segmenter, tmp_path / "nifti", tmp_path / "a")
    (tmp_path / "stack").mkdir()
    tifffile.imwrite(tmp_path / "stack/a.tif", volume, photometric="minisblack")
    run(segmenter, tmp_path / "stack", tmp_path / "a")
    wanted = segment_image(segmenter, standardise(volume.astype(np.float32))[None])
    assert panoptic_quality(overlaps(wanted, labels)).pq > 0.9
    for found in (
        same_grid(tmp_path / "a/a.nii.gz", tmp_path / "nifti/a.nii.gz").T,
        tifffile.imread(tmp_path / "a/a.tif"),
    ):
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, wanted)
    assert not caplog.records
    zarr.create_array(tmp_path / "lazy/a.zarr", data=volume)
    run(segmenter, tmp_path / "lazy", tmp_path / "b")
    field = zarr.open_array(tmp_path / "b/a.zarr")
    assert (field.dtype, field.attrs["field"]) == (np.float32, "poisson")
    np.testing.assert_allclose(field[:], 0.4 * standardise(volume.astype(np.float32)), atol=1e-5)
    assert ["not instances" in one.getMessage() for one in caplog.records] == [True]
    assert not (tmp_path / "a/confidence").exists()
    assert not (tmp_path / "b/confidence").exists()


class Failing(Bright):
    """Says no more after a few windows."""

    def __init__(self, error):
        super().__init__()
        self.error, self.left = error, 3

    def forward(self, x):
        self.left -= 1
        if not self.left:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize(
    ("error", "becomes"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left"), InputError)],
)
def test_an_array_appears_whole_or_not_at_all(tmp_path, error, becomes):
    zarr.create_array(tmp_path / "in/a.zarr", data=grey(*SHAPE))
    with pytest.raises(becomes):
        run(model(network=Failing(error)), tmp_path / "in", tmp_path / "out")
    assert [one.name for one in (tmp_path / "out").rglob("*")] == ["confidence"]


def test_from_training_to_masks_that_score_as_evaluate_says(tmp_path):
    """As a user would, and volumes stored left to right, with labels as bright as they are."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    for number in range(3):
        drawn = (grey(14, 16, 12, seed=number) > 1500).astype(np.uint8)
        save(tmp_path / f"task/imagesTr/c_{number}.nii.gz", drawn * np.int16(900), lps)
        save(tmp_path / f"task/labelsTr/c_{number}.nii.gz", drawn, lps)
    tiny = ["--set", "widths=[4,8]", "--set", "batch=2", "--set", "validation=1", "--steps", 15]
    tiny += ["--set", "learning_rate=0.03"]
    source, best = f"msd:{tmp_path / 'task'}", tmp_path / "run/best.pt"
    train = ["--data", source, "--model", "unet3d", "--patch", "8,8,8", "--device", "cpu"]
    assert call(segtrain.app, *train, *tiny, "--out", tmp_path / "run") == 0
    given = ["--checkpoint", best, "--device", "cpu", "--out"]
    assert call(segtrain.app, "evaluate", "--data", source, *given, tmp_path / "scores") == 0
    images, out = tmp_path / "task/imagesTr", tmp_path / "masks"
    assert call(segtrain.app, "predict", images, *given, out) == 0
    scores = json.loads((tmp_path / "scores/metrics.json").read_text())["images"]
    assert len(scores) == 3
    for name, row in scores.items():
        found = same_grid(out / f"{name}.nii.gz", images / f"{name}.nii.gz") > 0
        truth = np.asarray(nibabel.load(tmp_path / f"task/labelsTr/{name}.nii.gz").dataobj) > 0
        assert 0 < found.mean() < 1
        dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        assert dice == pytest.approx(row["dice"], abs=1e-12)
