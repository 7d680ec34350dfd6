"""Augmentation of images and volumes: what belongs together stays together."""

import numpy as np
import pytest
import torch

from segtrain.data.augment import CHANGES, augment
from segtrain.data.patches import draw
from segtrain.data.source import PLACES, Labelled, Source, places_of
from tests.segtrain.specimens import balls, source

WINDOW, PATCH = {2: (36, 30), 3: (18, 36, 30)}, {2: (24, 20), 3: (12, 24, 20)}


def of(image, mask, weight, channels=1, spacing=(1.0, 1.0)):
    image = np.repeat(image[None].astype(np.float32), channels, axis=0)
    sample = Labelled(image, mask, weight.astype(np.float32))
    return Source(("a", "b", "c"), 1, lambda _: sample, {}, channels, spacing)


@pytest.mark.parametrize("axes", [2, 3])
def test_mask_and_weight_move_with_the_image_and_stay_exact(axes):
    truth = (balls((24, 60, 60)[-axes:], 0, spacing=20, radius=(6, 9)) > 0).astype(np.uint8)
    given = of(2.0 * truth - 1, 2 * truth, truth, spacing=(1.0,) * axes)
    images, masks, weights = draw(given, [0], 24, PATCH[axes], (0,))
    assert masks.unique().tolist() == [0, 2]
    assert torch.equal(weights, masks / 2)
    signs = (masks - 1).float()
    single = [
        np.corrcoef(i.ravel(), s.ravel())[0, 1]
        for i, s in zip(images[:, 0], signs, strict=True)
        if s.std() > 0.5
    ]
    assert len(single) > 12
    assert min(single) > 0.75


@pytest.mark.parametrize("axes", [2, 3])
def test_a_field_is_interpolated_with_the_image(axes):
    """Of an image that is its own field only grey values differ: contrast, blur and noise."""
    places = np.indices((24, 60, 60)[-axes:]).astype(np.float32)
    waves = np.sin(places / 4).sum(axis=0).astype(np.float32)
    given = of(waves, waves, np.ones_like(waves), spacing=(1.0,) * axes)
    images, fields, _ = draw(given, [0], 24, PATCH[axes], (1,))
    assert fields.dtype == torch.float32
    for image, field in zip(images[:, 0], fields, strict=True):
        assert np.corrcoef(image.ravel(), field.ravel())[0, 1] > 0.97


def test_volumes_are_not_tilted():
    """A coordinate along z depends on z alone, and its step is that of the magnification."""
    z = np.broadcast_to(np.arange(18, dtype=np.float32)[:, None, None], WINDOW[3])
    parts = (torch.from_numpy(z.copy())[None], *(torch.zeros(1, *WINDOW[3]),) * 2)
    changes, steps = CHANGES[3], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        field = augment(parts[0], parts[0], parts[2], PATCH[3], True, rng)[1][0]
        inner = field[3:-3]  # beyond the window it is mirrored
        assert float((inner - inner.mean(dim=(1, 2), keepdim=True)).abs().max()) < 1e-3
        steps.append(float(inner.mean(dim=(1, 2)).diff().mean()))
    low, high = changes.scale[0] / changes.stretch, changes.scale[1] * changes.stretch
    assert low - 0.02 < min(np.abs(steps)) < 0.95
    assert 1.05 < max(np.abs(steps)) < high + 0.02
    mirrored = np.mean(np.array(steps) < 0)
    assert 0.25 < mirrored < 0.75
    assert np.isclose(np.abs(steps), 1, atol=1e-5).sum() > 8  # those that are not warped


def test_a_turn_by_a_known_angle():
    """The grid turns as it says: where x pointed, x cos - y sin points."""
    places = np.indices((64, 64)).astype(np.float32) - 31.5
    y, x = (torch.from_numpy(part.copy())[None] for part in places)
    ones = torch.ones(1, 64, 64)
    for seed in range(20):
        first = augment(ones, x, ones, (16, 16), True, np.random.default_rng(seed))[1][0]
        second = augment(ones, y, ones, (16, 16), True, np.random.default_rng(seed))[1][0]
        jacobian = np.array(
            [[float(part.diff(dim=axis).mean()) for axis in (1, 0)] for part in (first, second)]
        )
        scale = np.sqrt(abs(np.linalg.det(jacobian)))
        assert 0.74 < scale < 1.34
        np.testing.assert_allclose(jacobian @ jacobian.T, scale**2 * np.eye(2), atol=1e-3)
        middle = [float(part[7:9, 7:9].mean()) for part in (first, second)]
        np.testing.assert_allclose(middle, 0, atol=1e-4)  # about the middle of the window


@pytest.mark.parametrize("shape", [(40, 36), (14, 20, 20)])
def test_parts_of_a_batch_are_those_of_the_whole(shape):
    given = source(shape, channels=2)
    sides = (8,) * len(shape)
    whole = draw(given, range(3), 6, sides, (3, 4))
    halves = [draw(given, range(3), 3, sides, (3, 4), first=first) for first in (0, 3)]
    for part, both in zip(whole, zip(*halves, strict=True), strict=True):
        assert torch.equal(part, torch.cat(both))
    assert whole[0].shape == (6, 2, *sides)


def test_foreground_is_what_patches_are_centred_on():
    mask = np.zeros((90, 90), np.uint8)
    mask[70, 20] = 1
    given = of(mask, mask, np.ones((90, 90)))
    found = draw(given, [0], 60, 16, (0,), foreground=0.5)[1].amax(dim=(1, 2)).float().mean()
    assert 0.3 < found < 0.75
    assert draw(given, [0], 60, 16, (0,))[1].amax(dim=(1, 2)).float().mean() < 0.2


def test_channels_are_shaded_apart():
    rng = np.random.default_rng(0)
    given = of(rng.normal(size=(60, 60)), np.zeros((60, 60), np.uint8), np.ones((60, 60)), 2)
    images, *_ = draw(given, [0], 16, 16, (0,))
    ratio = images[:, 0].std(dim=(1, 2)) / images[:, 1].std(dim=(1, 2))
    assert (ratio > 1.05).any()
    assert (ratio < 0.95).any()


def tumour(kind=np.uint8):
    """An organ of 60 x 60 pixels with a tumour of 3 x 3 near its corner, in 100 x 100."""
    mask = np.zeros((100, 100), kind)
    mask[20:80, 20:80] = 1
    mask[24:27, 70:73] = 2
    return mask


def test_a_patch_is_centred_on_every_class_equally_often():
    given = of(tumour(), tumour(), np.ones((100, 100)))
    masks = draw(given, [0], 100, 16, (0,), foreground=1.0)[1]
    share = (masks == 2).flatten(1).any(dim=1).float().mean()
    assert 0.4 < share < 0.75  # of pixels of the foreground it would be a tenth
    assert (masks == 1).flatten(1).any(dim=1).all()


def test_places_are_pixels_of_their_class():
    found = places_of(tumour())
    assert found.shape == (2, PLACES)
    for k, row in enumerate(found, 1):
        assert (tumour().ravel()[row] == k).all()
    assert len(np.unique(found[1])) == 9
    # Where numbers are no classes, instances or a field, everything is one foreground.
    for kind in (np.int32, np.float32):
        (row,) = places_of(tumour(kind))
        assert (tumour().ravel()[row] > 0).all()
    assert places_of(np.zeros((4, 4), np.uint8)).shape == (0, PLACES)


def test_patches_of_an_image_without_foreground_lie_anywhere():
    empty = np.zeros((60, 60), np.uint8)
    given = of(np.indices((60, 60))[0], empty, np.ones((60, 60)))
    assert draw(given, [0], 4, 16, (0,), foreground=1.0)[0].shape == (4, 1, 16, 16)
