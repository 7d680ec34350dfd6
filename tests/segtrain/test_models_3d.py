"""Volume networks take any size, see no farther than they say, and learn."""

import sys
from importlib.util import find_spec
from itertools import combinations

import pytest
import torch

from phasegen.errors import InputError
from segtrain import predict
from segtrain.config import Training
from segtrain.losses.diffusion import DeepSupervision
from segtrain.losses.overlap import cross_entropy_dice
from segtrain.models import MODELS
from segtrain.models.cost import describe_network
from segtrain.models.es_unet import ESUNet
from segtrain.models.monai_baselines import InstanceNorm, require, swin_unetr, vnet
from segtrain.models.pde3d_unet import PDE3DUNet
from segtrain.models.pde_layer import PDELayer
from segtrain.models.unet3d import UNet3D

OWN = [UNet3D, PDE3DUNet, ESUNet]

ALL_SKIPS = {"place": "skips", "finest": 0}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("axes", [2, 3])
def test_number_of_parameters_of_the_backbone(axes):
    """By hand: 3^d weights per pair of channels, 2 of the norm, 2^d of what enlarges, heads."""
    c, k, widths = 3**axes, 2**axes, (4, 8, 16)
    pairs = [(1, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 8), (8, 8), (8, 4), (4, 4)]
    expected = sum(c * i * o + 2 * o for i, o in pairs)
    expected += k * (16 * 8 + 8 * 4) + 8 + 4
    heads = (4 * 3 + 3) + (8 * 3 + 3)
    assert count(UNet3D(1, 3, widths, axes)) == expected + heads
    assert count(UNet3D(1, 3, widths, axes, deep=False)) == expected + 4 * 3 + 3


def test_ablations_add_the_layers_and_nothing_else():
    widths = (4, 8, 16)
    backbone = count(UNet3D(1, 2, widths))
    layers = {width: count(PDELayer(width, 3)) for width in widths}
    for options, more in [
        ({}, layers[8]),
        (ALL_SKIPS, layers[4] + layers[8]),
        ({"place": "skips"}, layers[8]),
        ({"place": "both"}, 2 * layers[8]),
        ({"steps": 5, "scheme": "split", "solver": "gauss-seidel", "sweeps": 3}, layers[8]),
    ]:
        assert count(PDE3DUNet(1, 2, widths, **options)) == backbone + more


def test_without_its_layers_it_is_the_backbone():
    torch.manual_seed(0)
    backbone = UNet3D(1, 2, (4, 8)).eval()
    network = PDE3DUNet(1, 2, (4, 8), **ALL_SKIPS | {"place": "both"}).eval()
    missing, _ = network.load_state_dict(backbone.state_dict(), strict=False)
    assert {name.split(".")[0] for name in missing} == {"waist", "skips"}
    x = torch.randn(1, 1, 8, 8, 8)
    assert not torch.equal(network(x), backbone(x))
    network.waist = network.skips[0] = torch.nn.Identity()
    assert torch.equal(network(x), backbone(x))


def test_no_two_designs_are_the_same_network():
    # All with the weights of the first one; those of 5 points have more.
    changes = [{}, {"steps": 1}, {"steps": 5}, {"scheme": "explicit"}, {"scheme": "split"}]
    changes += [{"scheme": "crank-nicolson", "sweeps": 2}, {"sweeps": 2}, {"sweeps": 3}]
    changes += [{"solver": "gauss-seidel"}, {"scheme": "crank-nicolson", "solver": "gauss-seidel"}]
    changes += [ALL_SKIPS, {"place": "skips"}, {"place": "both"}, {"place": "both", "finest": 0}]
    torch.manual_seed(0)
    donor = PDE3DUNet(1, 2, (2, 3, 4), place="both", finest=0)
    for name, parameter in donor.named_parameters():
        if "reaction" in name or "free" in name:
            parameter.data.normal_(0, 0.3)
    x = torch.randn(1, 1, 8, 8, 8)
    outputs = []
    for options in changes:
        network = PDE3DUNet(1, 2, (2, 3, 4), **options).eval()
        network.load_state_dict(donor.state_dict(), strict=False)
        outputs.append((options, network(x)))
    for (one, ours), (other, theirs) in combinations(outputs, 2):
        assert (ours - theirs).abs().max() > 1e-5, f"{one} and {other}"


@pytest.mark.parametrize("build", OWN)
@pytest.mark.parametrize("shape", [(8, 8), (9, 14), (8, 8, 8), (7, 10, 9), (35, 13, 8)])
def test_any_size_will_do(build, shape):
    axes = len(shape)
    network = build(2, 3, (2, 4, 6), axes)
    x = torch.randn(2, 2, *shape)
    outputs = network(x)
    levels = 3 if build is ESUNet else 2
    assert isinstance(outputs, tuple)
    sizes = [tuple(-(-n // 2**level) for n in shape) for level in range(levels)]
    assert [tuple(y.shape) for y in outputs] == [(2, 3, *size) for size in sizes]
    assert network.eval()(x).shape == (2, 3, *shape)
    plain = build(2, 3, (2, 4, 6), axes, deep=False)
    assert plain(x).shape == (2, 3, *shape)


@pytest.mark.parametrize("build", [UNet3D, PDE3DUNet])
def test_pools_of_long_voxels(build):
    pools = ((1, 2, 2), (2, 2, 2))
    network = build(1, 2, (2, 4, 6), 3, pools=pools)
    assert network.multiple == (2, 4, 4)
    assert isinstance(network.halo, tuple)
    assert network.halo[0] < network.halo[1] == build(1, 2, (2, 4, 6)).halo
    fine, coarse = network(torch.randn(1, 1, 5, 16, 12))
    assert fine.shape[2:] == (5, 16, 12)
    assert coarse.shape[2:] == (5, 8, 6)


@pytest.mark.parametrize("pools", [((1, 2, 2),), ((2, 2), (2, 2)), ((0, 2, 2), (2, 2, 2))])
def test_pools_that_do_not_fit(pools):
    with pytest.raises(InputError, match=r"pools: are \[\[.*Give 2 times 3 numbers"):
        UNet3D(1, 2, (2, 4, 6), pools=pools)
    with pytest.raises(InputError, match="are given for images"):
        UNet3D(1, 2, (2, 4, 6), 2, pools=pools)


@pytest.mark.parametrize(("finest", "widths"), [(1, (2, 4)), (-1, (2, 4, 6)), (2, (2, 4, 6))])
def test_skips_that_are_not_there(finest, widths):
    with pytest.raises(InputError, match=f"finest: is {finest}, and the skips have the levels 0"):
        PDE3DUNet(1, 2, widths, place="skips", finest=finest)


@pytest.mark.parametrize("build", OWN)
@pytest.mark.parametrize("axes", [2, 3])
def test_every_parameter_is_used(build, axes):
    options = {"place": "both", "finest": 0} if build is PDE3DUNet else {}
    network = build(1, 2, (2, 3, 4), axes, **options)
    loss = sum(y.square().sum() for y in network(torch.randn(2, 1, *[16] * axes)))
    loss.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("build", "options"),
    [(UNet3D, {}), (ESUNet, {}), (PDE3DUNet, {})]
    + [(PDE3DUNet, {"place": "both", "finest": 0})]
    + [(PDE3DUNet, ALL_SKIPS | {"steps": 5, "size": 5})],
)
@pytest.mark.parametrize("widths", [(1,), (1, 1), (1, 1, 1)])
def test_the_halo_is_the_radius_of_the_receptive_field(build, options, widths):
    if len(widths) == 1 and options:
        pytest.skip("no skips")

    # Without normalisation and attention, which see everything; positive weights and means instead
    # of maxima let every path through.
    def average(x, pool, ceil_mode):
        return torch.nn.functional.avg_pool2d(x, pool, ceil_mode=ceil_mode)

    torch.manual_seed(0)
    network = build(1, 1, widths, 2, **options).double().eval()
    network.pool = average
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.forward = lambda x: x
        if type(module).__name__ == "ChannelAttention":
            module.forward = lambda x: x
        if isinstance(module, PDELayer):
            module.diffusion.double()
    for name, parameter in network.named_parameters():
        if "diffusion" not in name:
            parameter.data.abs_().add_(0.1)
    multiple, middle = network.multiple, -(-2 * network.halo // network.multiple) * network.multiple
    middle = max(middle, 8)
    image = torch.ones(1, 1, multiple, 2 * middle, dtype=torch.float64, requires_grad=True)
    distances = []
    for x in range(middle, middle + multiple):
        (gradient,) = torch.autograd.grad(network(image)[0, 0, 0, x], image)
        seen = gradient[0, 0].abs().sum(dim=0).nonzero()[:, 0]
        distances += [x - int(seen.min()), int(seen.max()) - x]
    if build is ESUNet:  # an upper bound
        assert network.halo * 0.6 <= max(distances) <= network.halo
    else:
        assert max(distances) == network.halo


@pytest.mark.parametrize(
    ("build", "options"), [(UNet3D, {}), (PDE3DUNet, {"place": "both", "finest": 0}), (ESUNet, {})]
)
def test_checkpointing_stores_less_and_changes_nothing(build, options):
    x = torch.randn(1, 1, 8, 8, 8)
    gradients, stored = [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        network, sizes = build(1, 2, (2, 4), checkpointing=checkpointing, **options), []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda saved, sizes=sizes: (sizes.append(saved.numel()), saved)[1], lambda saved: saved
        ):
            loss = sum(y.square().sum() for y in network(x))
            stored.append(sum(sizes))
        loss.backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)
    assert stored[1] < 0.7 * stored[0]


@pytest.mark.parametrize("build", OWN)
def test_a_tiny_overfit(build):
    torch.manual_seed(0)
    axis = torch.arange(16) - 7.5
    ball = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < 25).long()[None]
    image = ball[:, None] + 0.3 * torch.randn(1, 1, 16, 16, 16)
    network, loss_of = build(1, 2, (8, 16)), DeepSupervision(cross_entropy_dice)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-2)
    losses = []
    for _ in range(25):
        loss = loss_of(network(image), ball)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]
    found = network.eval()(image).argmax(dim=1)
    assert ((found == 1) & (ball == 1)).sum() / ((found == 1) | (ball == 1)).sum() > 0.9


@pytest.mark.parametrize("axes", [2, 3])
def test_the_pde_layers_learn(axes):
    torch.manual_seed(0)
    network = PDE3DUNet(1, 2, (4, 8), axes, place="both", finest=0)
    before = {n: p.clone() for n, p in network.named_parameters() if "waist" in n or "skips" in n}
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2, weight_decay=0)
    for _ in range(3):
        optimiser.zero_grad()
        sum(y.square().sum() for y in network(torch.randn(1, 1, *[8] * axes))).backward()
        optimiser.step()
    for name, parameter in network.named_parameters():
        if name in before:
            assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("name", ["pde-unet", "pde3d-unet", "es-unet"])
def test_operations_are_counted_without_computing(name):
    axes = 2 if name == "pde-unet" else 3
    network = MODELS[name](1, 2, (2, 4), axes)
    cost = describe_network(network, (1, 1, *[8] * axes))
    assert cost.parameters == count(network)
    assert cost.flops > 0


@pytest.mark.parametrize("axes", [2, 3])
def test_vnet(axes):
    pytest.importorskip("monai")
    network = vnet(1, 3, (4, 8), axes).eval()
    assert network.multiple == 16
    assert network(torch.zeros(1, 1, *[16] * axes)).shape == (1, 3, *[16] * axes)
    with pytest.raises(InputError, match="cannot take 3 channels"):
        vnet(3, 2, (4, 8), axes)


def test_instance_normalisation_of_a_single_pixel():
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(InstanceNorm()(x), torch.nn.InstanceNorm2d(3)(x))
    assert InstanceNorm()(x[..., :1, :1]).abs().max() < 1e-4


@pytest.mark.parametrize("axes", [2, 3])
def test_swin_unetr(axes):
    pytest.importorskip("monai")
    pytest.importorskip("einops")
    network = swin_unetr(4, 3, (16, 32), axes).eval()
    assert network.multiple == 32
    assert network(torch.zeros(1, 4, *[32] * axes)).shape == (1, 3, *[32] * axes)
    assert network(torch.zeros(1, 4, 64, *[32] * (axes - 1))).shape[1:3] == (3, 64)
    assert (
        swin_unetr(1, 2, (12,), axes, checkpointing=True)
        .swinViT.layers1[0]
        .blocks[0]
        .use_checkpoint
    )


def test_what_is_absent_is_named(monkeypatch):
    monkeypatch.setattr("segtrain.models.monai_baselines.find_spec", lambda _: None)
    for build in (vnet, swin_unetr):
        with pytest.raises(InputError, match=r"sim2sem\[baselines\]"):
            build(1, 2, (4, 8), 3)
    monkeypatch.undo()
    require("nothing", "torch")


def test_nothing_imports_torchvision():
    if find_spec("monai") and find_spec("einops"):
        swin_unetr(1, 2, (12,), 3)
    assert "torchvision" not in sys.modules


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("pde3d-unet", ["steps=3", "scheme=crank-nicolson", "sweeps=4", "place=skips", "size=5"]),
        ("pde3d-unet", ["checkpointing=true", "pools=[[1,2,2],[2,2,2]]", "finest=0"]),
        ("unet3d", ["deep=false"]),
        ("es-unet", ["checkpointing=true"]),
        ("ma-unet", ["heads=2", "layers=1", "dropout=0"]),
    ],
)
def test_options_reach_the_network(model, options):
    config = Training.load(
        None, [f"options.{one}" for one in options], model=model, widths=(2, 4, 8)
    )
    again = Training.model_validate(config.model_dump(mode="json"))
    assert again.options == config.options
    network = predict.build(again, 1, 2, 3, torch.device("cpu"))
    for name, value in config.options.items():
        if model == "ma-unet":
            continue
        if name == "place":
            assert [isinstance(skip, PDELayer) for skip in network.skips] == [False, True]
        elif name == "finest":
            continue
        else:
            where = network if hasattr(network, name) else network.numerics
            assert getattr(where, name) == value
    if model == "ma-unet":
        assert len(network.transformer.encoder.layers) == 1
        assert network.transformer.encoder.layers[0].self_attn.num_heads == 2
        assert {m.p for m in network.modules() if isinstance(m, torch.nn.Dropout3d)} == {0.0}


@pytest.mark.parametrize(
    ("model", "option", "said"),
    [
        ("pde3d-unet", "step=3", "pde3d-unet has no option 'step'; it has steps, place, finest"),
        ("pde3d-unet", "steps=true", "pde3d-unet cannot take steps = True: .* integer.*place"),
        (
            "pde3d-unet",
            "scheme=euler",
            "cannot take scheme = 'euler': .*'crank-nicolson' or 'split'",
        ),
        ("pde3d-unet", "pools=[[2,x,2]]", "cannot take pools = .*integer"),
        ("vnet", "checkpointing=true", "vnet has no option 'checkpointing'; it has none"),
        ("unet", "steps=2", "unet has no option 'steps'; it has none"),
    ],
)
def test_options_that_a_network_does_not_have(model, option, said):
    with pytest.raises(InputError, match=f"options = .*{said}"):
        Training.load(None, [f"options.{option}"], model=model)
