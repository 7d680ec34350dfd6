"""Dice class by class: by hand, beside MONAI, and where the pooled one is blind."""

import pytest
import torch
from torch.nn import functional as F

from segtrain.losses.overlap import cross_entropy_class_dice, cross_entropy_dice


def batch(seed=0, classes=4, size=(2, 9, 8)):
    torch.manual_seed(seed)
    return torch.randn(size[0], classes, *size[1:]), torch.randint(classes, size)


def test_it_is_monai_s_dice_of_the_foreground():
    losses = pytest.importorskip("monai.losses")
    logits, target = batch()
    theirs = losses.DiceLoss(
        include_background=False, softmax=True, to_onehot_y=True, squared_pred=True, batch=True
    )(logits, target[:, None])
    ours = cross_entropy_class_dice(logits, target) - F.cross_entropy(logits, target)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-4)


def test_a_class_that_is_not_there_does_not_count():
    logits, target = batch(classes=3)
    target[target == 2] = 0
    two = cross_entropy_class_dice(logits, target) - F.cross_entropy(logits, target)
    p = logits.softmax(dim=1)[:, 1]
    y = (target == 1).float()
    by_hand = 1 - 2 * (y * p).sum() / (y.sum() + p.square().sum())
    assert two.item() == pytest.approx(by_hand.item(), abs=1e-5)
    nothing = cross_entropy_class_dice(logits, torch.zeros_like(target))
    assert nothing.item() == pytest.approx(
        F.cross_entropy(logits, torch.zeros_like(target)).item(), abs=1e-6
    )


def test_pixels_without_weight_are_nothing_to_it():
    logits, target = batch(classes=3)
    weight = torch.ones(target.shape)
    weight[:, :, 4:] = 0
    other = target.clone()
    other[:, :, 4:] = (other[:, :, 4:] + 1) % 3
    of_both = [cross_entropy_class_dice(logits, one, weight) for one in (target, other)]
    half = cross_entropy_class_dice(logits[..., :4], target[..., :4])
    assert of_both[0].item() == pytest.approx(of_both[1].item(), abs=1e-6)
    assert of_both[0].item() == pytest.approx(half.item(), abs=1e-5)


def test_a_small_class_counts_as_much_as_a_large_one():
    target = torch.zeros(1, 64, 64, dtype=torch.int64)
    target[:, :32], target[:, 60:62, 60:62] = 1, 2
    right = 20 * F.one_hot(target, 3).permute(0, 3, 1, 2).float()
    missed = right.clone()
    missed[:, 2], missed[:, 0] = 0, torch.maximum(right[:, 0], right[:, 2])
    pooled, single = (
        (loss(missed, target) - F.cross_entropy(missed, target)).item()
        for loss in (cross_entropy_dice, cross_entropy_class_dice)
    )
    assert pooled < 0.01
    assert single == pytest.approx(0.5, abs=0.01)
