"""Pseudo-labels: which are trusted, of how much of an image; those without weight teach nothing."""

import numpy as np
import torch

from phasegen.images import list_images, write_image
from segtrain import selftrain, sources
from segtrain.config import Training
from segtrain.data.source import Labelled, Source
from segtrain.loop import BEST
from segtrain.predict import Segmenter
from segtrain.selftrain import pseudo_labels
from segtrain.train import train
from tests.segtrain.specimens import FAST, read


def stub():
    """A segmenter whose network is never asked."""
    return Segmenter(torch.nn.Identity(), ("a", "b"), torch.device("cpu"), ())


def test_the_threshold_of_confidence(real, silent, monkeypatch):
    probability = np.tile(np.array([0, 177, 178, 179, 255], np.uint8), 16)

    def segmented(_, image):
        size = image.shape[1:]
        return np.ones(size, np.uint8), np.broadcast_to(probability, size)

    monkeypatch.setattr(selftrain, "segment_with_confidence", segmented)
    teacher = stub()
    settings = Training(adapt=real.images, confidence=0.7, **FAST)
    target = pseudo_labels(teacher, list_images(real.images), settings, silent)
    expected = np.broadcast_to(np.tile([0, 0, 0, 1, 1], 16), (96, 80))
    np.testing.assert_array_equal(target.load(0).weight, expected)
    assert (target.load(0).mask == 1).all()


def test_large_unlabelled_images_are_used_in_part(tmp_path, silent, monkeypatch):
    monkeypatch.setattr(selftrain, "LABELLED", 40)
    monkeypatch.setattr(
        selftrain, "segment_with_confidence", lambda _, x: (np.zeros(x.shape[1:], np.uint8),) * 2
    )
    pixels = np.arange(50 * 70, dtype=np.uint16).reshape(50, 70)
    write_image(tmp_path / "a.tif", pixels)
    settings = Training(adapt=tmp_path, **FAST)
    target = pseudo_labels(stub(), [tmp_path / "a.tif"], settings, silent)
    part = target.load(0).image[0]
    assert part.shape == (40, 40)
    # By the statistics of the whole image, not of the part.
    step = 1 / pixels.std()
    np.testing.assert_allclose(np.diff(part, axis=1), step, rtol=0.05)
    np.testing.assert_allclose(np.diff(part, axis=0), 70 * step, rtol=1e-3)


def test_labels_without_weight_teach_nothing(tmp_path, silent, monkeypatch):
    image = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    weight = np.ones((64, 64), np.float32)
    weight[:, 32:] = 0

    def outcome(name, shown, hidden):
        mask = np.full((64, 64), shown, np.uint8)
        mask[:, 32:] = hidden
        sample = Labelled(image[None], mask, weight)
        source = Source(("a", "b"), 1, lambda _: sample, {"digest": "", "path": "it"})
        monkeypatch.setattr(sources, "open_sources", lambda _: [source])
        settings = Training(**FAST | {"validation": 0, "steps": 3})
        train(settings, tmp_path / name, silent)
        return read(tmp_path / name, BEST)["network"]

    reference = outcome("a", 0, 0)
    assert outcome("b", 0, 1) == reference
    assert outcome("c", 1, 0) != reference
