"""Generator, discriminator and segmenter: what they can see and what they cannot do."""

import numpy as np
import pytest
import torch
from torch import nn

from cyclegan.networks import Generator, discriminator, segmenter, towards_real
from cyclegan.settings import Translation
from phasegen.tiles import apply_tiled


def trained(blocks=2, bound=0.3, seed=0):
    """A generator as training might leave it: no weight is zero any more."""
    torch.manual_seed(seed)
    generator = Generator(4, blocks, bound)
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.15)
    return generator.eval()


def rows_seen(network, size, row):
    """First and last row of the input on which a row of the output depends."""
    # Positive weights and no activations: no path is cut off by chance.
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ReLU | nn.LeakyReLU | nn.InstanceNorm2d):
            parent, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(parent), leaf, nn.Identity())
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.01, 0.02)
    x = torch.zeros(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    network.double()(x)[0, 0, row].sum().backward()
    rows = torch.nonzero(x.grad[0, 0].sum(1)).ravel()
    return int(rows.min()), int(rows.max())


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_new_generator_is_the_identity(blocks):
    x = torch.rand(2, 1, 32, 48)
    assert torch.equal(Generator(4, blocks, 0.3)(x), x)


@pytest.mark.parametrize("bound", [0.1, 0.3])
def test_the_change_is_bounded(bound):
    x = torch.rand(2, 1, 64, 64)
    change = (trained(bound=bound)(10 * x) - 10 * x).abs()
    assert 0.5 * bound < change.max() <= bound * (1 + 1e-3)


def test_a_new_generator_can_learn():
    """Zero-initialised branches get gradients in a few steps: none of them stays dead."""
    torch.manual_seed(0)
    generator = Generator(8, 2, 0.3)
    optimiser = torch.optim.Adam(generator.parameters(), 2e-3)
    x = nn.functional.interpolate(torch.rand(4, 1, 4, 4), size=(32, 32), mode="bilinear")
    losses = []
    for _ in range(40):
        loss = (generator(x) - (0.8 * x + 0.1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert all(parameter.grad.abs().max() > 0 for parameter in generator.parameters())


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_halo_is_the_radius_of_the_receptive_field_of_the_generator(blocks):
    """Of the four places of a pixel on the grid of the coarsest layer, one sees so far."""
    reached = []
    for row in range(128, 132):
        first, last = rows_seen(Generator(2, blocks, 1.0), 256, row)
        reached += [row - first, last - row]
    assert max(reached) == Generator(2, blocks, 1.0).halo


def test_in_windows_the_border_pads_otherwise_and_nothing_else_changes():
    generator, halo = trained(), trained().halo
    x = torch.rand(1, 1, 3 * 64, 3 * 64, dtype=torch.float64)
    with torch.no_grad():
        mirrored = generator.double()(x)
        generator.in_windows()
        windowed = generator(x)
    inner = (..., slice(halo, -halo), slice(halo, -halo))
    torch.testing.assert_close(windowed[inner], mirrored[inner], rtol=0, atol=1e-12)
    assert (windowed - mirrored).abs().max() > 1e-4


def test_tiles_equal_the_whole():
    generator = trained(blocks=1)
    rng = np.random.default_rng(0)
    image = rng.random((90, 131)).astype(np.float32)

    def function(windows):
        with torch.inference_mode():
            return generator(torch.from_numpy(windows))[:, 0].numpy()

    whole, tiled = np.empty_like(image), np.empty_like(image)
    apply_tiled(image, function, whole, tile=256, halo=generator.halo, multiple=4)
    apply_tiled(image, function, tiled, tile=32, halo=generator.halo, multiple=4)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    short = np.empty_like(image)
    apply_tiled(image, function, short, tile=32, halo=4, multiple=4)
    assert np.abs(short - whole).max() > 1e-3


def test_the_discriminator_scores_a_patch_by_the_mean_over_fields_of_26_pixels():
    network = discriminator(4)
    patches = torch.rand(2, 1, 64, 96)
    fields = network[:-1]
    assert fields(patches).shape == (2, 1, 16, 24)
    assert torch.equal(network(patches), fields(patches).mean((2, 3), keepdim=True))
    first, last = rows_seen(fields, 128, 16)
    assert last - first + 1 == 26


def test_the_segmenter_keeps_size_and_tells_classes():
    torch.manual_seed(0)
    network = segmenter(3, width=4)
    assert network(torch.rand(2, 1, 40, 36)).shape == (2, 3, 40, 36)
    mask = torch.randint(0, 3, (4, 1, 4, 4)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    image, mask = mask / 2.0, mask[:, 0]
    optimiser = torch.optim.Adam(network.parameters(), 2e-2)
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(image), mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    agreement = (network(image).argmax(1) == mask).float().mean()
    assert agreement > 0.9


@pytest.mark.parametrize(("blocks", "channels"), [(1, [4, 8, 16, 16]), (3, [4, 8, 16, 16, 16])])
def test_a_generator_is_its_encoder_and_its_decoder(blocks, channels):
    generator = trained(blocks)
    x = torch.rand(2, 1, 32, 48)
    features = generator.encode(x)
    assert [one.shape[1] for one in features] == channels == generator.channels
    assert [one.shape[2:] for one in features[:3]] == [(32, 48), (16, 24), (8, 12)]
    assert torch.equal(generator.decode(x, features[-1]), generator(x))
    # The last feature is that of the last block, before the image grows again.
    assert torch.equal(generator.inside[: 6 + blocks](x), features[-1])


def test_a_noise_channel_decorates_and_is_not_added():
    torch.manual_seed(0)
    config = Translation(real="sem", noise=0.5, width=4, blocks=1)
    generator = towards_real(config)
    x = torch.rand(1, 2, 32, 32)
    assert torch.equal(generator(x), x[:, :1])
    nn.init.normal_(generator.last.weight)
    change = generator(x) - x[:, :1]
    assert change.abs().max() <= config.bound + 1e-6
    other = torch.cat([x[:, :1], torch.rand(1, 1, 32, 32)], 1)
    assert not torch.allclose(generator(other), generator(x))


def test_what_the_segmenter_says_of_a_patch_does_not_depend_on_its_batch():
    network = segmenter(2).train()
    x = torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(network(x)[:1], network(x[:1]))
