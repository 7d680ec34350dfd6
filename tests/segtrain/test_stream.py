"""Volumes on disk: the same result as in memory, in memory that does not grow with the depth."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr

from phasegen.errors import InputError
from segtrain.data.source import standardise
from segtrain.models import MODELS
from segtrain.predict import Segmenter, field_of, segment_image
from segtrain.preparation import Preparation
from segtrain.stream import predict_volume

WINDOW = (8, 16, 16)


def segmenter(network, channels=1, target="classes", spacing=(1.0, 1.0, 1.0)):
    names = ("a", "b", "c")
    return Segmenter(
        network.eval(),
        names,
        torch.device("cpu"),
        (),
        target=target,
        channels=channels,
        spacing=spacing,
        window=WINDOW,
    )


def grey(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


@pytest.mark.parametrize(("channels", "target"), [(1, "classes"), (2, "classes"), (1, "poisson")])
def test_the_result_is_that_of_the_volume_in_memory(tmp_path, channels, target):
    torch.manual_seed(0)
    network = MODELS["unet3d"](channels, 3 if target == "classes" else 1, (4, 8), 3)
    ours = segmenter(network, channels, target)
    volume = grey((channels, 21, 30, 17))
    stored = zarr.create_array(tmp_path / "a.zarr", data=volume, chunks=(1, 5, 16, 16))
    kind = "u1" if target == "classes" else "f4"
    out = zarr.create_array(tmp_path / "b.zarr", shape=volume.shape[1:], dtype=kind)
    predict_volume(ours, stored, out)
    image = np.stack([standardise(channel) for channel in volume])
    if target == "classes":
        wanted = segment_image(ours, image)
        assert len(np.unique(wanted)) > 1
        np.testing.assert_array_equal(out[:], wanted)
    else:
        np.testing.assert_allclose(out[:], field_of(ours, image), atol=1e-5)


def test_one_channel_needs_no_axis(tmp_path):
    torch.manual_seed(1)
    ours = segmenter(MODELS["unet3d"](1, 3, (4, 8), 3))
    volume, results = grey((9, 20, 20)), []
    for source in (volume, volume[None]):
        results.append(np.zeros(volume.shape, np.uint8))
        predict_volume(ours, source, results[-1])
    np.testing.assert_array_equal(*results)


class Bright(torch.nn.Module):
    """Class 1 where a voxel is brighter than the mean."""

    multiple, halo = 1, 0

    def forward(self, x):
        return torch.cat([-x, x], dim=1)


class Echo(Bright):
    """The voxels of a channel as the network is shown them."""

    def __init__(self, channel=0):
        super().__init__()
        self.channel = channel

    def forward(self, x):
        return x[:, self.channel : self.channel + 1]


def test_voxels_are_standardised_by_the_whole_volume():
    # Planes differ in mean and in contrast, so that no part of the volume speaks for all.
    volume = grey((40, 18, 20)) * np.linspace(0, 1, 40)[:, None, None] + 5
    out = np.zeros(volume.shape, np.float32)
    predict_volume(segmenter(Echo(), target="poisson"), volume, out)
    np.testing.assert_allclose(out, standardise(volume), atol=1e-5)


@pytest.mark.parametrize(
    "prepared", [Preparation(window=(-50.0, 900.0)), Preparation(nonzero=True), Preparation()]
)
def test_voxels_are_prepared_as_in_training(prepared):
    volume = grey((2, 21, 18, 20)).astype(np.float32) - 1000
    volume[0, :8] = 0  # planes, and a channel beside them that has none
    out = np.zeros(volume.shape[1:], np.float32)
    for channel in range(2):
        network = Echo(channel)
        ours = replace(segmenter(network, 2, target="poisson"), prepared=prepared)
        predict_volume(ours, volume, out)
        np.testing.assert_allclose(out, prepared.normalised(volume[channel]), atol=1e-5)
        assert (out[:8] == 0).all() == (prepared.nonzero and channel == 0)


def peak(tmp_path, depth):
    """Most memory in use at a time, bytes, for a volume on disk."""
    shape = (depth, 64, 64)
    source = np.memmap(tmp_path / f"{depth}.raw", np.uint16, "w+", shape=shape)
    out = np.memmap(tmp_path / f"{depth}.mask", np.uint8, "w+", shape=shape)
    tracemalloc.start()
    predict_volume(segmenter(Bright()), source, out)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_depth(tmp_path):
    peak(tmp_path, 16)  # imports and caches
    shallow, deep = peak(tmp_path, 32), peak(tmp_path, 256)
    assert deep < 1.1 * shallow
    assert deep < 256 * 64 * 64 * 4 / 2  # of the volume in float32


def test_what_does_not_fit_is_refused():
    ours = segmenter(Bright())
    volume = grey((9, 20, 20))
    for source, out, problem in (
        (volume[0], volume, "has shape"),
        (np.stack([volume, volume]), volume, r"has shape \(2, 9, 20, 20\), the model 1 channel"),
        (volume, volume[1:], r"the result: has shape \(8, 20, 20\)"),
        (np.where(volume > 9, volume, np.nan), volume.copy(), "NaN"),
    ):
        with pytest.raises(InputError, match=problem):
            predict_volume(ours, source, out)
    with pytest.raises(InputError, match="for images"):
        predict_volume(segmenter(Bright(), spacing=(1.0, 1.0)), volume, volume)
