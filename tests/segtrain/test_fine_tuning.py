"""Fine-tuning: what is taken from a checkpoint, what stays frozen, and what is remembered."""

import pytest
import torch

from phasegen import checkpoint
from phasegen.errors import InputError
from segtrain.sources import open_data
from segtrain.train import begin, train
from tests.segtrain.specimens import read, serve, settings, source, weights

CPU = torch.device("cpu")


@pytest.fixture
def started(monkeypatch, tmp_path, silent):
    """A checkpoint that has learned from simulated balls."""
    serve(monkeypatch, source(labels="simulated", path="simulated balls"))
    return train(settings(seed=5), tmp_path / "before", silent)


def begun(config):
    network, records = begin(config, open_data(config), CPU)
    return network.state_dict(), records


def test_weights_and_history_are_taken_over(started, monkeypatch):
    serve(monkeypatch, source(seed=1))
    state, records = begun(settings(start=started))
    assert all(torch.equal(state[name], value) for name, value in weights(started.parent).items())
    assert [one["labels"] for one in records] == ["simulated", "drawn"]
    assert records[0]["path"] == "simulated balls"


def test_a_head_of_other_classes_starts_anew(started, monkeypatch):
    serve(monkeypatch, source(seed=1, classes=("matrix", "small", "large")))
    state, _ = begun(settings(start=started))
    taken = weights(started.parent)
    alike = {name for name in state if torch.equal(state[name], taken[name])}
    assert alike == state.keys() - {"head.weight", "head.bias"}


def test_what_was_seen_is_told_by_the_new_checkpoint(started, monkeypatch, tmp_path, silent):
    serve(monkeypatch, source(seed=1))
    train(settings(start=started), tmp_path / "after", silent)
    assert [one["labels"] for one in read(tmp_path / "after")["sources"]] == ["simulated", "drawn"]
    serve(monkeypatch, source(labels="simulated"))
    with pytest.raises(InputError, match=r"best\.pt: has learned from drawn masks, which"):
        train(
            settings(start=tmp_path / "after/best.pt", synthetic_only=True),
            tmp_path / "x",
            silent,
        )
    assert not (tmp_path / "x").exists()
    # From one that has seen none, the promise can be given.
    train(settings(start=started, synthetic_only=True), tmp_path / "x", silent)


@pytest.mark.parametrize("change", [{"widths": (4, 6)}, {"model": "unet3d"}])
def test_a_checkpoint_of_another_network_is_refused(started, change):
    with pytest.raises(InputError, match=r"best\.pt: is of a unet of widths \[4, 8\] for 1 ch"):
        begun(settings(start=started, **change))


def test_a_checkpoint_for_other_channels_is_refused(started, monkeypatch):
    serve(monkeypatch, source(channels=3))
    with pytest.raises(InputError, match="for 1 channels and 2 axes"):
        begun(settings(start=started))


def test_another_start_is_another_run(started, tmp_path, silent):
    train(settings(start=started), tmp_path / "after", silent)
    state = checkpoint.load(started, "segtrain")
    state["network"]["head.bias"] += 1
    state.pop("kind")
    checkpoint.save(started, "segtrain", state)
    with pytest.raises(InputError, match=r"other settings or data \(start\)"):
        train(settings(start=started), tmp_path / "after", silent)


@pytest.mark.parametrize("more", [{}, {"ema": 0.5, "weight_decay": 0.1}])
def test_frozen_parts_stay_as_they_are_to_the_bit(started, tmp_path, silent, more):
    frozen = settings(start=started, freeze=("first", "up", "down.0.0"), **more)
    train(frozen, tmp_path / "after", silent)
    before = weights(started.parent)
    for name in ("best.pt", "last.pt"):
        after = weights(tmp_path / "after", name)
        moved = {key for key in after if not torch.equal(after[key], before[key])}
        still = {key for key in after if key.startswith(("first.", "up.", "down.0.0."))}
        assert any("running_mean" in key for key in still)
        assert moved == after.keys() - still


def test_parts_that_there_are_not(started):
    for part in ("encoder", ""):
        with pytest.raises(InputError, match=rf"freeze: names '{part}'.*Its parts are first, down"):
            train(settings(start=started, freeze=(part,)), started.parent / "x", None)
    everything = ("first", "down", "up", "merge", "head")
    with pytest.raises(InputError, match="freeze: leaves nothing to learn"):
        train(settings(freeze=everything), started.parent / "x", None)
