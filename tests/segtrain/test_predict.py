"""Inference: the same answer whole or in tiles, turned or not, at any grey scale."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from phasegen import checkpoint
from phasegen.errors import InputError
from phasegen.images import Micrograph, write_image
from segtrain import predict
from segtrain.config import Training
from segtrain.data.source import standardise
from segtrain.predict import (
    Segmenter,
    build,
    load_segmenter,
    outputs,
    segment,
    segment_with_confidence,
)

CPU = torch.device("cpu")
WIDTHS = (4, 4, 4)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Single precision everywhere: bfloat16 rounds differently for every size of a tile."""
    monkeypatch.setattr(predict.devices, "autocast", lambda _: nullcontext())


def micrograph(pixels, bar=0):
    return Micrograph(Path("a.tif"), pixels.astype(np.float32), np.dtype("float32"), bar)


def texture(shape, seed=0):
    """Smooth noise on a slope, so that a tile's statistics are not those of the image."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return (noise / noise.std() + np.linspace(-3, 3, shape[1])).astype(np.float32)


def untrained(classes=3):
    """A network with random weights whose classes all occur on `texture`."""
    torch.manual_seed(1)
    network = build(Training(widths=WIDTHS), 1, classes, 2, CPU)
    x = torch.from_numpy(standardise(texture((256, 256))))[None, None]
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network(x)
        network.eval().head.bias -= network(x).mean(dim=(0, 2, 3))
    return Segmenter(network, ("a", "b", "c")[:classes], CPU, ())


def different(a, b):
    assert a.shape == b.shape
    return np.mean(a != b)


def test_probabilities_are_the_mean_over_four_quarter_turns():
    segmenter = untrained()
    x = torch.from_numpy(texture((24, 40)))[None, None]
    with torch.no_grad():
        turned = [segmenter.network(x.rot90(k, (2, 3))).softmax(1) for k in range(4)]
    expected = sum(p.rot90(-k, (2, 3)) for k, p in enumerate(turned)) / 4
    result = outputs(segmenter, x.numpy())
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(result.sum(dim=1), torch.ones(1, 24, 40))
    assert (result - turned[0]).abs().max() > 0.01


def test_a_large_image_in_tiles_is_segmented_as_a_whole(monkeypatch):
    segmenter, image = untrained(), micrograph(100 * texture((700, 900)))
    monkeypatch.setattr(predict, "TILE", 1024)
    whole = segment(segmenter, image)
    assert np.bincount(whole.ravel(), minlength=3).min() > 0.05 * whole.size
    monkeypatch.setattr(predict, "TILE", 256)
    assert different(segment(segmenter, image), whole) < 1e-5


def test_tiles_take_the_context_that_the_network_needs(monkeypatch):
    segmenter, image = untrained(), standardise(texture((200, 260)))[None]
    whole = segment_with_confidence(segmenter, image)
    monkeypatch.setattr(predict, "TILE", 64)
    mask, confidence = segment_with_confidence(segmenter, image)
    assert different(mask, whole[0]) < 1e-4
    np.testing.assert_allclose(confidence.astype(int), whole[1], atol=1)
    segmenter.network.halo = 4  # too little: seams show
    mask, confidence = segment_with_confidence(segmenter, image)
    assert different(mask, whole[0]) > 1e-3
    assert np.abs(confidence.astype(int) - whole[1]).max() > 5


def test_masks_turn_with_the_image(monkeypatch):
    segmenter, pixels = untrained(), texture((96, 96))
    upright = segment(segmenter, micrograph(pixels))
    for turns in (1, 2, 3):
        turned = segment(segmenter, micrograph(np.rot90(pixels, turns)))
        assert different(turned, np.rot90(upright, turns)) < 1e-3
    monkeypatch.setattr(predict, "ROTATIONS", 1)
    upright, turned = (segment(segmenter, micrograph(np.rot90(pixels, k))) for k in (0, 1))
    assert different(turned, np.rot90(upright)) > 0.01


@pytest.mark.parametrize("shape", [(1, 1), (5, 130), (31, 33)])
def test_size_of_the_mask(shape):
    mask = segment(untrained(), micrograph(texture((64, 160))[: shape[0], : shape[1]]))
    assert (mask.shape, mask.dtype) == (shape, np.uint8)


def test_gain_and_offset_do_not_matter():
    segmenter, pixels = untrained(), texture((96, 80))
    mask = segment(segmenter, micrograph(pixels))
    for gain, offset in ((5000, 30000), (0.01, 0.4)):
        assert different(segment(segmenter, micrograph(gain * pixels + offset)), mask) < 1e-3


def test_the_info_bar_is_background_and_does_not_reach_the_scene():
    segmenter, scene = untrained(), texture((80, 96))
    alone = segment(segmenter, micrograph(scene))
    for bar in (np.full((20, 96), 50.0), np.random.default_rng(0).normal(size=(20, 96))):
        mask = segment(segmenter, micrograph(np.vstack([scene, bar]), bar=20))
        assert (mask[80:] == 0).all()
        np.testing.assert_array_equal(mask[:80], alone)
    assert alone[70:].any()


def test_confidence_is_the_probability_of_the_chosen_class():
    segmenter, image = untrained(), standardise(texture((64, 64)))[None]
    mask, confidence = segment_with_confidence(segmenter, image)
    assert different(mask, segment(segmenter, micrograph(image[0]))) < 1e-3
    assert confidence.dtype == np.uint8
    mirrored = np.pad(image[0], 32, mode="reflect")[None, None]
    expected = outputs(segmenter, mirrored)[0].amax(dim=0).numpy()[32:-32, 32:-32]
    np.testing.assert_allclose(confidence, 255 * expected, atol=0.51)
    assert confidence.min() >= 255 // 3


def test_a_checkpoint_gives_the_segmenter_back(tmp_path):
    segmenter, image = untrained(), micrograph(texture((64, 64)))
    record = {"labels": "simulated", "path": "a.zarr"}
    state = {
        "network": segmenter.network.state_dict(),
        "classes": ["a", "b", "c"],
        "config": {"model": "unet", "widths": list(WIDTHS)},
        "sources": [record],
        "channels": 1,
        "spacing": [1, 1],
    }
    checkpoint.save(tmp_path / "a.pt", "segtrain", state)
    again = load_segmenter(tmp_path / "a.pt", "cpu")
    assert (again.classes, again.sources) == (("a", "b", "c"), (record,))
    assert not again.network.training
    np.testing.assert_array_equal(segment(again, image), segment(segmenter, image))


def test_what_is_no_segmenter_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.pt: does not exist"):
        load_segmenter(tmp_path / "a.pt")
    checkpoint.save(tmp_path / "a.pt", "cyclegan", {})
    with pytest.raises(InputError, match="is a checkpoint of cyclegan, not of segtrain"):
        load_segmenter(tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes(b"torch")
    with pytest.raises(InputError, match="damaged"):
        load_segmenter(tmp_path / "a.pt")
    state = {"config": {"model": "unet", "widths": [4, 8]}, "classes": ["a", "b"], "sources": []}
    state |= {"channels": 1, "spacing": [1, 1]}
    weights = build(Training(widths=(4, 6)), 1, 2, 2, torch.device("cpu")).state_dict()
    for changes in ({"network": weights}, {"config": {"model": "vnet", "widths": [4]}}, {}):
        checkpoint.save(tmp_path / "a.pt", "segtrain", state | changes)
        with pytest.raises(InputError, match=r"a\.pt: does not fit the networks"):
            load_segmenter(tmp_path / "a.pt")


@pytest.mark.slow
def test_memory_stays_bounded_whatever_the_size_of_the_image(tmp_path):
    """Of 16 megapixels in one piece, the first layer alone would take a gigabyte."""
    side = 4096
    noise = np.random.default_rng(0).integers(0, 255, (side, side), np.uint8)
    write_image(tmp_path / "large.png", noise)
    network = build(Training(widths=(16, 4)), 1, 2, 2, torch.device("cpu"))
    state = {"config": {"model": "unet", "widths": [16, 4]}, "classes": ["a", "b"], "sources": []}
    state |= {"channels": 1, "spacing": [1, 1]}
    state["network"] = network.state_dict()
    checkpoint.save(tmp_path / "a.pt", "segtrain", state)
    script = f"""
import resource
from pathlib import Path
from phasegen.images import read_micrograph
from segtrain.predict import load_segmenter, segment
segmenter = load_segmenter(Path({str(tmp_path / "a.pt")!r}), "cpu")
micrograph = read_micrograph(Path({str(tmp_path / "large.png")!r}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert segment(segmenter, micrograph).shape == ({side}, {side})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 700_000  # kilobytes
