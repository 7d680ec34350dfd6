"""The penalties are what their equations say, and deep supervision weighs every level."""

import pytest
import torch

from segtrain.losses import PRIORS as PRIORS_BY_NAME
from segtrain.losses.diffusion import (
    DeepSupervision,
    flux_divergence,
    implicit_deviation,
    nearest,
)
from segtrain.losses.overlap import cross_entropy_dice
from segtrain.losses.pde import Regularised, total_variation

PRIORS = [implicit_deviation, flux_divergence]
SHAPES = [(2, 3, 4, 5), (1, 2, 3, 3, 4)]


def field(shape=(2, 3, 4, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(shape, dtype=torch.float64, generator=generator)
    weight = torch.rand((shape[0], *shape[2:]), dtype=torch.float64, generator=generator)
    weight[weight < 0.3] = 0
    return u, weight


def laplacian(weight):
    """Dense matrix (n, n) of one image: flow between neighbours of positive weight."""
    number = torch.arange(weight.numel()).view(weight.shape)
    matrix = torch.zeros(weight.numel(), weight.numel(), dtype=torch.float64)
    for axis in range(weight.ndim):
        n = weight.shape[axis] - 1
        for i, k in zip(
            number.narrow(axis, 0, n).flatten(), number.narrow(axis, 1, n).flatten(), strict=True
        ):
            if weight.flatten()[i] > 0 and weight.flatten()[k] > 0:
                matrix[i, k] += 1
                matrix[k, i] += 1
                matrix[i, i] -= 1
                matrix[k, k] -= 1
    return matrix


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sweeps", [1, 2, 400])
def test_the_implicit_step(shape, sweeps):
    u, weight = field(shape)
    eps, total = 3.0, 0.0
    for image, w in zip(u, weight, strict=True):
        D = laplacian(w)
        unit = torch.eye(len(D), dtype=torch.float64)
        system = unit - eps**2 / 4 * D
        for channel in image:
            v = channel.flatten()
            if sweeps == 400:  # converged
                v = torch.linalg.solve(system, v)
            else:
                for _ in range(sweeps):
                    v = v + (channel.flatten() - system @ v) / system.diagonal()
            total += (w.flatten() * (channel.flatten() - v).square()).sum()
    expected = total / weight.sum()
    torch.testing.assert_close(implicit_deviation(u, weight, eps, sweeps), expected)


@pytest.mark.parametrize("number", [1, 5])
def test_the_implicit_step_of_a_cosine(number):
    # An eigenvector: the step divides it by 1 + τ λ.
    n, eps = 16, 2.0
    x = torch.pi * number / n * (torch.arange(n, dtype=torch.float64) + 0.5)
    u = x.cos().expand(1, 1, 3, 3, n)
    rate = 4 * torch.sin(torch.tensor(torch.pi * number / (2 * n))) ** 2
    part = eps**2 / 4 * rate / (1 + eps**2 / 4 * rate)
    expected = 0.5 * part**2
    assert implicit_deviation(u, None, eps, 300).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_divergence_of_the_flux(shape):
    u, weight = field(shape)
    eps, total = 1.5, 0.0
    for image, w in zip(u, weight, strict=True):
        edges = laplacian(w)
        edges.fill_diagonal_(0)
        for channel in image:
            jumps = channel.flatten() - channel.flatten()[:, None]  # [i, k]: u_k - u_i
            flux = edges * jumps / (1 + (eps * jumps) ** 2)
            total += (w.flatten() * flux.sum(dim=1).square()).sum()
    torch.testing.assert_close(flux_divergence(u, weight, eps), total / weight.sum())


def test_a_sharp_edge_lets_less_through_than_a_blurred_one():
    sharp = torch.zeros(1, 1, 4, 12, dtype=torch.float64)
    sharp[..., 6:] = 1
    blurred = sharp.clone()
    blurred[..., 5:7] = torch.tensor([0.3, 0.7])
    assert flux_divergence(sharp, None, 4.0) < flux_divergence(blurred, None, 4.0)
    # A step of 1: a flux of 1 / (1 + ε²) into one pixel and out of another.
    expected = 2 / 12 / (1 + 4.0**2) ** 2
    assert flux_divergence(sharp, None, 4.0).item() == pytest.approx(expected)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_constants_cost_nothing(prior, shape):
    u = torch.full(shape, 0.7, requires_grad=True)
    (gradient,) = torch.autograd.grad(prior(u), u)
    assert prior(u) == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_that_of_the_value(prior, shape):
    u, weight = field(shape)
    assert torch.autograd.gradcheck(lambda u: prior(u, weight, 1.5), u.requires_grad_())


@pytest.mark.parametrize("prior", PRIORS)
def test_pixels_of_weight_zero_do_not_matter(prior):
    u, _ = field()
    weight = torch.ones(2, 4, 5)
    weight[..., 3:] = 0
    changed = u.clone()
    changed[..., 3:] = 7.0
    torch.testing.assert_close(prior(changed, weight), prior(u[..., :3]))
    assert prior(u, torch.zeros_like(weight)) == 0
    with pytest.raises(ValueError, match="weight of shape"):
        prior(u, torch.ones(2, 5, 4))


def test_nearest_pixels():
    x = torch.arange(8)
    assert nearest(x, (4,)).tolist() == [1, 3, 5, 7]
    assert nearest(x, (8,)).tolist() == list(range(8))
    assert nearest(torch.arange(35), (18,)).tolist()[-1] == 34
    y = torch.arange(2 * 6 * 4).view(2, 6, 4)
    assert nearest(y, (3, 2)).tolist() == [
        [[5, 7], [13, 15], [21, 23]],
        [[29, 31], [37, 39], [45, 47]],
    ]


@pytest.mark.parametrize("axes", [2, 3])
def test_deep_supervision_weighs_the_levels(axes):
    torch.manual_seed(0)
    target = torch.randint(3, (2, *[8] * axes))
    weight = torch.rand(2, *[8] * axes)
    logits = tuple(torch.randn(2, 3, *[n] * axes, requires_grad=True) for n in (8, 4, 2))
    each = [
        cross_entropy_dice(y, nearest(target, y.shape[2:]), nearest(weight, y.shape[2:]))
        for y in logits
    ]
    expected = each[0] + 0.3 * (2 / 3 * each[1] + 1 / 3 * each[2])
    loss_of = DeepSupervision(cross_entropy_dice, 0.3)
    torch.testing.assert_close(loss_of(logits, target, weight), expected)
    assert torch.equal(loss_of(logits[0], target, weight), each[0])
    assert torch.equal(loss_of(logits[:1], target, weight), each[0])
    loss_of(logits, target).backward()
    assert all((y.grad != 0).any() for y in logits)


def test_priors_hold_for_the_finest_level():
    # L = L_seg + λ_PDE L_reg + λ_aux L_aux
    torch.manual_seed(0)
    target = torch.randint(2, (1, 8, 8))
    fine, coarse = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 4, 4)
    for prior in (*PRIORS, total_variation):
        data = cross_entropy_dice(fine, target)
        reg = prior(fine.softmax(dim=1)) / 2
        aux = cross_entropy_dice(coarse, nearest(target, (4, 4)))
        loss_of = DeepSupervision(Regularised(cross_entropy_dice, prior, 0.2), 0.5)
        found = loss_of((fine, coarse), target)
        torch.testing.assert_close(found, data + 0.2 * reg + 0.5 * aux)


def test_the_regularisation_is_the_sum_of_its_three_terms():
    u, weight = field()
    terms = (implicit_deviation, flux_divergence, total_variation)
    expected = sum(term(u, weight, 3.0) for term in terms)
    torch.testing.assert_close(PRIORS_BY_NAME["implicit+flux+variation"](u, weight, 3.0), expected)
