"""Where patches of volumes come from, and what orientation means for their augmentation."""

import numpy as np
import pytest
import torch

from segtrain.data import augment as module
from segtrain.data.patches import draw
from segtrain.data.source import Labelled, Source


def ramps(shape, oriented=False):
    """A volume whose channels are the coordinates, 0 background, 1 in the nearest plane."""
    image = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")).astype(np.float32)
    mask = (image[0] == 0).astype(np.uint8)
    sample = Labelled(image, mask, np.ones(shape, np.float32))
    record = {"labels": "drawn", "path": "ramps"}
    spacing = (1.0,) * len(shape)
    return Source(("a", "b"), 1, lambda _: sample, record, 3, spacing, oriented=oriented)


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """No warp and no change of grey values."""
    changes = module.Changes(0.0, (1.0, 1.0), 1.0, 0.0, 1.0, 0.0, (0.0, 0.0))
    monkeypatch.setattr(module, "CHANGES", {2: changes, 3: changes})


@pytest.mark.parametrize("foreground", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(12, 12, 12), (30, 30, 30), (8, 12, 16)])
def test_patches_reach_both_ends_of_a_volume_of_any_size(shape, foreground):
    images, _, _ = draw(ramps(shape), [0], 200, (8, 8, 8), (0,), foreground=foreground)
    for axis in range(3):
        seen = set(images[:, axis].unique().tolist())
        if not foreground:
            assert {0, shape[axis] - 1} <= seen
        elif axis == 0:
            assert 0 in seen


def test_only_left_and_right_are_exchanged_where_orientation_means_something():
    images, _, _ = draw(ramps((30, 30, 30), oriented=True), [0], 30, (8, 8, 8), (0,))
    rising = torch.stack([(images[:, k].diff(dim=1 + k) > 0).flatten(1).all(1) for k in range(3)])
    assert rising[0].all()
    assert rising[1].all()
    assert rising[2].any()
    assert not rising[2].all()
    images, _, _ = draw(ramps((30, 30, 30)), [0], 30, (8, 8, 8), (0,))
    assert not (images[:, 0].diff(dim=1) > 0).flatten(1).all(1).all()


def test_turns_of_a_body_are_small(monkeypatch):
    turned = module.Changes(1.0, (1.0, 1.0), 1.0, 0.0, 1.0, 0.0, (0.0, 0.0))
    monkeypatch.setattr(module, "CHANGES", {3: turned})
    images, _, _ = draw(ramps((40, 40, 40), oriented=True), [0], 30, (8, 8, 8), (0,))
    # The rise of y along y is the cosine of the turn.
    rise = (images[:, 1, :, 4, :] - images[:, 1, :, 3, :]).mean((1, 2))
    assert rise.min() >= np.cos(module.TILT) - 1e-4
    assert rise.min() < 1 - 1e-3
