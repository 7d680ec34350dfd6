"""A few real steps before a training: what it takes, and where the time goes. Nothing is kept."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from phasegen.files import make_folder, written_whole
from segtrain.config import Training
from segtrain.models.cost import Cost, describe_network
from segtrain.steps import Learner, learner, take_step
from segtrain.train import prepare, supervised

TRIED = 3
"""Steps that are timed, after one that is not."""

PROFILED = 5
"""Steps that are traced, after one that is not."""

TRACE = "profile.json"


@dataclass(frozen=True)
class Rehearsal:
    """What a training takes.

    Attributes
    ----------
    cost : Cost
        Of the network, and of one patch forward.
    learning : int
        Parameters that are not frozen.
    sources : list of dict
        Records of the data, with the share of the patches as ``share``.
    training, validation : int
        Images to learn from, and those held out.
    loading, seconds : float
        Seconds for a batch, and for a whole step.
    total : float
        Seconds for all steps, those of self-training included and validations left out.
    memory : int
        Peak of the device so far (CUDA), or of this process, bytes; 0 if that is not known.
    """

    cost: Cost
    learning: int
    sources: list[dict[str, Any]]
    training: int
    validation: int
    loading: float
    seconds: float
    total: float
    memory: int


def rehearse(config: Training) -> Rehearsal:
    """Take a few steps as a training would, and tell what they took.

    Raises
    ------
    InputError
        As a training does before its first step, or if the memory of the device does not suffice.
    """
    pupil = _pupil(config, Path())
    run = pupil.run
    data = run.data
    take_step(pupil, 0)
    # In the order of a training, whose batches are drawn ahead.
    steps = [step % config.steps for step in range(1, TRIED + 1)]
    # A step returns its loss: a GPU has finished then.
    seconds = median(_seconds(partial(take_step, pupil, step)) for step in steps)
    loading = median(_seconds(partial(pupil.phase.batch, step)) for step in steps)
    run.network.eval()
    cuda = run.device.type == "cuda"
    shape = (1, data.source.channels, *config.sides(data.source.axes))
    return Rehearsal(
        describe_network(run.network, shape),
        sum(parameter.numel() for parameter in pupil.learning),
        [
            record | {"share": share}
            for record, share in zip(data.records, data.portions(), strict=True)
        ],
        len(data.training),
        len(data.validation),
        loading,
        seconds,
        seconds * (config.steps + (config.adapt_steps if config.adapt else 0)),
        torch.cuda.max_memory_allocated() if cuda else _resident(),
    )


def trace(config: Training, out: Path) -> tuple[str, Path]:
    """Trace a few steps; returns a table of what took longest, and the trace for a viewer.

    Raises
    ------
    InputError
        As `rehearse` does, or if `out` cannot be written.
    """
    pupil = _pupil(config, out)
    take_step(pupil, 0)
    cuda = pupil.run.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities) as found:
        for step in range(PROFILED):
            take_step(pupil, (step + 1) % config.steps)
    make_folder(out)
    with written_whole(out / TRACE) as partial:
        found.export_chrome_trace(str(partial))
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    return found.key_averages().table(sort_by=order, row_limit=12), out / TRACE


def _pupil(config: Training, out: Path) -> Learner:
    run, _ = prepare(config, out)
    return learner(run, supervised(run))


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _resident() -> int:
    """Peak memory of this process so far, bytes; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
