"""Each way in which a fit can fail is noticed, with networks that are made to fail in this way."""

import re

import pytest
import torch
from torch import nn

from cyclegan import watch
from cyclegan.fit import KIND, fit
from cyclegan.networks import Generator, towards_real
from cyclegan.objectives import OBJECTIVES, CycleGAN
from phasegen import checkpoint
from phasegen.errors import InputError
from tests.cyclegan.specimens import SCENES, SHORT, SIMULATED, settings, silent, stopping_after

CPU = torch.device("cpu")
FINE = {"change": 0.05, "diversity": 1.0, "critic": 0.2}


class Network(nn.Module):
    """A generator made of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def measured(function, **changes):
    config = settings(**changes)
    objective = OBJECTIVES["cut"](config)
    batch = watch.patches(SIMULATED, SCENES, config, CPU)
    return watch.measure(Network(function), objective, batch, config.seed)


def warned(figures, step=100, **changes):
    config = settings(steps=100, **changes)
    record = watch.judge({}, {"critic": 0.2} | figures, config, step, "run")
    return record["warnings"]


def test_a_sound_generator_is_not_warned_of():
    figures = measured(lambda x: 1.2 * x - 0.1)
    assert figures["change"] > watch.LEAST_CHANGE
    assert figures["diversity"] == pytest.approx(1.2, abs=0.01)
    assert warned(figures) == {}


def test_moved_boundaries_are_noticed():
    figures = measured(lambda x: (0.7 * x).roll(3, -1))
    assert "has moved boundaries" in warned(figures)["drift"]


def test_outputs_that_all_look_the_same_are_noticed():
    figures = measured(lambda x: 0.5 + 0.05 * x)
    assert figures["diversity"] == pytest.approx(0.05, abs=0.01)
    assert "outputs differ by 5" in warned(figures)["collapse"]


def test_a_generator_that_changes_nothing_is_noticed_in_the_second_half():
    figures = measured(lambda x: x + 0.003)
    assert figures["change"] == pytest.approx(0.003, abs=1e-5)
    assert "change by 0.0030 only" in warned(figures)["identity"]
    assert warned(figures, step=49) == {}


def test_a_generator_at_its_bound_is_noticed():
    assert "by the bound" in warned(measured(lambda x: x + 0.29), bound=0.3)["bound"]
    assert warned(measured(lambda x: x + 0.2), bound=0.3) == {}


def test_noise_that_is_not_used_is_noticed():
    ignored = measured(lambda x: 1.2 * x[:, :1] - 0.1, noise=1.0)
    assert ignored["variety"] == 0
    assert "noise channel is not used" in warned(ignored)["noise"]
    used = measured(lambda x: 1.2 * x[:, :1] - 0.1 + 0.02 * x[:, 1:], noise=1.0)
    assert used["variety"] == pytest.approx(0.02 * 2 / torch.pi**0.5, rel=0.02)
    assert warned(used) == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stops_the_run(value):
    figures = measured(lambda x: x * value)
    with pytest.raises(InputError, match=r"run: diverged at step 7 .*Lower --set learning_rate"):
        watch.judge({}, {"critic": 0.2} | figures, settings(), 7, "run")


def test_a_cycle_that_rests_on_hidden_grey_values_is_noticed():
    """The image is there at an amplitude that no eye sees, and brought back a hundredfold."""
    config = settings()
    objective = CycleGAN(config)
    objective.to_real = Network(lambda x: 0.5 + 0.01 * x)
    objective.to_sim = Network(lambda x: 100 * (x - 0.5))
    batch = watch.patches(SIMULATED, SCENES, config, CPU)
    figures = watch.measure(objective.to_real, objective, batch, 0)
    assert figures["hidden"] > 100
    assert "raises the cycle loss" in warned(figures)["hidden"]
    # The same picture in plain sight.
    objective.to_real, objective.to_sim = Network(lambda x: 1 - x), Network(lambda x: 1 - x)
    figures = watch.measure(objective.to_real, objective, batch, 0)
    assert figures["hidden"] == pytest.approx(1, abs=0.01)
    assert "hidden" not in warned(figures)


def test_patches_without_boundaries_have_no_drift():
    config = settings()
    blank = [(image, mask * 0) for image, mask in SIMULATED]
    batch = watch.patches(blank, SCENES, config, CPU)
    network = Network(lambda x: x + 0.1)
    figures = watch.measure(network, OBJECTIVES["cut"](config), batch, 0)
    assert figures["shift"] is figures["p95"] is figures["p95_start"] is None
    assert warned(figures) == {}


def test_figures_are_the_same_each_time():
    config = settings(noise=1.0)
    batch = watch.patches(SIMULATED, SCENES, config, CPU)
    objective = OBJECTIVES["cyclegan"](config)
    nn.init.normal_(objective.to_real.last.weight)
    first, second = (
        watch.measure(objective.to_real, objective, batch, config.seed) for _ in range(2)
    )
    assert first == second


MOVED = {"shift": 2.0, "median": 2.0, "p95": 3.0, "shift_start": 0.0, "p95_start": 1.0}


def judged(config, *sequence):
    record = {}
    for number, figures in enumerate(sequence, 1):
        record = watch.judge(record, FINE | figures, config, number, "run")
    return record


def test_drift_that_passes_is_not_warned_of_and_drift_that_lasts_stops_the_run():
    config = settings(steps=100)
    assert judged(config, MOVED, {}, MOVED, {})["warnings"] == {}
    assert judged(config, MOVED, MOVED, {}, MOVED)["warnings"]["drift"].startswith("step 2: ")
    lasting = judged(config, {}, MOVED, MOVED, MOVED)
    with pytest.raises(InputError) as raised:
        watch.require_in_place(lasting, config, "run")
    said = str(raised.value)
    assert re.search(r"moved boundaries .*\+0.00 -> \+2.00 px.*3 checkpoints.*up to step 4", said)
    assert "Go on from there with --set on_drift=warn, or start afresh with a higher" in said
    untied = settings(steps=100, geometry="none")
    with pytest.raises(InputError, match="start afresh with a geometry loss or a lower bound"):
        watch.require_in_place(lasting, untied, "run")
    watch.require_in_place(judged(config, MOVED, {}, MOVED, MOVED), config, "run")
    told = settings(steps=100, on_drift="warn")
    watch.require_in_place(lasting, told, "run")
    assert list(judged(told, MOVED, MOVED, MOVED, MOVED)["warnings"]) == ["drift"]


def test_a_discriminator_that_has_won_is_warned_of_when_it_lasts():
    config, won = settings(steps=100), {"critic": 0.001}
    assert judged(config, won, won, {}, won, won)["warnings"] == {}
    assert "has won" in judged(config, won, won, won)["warnings"]["critic"]


class Shifting(Generator):
    """A generator that moves everything by three pixels."""

    def decode(self, x, code):
        return super().decode(x, code).roll(3, -1)


class Moving(CycleGAN):
    """Its generator moves everything."""

    def __init__(self, config):
        super().__init__(config)
        self.to_real = Shifting(config.width, config.blocks, config.bound)


def test_a_fit_that_moves_boundaries_stops_and_goes_on_from_there_as_told(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(OBJECTIVES, "cyclegan", Moving)
    short = SHORT | {"steps": 8, "checkpoint_every": 2, "geometry": "none"}
    told = settings(**short, on_drift="warn")
    (tmp_path / "whole").mkdir()
    whole, _ = fit(told, SIMULATED, SCENES, tmp_path / "whole", {}, {}, silent)
    caplog.clear()
    with pytest.raises(InputError, match=r"moved boundaries .*up to step 6"):
        fit(settings(**short), SIMULATED, SCENES, tmp_path, {}, {}, silent)
    assert [text[:29] for text in caplog.messages] == ["step 4: has moved boundaries "]
    state = checkpoint.load(tmp_path / checkpoint.LAST, KIND)
    assert state["step"] == 6
    # The same again trains no further.
    with pytest.raises(InputError, match=r"moved boundaries .*up to step 6"):
        fit(settings(**short), SIMULATED, SCENES, tmp_path, state, {}, stopping_after(7))
    weights, record = fit(told, SIMULATED, SCENES, tmp_path, state, {}, silent)
    assert len(caplog.messages) == 1  # it is said once
    assert "drift" in record["warnings"]
    assert record["figures"]["p95"] > 2
    assert record["step"] == 8
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


class Winner(nn.Module):
    """A discriminator that is never wrong where real images are the brighter ones."""

    def __init__(self, _width):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        brightness = x.mean((1, 2, 3), keepdim=True)
        return torch.sigmoid(1000 * (brightness - 0.65)) + self.unused


def test_a_fit_whose_discriminator_wins_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("cyclegan.fit.discriminator", Winner)
    bright = [scene * 0.3 + 0.7 for scene in SCENES]
    short = SHORT | {"steps": 8, "checkpoint_every": 2, "learning_rate": 1e-5}
    config = settings(**short, method="cut", geometry="none", augment=0)
    _, record = fit(config, SIMULATED, bright, tmp_path, {}, {}, silent)
    assert record["figures"]["critic"] < watch.IDLE_CRITIC
    assert record["warnings"]["critic"].startswith("step 6: ")
    assert caplog.text.count("has won") == 1


def test_a_generator_with_a_noise_channel_makes_many_pictures_of_one_mask(tmp_path):
    config = settings(**SHORT | {"steps": 60, "width": 8, "critic_width": 8}, noise=1.0)
    weights, record = fit(config, SIMULATED, SCENES, tmp_path, {}, {}, silent)
    assert record["figures"]["variety"] > 0.5 * config.diversity
    generator = towards_real(config)
    generator.load_state_dict(weights)
    image = torch.from_numpy(SIMULATED[0][0])[None, None]
    noise = torch.randn(2, 1, *image.shape[2:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = generator(torch.cat([image.expand(2, -1, -1, -1), noise], 1))
    assert (one - other).abs().mean() > 0.5 * config.diversity
