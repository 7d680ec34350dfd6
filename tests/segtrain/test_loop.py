"""What the loop does at every step: loss, gradient, learning rate, mean network, log."""

import json
import weakref

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from phasegen.errors import InputError
from segtrain import loop
from segtrain.log import Log, Shown
from segtrain.schedules import LEAST, rate
from segtrain.steps import Phase, learner, take_step
from segtrain.train import prepare, supervised, train
from tests.segtrain.specimens import (
    read,
    serve,
    settings,
    source,
    stopping_after,
    weights,
)


@pytest.fixture(autouse=True)
def data(monkeypatch):
    serve(monkeypatch, source())


def ready(tmp_path, **changes):
    """What learns, before its first step."""
    run, _ = prepare(settings(**changes), tmp_path)
    return learner(run, supervised(run))


# Learning rates


@pytest.mark.parametrize(
    ("name", "progress", "share"),
    [
        ("cosine", 0.0, LEAST),
        ("cosine", 0.1, 0.5),  # half of the warm-up
        ("cosine", 0.2, 1.0),
        ("cosine", 0.4, 0.5 * (1 + np.sqrt(0.5))),
        ("cosine", 0.6, 0.5),
        ("cosine", 1.0, 0.0),
        ("one-cycle", 0.6, 0.5),
        ("polynomial", 0.2, 1.0),
        ("polynomial", 0.6, 0.5**0.9),
        ("polynomial", 1.0, 0.0),
        ("constant", 0.1, 0.5),
        ("constant", 1.0, 1.0),
    ],
)
def test_schedules_after_a_warm_up_of_a_fifth(name, progress, share):
    assert rate(name, progress, 0.2) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize("name", ["cosine", "polynomial"])
def test_schedules_without_warm_up_and_with_a_floor(name):
    assert rate(name, 0.0, 0.0) == 1.0
    assert rate(name, 1.0, 0.0, 0.1) == pytest.approx(0.1)
    middle = {"cosine": 0.5, "polynomial": 0.5**0.9}[name]
    assert rate(name, 0.5, 0.0, 0.1) == pytest.approx(0.1 + 0.9 * middle)


def test_the_optimiser_follows_the_schedule(tmp_path):
    pupil = ready(tmp_path, schedule="polynomial", warm_up=0.5, learning_rate=1e-2)
    rates = []
    for step in range(4):
        rates.append(pupil.optimiser.param_groups[0]["lr"])
        take_step(pupil, step)
    assert rates == pytest.approx([1e-2 * r for r in (LEAST, 0.5, 1, 0.5**0.9)])


# Gradients and losses


def norm(pupil):
    return float(torch.cat([p.grad.ravel() for p in pupil.learning]).norm())


def test_gradients_are_clipped_to_their_norm(tmp_path):
    free = ready(tmp_path)
    take_step(free, 0)
    assert norm(free) > 0.02
    bound = ready(tmp_path, clip=0.01)
    take_step(bound, 0)
    assert norm(bound) == pytest.approx(0.01, rel=1e-4)
    wide = ready(tmp_path, clip=100)
    take_step(wide, 0)
    assert norm(wide) == norm(free)


def test_a_class_of_no_weight_teaches_nothing(tmp_path, monkeypatch):
    """As if its pixels had no weight."""
    weighted = ready(tmp_path, class_weights=(1.0, 0.0))
    plain = ready(tmp_path)
    draw = plain.phase.batch

    def blind(step):
        images, target, weight = draw(step)
        return images, target, weight * (target == 0)

    masked = learner(plain.run, Phase("train", 4, 3e-3, blind, True))
    loss = take_step(masked, 0)
    assert take_step(weighted, 0) == loss
    # Weights of classes and of pixels multiply.
    both = learner(ready(tmp_path, class_weights=(1.0, 1.0)).run, masked.phase)
    assert take_step(both, 0) == loss
    assert norm(weighted) == norm(masked)
    assert take_step(ready(tmp_path), 0) != take_step(ready(tmp_path, class_weights=(1, 5)), 0)


def test_weights_of_all_classes_alike_change_nothing_but_rounding(tmp_path):
    one, two = (ready(tmp_path, class_weights=(w, w)) for w in (1.0, 2.0))
    assert take_step(one, 0) == pytest.approx(take_step(two, 0), rel=1e-5)
    with pytest.raises(InputError, match="class_weights"):
        settings().load(class_weights=(1, -1))


# Memory


class Greedy(torch.nn.Module):
    """A network for which memory suffices up to a batch size, and whose memory is watched."""

    multiple, halo = 1, 1

    def __init__(self, most):
        super().__init__()
        self.conv, self.most, self.taken = torch.nn.Conv2d(1, 2, 3, padding=1), most, []

    def forward(self, x):
        assert all(one() is None for one in self.taken), "what failed still holds its memory"
        activations = x * 1.0
        self.taken = [weakref.ref(activations)]
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.conv(activations)


@pytest.mark.parametrize(
    ("batch", "most", "remedy"),
    [
        (8, 5, "Use --set batch=4"),
        (9, 3, "Use --set batch=2"),
        (2, 1, "Use --set batch=1"),
        (8, 0, r"Use smaller patches \(--patch\) or widths"),
    ],
)
def test_a_batch_that_does_not_fit_names_one_that_does(
    monkeypatch, tmp_path, silent, batch, most, remedy
):
    monkeypatch.setattr("segtrain.train.build", lambda *_: Greedy(most))
    with pytest.raises(InputError, match=rf"cpu: has no memory for batch = {batch}\. {remedy}"):
        train(settings(batch=batch), tmp_path / "run", silent)


def test_a_batch_that_fits_is_left_alone(monkeypatch, tmp_path, silent):
    monkeypatch.setattr("segtrain.train.build", lambda *_: Greedy(2))
    train(settings(steps=1, validate_every=1, validation=0), tmp_path / "run", silent)


# The mean network


def test_the_kept_network_is_the_mean_over_the_steps(monkeypatch, tmp_path, silent):
    seen, step = [], loop.take_step

    def spy(pupil, number):
        if not seen:
            seen.append({k: v.clone() for k, v in pupil.run.network.state_dict().items()})
        loss = step(pupil, number)
        seen.append({k: v.clone() for k, v in pupil.run.network.state_dict().items()})
        return loss

    monkeypatch.setattr(loop, "take_step", spy)
    train(settings(ema=0.25, steps=6, validation=0), tmp_path / "a", silent)
    mean = seen[0]
    for number, state in enumerate(seen[1:], 1):
        decay = min(0.25, number / (number + 10))
        mean = {k: decay * mean[k] + (1 - decay) * state[k] for k in state}
    kept = weights(tmp_path / "a")
    for name, value in kept.items():
        expected = seen[-1][name] if "batches" in name else mean[name]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    assert not torch.equal(kept["head.bias"], seen[-1]["head.bias"])
    assert read(tmp_path / "a", "last.pt")["kept"] == read(tmp_path / "a")["network"]


@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_run_with_everything_ends_as_the_whole_one(tmp_path, silent, stop):
    config = settings(
        ema=0.9, clip=0.1, schedule="polynomial", class_weights=(1, 3), foreground=0.5
    )
    train(config, tmp_path / "whole", silent)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", stopping_after("train", stop))
    torch.rand(3)
    train(config, tmp_path / "parts", silent)
    for name in ("best.pt", "last.pt"):
        assert read(tmp_path / "parts", name) == read(tmp_path / "whole", name)


# The log


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_log_has_a_line_for_every_validation(tmp_path, silent):
    train(settings(), tmp_path, silent)
    events = EventAccumulator(str(tmp_path)).Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    first, second = lines(tmp_path)
    assert (first["phase"], first["step"], second["step"]) == ("train", 2, 4)
    assert first["loss"] == pytest.approx(np.mean(losses[:2]))
    assert second["loss"] == pytest.approx(np.mean(losses[2:]))
    assert 0 <= first["validation IoU"] <= 1


def test_the_log_shows_several_images_every_class_and_the_best_score(tmp_path):
    """The last score is the lowest; an interruption before it forgets nothing."""
    rng = np.random.default_rng(0)
    config = settings(validate_every=1)
    shown = []
    for sides in ((16, 24), (16, 16)):
        truth = rng.integers(0, 3, sides).astype(np.uint8)
        response = rng.dirichlet((1, 1, 1), sides).transpose(2, 0, 1).astype(np.float32)
        image = rng.normal(size=(1, *sides)).astype(np.float32)
        shown.append(Shown(image, truth, response.argmax(axis=0), response))
    log = Log(tmp_path, config, "train", 0, 0)
    log.picture(1, shown)
    for step, score in enumerate((0.25, 0.75), 1):
        log.step(step, 1.0, 1e-3)
        log.validation(step, score)
    log.board.close()
    log = Log(tmp_path, config, "train", 0, 2)
    log.step(3, 1.0, 1e-3)
    log.validation(3, 0.5)
    log.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    (picture,) = events.Images("train")
    assert (picture.height, picture.width) == (16 + 16, 3 * 24)
    assert [e.value for e in events.Scalars("best/validation IoU")] == [0.75]
    curves = {tag for tag in events.Tags()["tensors"] if "class" in tag}
    assert curves == {"train/class 1", "train/class 2"}


def test_what_was_logged_after_the_last_checkpoint_is_logged_again(tmp_path, silent, monkeypatch):
    train(settings(), tmp_path / "whole", silent)
    save, calls = loop.checkpoint.save, []

    def failing(path, *rest):
        calls.append(path.name)
        if calls.count("last.pt") == 2:
            raise KeyboardInterrupt  # logged, and not yet saved
        save(path, *rest)

    monkeypatch.setattr(loop.checkpoint, "save", failing)
    with pytest.raises(KeyboardInterrupt):
        train(settings(), tmp_path / "parts", silent)
    monkeypatch.undo()
    serve(monkeypatch, source())
    log = tmp_path / "parts/log.jsonl"
    assert len(log.read_text().splitlines()) == 2
    with log.open("a") as file:
        file.write('{"phase": "train", "st')  # killed while writing
    train(settings(), tmp_path / "parts", silent)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
