"""Augmentation of the discriminator's patches changes their place, not their style."""

import numpy as np
import pytest
import torch

from cyclegan.augment import MOST, RAMP, adjust, augment


def rngs(count, seed=0):
    return [np.random.default_rng((seed, i)) for i in range(count)]


def patches(count=64, side=32):
    grey = np.random.default_rng(1).uniform(0.6, 0.9, (count, 1, side, side))
    return torch.from_numpy(grey.astype(np.float32))


def test_a_probability_of_zero_changes_nothing_and_draws_nothing():
    images, drawn = patches(4), rngs(4)
    assert augment(images, 0.0, drawn) is images
    assert drawn[0].random() == rngs(4)[0].random()


def test_grey_values_stay_but_for_the_hole():
    images = patches()
    out = augment(images, 1.0, rngs(64))
    assert out.shape == images.shape
    holes = (out == 0.5).float().mean((1, 2, 3))
    assert holes.min() > 0  # a corner of the square is within at least
    assert holes.max() == pytest.approx(0.25)
    for image, new in zip(images, out, strict=True):
        left = new[new != 0.5]
        assert np.isclose(left[:, None], image.ravel()[None], atol=1e-6).any(1).all()


@pytest.mark.parametrize("p", [0.2, 0.6])
def test_each_kind_comes_with_its_probability(p):
    images = patches(400, 16)
    out = augment(images, p, rngs(400))
    assert ((out == 0.5).any(-1).any(-1)).float().mean() == pytest.approx(p, abs=0.08)
    # An eighth of the turns and mirrors, and a 25th of the shifts, are none.
    same = (out == images).all(-1).all(-1).float().mean()
    expected = (1 - p) * (1 - p * 7 / 8) * (1 - p * 24 / 25)
    assert same == pytest.approx(expected, abs=0.08)


def test_gradients_come_back_to_where_the_pixels_were():
    image = patches(1).requires_grad_()
    out = augment(image, 1.0, rngs(1))
    out[out != 0.5].sum().backward()
    assert set(image.grad.unique().tolist()) <= {0.0, 1.0, 2.0, 4.0}  # mirrored at the border
    assert image.grad.sum() == (out != 0.5).sum()


def test_each_patch_draws_from_its_own_generator():
    images = patches(8)
    whole = augment(images, 0.7, rngs(8))
    parts = [augment(images[i : i + 1], 0.7, rngs(8)[i : i + 1]) for i in range(8)]
    assert torch.equal(whole, torch.cat(parts))
    # Twice as many patches as generators: those of one index share it, one after the other.
    double = augment(torch.cat([images, images]), 0.7, rngs(8))
    assert torch.equal(double[:8], whole)
    assert not torch.equal(double[8:], whole)


def test_probability_is_steered_to_the_target():
    assert adjust(0.3, 0.9, 0.6) == pytest.approx(0.3 + 1 / RAMP)
    assert adjust(0.3, 0.1, 0.6) == pytest.approx(0.3 - 1 / RAMP)
    assert adjust(0.0, -1.0, 0.6) == 0
    assert adjust(MOST, 1.0, 0.6) == MOST
    assert adjust(0.3, 1.0, 0.0) == 0
