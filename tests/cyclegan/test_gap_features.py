"""Features of patches: known histograms, spectra and textures; networks of a fit."""

import numpy as np
import pytest
import torch
from torch import nn

from cyclegan.gap.features import BINS, entropy, histograms, measure, octaves
from cyclegan.gap.responses import activations, fitted_networks, inception
from cyclegan.model import fit_model
from cyclegan.settings import Translation
from phasegen.errors import InputError


def test_entropy_of_known_histograms():
    uniform = np.full((1, BINS), 1 / BINS)
    assert entropy(uniform) == pytest.approx(np.log2(BINS))
    assert entropy(np.eye(BINS)[:1]) == 0
    assert entropy(np.array([[0.5, 0.25, 0.25]])) == pytest.approx(1.5)


def test_histograms_have_their_bins():
    ramp = (np.arange(BINS * 4) + 0.5) / (BINS * 4)
    np.testing.assert_allclose(histograms(ramp[None, None], 1.0), 1 / BINS)
    assert histograms(np.array([[[0.0, 9.0]]]), 0.3)[0, [0, -1]].tolist() == [0.5, 0.5]


def test_octaves_hold_each_ring_once():
    frequency = np.arange(2, 64) / 128
    found = octaves(frequency)
    assert list(found) == ["2-4 px", "4-8 px", "8-16 px", "16-32 px", "32-64 px", "64-128 px"]
    assert (np.sum(list(found.values()), axis=0) == 1).all()
    assert [rings.sum() for rings in found.values()] == [31, 16, 8, 4, 2, 1]


def test_statistics_of_known_patches():
    x = np.broadcast_to(np.arange(128), (128, 128))
    noise = np.random.default_rng(0).random((128, 128))
    stripes = 0.5 + 0.4 * np.sin(2 * np.pi * x / 16)
    flat = np.where(x < 64, 0.2, 0.8)
    found = measure(np.stack([noise, stripes, flat]).astype(np.float32))
    contrast, homogeneity, _, correlation = found.cooccurrence.transpose(1, 0, 2)
    assert found.entropy[0] == pytest.approx(6, abs=0.01)
    assert found.entropy[2] == pytest.approx(1)
    assert abs(correlation[0]).max() < 0.03
    assert correlation[1, 0] > 0.9
    assert homogeneity[2, 0] > 0.98
    # Two independent of 16 levels differ by (16^2 - 1) / 6 in the mean square.
    assert contrast[0] == pytest.approx(255 / 6, rel=0.03)
    assert 1 / found.frequency[found.power[1].argmax()] == pytest.approx(16, rel=0.05)
    np.testing.assert_allclose(found.patterns.sum(axis=2), 1)
    # A wave of amplitude a and period L is steepest with 2 pi a / L, less by its smoothing.
    steepest = 0.8 * np.pi / 16 * np.exp(-0.5 * (2 * np.pi / 16) ** 2)
    top = np.flatnonzero(found.gradient[1])[-1]
    assert top * 0.3 / BINS <= steepest < (top + 2) * 0.3 / BINS
    names, bank = found.bank()
    assert bank.shape == (3, len(names))
    assert np.isfinite(bank).all()
    assert len(set(names)) == len(names)


def test_activations_are_those_of_the_layers():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    weights = {"0.weight": torch.tensor([1.0, -1]).reshape(2, 1, 1, 1), "0.bias": torch.zeros(2)}
    patch = np.random.default_rng(0).random((40, 8, 8), np.float32) + 1
    found = activations(network, weights)(patch)
    np.testing.assert_allclose(found[:, 0], patch.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found[:, 2], patch.std(axis=(1, 2), ddof=1), rtol=1e-5)
    assert not found[:, 1].any()


def test_networks_of_a_fit(tmp_path, simulation, real, silent):
    tiny = {"steps": 2, "patch": 32, "batch": 1, "width": 4, "blocks": 1, "critic_width": 4}
    config = Translation(sim=simulation, real=real.images, device="cpu", method="cyclegan", **tiny)
    path = fit_model(config, tmp_path / "gan", silent)
    patches = np.random.default_rng(0).random((3, 64, 64), np.float32)
    found = {name: extract(patches) for name, extract in fitted_networks(path).items()}
    assert set(found) == {"discriminator", "segmenter"}
    assert found["discriminator"].shape == (3, 2 * (4 + 8 + 16))
    assert all(np.isfinite(one).all() and one.std(axis=0).max() > 0 for one in found.values())
    plain = Translation(sim=simulation, real=real.images, device="cpu")
    assert fitted_networks(fit_model(plain, tmp_path / "fda", silent)) == {}


def test_a_network_that_the_user_brings(tmp_path):
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    torch.jit.trace(Mean(), torch.zeros(2, 3, 299, 299)).save(tmp_path / "mean.pt")
    patches = np.random.default_rng(0).random((2, 64, 64), np.float32)
    found = inception(tmp_path / "mean.pt")(patches)
    np.testing.assert_allclose(found, patches.mean(axis=(1, 2))[:, None].repeat(3, 1), atol=2e-3)
    with pytest.raises(InputError, match="does not exist"):
        inception(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(InputError, match="cannot be used"):
        inception(tmp_path / "text.pt")
