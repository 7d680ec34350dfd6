"""Residual of the Cahn-Hilliard equation: closed forms, conservation, borders, gradients."""

import math
from itertools import pairwise

import pytest
import torch

from segtrain.losses.cahn_hilliard import cahn_hilliard, laplacian
from segtrain.losses.overlap import cross_entropy_dice
from segtrain.losses.pde import Regularised, reaction_diffusion

torch.manual_seed(0)


def line(eps, n):
    """The profile of the interface energy across the middle of n pixels, as an image."""
    x = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    return ((1 + torch.tanh(x / (math.sqrt(2) * eps))) / 2).expand(1, 1, 8, n)


def cosine(k, shape, amplitude):
    """1/2 plus a wave that fulfils the condition at the border: k half periods along x."""
    x = (torch.arange(shape[-1], dtype=torch.float64) + 0.5) * math.pi / shape[-1]
    return 0.5 + amplitude * torch.cos(k * x).expand(1, 1, *shape)


@pytest.mark.parametrize("shape", [(6, 24), (4, 6, 24)])
@pytest.mark.parametrize("k", [1, 5, 23])
@pytest.mark.parametrize("eps", [0.5, 2.0])
def test_waves_about_one_half_have_the_closed_form(shape, k, eps):
    r"""R = -D s (1/4 - D s) δ with the symbol s = 2 - 2 cos(π k / n) of the second difference."""
    amplitude, d = 1e-6, eps**2 / 4
    symbol = 2 - 2 * math.cos(math.pi * k / shape[-1])
    expected = (d * symbol * (0.25 - d * symbol) * amplitude) ** 2 / 2
    found = cahn_hilliard(cosine(k, shape, amplitude), None, eps).item()
    assert found == pytest.approx(expected, rel=1e-6)


def test_interfaces_of_the_profile_stand_still_to_second_order():
    """The root of the mean over the interface falls with ε^-2, as the grid resolves it."""
    roots = [(40 * cahn_hilliard(line(e, 40 * e), None, e)).sqrt().item() for e in (4, 8, 16)]
    slopes = [math.log2(a / b) for a, b in pairwise(roots)]
    assert all(1.9 < slope < 2.1 for slope in slopes)
    # Half as wide, the profile is not that of ε = 4.
    assert roots[0] < 0.02 * (40 * cahn_hilliard(line(2, 160), None, 4)).sqrt().item()


def test_constants_have_none():
    for value in (0.0, 0.3, 1.0):
        field = torch.full((2, 3, 5, 7), value)
        assert cahn_hilliard(field) == 0


@pytest.mark.parametrize("holes", [False, True])
def test_area_is_moved_and_never_removed(holes):
    u = torch.rand(1, 1, 9, 11, dtype=torch.float64)
    weight = torch.ones(1, 1, 9, 11, dtype=torch.float64)
    if holes:
        weight[0, 0, 3:6, 4:7] = 0
    potential = u * (1 - u) * (u - 0.5) + laplacian(u, weight)
    residual = laplacian(potential, weight)
    assert residual.abs().max() > 0.1
    assert residual.sum().abs() < 1e-12
    mean = (weight * residual.square()).sum() / weight.sum()
    torch.testing.assert_close(cahn_hilliard(u, weight[:, 0], 2.0), mean)


def test_pixels_without_weight_count_for_nothing():
    u = torch.rand(1, 2, 8, 8)
    weight = torch.ones(1, 8, 8)
    weight[0, 2:5, 3:6] = 0
    other = u.clone()
    other[:, :, 2:5, 3:6] = torch.rand(1, 2, 3, 3)
    assert cahn_hilliard(other, weight) == cahn_hilliard(u, weight)
    assert cahn_hilliard(other) != cahn_hilliard(u)
    assert cahn_hilliard(u, torch.zeros(1, 8, 8)) == 0


def test_ragged_outlines_cost_more_than_in_second_order():
    smooth = torch.zeros(1, 1, 32, 32)
    smooth[..., 16:] = 1
    ragged = smooth.clone()
    ragged[..., ::2, 16] = 0
    ratio = [prior(ragged) / prior(smooth) for prior in (cahn_hilliard, reaction_diffusion)]
    assert ratio[0] > 1.5 * ratio[1] > 1.5


def test_gradients_are_right():
    u = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(1, 5, 6, dtype=torch.float64)
    weight[0, 1, 2] = 0
    assert torch.autograd.gradcheck(lambda x: cahn_hilliard(x, weight, 1.5), u)


def test_as_a_prior_it_counts_half_the_sum_over_the_classes():
    logits, target = torch.randn(1, 3, 8, 8), torch.randint(3, (1, 8, 8))
    loss = Regularised(cross_entropy_dice, cahn_hilliard, strength=0.5, eps=1.5)
    p = logits.softmax(dim=1)
    prior = sum(cahn_hilliard(p[:, k : k + 1], None, 1.5) for k in range(3))
    expected = cross_entropy_dice(logits, target, None) + 0.25 * prior
    torch.testing.assert_close(loss(logits, target), expected)


def test_shapes_must_belong_together():
    with pytest.raises(ValueError, match="needs a weight of shape"):
        cahn_hilliard(torch.rand(1, 1, 4, 4), torch.ones(1, 4, 5))
