"""Learned methods learn a style, keep boundaries, and resume as if they had never stopped."""

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from cyclegan.fit import KIND, _follow, fit
from cyclegan.geometry import boundary_drift
from cyclegan.networks import discriminator, segmenter, towards_real
from cyclegan.objectives import OBJECTIVES
from phasegen import checkpoint
from phasegen.errors import InputError
from tests.cyclegan.specimens import (
    SCENES,
    SHORT,
    SIMULATED,
    Stop,
    eager,
    settings,
    silent,
    specimen,
    stopping_after,
)


def contrast(images, masks):
    pairs = zip(images, masks, strict=True)
    return np.mean([image[mask == 0].mean() - image[mask > 0].mean() for image, mask in pairs])


class Trained:
    """Networks of a finished run."""

    def __init__(self, folder, config, outcome):
        self.folder, (self.weights, self.record) = folder, outcome
        self.state = checkpoint.load(folder / checkpoint.LAST, KIND)
        self.kept = towards_real(config)
        self.kept.load_state_dict(self.weights)
        self.objective = OBJECTIVES[config.method](config)
        self.critics = nn.ModuleDict(
            {d: discriminator(config.critic_width) for d in self.objective.domains}
        )
        parts = {"generators": self.objective, "critics": self.critics, "segmenter": segmenter(2)}
        self.networks = nn.ModuleDict(parts)
        self.networks.load_state_dict(self.state["networks"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = settings(steps=120, bound=0.6)
    folder = tmp_path_factory.mktemp("fit")
    return Trained(folder, config, fit(config, SIMULATED, SCENES, folder, {}, {}, silent))


@pytest.fixture(scope="module")
def batches(trained):
    """Simulated images, their translations, real images, and the masks of the first."""
    x = torch.from_numpy(np.stack([image for image, _ in SIMULATED]))[:, None]
    masks = np.stack([mask for _, mask in SIMULATED])
    with torch.no_grad():
        return x, trained.kept(x), torch.from_numpy(np.stack(SCENES))[:, None], masks


def test_translated_images_take_the_style_of_the_real_ones(batches):
    x, fake, _, masks = batches
    before, after = (contrast(images[:, 0].numpy(), masks) for images in (x, fake))
    target = contrast(SCENES, [specimen(seed) for seed in range(10, 16)])
    assert before + 0.5 * (target - before) < after < target + 0.1


@pytest.mark.slow  # half a minute
def test_contrast_alone_takes_the_style_too(tmp_path, batches):
    x, _, _, masks = batches
    config = settings(method="cut", steps=360, bound=0.6)
    weights, _ = fit(config, SIMULATED, SCENES, tmp_path, {}, {}, silent)
    generator = towards_real(config)
    generator.load_state_dict(weights)
    with torch.no_grad():
        fake = generator(x)[:, 0].numpy()
    before, after = (contrast(images, masks) for images in (x[:, 0].numpy(), fake))
    target = contrast(SCENES, [specimen(seed) for seed in range(10, 16)])
    assert before + 0.5 * (target - before) < after < target + 0.1
    assert boundary_drift(zip(fake, masks, strict=True)).p95 <= 2


def test_the_critic_tells_real_from_simulated_and_takes_the_translated_for_real(trained, batches):
    x, fake, real, _ = batches
    with torch.no_grad():
        simulated, translated, true = (
            trained.critics["real"](images).mean() for images in (x, fake, real)
        )
    assert true - simulated > 0.2
    assert translated - simulated > 0.5 * (true - simulated)


def test_the_cycle_closes(trained, batches):
    x, fake, _, _ = batches
    with torch.no_grad():
        back = trained.objective.to_sim(fake)
    change = (fake - x).abs().mean()
    assert change > 0.05
    assert (back - x).abs().mean() < 0.4 * change


def test_boundaries_stay_in_place_and_the_segmenter_watches_them(trained, batches):
    x, fake, _, masks = batches
    drift = boundary_drift(zip(fake[:, 0].numpy(), masks, strict=True))
    assert abs(drift.shift) <= 0.5
    assert drift.p95 <= 2
    with torch.no_grad():
        predicted = trained.networks["segmenter"](x).argmax(dim=1).numpy()
    assert (predicted == masks).mean() > 0.9


def test_the_kept_generator_is_the_mean_of_those_on_the_way(trained, batches):
    for name, tensor in trained.state["kept"].items():
        assert torch.equal(trained.weights[name], tensor)
    x, fake, _, _ = batches
    last = trained.objective.to_real
    with torch.no_grad():
        assert 0 < (last(x) - fake).abs().mean() < 0.1
    assert any(not torch.equal(trained.weights[n], w) for n, w in last.state_dict().items())


def test_the_record_says_how_it_went(trained, batches):
    x, fake, _, _ = batches
    figures = trained.record["figures"]
    assert trained.record["step"] == 120
    assert trained.record["warnings"] == {}
    assert figures["change"] == pytest.approx((fake - x).abs().mean().item(), rel=0.05)
    assert figures["hidden"] == pytest.approx(1, abs=0.1)
    assert 0.05 < figures["critic"] < 0.3
    assert figures["p95"] < figures["p95_start"] + 1


def test_the_mean_follows_closely_at_first_and_then_decays():
    one, other = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.zeros_(one.weight)
    nn.init.ones_(other.weight)
    values = [(_follow(one, other, decay), one.weight.item())[1] for decay in (0.0, 0.5, 0.9)]
    assert values == [1, 1, 1]
    nn.init.zeros_(other.weight)
    values = [(_follow(one, other, decay), one.weight.item())[1] for decay in (0.5, 0.9)]
    assert values == pytest.approx([0.5, 0.45])


def test_without_a_mean_the_last_generator_is_kept(tmp_path):
    fit(settings(**SHORT, ema=0), SIMULATED, SCENES, tmp_path, {}, {}, silent)
    state = checkpoint.load(tmp_path / checkpoint.LAST, KIND)
    for name, tensor in state["kept"].items():
        assert torch.equal(state["networks"][f"generators.to_real.{name}"], tensor)


def test_losses_and_pictures_are_logged(trained):
    events = EventAccumulator(str(trained.folder)).Reload()
    losses = {f"loss/{name}" for name in ("adversarial", "cycle", "identity", "geometry")}
    assert losses | {"loss/critics", "loss/segmenter"} <= set(events.Tags()["scalars"])
    assert {"simulated", "translated", "real"} <= set(events.Tags()["images"])
    assert {"watch/change", "watch/p95", "watch/hidden"} <= set(events.Tags()["scalars"])
    for name in events.Tags()["scalars"]:
        values = [event.value for event in events.Scalars(name)]
        assert len(values) == (120 if name.startswith("loss/") else 2)
        assert np.isfinite(values).all()
    watched = [event.value for event in events.Scalars("loss/segmenter")]
    assert np.mean(watched[-10:]) < 0.6 * watched[0]


@pytest.mark.parametrize("geometry", ["structure", "none"])
def test_a_segmenter_that_watches_nothing_is_not_trained(tmp_path, geometry):
    states = []
    for steps in (1, 3):
        config = settings(**SHORT | {"steps": steps}, geometry=geometry)
        fit(config, SIMULATED, SCENES, tmp_path, {}, {}, silent)
        states.append(checkpoint.load(tmp_path / checkpoint.LAST, KIND)["networks"])
    names = [name for name in states[0] if name.startswith("segmenter.")]
    assert names
    assert all(torch.equal(states[0][name], states[1][name]) for name in names)
    assert "loss/segmenter" not in EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]


def test_the_identity_loss_leaves_real_images_alone(tmp_path):
    real = torch.from_numpy(SCENES[0])[None, None]
    errors = []
    for weight in (0.0, 20.0):
        config = settings(
            steps=25, learning_rate=2e-3, batch=2, cycle=0, geometry="none", identity=weight
        )
        weights, _ = fit(config, SIMULATED, SCENES, tmp_path, {}, {}, silent)
        generator = towards_real(config)
        generator.load_state_dict(weights)
        with torch.no_grad():
            errors.append((generator(real) - real).abs().mean())
    assert errors[1] < 0.2 * errors[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"geometry": "segmenter"},
        {"geometry": "structure", "noise": 0.5},
        {"geometry": "none", "method": "cut", "noise": 0.5},
    ],
)
def test_an_interrupted_run_equals_the_whole_one_bit_for_bit(tmp_path, monkeypatch, changes):
    monkeypatch.setattr("cyclegan.fit.adjust", eager)
    config = settings(**SHORT | changes)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected, record = fit(config, SIMULATED, SCENES, whole, {}, {}, silent)
    for steps in (2, 6, 7, 9):
        last = parts / checkpoint.LAST
        state = checkpoint.load(last, KIND) if last.exists() else {}
        with pytest.raises(Stop):
            fit(config, SIMULATED, SCENES, parts, state, {}, stopping_after(steps))
    state = checkpoint.load(parts / checkpoint.LAST, KIND)
    assert state["step"] == 8
    weights, found = fit(config, SIMULATED, SCENES, parts, state, {}, silent)
    assert found == record
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    # Once finished there is nothing left to do.
    state = checkpoint.load(parts / checkpoint.LAST, KIND)
    again, found = fit(config, SIMULATED, SCENES, parts, state, {}, stopping_after(11))
    assert found == record
    assert all(torch.equal(again[name], expected[name]) for name in expected)


def test_a_resumed_run_logs_every_step_once(tmp_path):
    config = settings(**SHORT)
    with pytest.raises(Stop):
        fit(config, SIMULATED, SCENES, tmp_path, {}, {}, stopping_after(7))
    (first,) = tmp_path.glob("events.*")
    first.rename(tmp_path / "events.out.tfevents.0")  # two of one second are in no order
    state = checkpoint.load(tmp_path / checkpoint.LAST, KIND)
    fit(config, SIMULATED, SCENES, tmp_path, state, {}, silent)
    events = EventAccumulator(str(tmp_path), {"scalars": 0, "images": 0}).Reload()
    for name in events.Tags()["scalars"]:
        expected = list(range(1, 11)) if name.startswith("loss/") else [4, 8, 10]
        assert [event.step for event in events.Scalars(name)] == expected
    for name in events.Tags()["images"]:
        assert [event.step for event in events.Images(name)] == [4, 8, 10]


def test_seeds_differ(tmp_path):
    first, second = (
        fit(settings(**SHORT, seed=seed), SIMULATED, SCENES, tmp_path, {}, {}, silent)[0]
        for seed in (0, 1)
    )
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_divergence_is_reported(tmp_path):
    config = settings(**SHORT | {"steps": 5, "learning_rate": 1e30})
    with pytest.raises(InputError, match=r"diverged at step \d.*learning_rate"):
        fit(config, SIMULATED, SCENES, tmp_path, {}, {}, silent)
    assert not (tmp_path / checkpoint.LAST).exists()
