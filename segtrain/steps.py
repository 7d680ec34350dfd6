"""One step of training: what a batch does to the network, on one process or several."""

import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phasegen import devices, distributed
from phasegen.errors import InputError
from segtrain.config import Training
from segtrain.data.patches import Batch
from segtrain.losses import FIELD_LOSSES, LOSSES, Loss
from segtrain.losses.diffusion import DeepSupervision
from segtrain.losses.pde import Regularised
from segtrain.predict import layout
from segtrain.schedules import rate
from segtrain.sources import Data

AHEAD = 3
"""Batches that are drawn at once while the network still learns from another."""


@dataclass(frozen=True, eq=False)
class Phase:
    """One stretch of training: how long, how fast, and on what."""

    name: str
    steps: int
    rate: float
    batch: Callable[[int], Batch]
    stops_early: bool
    before: int = 0
    """Steps of the phases before it: TensorBoard counts on."""


@dataclass(frozen=True, eq=False)
class Run:
    """What all phases of a run share."""

    config: Training
    out: Path
    network: nn.Module
    device: torch.device
    data: Data
    inputs: dict[str, Any]
    frozen: list[nn.Module] = field(default_factory=list)
    """Parts of the network that stay as they are, statistics of normalisation included."""


class Ahead:
    """The batches of a phase, of which the next ones are drawn while the network learns.

    A batch is a function of its step alone, so it is the same whoever draws it and when. Each is
    drawn on a thread, of which all end with the last reference to this, also after an exception;
    what one raises is raised by the step that needs the batch.

    Parameters
    ----------
    batch : callable
        ``batch(step)``.
    steps : int
        Steps of the phase: nothing beyond is drawn ahead.
    """

    def __init__(self, batch: Callable[[int], Batch], steps: int) -> None:
        self._batch, self._steps = batch, steps
        self._pool = ThreadPoolExecutor(AHEAD, "batches")
        self._drawn: dict[int, Future[Batch]] = {}

    def __call__(self, step: int) -> Batch:
        """The batch after `step` steps."""
        wanted = [step, *range(step + 1, min(step + 1 + AHEAD, self._steps))]
        for other in self._drawn.keys() - set(wanted):
            self._drawn.pop(other).cancel()
        for one in wanted:
            if one not in self._drawn:
                self._drawn[one] = self._pool.submit(self._batch, one)
        return self._drawn.pop(step).result()


@dataclass(frozen=True, eq=False)
class Learner:
    """What one phase moves.

    Attributes
    ----------
    forward : callable
        The network of the run, compiled if it is to be.
    kept : nn.Module
        What is validated and kept: the mean over the latest steps, or the network that learns.
    learning : list of Parameter
        Those that are not frozen.
    batch : callable
        The batches of the phase, drawn ahead.
    """

    run: Run
    phase: Phase
    forward: Callable[[Tensor], Any]
    kept: nn.Module
    learning: list[nn.Parameter]
    optimiser: torch.optim.Optimizer
    course: torch.optim.lr_scheduler.LRScheduler
    batch: Callable[[int], Batch]

    def state(self) -> dict[str, Any]:
        """What it takes to go on."""
        state = {
            "network": self.run.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.course.state_dict(),
        }
        return state | ({"kept": self.kept.state_dict()} if self.run.config.ema else {})

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` has returned."""
        self.run.network.load_state_dict(state["network"])
        if self.run.config.ema:
            self.kept.load_state_dict(state["kept"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.course.load_state_dict(state["schedule"])


def learner(run: Run, phase: Phase) -> Learner:
    """Everything as it is before the first step of a phase."""
    config, network = run.config, run.network
    learning = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, phase.rate, weight_decay=config.weight_decay)
    course = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda done: rate(config.schedule, done / phase.steps, config.warm_up, config.final_rate),
    )
    forward = torch.compile(network) if config.compile else network
    kept = copy.deepcopy(network) if config.ema else network
    batch = Ahead(phase.batch, phase.steps)
    return Learner(run, phase, forward, kept, learning, optimiser, course, batch)


def take_step(learner: Learner, step: int) -> float:
    """Learn from the batch after `step` steps; returns its loss, over all processes.

    Raises
    ------
    InputError
        If the memory of the device does not suffice.
    """
    run, config, phase = learner.run, learner.run.config, learner.phase
    run.network.train()
    for part in run.frozen:
        part.eval()
    batch = tuple(part.to(run.device) for part in learner.batch(step))
    # Self-training goes on from a network whose prior has its weight already.
    criterion = loss_at(config, 1.0 if phase.before else step / phase.steps)
    loss: Tensor | None = None
    try:
        loss = _loss(run, learner.forward, criterion, batch)
        learner.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.average(learner.learning)
        if config.clip:
            nn.utils.clip_grad_norm_(learner.learning, config.clip)
        learner.optimiser.step()
    except torch.OutOfMemoryError:
        # The frames of the exception hold memory: only after this block is it free again.
        loss = None
    if loss is None:
        raise _too_large(run, criterion, batch)
    learner.course.step()
    if config.ema:
        # A mean that reaches back further than the run so far would hold on to its start.
        _follow(learner.kept, run.network, min(config.ema, (step + 1) / (step + 11)))
    return float(distributed.mean(loss))


def loss_at(config: Training, progress: float) -> Loss:
    """The loss at a share of the training done: its prior, if it has one, gains weight linearly.

    With its full weight from the first step on it would find the constant mask before the labels
    can tell.
    """
    loss = (LOSSES | FIELD_LOSSES)[config.criterion]
    if not isinstance(loss, Regularised):
        return loss
    rise = min(1.0, progress / config.prior_warm_up) if config.prior_warm_up else 1.0
    return replace(loss, strength=rise * config.prior_weight, eps=config.prior_width)


def _loss(
    run: Run, forward: Callable[[Tensor], Any], criterion: Loss, batch: tuple[Tensor, ...]
) -> Tensor:
    images, target, weight = batch
    if run.config.class_weights:
        weight = weight * torch.tensor(run.config.class_weights, device=weight.device)[target]
    with devices.autocast(run.device):
        output = forward(images.contiguous(memory_format=layout(run.data.source.axes)))
    return DeepSupervision(criterion)(output, target, weight)


def _too_large(run: Run, criterion: Loss, batch: tuple[Tensor, ...]) -> InputError:
    """What to say of a batch that does not fit into memory: which one would."""
    count = len(batch[0]) // 2
    while count:
        run.network.zero_grad(set_to_none=True)
        if run.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            _loss(run, run.network, criterion, tuple(part[:count] for part in batch)).backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            count //= 2
            continue
        break
    remedy = f"Use --set batch={count}" if count else "Use smaller patches (--patch) or widths"
    return InputError(str(run.device), f"has no memory for batch = {len(batch[0])}", remedy)


@torch.no_grad()
def _follow(mean: nn.Module, network: nn.Module, decay: float) -> None:
    for ours, theirs in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)
