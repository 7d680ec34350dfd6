"""The priors are the integrals and residuals that they claim to be, and weigh what they should."""

from itertools import pairwise
from math import log2, pi, sqrt

import pytest
import torch

from segtrain.config import Training
from segtrain.losses import LOSSES
from segtrain.losses.overlap import cross_entropy_dice
from segtrain.losses.pde import (
    KINK,
    Regularised,
    interface_energy,
    reaction_diffusion,
    total_variation,
)
from segtrain.steps import loss_at
from segtrain.train import train

PRIORS = [interface_energy, reaction_diffusion, total_variation]
SIGMA = sqrt(2) / 6
"""Energy of a straight interface per length."""


def profile(x, eps):
    """The interface at rest; 1 where x > 0."""
    return (1 + torch.tanh(x / (sqrt(2) * eps))) / 2


def line(eps, width=None, shift=0.0):
    """Field (1, 1, 1, X) with a straight interface of `width` in the middle."""
    n = 20 * eps
    x = torch.arange(-n, n, dtype=torch.float64) + 0.5 + shift
    return profile(x, width or eps)[None, None, None]


def ball(radius, eps, dimensions):
    """Field of a ball about the corner: half of it, or a quarter, ... by symmetry of the border."""
    axis = torch.arange(radius + 8 * eps, dtype=torch.float64) + 0.5
    squares = torch.meshgrid(*[axis**2] * dimensions, indexing="ij")
    return profile(radius - sum(squares).sqrt(), eps)[None, None]


def step(axis=3, height=6, width=9, at=4):
    """A mask (1, 1, Y, X) with one straight edge."""
    u = torch.zeros(1, 1, height, width, dtype=torch.float64)
    u.narrow(axis, at, u.shape[axis] - at).fill_(1)
    return u


def field(shape=(2, 3, 4, 5), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(shape, dtype=dtype, generator=generator)
    return u, torch.rand((shape[0], *shape[2:]), dtype=dtype, generator=generator)


def by_formula(name, u, weight, eps):
    """The definitions pixel by pixel, over the faces between pixels of positive weight."""
    total = torch.zeros((), dtype=u.dtype)
    for b in range(u.shape[0]):
        for c in range(u.shape[1]):
            v, w = u[b, c], weight[b]
            for i in torch.cartesian_prod(*map(torch.arange, v.shape)).tolist():
                if w[tuple(i)] == 0:
                    continue
                jumps = []
                for axis in range(v.ndim):
                    for side in (-1, 1):
                        j = list(i)
                        j[axis] += side
                        inside = 0 <= j[axis] < v.shape[axis] and w[tuple(j)] > 0
                        jumps.append(v[tuple(j)] - v[tuple(i)] if inside else torch.tensor(0.0))
                here = v[tuple(i)]
                if name == "interface_energy":
                    steep = sum(jump**2 for jump in jumps) / 2
                    density = eps / 2 * steep + here**2 * (1 - here) ** 2 / eps
                elif name == "reaction_diffusion":
                    density = (eps**2 / 4 * sum(jumps) + here * (1 - here) * (here - 0.5)) ** 2
                else:
                    density = torch.sqrt(sum(jump**2 for jump in jumps[1::2]) + KINK**2) - KINK
                total = total + w[tuple(i)] * density
    return total / weight.sum()


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 3, 3, 4)])
def test_the_formula(prior, shape):
    u, weight = field(shape)
    weight[weight < 0.3] = 0
    expected = by_formula(prior.__name__, u, weight, 1.5)
    torch.testing.assert_close(prior(u, weight, 1.5), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_masks_cost_nothing(prior, value):
    u = torch.full((1, 1, 5, 6), value, requires_grad=True)
    loss = prior(u)
    (gradient,) = torch.autograd.grad(loss, u)
    assert loss.item() == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5])
@pytest.mark.parametrize(("eps", "error"), [(1, 0.017), (2, 0.0042), (4, 0.0011)])
def test_a_straight_interface_has_the_energy_of_its_length(eps, shift, error):
    u = line(eps, shift=shift).expand(1, 1, 3, -1)
    assert interface_energy(u, None, eps).item() * u.numel() == pytest.approx(3 * SIGMA, rel=error)


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0])
def test_another_width_has_more_energy(stretch):
    # The gradient's half of the energy goes with 1/stretch, the potential's with stretch.
    u = line(8, 8 * stretch)
    energy = interface_energy(u, None, 8).item() * u.numel()
    assert energy == pytest.approx(SIGMA * (stretch + 1 / stretch) / 2, rel=2e-3)


def test_the_energy_of_a_disc_converges_to_its_circumference():
    # ε -> 0 for a disc of fixed size, on a grid refined twice as fast: 1/4, 1/8 and 1/16 of the
    # radius. By symmetry of the profile the curve itself costs nothing; the grid is of order 2.
    errors = []
    for eps, radius in ((1, 4), (2, 16), (4, 64)):
        u = ball(radius, eps, 2)
        energy = interface_energy(u, None, eps).item() * u.numel()
        errors.append(abs(energy / (SIGMA * pi * radius / 2) - 1))
    orders = [log2(before / after) for before, after in pairwise(errors)]
    assert errors[-1] < 8e-4
    assert orders == pytest.approx([2, 2], abs=0.15)


def test_the_energy_of_a_ball_converges_to_its_surface():
    # The mean square distance from the surface, weighted with the energy, is (π² - 6) / 6 ε²,
    # so that the shells have that much more area.
    for radius in (12, 24):
        u = ball(radius, 3, 3)
        energy = interface_energy(u, None, 3).item() * u.numel() / (SIGMA * pi * radius**2 / 2)
        assert energy == pytest.approx(1 + (pi**2 - 6) / 6 * (3 / radius) ** 2, abs=2e-3)


def test_a_straight_interface_is_at_rest():
    roots = [reaction_diffusion(line(eps), None, eps).sqrt().item() for eps in (2, 4, 8, 16)]
    orders = [log2(before / after) for before, after in pairwise(roots)]
    assert roots[0] < 6e-4
    assert orders == pytest.approx([2, 2, 2], abs=0.08)
    # Another width is not: neither twice nor half of it.
    for width in (8, 32):
        assert reaction_diffusion(line(16, width), None, 16).sqrt() > 100 * roots[-1]


@pytest.mark.parametrize("threshold", [0.2, 0.7])
def test_an_unequal_bistable_reaction_drives_the_interface(threshold):
    # u(x + c t) solves the equation with c = (1 - 2 a) √(D / 2), so R = c u'.
    eps = 16
    u = line(eps)
    speed = (1 - 2 * threshold) * sqrt(eps**2 / 8)
    slope = sqrt(2) / eps * u * (1 - u)
    expected = (speed * slope).square().mean()
    loss = reaction_diffusion(u, None, eps, threshold)
    torch.testing.assert_close(loss, expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("axis", [2, 3])
def test_total_variation_is_the_perimeter_of_a_mask(axis):
    u = step(axis)
    edge = u.shape[5 - axis]
    assert total_variation(u).item() * u.numel() == pytest.approx(edge, rel=2 * KINK)
    assert total_variation(step(at=3)) == total_variation(step(at=6))
    # A ramp of the same height costs the same.
    ramp = torch.linspace(0, 1, 9, dtype=torch.float64).expand(1, 1, 6, 9)
    assert total_variation(ramp).item() * u.numel() == pytest.approx(6, rel=8 * KINK)


def test_a_sharp_mask_loses_energy_by_softening():
    u = step(width=80, at=40)
    assert interface_energy(u, None, 2.0).item() * u.numel() == pytest.approx(6 * 2.0 / 2)
    assert interface_energy(line(2), None, 2.0) * 80 < 0.25


@pytest.mark.parametrize("prior", PRIORS)
def test_the_gradient_is_that_of_the_value(prior):
    u, weight = field()
    weight[weight < 0.3] = 0
    assert torch.autograd.gradcheck(lambda u: prior(u, weight, 1.5), u.requires_grad_())


@pytest.mark.parametrize("prior", PRIORS)
def test_pixels_of_weight_zero_do_not_matter(prior):
    u, _ = field()
    weight = torch.ones(2, 4, 5)
    weight[..., 3:] = 0
    loss = prior(u, weight)
    torch.testing.assert_close(loss, prior(u[..., :3], None))
    changed = u.clone()
    changed[..., 3:] = 7.0
    changed.requires_grad_()
    assert prior(changed, weight) == loss
    (gradient,) = torch.autograd.grad(prior(changed, weight), changed)
    assert (gradient[..., 3:] == 0).all()
    assert (gradient[..., :3] != 0).all()


@pytest.mark.parametrize("prior", PRIORS)
def test_only_ratios_of_weights_matter(prior):
    u, weight = field()
    torch.testing.assert_close(prior(u, weight), prior(u, weight / 2))
    torch.testing.assert_close(prior(u, torch.full_like(weight, 0.5)), prior(u))
    assert prior(u, torch.zeros_like(weight)) == 0


@pytest.mark.parametrize("prior", PRIORS)
def test_both_axes_are_alike(prior):
    u, weight = field()
    torch.testing.assert_close(prior(u.mT, weight.mT), prior(u, weight))


@pytest.mark.parametrize("prior", [interface_energy, reaction_diffusion])
@pytest.mark.parametrize("axis", [2, 3])
def test_the_border_is_a_mirror(prior, axis):
    # That is what no flux means. (Forward differences, for the variation, have no mirror image.)
    u, weight = field()
    both = [torch.cat([x, x.flip(d)], d) for x, d in ((u, axis), (weight, axis - 1))]
    torch.testing.assert_close(prior(*both), prior(u, weight))


@pytest.mark.parametrize("prior", PRIORS)
def test_shapes_must_belong_together(prior):
    with pytest.raises(ValueError, match=r"weight of shape \(2, 4, 5\), not \(2, 1, 4, 5\)"):
        prior(field()[0], torch.ones(2, 1, 4, 5))


def test_losses_are_the_data_term_and_the_prior():
    logits = 3 * field((2, 2, 6, 7))[0].requires_grad_()
    weight = field((2, 2, 6, 7))[1]
    target = (weight > 0.5).long()
    data = cross_entropy_dice(logits, target, weight)
    for name, prior in zip(("interface", "reaction", "variation"), PRIORS, strict=True):
        loss_of = LOSSES[f"ce-dice+{name}"]
        # With two classes it is the prior of one of them: both have the same boundary.
        for one in logits.softmax(dim=1).split(1, dim=1):
            expected = data + 0.1 * prior(one, weight, 2.0)
            torch.testing.assert_close(loss_of(logits, target, weight), expected)
        wide = Regularised(cross_entropy_dice, prior, 0.5, eps=3.0)(logits, target, weight)
        torch.testing.assert_close(wide, data + 0.5 * prior(one, weight, 3.0))
        without = Regularised(cross_entropy_dice, prior, strength=0)
        assert torch.equal(without(logits, target, weight), data)


def test_the_boundary_between_any_two_classes_counts_once():
    target = torch.zeros(1, 8, 12, dtype=torch.int64)
    target[..., 4:8], target[..., 8:] = 1, 2
    logits = 60.0 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1)
    loss = Regularised(cross_entropy_dice, total_variation, strength=1.0)(logits, target)
    assert loss.item() * target.numel() == pytest.approx(2 * 8, rel=2 * KINK)


@pytest.mark.parametrize("prior", PRIORS)
def test_the_gradient_by_the_logits(prior):
    logits, weight = field((1, 3, 3, 4))
    loss_of = Regularised(cross_entropy_dice, prior, strength=1.0)
    target = torch.zeros(1, 3, 4, dtype=torch.int64)
    assert torch.autograd.gradcheck(lambda x: loss_of(x, target, weight), logits.requires_grad_())


@pytest.mark.parametrize("prior", PRIORS)
def test_half_precision_is_summed_in_single_precision(prior):
    logits = field((1, 3, 64, 64), dtype=torch.float32)[0].to(torch.bfloat16)
    target = torch.zeros(1, 64, 64, dtype=torch.int64)
    loss_of = Regularised(cross_entropy_dice, prior, strength=100.0)
    loss = loss_of(logits, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(loss_of(logits.double(), target).item(), rel=2e-6)
    assert prior(logits).item() == pytest.approx(prior(logits.double()).item(), rel=2e-6)


def test_a_prior_removes_a_speck_that_no_label_asks_for():
    # Free logits and no labels: the energy flows downhill, and what is small and unsure goes.
    u = torch.full((1, 1, 16, 16), 0.02)
    u[..., 7:9, 7:9] = 0.6
    logit = u.logit().requires_grad_()
    optimiser = torch.optim.Adam([logit], 0.1)
    for _ in range(60):
        optimiser.zero_grad()
        interface_energy(logit.sigmoid()).backward()
        optimiser.step()
    assert logit.sigmoid().max() < 0.1


@pytest.mark.parametrize("name", ["interface", "reaction", "variation"])
def test_it_trains(name, simulation, tmp_path, silent):
    settings = {"widths": (2, 4), "steps": 2, "batch": 2, "patch": 32, "validation": 0}
    config = Training(store=simulation, loss=f"ce-dice+{name}", device="cpu", **settings)
    assert train(config, tmp_path / "run", silent).exists()


def test_the_prior_gains_its_weight_in_training():
    config = Training(loss="ce-dice+interface", prior_weight=2, prior_width=3, prior_warm_up=0.5)
    assert [loss_at(config, p).strength for p in (0, 0.25, 0.5, 1)] == [0, 1, 2, 2]
    assert loss_at(config, 0.3).eps == 3
    at_once = config.model_copy(update={"prior_warm_up": 0})
    assert loss_at(at_once, 0).strength == 2
    assert loss_at(Training(), 0.5) is LOSSES["ce-class-dice"]
