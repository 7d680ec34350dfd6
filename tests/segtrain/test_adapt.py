"""Adaptation to a folder: the right view is found, nothing gets worse, labels are never read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.transform import rescale

from phasegen.errors import InputError
from phasegen.images import write_image
from segtrain import adapt as module
from segtrain.adapt import (
    STAGES,
    TRAINED,
    VIEW,
    adapt,
    best_view,
    information,
    read_scenes,
    self_trained,
    strangeness,
    with_statistics,
)
from segtrain.config import Training
from segtrain.data.source import describe_masks, standardise
from segtrain.metrics.overlap import iou
from segtrain.predict import Segmenter, View, build, segment
from tests.segtrain.test_predict import micrograph

CPU = torch.device("cpu")


def specimen(seed, size=128):
    """Dark discs of one size with a bright rim, and their mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    level = np.full((size, size), -99.0)
    for centre in rng.uniform(0, size, (14, 2)):
        level = np.maximum(level, 9 - np.hypot(y - centre[0], x - centre[1]))
    image = np.where(level > 0, 0.3, 0.6) + 0.25 * np.exp(-((level + 1.5) ** 2) / 4)
    image = ndimage.gaussian_filter(image, 1) + rng.normal(0, 0.03, image.shape)
    return image, (level > 0).astype(np.uint8)


@pytest.fixture(scope="module")
def trained():
    """A network that has learned dark discs, at one magnification and in even light."""
    torch.manual_seed(0)
    network = build(Training(widths=(8, 16, 32)), 1, 2, 2, CPU)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    pairs = [specimen(seed) for seed in range(6)]
    images = torch.from_numpy(np.stack([standardise(image) for image, _ in pairs]))[:, None]
    masks = torch.from_numpy(np.stack([mask for _, mask in pairs])).long()
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(network(images), masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    source = {"structure": describe_masks([mask for _, mask in pairs], 2)}
    return Segmenter(network.eval(), ("matrix", "disc"), CPU, (source,))


CHANGES = {
    "as learned": lambda image: image,
    "inverted": lambda image: 1 - image,
    "twice as large": lambda image: rescale(image, 2, order=1),
    "uneven": lambda image: image + 1.5 * np.linspace(-1, 1, image.shape[1]) ** 2,
}


def folder(path, change, count=3):
    path.mkdir()
    truth = []
    for number in range(count):
        image, mask = specimen(100 + number)
        write_image(path / f"{number}.tif", change(image).astype(np.float32))
        larger = np.kron(mask, np.ones((2, 2), np.uint8))
        truth.append(mask if change(image).shape == mask.shape else larger)
    return truth


def score(segmenter, path, truth):
    images = [micrograph(scene) for scene in read_scenes(path)]
    pairs = zip(images, truth, strict=True)
    return np.mean([iou(segment(segmenter, image), mask) for image, mask in pairs])


@pytest.mark.parametrize(
    ("name", "view", "spoilt"),
    [
        ("as learned", View(), 1.0),
        ("inverted", View(inverted=True), 0.5),
        ("twice as large", View(scale=0.5), 1.0),
        ("uneven", View(flat=True), 0.8),
    ],
)
def test_what_a_folder_lacks_is_found_and_made_up_for(tmp_path, trained, name, view, spoilt):
    truth = folder(tmp_path / "images", CHANGES[name])
    result = adapt(trained, tmp_path / "images")
    before, after = (score(one, tmp_path / "images", truth) for one in (trained, result.segmenter))
    assert result.segmenter.view == view
    assert before < spoilt
    assert after > 0.85


def test_without_a_record_of_the_masks_the_features_decide(trained):
    bare = replace(trained, sources=())
    scenes = [specimen(100)[0].astype(np.float32)]
    shaded = [CHANGES["uneven"](scene).astype(np.float32) for scene in scenes]
    assert 0 < strangeness(bare, scenes) < strangeness(bare, shaded)
    assert strangeness(bare, scenes) < strangeness(trained, scenes)


def test_masks_are_described_by_shares_and_polarity():
    _, mask = specimen(0)
    found = describe_masks([mask, 1 - mask], 2)
    assert found["shares"] == pytest.approx([0.5, 0.5])
    assert found["polarity"] == pytest.approx(0)
    assert describe_masks([mask], 2)["polarity"] > 0.5


def test_information_never_falls_and_every_stage_is_told(tmp_path, trained):
    folder(tmp_path / "images", lambda image: np.random.default_rng(0).random(image.shape))
    seen = []
    result = adapt(trained, tmp_path / "images", lambda: seen.append(1))
    assert len(seen) == 1 + len(STAGES)
    assert result.strange[1] <= result.strange[0]
    assert list(result.information) == [TRAINED, VIEW, *STAGES]
    scenes = read_scenes(tmp_path / "images")
    assert result.information[TRAINED] == information(trained, scenes)
    held = information(result.segmenter, scenes)
    assert held >= information(trained, scenes)
    last = result.kept[-1] if result.kept else TRAINED
    assert held == pytest.approx(result.information[last], abs=1e-6)


def test_a_view_that_costs_information_goes_unless_the_stages_make_up_for_it(
    tmp_path, trained, monkeypatch
):
    folder(tmp_path / "images", CHANGES["as learned"])
    scenes = read_scenes(tmp_path / "images")
    worse = replace(trained, view=View(scale=0.5, inverted=True))
    assert information(worse, scenes) < information(trained, scenes)
    monkeypatch.setattr(module, "best_view", lambda *_: worse)
    monkeypatch.setattr(module, "STAGES", {})
    result = adapt(trained, tmp_path / "images")
    assert (result.segmenter, result.kept) == (trained, ())
    assert result.information == {
        TRAINED: information(trained, scenes),
        VIEW: information(worse, scenes),
    }
    assert result.strange == (strangeness(trained, scenes),) * 2

    def cured(segmenter, *_):
        return replace(segmenter, network=Answer([20.0, -20.0], [-20.0, 20.0]))

    monkeypatch.setattr(module, "STAGES", {"cure": cured})
    result = adapt(trained, tmp_path / "images")
    assert (result.segmenter.view, result.kept) == (worse.view, (VIEW, "cure"))
    assert information(result.segmenter, scenes) > information(trained, scenes)


@pytest.mark.parametrize(
    "changes", [{"target": "poisson"}, {"channels": 2}, {"spacing": (1.0, 1.0, 1.0)}]
)
def test_what_has_no_class_probabilities_is_not_adapted(tmp_path, trained, changes):
    folder(tmp_path / "images", CHANGES["as learned"], count=1)
    with pytest.raises(InputError, match=r"--adapt: is for class masks of grey images.*Leave it"):
        adapt(replace(trained, **changes), tmp_path / "images")


def test_the_given_network_is_not_changed(tmp_path, trained):
    folder(tmp_path / "images", CHANGES["inverted"])
    before = {name: value.clone() for name, value in trained.network.state_dict().items()}
    scenes = read_scenes(tmp_path / "images")
    for stage in (best_view, with_statistics, self_trained):
        stage(trained, scenes)
    after = trained.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not trained.network.training


def test_the_same_seed_gives_the_same_network(tmp_path, trained):
    folder(tmp_path / "images", CHANGES["uneven"])
    scenes = read_scenes(tmp_path / "images")
    first, second = (self_trained(trained, scenes, seed=3).network.state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


class Answer(torch.nn.Module):
    """A network with given logits for dark and bright pixels."""

    multiple, halo = 1, 0

    def __init__(self, dark, bright):
        super().__init__()
        self.dark, self.bright = torch.tensor(dark), torch.tensor(bright)

    def forward(self, x):
        return torch.where(x < 0, self.dark[:, None, None], self.bright[:, None, None])


@pytest.mark.parametrize(
    ("dark", "bright", "expected"),
    [
        ([20.0, -20.0], [-20.0, 20.0], 1.0),  # sure, and half of the pixels each
        ([0.0, 0.0], [0.0, 0.0], 0.0),  # has no idea
        ([20.0, -20.0], [20.0, -20.0], 0.0),  # sure that everything is the same
        ([np.log(3.0), 0.0], [0.0, np.log(3.0)], 1 - 0.811278),  # entropy of 1/4 and 3/4, in bits
    ],
)
def test_information_of_known_answers(dark, bright, expected):
    scene = np.tile(np.array([0.0, 1.0], np.float32), (8, 4))
    segmenter = Segmenter(Answer(dark, bright), ("a", "b"), CPU, ())
    assert information(segmenter, [scene]) == pytest.approx(expected, abs=1e-5)
