"""Training on volumes, on several channels, and on volumes smaller than the network's step."""

import numpy as np
import pytest

from segtrain.data.source import Labelled
from segtrain.evaluate import evaluate_source
from segtrain.predict import load_segmenter, segment_image
from segtrain.train import train
from segtrain.validation import mean_iou, window
from tests.segtrain.specimens import read, serve, settings, source, stopping_after

SHAPE = (14, 26, 24)
DEEP = {"model": "unet3d", "patch": (8, 16, 16)}


def volumes(**options):
    return source(SHAPE, **{"spacing": 11, "radius": (3, 4.5)} | options)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "unet3d", "channels": 2},
        {"model": "unet3d", "instances": True, "target": "distance", "ema": 0.5},
    ],
)
def test_a_run_on_volumes_goes_on_bit_for_bit(monkeypatch, tmp_path, silent, options):
    given = {key: options.pop(key) for key in ("channels", "instances") if key in options}
    serve(monkeypatch, volumes(**given))
    config = settings(**DEEP | options)
    train(config, tmp_path / "whole", silent)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", stopping_after("train", 3))
    train(config, tmp_path / "parts", silent)
    for name in ("best.pt", "last.pt"):
        assert read(tmp_path / "parts", name) == read(tmp_path / "whole", name)
    best = read(tmp_path / "whole")
    assert best["spacing"] == [1, 1, 1]
    assert best["channels"] == given.get("channels", 1)
    segmenter = load_segmenter(tmp_path / "whole/best.pt", "cpu")
    found = segment_image(segmenter, volumes(**given).load(0).image)
    assert found.shape == SHAPE


def test_images_of_several_channels_are_learned_from(monkeypatch, tmp_path, silent):
    given = source(channels=3)
    serve(monkeypatch, given)
    train(settings(), tmp_path / "run", silent)
    segmenter = load_segmenter(tmp_path / "run/best.pt", "cpu")
    assert segmenter.channels == 3
    assert np.shape(read(tmp_path / "run")["network"]["first.0.weight"])[1] == 3
    assert segment_image(segmenter, given.load(0).image).shape == given.load(0).mask.shape


def test_volumes_thinner_than_the_network_steps_are_validated(monkeypatch, tmp_path, silent):
    serve(monkeypatch, source((3, 26, 24)))
    train(settings(**DEEP | {"widths": (4, 8, 8)}), tmp_path, silent)
    assert read(tmp_path)["score"] >= 0


@pytest.mark.parametrize(
    ("shape", "most", "expected"),
    [((40, 30), 16, (16, 16)), ((10, 30), 16, (8, 16)), ((3, 9), 16, (4, 8)), ((4, 4), 2, (4, 4))],
)
@pytest.mark.parametrize("shift", [0, 1])
def test_the_window_that_validation_looks_at(shape, most, expected, shift):
    places = np.arange(np.prod(shape)).reshape(shape)
    weight = np.ones(shape, np.float32)
    found = window(Labelled(places[None].astype(np.float32), places * shift, weight), most, (4, 4))
    assert found.mask.shape == found.weight.shape == found.image[0].shape == expected
    inside = tuple(slice(min(a, b)) for a, b in zip(shape, expected, strict=True))
    assert found.weight.sum() == found.weight[inside].sum() == found.weight[inside].size
    np.testing.assert_array_equal(found.image[0] * shift, found.mask)
    first = np.unravel_index(int(found.image[0, 0, 0]), shape)
    for start, a, b in zip(first, shape, expected, strict=True):
        assert abs(start - max(a - b, 0) / 2) <= 1


@pytest.mark.parametrize("at", [(2, 3), (35, 4), (20, 27), (38, 28)])
def test_the_window_does_not_miss_what_lies_to_one_side(at):
    mask = np.zeros((40, 30), np.uint8)
    mask[at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2] = 1
    image = np.indices(mask.shape).astype(np.float32)
    found = window(Labelled(image, mask, np.ones(mask.shape, np.float32)), 16, (4, 4))
    assert found.mask.shape == (16, 16)
    assert found.mask.sum() == mask.sum()
    np.testing.assert_array_equal(found.image[:, found.mask > 0], image[:, mask > 0])


def test_the_mean_iou_counts_small_classes_and_confusion():
    # 90 right of the background; of class 1, 5 found and 5 taken for class 2; class 3 is nowhere.
    confusion = np.array([[90, 0, 0, 0], [0, 5, 5, 0], [0, 0, 10, 0], [0, 0, 0, 0]])
    assert mean_iou(confusion) == pytest.approx((5 / 10 + 10 / 15) / 2)
    nothing = np.zeros((3, 3), int)
    nothing[0, 0] = 7
    assert mean_iou(nothing) == 1
    nothing[1, 0] = 1  # a collapsed network
    assert mean_iou(nothing) == 0


@pytest.mark.parametrize("model", ["unet3d", "pde3d-unet", "es-unet"])
def test_a_batch_of_one_patch(monkeypatch, tmp_path, silent, model):
    serve(monkeypatch, volumes())
    train(settings(**DEEP | {"model": model, "batch": 1, "steps": 1}), tmp_path, silent)
    assert read(tmp_path)["score"] >= 0
    with pytest.raises(ValueError, match="single pixel"):
        settings(**DEEP | {"model": model, "batch": 1, "patch": 8, "widths": (2, 2, 2, 2)})


def test_options_are_those_of_the_checkpoint(monkeypatch, tmp_path, silent):
    serve(monkeypatch, volumes())
    options = {"pools": ((1, 2, 2),), "checkpointing": True, "size": 5}
    config = settings(**DEEP | {"model": "pde3d-unet", "steps": 1, "options": options})
    train(config, tmp_path, silent)
    network = load_segmenter(tmp_path / "best.pt", "cpu").network
    assert (network.multiple, network.checkpointing) == ((1, 2, 2), True)
    assert network.numerics.size == 5


@pytest.mark.slow
def test_a_volume_is_learned(monkeypatch, tmp_path, silent):
    serve(monkeypatch, volumes(count=5, noise=0.7))
    config = settings(
        **DEEP | {"widths": (8, 16), "steps": 60, "validate_every": 20, "learning_rate": 1e-2}
    )
    train(config, tmp_path / "run", silent)
    unseen = volumes(count=2, seed=9, noise=0.7)
    segmenter = load_segmenter(tmp_path / "run/best.pt", "cpu")
    found = evaluate_source(segmenter, unseen, 2.0).summary["iou"].mean
    brightest = []
    for index in range(2):
        sample = unseen.load(index)
        levels = np.quantile(sample.image[0], np.linspace(0.05, 0.95, 19))
        truth = sample.mask > 0
        brightest.append(
            max(
                ((sample.image[0] > v) & truth).sum() / ((sample.image[0] > v) | truth).sum()
                for v in levels
            )
        )
    assert found > np.mean(brightest) + 0.2  # than the best threshold there is
