"""The U-Net is the published one, and sees no farther than it says."""

import pytest
import torch

from segtrain.models import MODELS
from segtrain.models.unet import UNet


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_number_of_parameters():
    """Veziryan (2025), Table 1; the blocks follow from its widths."""
    network = UNet(4, 4, (32, 64, 128, 256, 512))
    assert count(network.first) == 10_560
    assert [count(block) for block in network.down] == [55_680, 221_952, 886_272, 3_542_016]
    assert [count(block) for block in network.up] == [524_544, 131_200, 32_832, 8_224]
    assert [count(block) for block in network.merge] == [1_771_008, 443_136, 110_976, 27_840]
    assert count(network.head) == 132
    assert count(network) == 7_766_372


def test_the_names_of_a_configuration_build_it():
    assert isinstance(MODELS["unet"](1, 2, (4, 8), 2), UNet)


@pytest.mark.parametrize(("widths", "multiple"), [((4,), 1), ((4, 8), 2), ((2, 3, 4, 5), 8)])
def test_size_of_the_output(widths, multiple):
    network = UNet(2, 3, widths).eval()
    assert network.multiple == multiple
    assert network(torch.randn(2, 2, 3 * multiple, 5 * multiple)).shape == (
        2,
        3,
        3 * multiple,
        5 * multiple,
    )
    if multiple > 1:
        with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
            network(torch.randn(1, 2, 3 * multiple, 5 * multiple + 1))


def test_every_parameter_is_used():
    network = UNet(1, 2, (2, 3, 4))
    network(torch.randn(2, 1, 16, 16)).square().sum().backward()
    unused = [name for name, p in network.named_parameters() if p.grad is None]
    assert unused == []


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_the_halo_is_the_radius_of_the_receptive_field(levels, monkeypatch):
    # Positive weights and means instead of maxima let every path through.
    monkeypatch.setattr(torch.nn.functional, "max_pool2d", torch.nn.functional.avg_pool2d)
    network = UNet(1, 1, (1,) * (levels + 1)).double().eval()
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.1)
    multiple, middle = network.multiple, 8 * network.multiple
    image = torch.ones(1, 1, multiple, 2 * middle, dtype=torch.float64, requires_grad=True)
    distances = []
    for x in range(middle, middle + multiple):  # places in a pooling window see unequally far
        (gradient,) = torch.autograd.grad(network(image)[0, 0, 0, x], image)
        seen = gradient[0, 0].sum(dim=0).nonzero()[:, 0]
        distances += [x - int(seen.min()), int(seen.max()) - x]
    assert max(distances) == network.halo
