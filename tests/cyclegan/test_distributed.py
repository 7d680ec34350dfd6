"""Two processes with a batch each learn what one process does with both."""

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cyclegan.fit import fit
from phasegen import devices, distributed
from tests.cyclegan.specimens import SCENES, SIMULATED, eager, silent
from tests.cyclegan.two_processes import config, in_single_precision
from tests.processes import run_two


def curves(folder):
    events = EventAccumulator(str(folder)).Reload()
    return {
        name: np.array([event.value for event in events.Scalars(name)])
        for name in events.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Folder in which two processes have worked, started as ``torchrun`` starts them."""
    folder = tmp_path_factory.mktemp("together")
    run_two("tests.cyclegan.two_processes", folder)
    return folder, [torch.load(folder / f"weights{rank}.pt") for rank in range(2)]


def test_the_loss_curve_is_that_of_one_process_with_the_doubled_batch(
    together, tmp_path, monkeypatch
):
    folder, _ = together
    monkeypatch.setattr(devices, "autocast", in_single_precision)
    monkeypatch.setattr("cyclegan.fit.adjust", eager)
    fit(config(batch=4, pool=0), SIMULATED, SCENES, tmp_path, {}, {}, silent)
    alone, both = curves(tmp_path), curves(folder / "pool0")
    assert {"loss/adversarial", "loss/cycle", "loss/critics", "watch/augment"} <= alone.keys()
    assert alone.keys() == both.keys()
    assert alone["watch/augment"][-1] > 0  # augmentation was steered, and alike
    for name in alone:
        np.testing.assert_allclose(both[name], alone[name], rtol=1e-3, atol=1e-5, err_msg=name)
    # The doubled batch is another one than the single batch twice.
    fit(config(batch=2, pool=0), SIMULATED, SCENES, tmp_path / "half", {}, {}, silent)
    half = curves(tmp_path / "half")["loss/cycle"]
    assert not np.allclose(half[1:], alone["loss/cycle"][1:], rtol=1e-3, atol=1e-5)


def test_processes_hold_the_same_weights_and_one_of_them_writes(together):
    folder, (first, second) = together
    for pool in (0, 2):
        assert all(torch.equal(first[pool][name], second[pool][name]) for name in first[pool])
        assert len(list((folder / f"pool{pool}").glob("events.*"))) == 1


def test_an_interrupted_run_of_two_equals_the_whole_one_bit_for_bit(together):
    _, (first, _) = together
    assert all(torch.equal(first["parts"][name], first[2][name]) for name in first[2])


def test_bad_input_of_the_first_process_is_that_of_all(together):
    _, found = together
    assert [one["said"] for one in found] == ["store: is gone. Look for it."] * 2
    assert [one["gathered"] for one in found] == [[0, 1]] * 2


def test_a_single_process_needs_no_connection():
    assert (distributed.rank(), distributed.size()) == (0, 1)
    with distributed.group(torch.device("cpu")):
        assert distributed.first(lambda: 3) == 3
    assert distributed.gather("a") == ["a"]
    value = torch.tensor([2.0], requires_grad=True)
    assert not distributed.mean(value).requires_grad
