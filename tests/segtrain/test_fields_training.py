"""Training on a field: it tells touching instances apart, and goes on where it stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.filters import gaussian, threshold_otsu
from skimage.segmentation import watershed

from segtrain.data.source import Labelled, Source
from segtrain.decode import decode
from segtrain.evaluate import evaluate_source
from segtrain.metrics.instance import overlaps, panoptic_quality, pool
from segtrain.predict import load_segmenter
from segtrain.sources import Data, open_data
from segtrain.steps import Run
from segtrain.targets import TARGETS
from segtrain.train import train
from segtrain.validation import validate
from tests.segtrain.specimens import read, serve, settings, source, stopping_after


@pytest.fixture
def run(monkeypatch, tmp_path, silent):
    serve(monkeypatch, source(instances=True))
    config = settings(target="poisson", ema=0.5)
    train(config, tmp_path / "run", silent)
    return config, tmp_path / "run"


def test_a_network_of_a_field_has_one_output_and_says_what_it_learned(run):
    _, out = run
    best = read(out)
    assert np.shape(best["network"]["head.bias"]) == (1,)
    assert (best["config"]["target"], best["config"]["loss"]) == ("poisson", None)
    assert best["classes"] == ["matrix", "instance"]
    segmenter = load_segmenter(out / "best.pt", "cpu")
    found = evaluate_source(segmenter, source(instances=True, seed=2), 2.0)
    assert {"pq", "sq", "rq", "iou"} <= found.summary.keys()
    assert {"pq", "seg", "iou"} <= found.pooled.keys()


def test_a_run_of_a_field_goes_on_bit_for_bit(run, tmp_path, silent):
    config, out = run
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", stopping_after("train", 3))
    train(config, tmp_path / "parts", silent)
    for name in ("best.pt", "last.pt"):
        assert read(tmp_path / "parts", name) == read(out, name)


class Echo(torch.nn.Identity):
    """Knows the field, if the image is it."""

    multiple, halo = 1, 0


@pytest.mark.parametrize(("target", "epsilon"), [("poisson", 0.05), ("diffusion", 0.01)])
def test_validation_decodes_a_field_as_that_field_needs(target, epsilon):
    balls = source((72, 72), instances=True, spacing=24, radius=(8, 11), noise=0)

    def load(index):
        sample = balls.load(index)
        return replace(sample, image=TARGETS[target](sample.mask, None)[None])

    known = replace(balls, load=load)
    data = Data(known, known, [], [0, 1, 2], None, [], [])
    config = settings(target=target)
    shown = []
    found = validate(
        Run(config, Path(), Echo(), torch.device("cpu"), data, {}),
        Echo(),
        shown.extend,
    )
    assert (found.decoding.epsilon, found.decoding.h) == (epsilon, 0.1)
    samples = [load(index) for index in range(3)]
    labels = [decode(sample.image[0], epsilon=epsilon) for sample in samples]
    by_hand = pool(
        panoptic_quality(overlaps(one, sample.mask))
        for one, sample in zip(labels, samples, strict=True)
    )
    assert found.score == pytest.approx(by_hand.pq)
    assert found.score > 0.9
    for one, predicted, sample in zip(shown, labels, samples, strict=True):
        np.testing.assert_array_equal(one.predicted, predicted)
        np.testing.assert_array_equal(one.truth, sample.mask)


def test_the_decoding_of_the_best_network_is_kept_and_used(run):
    config, out = run
    data = open_data(config)
    best = load_segmenter(out / "best.pt", "cpu")
    found = validate(Run(config, out, best.network, best.device, data, {}), best.network)
    assert (best.decoding, read(out)["score"]) == (found.decoding, found.score)


def crowded(seed, count):
    """Touching discs under a light that is uneven: no threshold finds them all."""
    samples = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        y, x = np.indices((64, 64))
        labels = np.zeros((64, 64), np.int32)
        for number, (cy, cx) in enumerate(np.mgrid[6:64:10, 6:64:10].reshape(2, -1).T, 1):
            at = np.array([cy, cx]) + rng.uniform(-1.5, 1.5, 2)
            labels[(y - at[0]) ** 2 + (x - at[1]) ** 2 <= rng.uniform(4, 6) ** 2] = number
        rim = ndimage.grey_dilation(labels, 3) != ndimage.grey_erosion(labels, 3)
        light = 2.5 * np.sin(0.05 * x + rng.uniform(0, 6))
        image = (labels > 0) * np.where(rim, 0.4, 1.0) + light + rng.normal(0, 0.15, (64, 64))
        image = ((image - image.mean()) / image.std()).astype(np.float32)
        samples.append(Labelled(image[None], labels, np.ones((64, 64), np.float32)))
    record = {"labels": "drawn", "path": "crowd", "kind": "", "samples": count, "digest": "",
              "parents": []}  # fmt: skip
    return Source(("matrix", "disc"), count, samples.__getitem__, record, instances=True)


def by_threshold(image):
    """Otsu's threshold, which uneven light defeats, and a watershed of the distance."""
    smooth = gaussian(image, 1)
    bright = smooth > threshold_otsu(smooth)
    distance = gaussian(ndimage.distance_transform_edt(bright), 1)
    peaks = (ndimage.maximum_filter(distance, 5) == distance) & bright
    return watershed(-distance, ndimage.label(peaks)[0], mask=bright)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["distance", "poisson"])
def test_it_tells_touching_instances_apart(monkeypatch, tmp_path, silent, target):
    serve(monkeypatch, crowded(0, 7))
    config = settings(
        target=target, widths=(8, 16, 32), batch=4, patch=32, steps=150, validate_every=50,
        learning_rate=1e-2,
    )  # fmt: skip
    train(config, tmp_path / "run", silent)
    unseen = crowded(1, 3)
    learnt = evaluate_source(load_segmenter(tmp_path / "run/best.pt", "cpu"), unseen, 2.0)
    baseline = [
        panoptic_quality(overlaps(by_threshold(s.image[0]), s.mask)).pq
        for s in map(unseen.load, range(3))
    ]
    assert learnt.pooled["pq"] > max(0.5, np.mean(baseline) + 0.3)
