"""MA-UNet has the parts the paper names, in the size its docstring states, and learns."""

import re

import pytest
import torch
from torch import nn

from phasegen.errors import InputError
from segtrain.models.cost import describe_network
from segtrain.models.ma_unet import DualAttention, MAUNet, Residual, Transformer
from segtrain.models.unet import UNet

SMALL = (8, 16, 32)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def full():
    with torch.device("meta"):
        return MAUNet(1, 1)


def test_the_parts_of_the_paper():
    network = full()
    layers = network.transformer.encoder.layers
    assert len(layers) == 3
    assert {(layer.self_attn.num_heads, layer.self_attn.embed_dim) for layer in layers} == {
        (8, 1536)
    }
    modules = list(network.modules())
    assert not any(isinstance(module, nn.ReLU | nn.BatchNorm2d) for module in modules)
    for block in [network.first, *network.down, *network.merge]:
        assert isinstance(block, Residual)
        kinds = [type(module) for module in block.body]
        assert kinds.count(nn.GroupNorm) == 2
        assert [m.p for m in block.body if isinstance(m, nn.Dropout2d)] == [0.3]
    assert len(network.attention) == len(network.merge) == 4
    assert all(isinstance(module, DualAttention) for module in network.attention)


def test_number_of_parameters():
    network = full()
    stated = re.search(r"it has ([\d,]+) parameters", MAUNet.__doc__)
    assert stated is not None
    assert count(network) == int(stated[1].replace(",", ""))
    w = 1536  # of a layer: q, k, v and out; up and down by four; two norms
    layer = 4 * (w * w + w) + (4 * w * w + 4 * w) + (4 * w * w + w) + 2 * 2 * w
    assert count(network.transformer) == 3 * layer + 2 * w + 10 * w
    assert count(network.first) == 9 * 96 + 9 * 96 * 96 + 4 * 96 + 96
    assert count(network.merge[-1]) == 9 * 192 * 96 + 9 * 96 * 96 + 4 * 96 + 192 * 96


@pytest.mark.parametrize(
    ("widths", "size"),
    [((8,), (5, 7)), ((4, 8), (6, 10)), ((2, 3, 4, 16), (16, 24)), ((4, 8), (4, 6, 8))],
)
def test_size_of_the_output(widths, size):
    network = MAUNet(2, 3, widths, len(size)).eval()
    assert all(side % network.multiple == 0 for side in size)
    assert network(torch.randn(2, 2, *size)).shape == (2, 3, *size)


def test_every_parameter_is_used():
    network = MAUNet(1, 2, (4, 8, 16))
    network(torch.randn(2, 1, 16, 16)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_it_overfits_one_image():
    torch.manual_seed(0)
    network = MAUNet(1, 1, (8, 16))
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    field = (1 - ((y - 7) ** 2 + (x - 6) ** 2) / 25).clamp(min=0)[None, None]
    image = (field > 0).float() + 0.1 * torch.randn(1, 1, 16, 16)
    optimiser = torch.optim.AdamW(network.parameters(), 5e-3)
    for _ in range(60):
        loss = nn.functional.l1_loss(network(image), field)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    error = nn.functional.l1_loss(network.eval()(image), field)
    assert error < 0.2 * field.mean()  # nothing at all is 1, the image itself 1.15


def test_equal_seeds_give_equal_networks_and_outputs():
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(MAUNet(1, 1, SMALL)(torch.ones(1, 1, 16, 16)))
    assert torch.equal(*outputs)


def averaging(levels):
    """A network of one channel whose convolutions are means, so that every path counts."""
    network = MAUNet(1, 1, (1,) * (levels + 1), heads=1).double().eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1 / parameter[0].numel() if parameter.ndim > 1 else 0.0)
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
    network.transformer.encoder = nn.Identity()
    network.pool = nn.AvgPool2d(2)
    return network


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_the_halo_is_the_reach_of_the_convolutions(levels, monkeypatch):
    network = averaging(levels)
    for attention in network.attention:
        attention.channel = nn.Linear(1, 2, bias=False).double()
        attention.channel.forward = lambda pixels: torch.zeros_like(pixels)
    multiple, middle = network.multiple, 12 * network.multiple
    image = torch.ones(1, 1, multiple, 2 * middle, dtype=torch.float64, requires_grad=True)
    distances = []
    for x in range(middle, middle + multiple):
        (gradient,) = torch.autograd.grad(network(image)[0, 0, 0, x], image)
        seen = gradient[0, 0].sum(dim=0).nonzero()[:, 0]
        distances += [x - int(seen.min()), int(seen.max()) - x]
    assert max(distances) == network.halo


def test_attention_sees_beyond_the_halo():
    torch.manual_seed(0)
    network = MAUNet(1, 1, (4, 8)).double().eval()
    image = torch.randn(1, 1, 4, 80, dtype=torch.float64)
    other = image.clone()
    other[..., 2 * network.halo + 20 :] += 1
    change = (network(other) - network(image))[..., :20].abs()
    assert change.min() > 0


def test_dual_attention_by_its_equations():
    torch.manual_seed(0)
    block = DualAttention(16, 2)
    x = torch.randn(2, 16, 9, 8)
    mlp, sigmoid = block.channel, torch.sigmoid
    weights = sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))
    refined = torch.einsum("bc,bcyx->bcyx", weights, x)
    planes = torch.stack([refined.mean(1), refined.amax(1)], 1)
    assert torch.allclose(block(x), refined * sigmoid(block.spatial(planes)), atol=1e-6)


def test_the_transformer_knows_what_lies_beside_what():
    torch.manual_seed(0)
    block = Transformer(16, 8, 1, 2).eval()
    x = torch.randn(1, 16, 4, 6)
    rolled = block(x.roll(1, 3))
    assert not torch.allclose(block(x).roll(1, 3), rolled, atol=1e-3)
    nn.init.zeros_(block.position.weight)
    assert torch.allclose(block(x).roll(1, 3), block(x.roll(1, 3)), atol=1e-5)


def test_what_cannot_be_built_says_why():
    with pytest.raises(InputError, match=r"end in 12, which 8 attention heads.*multiple of 8"):
        MAUNet(1, 1, (4, 12))
    with pytest.raises(InputError, match=r"axes: is 4"):
        MAUNet(1, 1, SMALL, 4)


def test_operations_in_closed_form():
    batch, w, n = 2, 16, 4 * 6
    products = w * 3 * w + w * w + 2 * w * 4 * w
    layer = 2 * batch * n * products + 2 * 2 * batch * n * n * w
    for network in (Transformer(w, 8, 3, 2), Transformer(w, 8, 3, 2).eval()):
        found = describe_network(network, (batch, w, 4, 6))
        assert found.flops == 3 * layer + 2 * batch * n * 9 * w
    convolution = nn.Conv2d(3, 5, 3, padding=1)
    found = describe_network(convolution, (batch, 3, 7, 8))
    assert found == (3 * 5 * 9 + 5, 2 * batch * 7 * 8 * 3 * 5 * 9)
    assert str(found) == "140 parameters, 3.02e-05 GFLOP"


def test_counting_leaves_the_network_alone():
    network = UNet(1, 2, (4, 8)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert describe_network(network, (1, 1, 8, 8)).parameters == count(network)
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_full_network_can_be_counted_without_its_memory():
    cost = describe_network(full(), (1, 1, 256, 256))
    assert cost.parameters == count(full())
    assert f"{cost.flops / 1e9:.0f} GFLOP" in MAUNet.__doc__
