"""The CycleGAN learns a style, keeps its cycle closed, and resumes as if it had never stopped."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from scipy import ndimage
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cyclegan.fit import KIND, _from_pool, fit
from cyclegan.geometry import boundary_drift
from cyclegan.networks import Generator, discriminator, segmenter
from cyclegan.settings import Translation
from phasegen import checkpoint
from phasegen.errors import InputError


def specimen(seed, size=96):
    field = np.random.default_rng(seed).standard_normal((size, size))
    return ndimage.gaussian_filter(field, 5, mode="wrap") > 0


def photograph(mask, contrast, seed):
    rng = np.random.default_rng(seed)
    image = 0.6 - contrast * ndimage.gaussian_filter(mask.astype(float), 1)
    return np.clip(image + rng.normal(0, 0.02, mask.shape), 0, 1).astype(np.float32)


SIMULATED = [
    (photograph(specimen(seed), 0.2, seed), specimen(seed).astype(np.uint8)) for seed in range(6)
]
SCENES = [photograph(specimen(seed), 0.5, seed) for seed in range(10, 16)]


def settings(**changes):
    given = {"real": "sem", "method": "cyclegan", "width": 8, "blocks": 1, "critic_width": 16}
    given |= {"patch": 32, "batch": 4, "pool": 8, "learning_rate": 1e-3}
    return Translation(**given | changes)


def contrast(images, masks):
    pairs = zip(images, masks, strict=True)
    return np.mean([image[mask == 0].mean() - image[mask > 0].mean() for image, mask in pairs])


class Trained:
    """Networks of a finished run."""

    def __init__(self, folder, config, weights):
        self.folder, self.weights = folder, weights
        self.state = checkpoint.load(folder / checkpoint.LAST, KIND)
        shape = (config.width, config.blocks, config.bound)
        self.to_real = self.part("to_real", Generator(*shape))
        self.to_sim = self.part("to_sim", Generator(*shape))
        self.critic = self.part("critic_real", discriminator(config.critic_width))
        self.segmenter = self.part("segmenter", segmenter(2))

    def part(self, name, network):
        prefix = f"{name}."
        states = self.state["networks"].items()
        network.load_state_dict(
            {k.removeprefix(prefix): v for k, v in states if k.startswith(prefix)}
        )
        return network.eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, silent):
    config = settings(steps=120, bound=0.6)
    folder = tmp_path_factory.mktemp("fit")
    return Trained(folder, config, fit(config, SIMULATED, SCENES, folder, {}, {}, silent))


@pytest.fixture(scope="module")
def batches(trained):
    """Simulated images, their translations, real images, and the masks of the first."""
    x = torch.from_numpy(np.stack([image for image, _ in SIMULATED]))[:, None]
    masks = np.stack([mask for _, mask in SIMULATED])
    with torch.no_grad():
        return x, trained.to_real(x), torch.from_numpy(np.stack(SCENES))[:, None], masks


def test_translated_images_take_the_style_of_the_real_ones(batches):
    x, fake, _, masks = batches
    before, after = (contrast(images[:, 0].numpy(), masks) for images in (x, fake))
    target = contrast(SCENES, [specimen(seed) for seed in range(10, 16)])
    assert before + 0.5 * (target - before) < after < target + 0.1


def test_the_critic_tells_real_from_simulated_and_takes_the_translated_for_real(trained, batches):
    x, fake, real, _ = batches
    with torch.no_grad():
        simulated, translated, true = (trained.critic(images).mean() for images in (x, fake, real))
    assert true - simulated > 0.2
    assert translated - simulated > 0.5 * (true - simulated)


def test_the_cycle_closes(trained, batches):
    x, fake, _, _ = batches
    with torch.no_grad():
        back = trained.to_sim(fake)
    change = (fake - x).abs().mean()
    assert change > 0.05
    assert (back - x).abs().mean() < 0.4 * change


def test_boundaries_stay_in_place_and_the_segmenter_watches_them(trained, batches):
    x, fake, _, masks = batches
    drift = boundary_drift(zip(fake[:, 0].numpy(), masks, strict=True))
    assert abs(drift.shift) <= 0.5
    assert drift.p95 <= 2
    with torch.no_grad():
        predicted = trained.segmenter(x).argmax(dim=1).numpy()
    assert (predicted == masks).mean() > 0.9


def test_the_weights_returned_are_those_of_the_checkpoint(trained):
    for name, tensor in trained.to_real.state_dict().items():
        assert torch.equal(trained.weights[name], tensor)


def test_losses_and_pictures_are_logged(trained):
    events = EventAccumulator(str(trained.folder)).Reload()
    losses = {f"loss/{name}" for name in ("adversarial", "cycle", "identity", "geometry")}
    assert losses | {"loss/critics", "loss/segmenter"} <= set(events.Tags()["scalars"])
    assert {"simulated", "translated", "real"} <= set(events.Tags()["images"])
    for name in events.Tags()["scalars"]:
        values = [event.value for event in events.Scalars(name)]
        assert len(values) == 120
        assert np.isfinite(values).all()
    watched = [event.value for event in events.Scalars("loss/segmenter")]
    assert np.mean(watched[-10:]) < 0.6 * watched[0]


@pytest.mark.parametrize("geometry", ["structure", "none"])
def test_a_segmenter_that_watches_nothing_is_not_trained(tmp_path, silent, geometry):
    states = []
    for steps in (1, 3):
        config = settings(**SHORT | {"steps": steps}, geometry=geometry)
        fit(config, SIMULATED, SCENES, tmp_path, {}, {}, silent)
        states.append(checkpoint.load(tmp_path / checkpoint.LAST, KIND)["networks"])
    names = [name for name in states[0] if name.startswith("segmenter.")]
    assert names
    assert all(torch.equal(states[0][name], states[1][name]) for name in names)
    assert "loss/segmenter" not in EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]


def test_the_identity_loss_leaves_real_images_alone(tmp_path, silent):
    real = torch.from_numpy(SCENES[0])[None, None]
    errors = []
    for weight in (0.0, 20.0):
        config = settings(
            steps=25, learning_rate=2e-3, batch=2, cycle=0, geometry="none", identity=weight
        )
        weights = fit(config, SIMULATED, SCENES, tmp_path, {}, {}, silent)
        generator = Generator(config.width, config.blocks, config.bound)
        generator.load_state_dict(weights)
        with torch.no_grad():
            errors.append((generator(real) - real).abs().mean())
    assert errors[1] < 0.2 * errors[0]


SHORT = {"width": 4, "critic_width": 4, "batch": 1, "pool": 2, "steps": 10, "checkpoint_every": 4}


class Stop(Exception):  # noqa: N818
    """What interrupts a run."""


def stopping_after(steps):
    @contextmanager
    def progress(_phase, _total, done):
        def advance(count, _note):
            nonlocal done
            done += count
            if done == steps:
                raise Stop

        yield advance

    return progress


@pytest.mark.parametrize("geometry", ["segmenter", "structure", "none"])
def test_an_interrupted_run_equals_the_whole_one_bit_for_bit(tmp_path, silent, geometry):
    config = settings(**SHORT, geometry=geometry)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected = fit(config, SIMULATED, SCENES, whole, {}, {}, silent)
    for steps in (2, 6, 7, 9):
        last = parts / checkpoint.LAST
        state = checkpoint.load(last, KIND) if last.exists() else {}
        with pytest.raises(Stop):
            fit(config, SIMULATED, SCENES, parts, state, {}, stopping_after(steps))
    state = checkpoint.load(parts / checkpoint.LAST, KIND)
    assert state["step"] == 8
    weights = fit(config, SIMULATED, SCENES, parts, state, {}, silent)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    # Once finished there is nothing left to do.
    state = checkpoint.load(parts / checkpoint.LAST, KIND)
    again = fit(config, SIMULATED, SCENES, parts, state, {}, stopping_after(11))
    assert all(torch.equal(again[name], expected[name]) for name in expected)


def test_a_resumed_run_logs_every_step_once(tmp_path, silent):
    config = settings(**SHORT)
    with pytest.raises(Stop):
        fit(config, SIMULATED, SCENES, tmp_path, {}, {}, stopping_after(7))
    (first,) = tmp_path.glob("events.*")
    first.rename(tmp_path / "events.out.tfevents.0")  # two of one second are in no order
    state = checkpoint.load(tmp_path / checkpoint.LAST, KIND)
    fit(config, SIMULATED, SCENES, tmp_path, state, {}, silent)
    events = EventAccumulator(str(tmp_path), {"scalars": 0, "images": 0}).Reload()
    for name in events.Tags()["scalars"]:
        assert [event.step for event in events.Scalars(name)] == list(range(1, 11))
    for name in events.Tags()["images"]:
        assert [event.step for event in events.Images(name)] == [4, 8, 10]


def test_seeds_differ(tmp_path, silent):
    first, second = (
        fit(settings(**SHORT, seed=seed), SIMULATED, SCENES, tmp_path, {}, {}, silent)
        for seed in (0, 1)
    )
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_divergence_is_reported(tmp_path, silent):
    config = settings(**SHORT | {"steps": 5, "learning_rate": 1e30})
    with pytest.raises(InputError, match=r"diverged at step \d.*learning_rate"):
        fit(config, SIMULATED, SCENES, tmp_path, {}, {}, silent)
    assert not (tmp_path / checkpoint.LAST).exists()


def test_the_pool_fills_and_then_returns_old_images_half_of_the_time():
    rng, pool = np.random.default_rng(0), []
    fakes = torch.arange(400.0).reshape(100, 4, 1, 1, 1)
    returned = [_from_pool(pool, batch, 10, rng) for batch in fakes]
    assert len(pool) == 10
    assert all(torch.equal(*pair) for pair in zip(returned[:2], fakes[:2], strict=True))
    fresh = [
        bool(a == b)
        for r, f in zip(returned[3:], fakes[3:], strict=True)
        for a, b in zip(r, f, strict=True)
    ]
    assert 0.35 < np.mean(fresh) < 0.65
    assert torch.cat(returned[3:]).min() < 40  # the first ones come back
    assert torch.equal(_from_pool([], fakes[0], 0, rng), fakes[0])
