"""Batches are drawn while the network learns: the same ones, and the thread ends with the run."""

import gc
import threading
import time

import pytest
import torch

from phasegen.errors import InputError
from segtrain.steps import AHEAD, Ahead
from segtrain.train import train
from tests.segtrain.specimens import serve, settings, source, stopping_after, weights


def drawing():
    """Threads that draw batches."""
    gc.collect()
    return [one for one in threading.enumerate() if one.name.startswith("batches")]


def none_draws():
    deadline = time.monotonic() + 20
    while drawing() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not drawing()


def test_every_step_has_its_batch_and_the_next_ones_are_drawn_meanwhile():
    drawn, ready = [], threading.Semaphore(0)

    def batch(step):
        drawn.append((step, threading.current_thread().name.startswith("batches")))
        ready.release()
        return (torch.tensor(step),) * 3

    ahead = Ahead(batch, 5)
    assert int(ahead(0)[0]) == 0
    for _ in range(1 + AHEAD):
        assert ready.acquire(timeout=20)  # nobody has asked for the others yet
    assert [int(ahead(step)[0]) for step in range(1, 5)] == [1, 2, 3, 4]
    # Once each, and none beyond the end.
    assert sorted(drawn) == [(step, True) for step in range(5)]
    assert int(ahead(2)[0]) == 2  # a step that is taken again
    assert int(ahead(9)[0]) == 9
    del ahead
    assert none_draws()


def test_what_fails_is_raised_by_the_step_that_needs_it():
    def batch(step):
        if step == 1:
            raise InputError("b.tif", "cannot be read", "Export it again")
        return (torch.tensor(step),) * 3

    ahead = Ahead(batch, 5)
    ahead(0)
    with pytest.raises(InputError, match=r"b\.tif"):
        ahead(1)
    assert int(ahead(2)[0]) == 2
    del ahead
    assert none_draws()


def test_a_run_is_the_same_without_drawing_ahead(monkeypatch, tmp_path, silent):
    config = settings(ema=0.5, foreground=0.5)
    serve(monkeypatch, source())
    train(config, tmp_path / "ahead", silent)
    monkeypatch.setattr("segtrain.steps.Ahead", lambda batch, steps: batch)
    train(config, tmp_path / "plain", silent)
    ours, theirs = (weights(tmp_path / name, "last.pt") for name in ("ahead", "plain"))
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])


def test_no_thread_outlives_a_run_that_is_interrupted(monkeypatch, tmp_path, silent):
    serve(monkeypatch, source())
    with pytest.raises(KeyboardInterrupt):
        train(settings(), tmp_path / "run", stopping_after("train", 1))
    assert none_draws()
    train(settings(), tmp_path / "run", silent)
    assert none_draws()
