"""The cable equation is solved as it is written, and cannot blow up whatever is learned."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segtrain.config import Training
from segtrain.models import MODELS
from segtrain.models.pde_unet import CableBlock, PDEUNet
from segtrain.predict import load_segmenter
from segtrain.train import train

PAPER = (4, 4, (32, 64, 128, 256, 512))
LOGITS = st.one_of(st.floats(-3, 3), st.floats(-1e6, 1e6), st.sampled_from([-1e300, 1e300]))
"""Parameters as training might leave them, and as nothing sane would."""


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def block(channels=2, steps=3, seed=0, **options):
    """A block away from its start, in double precision, without source."""
    torch.manual_seed(seed)
    cable = CableBlock(channels, steps, **options).double()
    cable.shares.data = torch.randn_like(cable.shares)
    cable.source.data.zero_()
    return cable


def set_shares(cable, tau, across, down):
    """Give every step and channel the same shares; what is left of 1 is the fourth."""
    used = torch.tensor([tau, across, down], dtype=torch.float64)
    logits = (used / (1 - used.sum())).log() - cable.start
    cable.shares.data = logits[:, None, None].expand_as(cable.shares).clone()


def waves(height, width):
    """Images (2, 1, Y, X): noise, and the chequerboard that an unstable step amplifies most."""
    noise = torch.randn(1, 1, height, width, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.cat([noise, (1.0 - 2.0 * ((x + y) % 2)).to(noise)[None, None]])


def by_formula(cable, image):
    """Veziryan (2025), eq. 2 with a source, pixel by pixel; outside lies a copy of the border."""
    tau, phi, psi, source = (
        np.broadcast_to(c.detach().numpy(), (cable.steps, image.shape[1]))
        for c in cable.constants()
    )
    image = image.numpy()
    u = image
    for t in range(cable.steps):
        new = np.empty_like(u)
        for b, c, i, k in np.ndindex(u.shape):
            p = np.pad(u[b, c], 1, mode="edge")[i : i + 3, k : k + 3]
            new[b, c, i, k] = (
                (1 - tau[t, c]) * p[1, 1]
                + (p[1, 0] - 2 * p[1, 1] + p[1, 2]) / phi[t, c] ** 2
                + (p[0, 1] - 2 * p[1, 1] + p[2, 1]) / psi[t, c] ** 2
                + source[t, c] * image[b, c, i, k]
            )
        u = new
    return image + u


def test_number_of_parameters():
    assert count(PDEUNet(*PAPER)) == 7_766_628
    assert count(PDEUNet(*PAPER)) - count(MODELS["unet"](*PAPER, 2)) == 256


@pytest.mark.parametrize(
    ("options", "number"),
    [({}, 64), ({"share_steps": True}, 16), ({"share_channels": True}, 16)]
    + [({"share_steps": True, "share_channels": True}, 4), ({"steps": 5}, 80)],
)
def test_depth_and_sharing(options, number):
    channels = 4 if options else 1
    options = {"steps": 4} | options if options else {}
    cable = CableBlock(channels, **options)
    assert count(cable) == number
    network = PDEUNet(channels, 2, (4, 8), cable)
    assert network(torch.randn(1, channels, 8, 8)).shape == (1, 2, 8, 8)
    assert network.halo == network.unet.halo + cable.steps


@pytest.mark.parametrize("monotone", [True, False])
def test_the_start(monotone):
    cable = CableBlock(4, monotone=monotone)
    for constants, value in zip(cable.constants(), (0.125, 4, 4, 0.125), strict=True):
        torch.testing.assert_close(constants, torch.full((16, 4), float(value)))
    # A constant image is at rest, and the skip connection doubles it.
    torch.testing.assert_close(cable(torch.full((1, 4, 5, 6), 3.0)), torch.full((1, 4, 5, 6), 6.0))


@pytest.mark.parametrize("options", [{}, {"share_steps": True}, {"monotone": False}])
def test_the_formula(options):
    cable = block(**options)
    cable.source.data = torch.randn_like(cable.source)
    image = torch.randn(2, 2, 4, 5, dtype=torch.float64)
    expected = torch.from_numpy(by_formula(cable, image))
    torch.testing.assert_close(cable(image), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("axis", "length"), [("phi", 7), ("psi", 5)])
def test_cosines_decay_as_the_symbol_says(axis, length):
    # With no-flux borders the cosines cos(π m (x + 1/2) / n) are the eigenvectors.
    cable = block(1, 6, share_steps=True)
    mode = torch.cos(torch.pi * 3 * (torch.arange(length) + 0.5) / length).double()
    image = mode.expand(1, 1, 5, 7) if axis == "phi" else mode[:, None].expand(1, 1, 5, 7)
    constants = cable.constants()
    scale = getattr(constants, axis)
    sine = np.sin(np.pi * 3 / (2 * length))
    decay = 1 - constants.tau - 4 * sine**2 / scale**2
    torch.testing.assert_close(cable(image), image * (1 + decay.item() ** 6))


def test_nothing_flows_through_the_borders():
    cable = block(1, 8)
    set_shares(cable, 0.0, 0.5, 0.3)
    image = torch.rand(1, 1, 5, 6, dtype=torch.float64)
    potential = cable(image) - image
    assert potential.sum().item() == pytest.approx(image.sum().item(), rel=1e-12)
    assert potential.std() < 0.5 * image.std()


@given(st.tuples(LOGITS, LOGITS, LOGITS), st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_bound_holds_for_every_parameter(logits, monotone):
    cable = block(1, 1, monotone=monotone)
    cable.shares.data = torch.tensor(logits, dtype=torch.float64)[:, None, None]
    tau, phi, psi, _ = (c.item() for c in cable.constants())
    assert tau >= 0
    if monotone:
        assert tau + 2 / phi**2 + 2 / psi**2 <= 1 + 1e-12
    assert tau + 4 / phi**2 + 4 / psi**2 <= 2 + 1e-12


@given(st.tuples(LOGITS, LOGITS, LOGITS), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_without_a_source_no_image_grows(logits, seed):
    torch.manual_seed(seed)
    image = waves(5, 6)
    for monotone in (True, False):
        cable = block(1, 10, monotone=monotone, share_steps=True)
        cable.shares.data = torch.tensor(logits, dtype=torch.float64)[:, None, None].expand(
            3, 10, 1
        )
        u = cable(image) - image
        assert (u.flatten(1).norm(dim=1) <= image.flatten(1).norm(dim=1) + 1e-12).all()
        if monotone:
            assert u.max() <= image.max().clamp_min(0) + 1e-12
            assert u.min() >= image.min().clamp_max(0) - 1e-12


def test_the_bounds_are_no_tighter_than_they_must_be(monkeypatch):
    board = waves(16, 16)[1:]
    for rates, grows in ((1.0, False), (1.1, True)):
        cable = block(1, 16, monotone=False)
        set_shares(cable, 0.02, 0.48, 0.48)
        *used, _ = cable._shares().detach() * rates
        shares = torch.stack([*used, 1 - sum(used)])
        monkeypatch.setattr(cable, "_shares", shares.clone)
        assert ((cable(board) - board).norm() > board.norm()) == grows
    # Stable but not monotone: one step beyond the range of the image.
    cable = block(1, 1, monotone=False)
    set_shares(cable, 0.02, 0.48, 0.48)
    spot = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    spot[0, 0, 2, 2] = 1
    assert (cable(spot) - spot).min() >= 0
    set_shares(cable, 0.6, 0.2, 0.19)
    assert (cable(spot) - spot).min() < 0


@pytest.mark.parametrize("monotone", [True, False])
def test_the_gradient_is_that_of_the_value(monotone):
    cable = block(2, 3, monotone=monotone)
    image = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)

    def output(image, shares, source):
        return torch.func.functional_call(cable, {"shares": shares, "source": source}, image)

    assert torch.autograd.gradcheck(output, (image, cable.shares, cable.source))


def test_steps_learn_apart():
    cable = CableBlock(1)
    cable(torch.randn(1, 1, 16, 16)).square().sum().backward()
    for parameter in cable.parameters():
        gradients = parameter.grad.reshape(-1, 16)
        assert all(len(row.unique()) == 16 for row in gradients)


def test_half_precision_stays_out_of_the_equation():
    cable, image = CableBlock(2), torch.randn(1, 2, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = cable(image)
    assert torch.equal(mixed, cable(image))


@pytest.mark.parametrize("widths", [(1,), (1, 1), (1, 1, 1)])
def test_the_halo_is_the_radius_of_the_receptive_field(widths, monkeypatch):
    # Positive weights and means instead of maxima let every path through.
    monkeypatch.setattr(torch.nn.functional, "max_pool2d", torch.nn.functional.avg_pool2d)
    network = MODELS["pde-unet"](1, 1, widths, 2).double().eval()
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.1)
    multiple = network.multiple
    middle = -(-2 * network.halo // multiple) * multiple
    image = torch.ones(1, 1, multiple, 2 * middle, dtype=torch.float64, requires_grad=True)
    distances = []
    for x in range(middle, middle + multiple):
        (gradient,) = torch.autograd.grad(network(image)[0, 0, 0, x], image)
        seen = gradient[0, 0].sum(dim=0).nonzero()[:, 0]
        distances += [x - int(seen.min()), int(seen.max()) - x]
    assert max(distances) == network.halo


def test_it_trains_and_comes_back_from_its_checkpoint(simulation, tmp_path, silent):
    config = Training(
        store=simulation,
        model="pde-unet",
        widths=(4, 8),
        steps=4,
        batch=2,
        patch=32,
        validation=1,
        validate_every=4,
        device="cpu",
    )
    network = load_segmenter(train(config, tmp_path / "run", silent)).network
    assert isinstance(network, PDEUNet)
    constants = network.cable.constants()
    assert constants.source.unique().numel() == 16  # each has learned its own
