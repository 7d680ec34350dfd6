from math import exp, log

import pytest
import torch

from segtrain.losses import LOSSES
from segtrain.losses.overlap import cross_entropy_dice


def batch(dtype=torch.float32, shape=(2, 3, 4, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, dtype=dtype, generator=generator)
    target = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    weight = torch.rand(target.shape, dtype=dtype, generator=generator)
    return logits, target, weight


def by_formula(logits, target, weight):
    """Veziryan (2025), eq. 3-5, term by term with a one-hot target."""
    p = logits.softmax(dim=1)
    y = torch.nn.functional.one_hot(target, logits.shape[1]).movedim(-1, 1)
    w = weight.unsqueeze(1)
    cross_entropy = -(w * y * p.log()).sum() / weight.sum()
    return cross_entropy + 1 - 2 * (w * y * p).sum() / ((w * y**2).sum() + (w * p**2).sum())


def test_two_pixels_by_hand():
    # Probabilities (3/4, 1/4) of the true class first, then (1/2, 1/2).
    logits = torch.tensor([[[[log(3.0), 0.0]], [[0.0, 0.0]]]])
    target = torch.zeros((1, 1, 2), dtype=torch.int64)
    cross_entropy = -(log(3 / 4) + log(1 / 2)) / 2
    dice = 1 - 2 * (3 / 4 + 1 / 2) / (2 + (9 + 1) / 16 + 1 / 2)
    loss = cross_entropy_dice(logits, target)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(cross_entropy + dice, rel=1e-6)


def test_ignorance_costs_the_logarithm_of_the_number_of_classes():
    logits, target, _ = batch()
    dice = 1 - 2 * (1 / 3) / (1 + 1 / 3)
    loss = cross_entropy_dice(torch.zeros_like(logits), target)
    assert loss.item() == pytest.approx(log(3) + dice, rel=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 3, 4, 5)])
def test_the_formula(shape):
    logits, target, weight = batch(torch.float64, shape)
    torch.testing.assert_close(
        cross_entropy_dice(logits, target, weight),
        by_formula(logits, target, weight),
        rtol=1e-6,
        atol=0,
    )


def test_a_correct_and_confident_prediction_costs_nothing():
    logits, target, _ = batch()
    certain = 50.0 * torch.nn.functional.one_hot(target, logits.shape[1]).movedim(-1, 1)
    assert cross_entropy_dice(certain, target).item() == pytest.approx(0, abs=1e-6)


def test_a_step_down_the_gradient_raises_the_true_class():
    logits, target, _ = batch()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy_dice(logits, target), logits)
    assert (gradient.gather(1, target.unsqueeze(1)) < 0).all()
    better = cross_entropy_dice(logits - gradient, target)
    assert better < cross_entropy_dice(logits, target)


def test_the_gradient_is_that_of_the_value():
    logits, target, weight = batch(torch.float64, (1, 3, 2, 2))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cross_entropy_dice(x, target, weight), logits)


def test_pixels_of_weight_zero_do_not_matter():
    logits, target, _ = batch()
    weight = torch.ones(target.shape)
    weight[:, :, 2:] = 0
    loss = cross_entropy_dice(logits, target, weight)
    torch.testing.assert_close(loss, cross_entropy_dice(logits[..., :2], target[..., :2]))
    changed, others = logits.clone(), target.clone()
    changed[..., 2:] = 30.0 * torch.arange(3.0)[:, None, None]
    others[..., 2:] = (target[..., 2:] + 1) % 3
    assert cross_entropy_dice(changed, others, weight) == loss
    changed.requires_grad_()
    cross_entropy_dice(changed, others, weight).backward()
    assert (changed.grad[..., 2:] == 0).all()
    assert (changed.grad[..., :2] != 0).all()


def test_equal_weights_are_no_weights():
    logits, target, _ = batch(torch.float64)
    half = torch.full(target.shape, 0.5)
    torch.testing.assert_close(
        cross_entropy_dice(logits, target, half), cross_entropy_dice(logits, target)
    )


def test_a_batch_without_any_weight_is_silent():
    logits, target, _ = batch()
    logits.requires_grad_()
    loss = cross_entropy_dice(logits, target, torch.zeros(target.shape))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_single_precision(dtype):
    # 16384 pixels: a sum in bfloat16 would be off by per cents, one in float16 would overflow.
    logits, target, _ = batch(dtype, (1, 8, 128, 128))
    loss = cross_entropy_dice(logits, target)
    assert loss.dtype == torch.float32
    exact = cross_entropy_dice(logits.double(), target)
    assert exact.dtype == torch.float64
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[[[1e4]], [[-1e4]]]], requires_grad=True)
    loss = cross_entropy_dice(logits, torch.ones((1, 1, 1), dtype=torch.int64))
    loss.backward()
    assert loss.item() == pytest.approx(2e4 + 1 - exp(-2e4))
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("wrong", [(2, 4, 4), (1, 4, 5), (2, 1, 4, 5)])
def test_shapes_must_belong_together(wrong):
    logits, target, _ = batch()
    with pytest.raises(ValueError, match="need a target of shape"):
        cross_entropy_dice(logits, torch.zeros(wrong, dtype=torch.int64))
    with pytest.raises(ValueError, match="need a weight of shape"):
        cross_entropy_dice(logits, target, torch.ones(wrong))


def test_losses_are_found_by_name():
    assert LOSSES["ce-dice"] is cross_entropy_dice
