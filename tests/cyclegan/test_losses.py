"""Losses of the translation, at points where their value is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cyclegan.losses import adversarial, contrastive, distance, diversity, segmentation, structure


def blobs(seed=0, size=64):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((size, size)), 4, mode="wrap")
    image = 1 / (1 + np.exp(-40 * smooth))
    return torch.from_numpy(image.astype(np.float32))[None, None]


def test_adversarial_is_the_mean_square_distance_to_the_target():
    scores = torch.tensor([[0.0, 1.0], [2.0, -1.0]])
    assert adversarial(scores, 1.0).item() == pytest.approx((1 + 0 + 1 + 4) / 4)
    assert adversarial(scores, 0.0).item() == pytest.approx((0 + 1 + 4 + 1) / 4)
    assert adversarial(scores.bfloat16(), 0.0).dtype == torch.float32


def test_distance_is_absolute_where_it_is_large_and_flat_at_zero():
    a = torch.full((2, 1, 4, 4), 0.5)
    assert distance(a, a + 0.3, smooth=0.1).item() == pytest.approx(0.3 - 0.05)
    change = torch.zeros(1, requires_grad=True)
    distance(a, a + change + 1e-4).backward()
    assert abs(change.grad.item()) < 0.01


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1), st.floats(0.05, 3), st.floats(-1, 1), st.integers(0, 100))
def test_structure_ignores_contrast_and_brightness(contrast, gain, offset, seed):
    image = contrast * blobs(seed)
    assert structure(image, gain * image + offset).item() == pytest.approx(0, abs=1e-3)


def test_structure_of_inverted_contrast_is_two():
    image = blobs()
    assert structure(image, 1 - image).item() == pytest.approx(2, abs=2e-3)


def test_structure_of_an_unrelated_image_is_one():
    values = [structure(blobs(seed), blobs(seed + 50)).item() for seed in range(8)]
    assert np.mean(values) == pytest.approx(1, abs=0.1)


def test_structure_of_a_blank_image_is_one():
    image = blobs()
    assert structure(image, torch.full_like(image, 0.5)).item() == pytest.approx(1, abs=1e-3)


def test_structure_has_a_slope_where_the_translation_is_flat():
    image = blobs()
    flat = torch.full_like(image, 0.5).requires_grad_()
    structure(image, flat).backward()
    assert torch.isfinite(flat.grad).all()
    assert (flat.grad * (image - 0.5)).sum() < 0  # towards the image


def test_structure_is_exact_under_mixed_precision():
    image = 0.05 * blobs()
    with torch.autocast("cpu", torch.bfloat16):
        assert structure(image, image + 0.5).item() == pytest.approx(0, abs=1e-3)


def test_structure_grows_as_boundaries_shift():
    image = blobs()
    values = [structure(image, image.roll(shift, 3)).item() for shift in range(5)]
    assert values[0] == pytest.approx(0, abs=1e-3)
    assert np.all(np.diff(values) > 0.02)


def test_structure_forgives_grain_where_the_image_is_flat():
    image = torch.zeros(1, 1, 64, 64)
    image[..., 32:] = 1
    grain = 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    flat = image.clone()
    flat[..., :20] += grain[..., :20]
    assert structure(image, flat).item() < 0.01


def test_structure_has_a_descent_direction():
    image = blobs()
    moved = image.roll(2, 3).requires_grad_()
    loss = structure(image, moved)
    loss.backward()
    step = moved.detach() - 0.5 * moved.grad / moved.grad.abs().max()
    assert structure(image, step) < loss


def test_segmentation_is_the_cross_entropy_of_the_true_class():
    logits = torch.zeros(1, 3, 4, 4)
    mask = torch.zeros(1, 4, 4, dtype=torch.long)
    assert segmentation(logits, mask).item() == pytest.approx(math.log(3))
    logits[:, 0] = 20
    assert segmentation(logits.bfloat16(), mask).item() == pytest.approx(0, abs=1e-6)


def test_contrast_is_the_cross_entropy_among_the_places_of_an_image():
    places = torch.eye(4)[None].repeat(2, 1, 1)
    inverse = math.exp(1 / 0.5)
    expected = -math.log(inverse / (inverse + 3))
    found = contrastive(3 * places, 0.1 * places, temperature=0.5)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    same = torch.ones(2, 4, 8)
    assert contrastive(same, same).item() == pytest.approx(math.log(4))
    assert contrastive(places, places.flip(1)).item() > 5


def test_contrast_asks_for_the_queries_own_key():
    """A query that resembles another place's key is wrong, a key that resembles two queries not."""
    key = torch.eye(3)[None]
    query = torch.tensor([[[1.0, 0, 0], [1, 0, 0], [0, 0, 1]]])
    inverse = math.exp(1 / 0.5)
    right, wrong = -math.log(inverse / (inverse + 2)), -math.log(1 / (inverse + 2))
    expected = (2 * right + wrong) / 3
    assert contrastive(query, key, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_diversity_is_what_is_lacking():
    one = torch.zeros(2, 1, 4, 4)
    other = one.clone()
    other[0] = 0.005
    other[1] = 0.5
    assert diversity(one, other, 0.01).item() == pytest.approx((0.5 + 0) / 2)
    assert diversity(one, one, 0.01).item() == 1
