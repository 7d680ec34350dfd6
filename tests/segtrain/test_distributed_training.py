"""Two processes with a batch each learn what one process does with both."""

import pytest
import torch

from phasegen import devices
from segtrain import sources
from segtrain.train import train
from tests.processes import run_two
from tests.segtrain.specimens import read, source, weights
from tests.segtrain.two_processes import config, in_single_precision

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Folder in which two processes have worked, started as ``torchrun`` starts them."""
    folder = tmp_path_factory.mktemp("together")
    run_two("tests.segtrain.two_processes", folder)
    return folder


def test_two_processes_learn_what_one_does_with_the_doubled_batch(
    together, tmp_path, silent, monkeypatch
):
    monkeypatch.setattr(devices, "autocast", in_single_precision)
    monkeypatch.setattr(sources, "open_sources", lambda _: [source(instances=True)])
    train(config(batch=4), tmp_path / "alone", silent)
    train(config(batch=2), tmp_path / "half", silent)
    both, alone, half = (
        weights(folder, "last.pt")
        for folder in (together / "whole", tmp_path / "alone", tmp_path / "half")
    )
    for name, value in both.items():
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-4)
    # The doubled batch is another one than the single batch twice.
    assert any(not torch.allclose(half[name], both[name], rtol=1e-2, atol=1e-3) for name in both)
    assert read(together / "whole")["score"] == pytest.approx(
        read(tmp_path / "alone")["score"], abs=0.05
    )


def test_one_process_writes(together):
    for name in ("whole", "classes"):
        folder = together / name
        assert len((folder / "log.jsonl").read_text().splitlines()) == 2
        assert {p.name for p in folder.glob("*.pt")} == {"best.pt", "last.pt"}
        state = read(folder, "last.pt")
        assert (state["step"], state["inputs"]["processes"]) == (6, 2)


def test_what_one_process_refuses_all_do(together):
    said = [torch.load(together / f"said{rank}.pt")["said"] for rank in range(2)]
    assert said[0] == said[1]
    assert "3 are held out, none is left" in said[0]
    assert not (together / "refused").exists()
