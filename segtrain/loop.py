"""The loop: steps, validations and checkpoints of one phase of a training."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phasegen import checkpoint, devices
from phasegen.errors import InputError
from segtrain.config import CLASSES, Training
from segtrain.data.patches import Batch
from segtrain.decode import decode
from segtrain.log import Log
from segtrain.losses import FIELD_LOSSES, LOSSES, Loss
from segtrain.losses.diffusion import DeepSupervision
from segtrain.losses.pde import Regularised
from segtrain.metrics.instance import overlaps, panoptic_quality
from segtrain.metrics.overlap import iou
from segtrain.predict import Segmenter, layout, outputs
from segtrain.schedules import rate
from segtrain.sources import Data

BEST = "best.pt"
KIND = "segtrain"

WATCHED = {2: 256, 3: 96}
"""Largest side of the middle of an image or volume that validation looks at, pixels."""

Progress = Callable[[str, int, int], Any]
"""``(phase, total, done)`` -> context manager of ``advance(steps, note)``."""


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


def fit(
    run: Run, phase: Phase, records: list[dict[str, Any]], state: dict[str, Any], progress: Progress
) -> None:
    """Run one phase from `state` (empty: from its start) to its end, with checkpoints.

    Raises
    ------
    InputError
        If the loss is no longer finite, or the memory of the device does not suffice.
    """
    config, network = run.config, run.network
    learning = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, phase.rate, weight_decay=config.weight_decay)
    course = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda done: rate(config.schedule, done / phase.steps, config.warm_up, config.final_rate),
    )
    # What is validated and kept: the mean over the latest steps, or the network that learns.
    kept = copy.deepcopy(network) if config.ema else network
    step, best, stale = 0, -1.0, 0
    if state:
        network.load_state_dict(state["network"])
        kept.load_state_dict(state["kept"] if config.ema else state["network"])
        optimiser.load_state_dict(state["optimiser"])
        course.load_state_dict(state["schedule"])
        step, best, stale = state["step"], state["best"], state["stale"]
    forward = torch.compile(network) if config.compile else network
    log = Log(run.out, config, phase.name, phase.before, step)
    with progress(phase.name, phase.steps, step) as advance:
        while step < phase.steps:
            network.train()
            for part in run.frozen:
                part.eval()
            batch = tuple(part.to(run.device) for part in phase.batch(step))
            # Self-training goes on from a network whose prior has its weight already.
            criterion = loss_at(config, 1.0 if phase.before else step / phase.steps)
            try:
                loss = _loss(run, forward, criterion, batch)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
            except torch.OutOfMemoryError:
                raise _too_large(run, criterion, batch) from None
            if config.clip:
                nn.utils.clip_grad_norm_(learning, config.clip)
            optimiser.step()
            course.step()
            step += 1
            if not torch.isfinite(loss):
                raise InputError(
                    run.out, f"diverged at step {step}", "Lower --set learning_rate and start again"
                )
            if config.ema:
                # A mean that reaches back further than the run so far would hold on to its start.
                _follow(kept, network, min(config.ema, step / (step + 10)))
            log.step(step, loss.item(), float(course.get_last_lr()[0]))
            advance(1, f"loss {loss.item():.3f}")
            if step % config.validate_every and step < phase.steps:
                continue
            score = validate(run, kept, lambda *shown: log.picture(step, *shown))  # noqa: B023
            log.validation(step, score)
            ended = step == phase.steps
            stale = 0 if score > best else stale + 1
            last: dict[str, Any] = {
                "phase": phase.name,
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": course.state_dict(),
                "classes": list(run.data.truth.classes),
                "channels": run.data.source.channels,
                "spacing": list(run.data.source.spacing),
                "config": config.model_dump(mode="json"),
                "inputs": run.inputs,
                "sources": records,
            }
            if config.ema:
                last["kept"] = kept.state_dict()
            # Self-training has no score that speaks of the real images: its last state counts.
            if (score > best) if phase.stops_early and run.data.validation else ended:
                best = score
                names = ("classes", "channels", "spacing", "config", "sources")
                content = {name: last[name] for name in names} | {"network": kept.state_dict()}
                checkpoint.save(run.out / BEST, KIND, {**content, "score": score, "step": step})
                checkpoint.save_weights(run.out / "best.safetensors", kept)
            if phase.stops_early and stale >= config.patience:
                step = phase.steps
            last |= {"step": step, "best": best, "stale": stale}
            checkpoint.save(run.out / checkpoint.LAST, KIND, last)
    log.close()


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


def validate(run: Run, network: nn.Module, show: Callable[..., None] = lambda *_: None) -> float:
    """Mean score on the middle of the held-out images; 0 if there are none.

    Foreground IoU of classes, panoptic quality of instances. The first image with its truth and
    prediction is handed to `show`.
    """
    truth, config = run.data.truth, run.config
    segmenter = Segmenter(
        network.eval(),
        truth.classes,
        run.device,
        (),
        target=config.target,
        channels=truth.channels,
        spacing=truth.spacing,
        window=config.sides(truth.axes),
    )
    multiple = multiples(network, truth.axes)
    scores = []
    for number, index in enumerate(run.data.validation):
        sample = truth.load(index)
        spans = zip(sample.mask.shape, multiple, strict=True)
        window = tuple(_middle(n, WATCHED[truth.axes], m) for n, m in spans)
        image, mask, weight = sample.image[:, *window], sample.mask[window], sample.weight[window]
        response = outputs(segmenter, image[None])
        known = weight > 0
        predicted: NDArray[Any]
        if config.target == CLASSES:
            predicted = response.argmax(dim=1)[0].cpu().numpy()
            scores.append(iou((predicted > 0) & known, (mask > 0) & known))
        else:
            predicted = decode(response[0, 0].cpu().numpy())
            scores.append(panoptic_quality(overlaps(predicted * known, mask * known)).pq)
        if not number:
            show(image, mask, predicted, response[0].cpu().numpy())
    return float(np.mean(scores)) if scores else 0.0


def multiples(network: nn.Module, axes: int) -> tuple[int, ...]:
    """What the sides of a network's input must be multiples of."""
    multiple: Any = network.multiple
    return (multiple,) * axes if isinstance(multiple, int) else tuple(multiple)


def _loss(run: Run, forward: Any, criterion: Loss, batch: tuple[Tensor, ...]) -> Tensor:
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
    remedy = f"Use --set batch={count}" if count > 1 else "Use smaller patches (--patch) or widths"
    return InputError(str(run.device), f"has no memory for batch = {len(batch[0])}", remedy)


@torch.no_grad()
def _follow(mean: nn.Module, network: nn.Module, decay: float) -> None:
    for ours, theirs in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)


def _middle(length: int, most: int, multiple: int) -> slice:
    size = max(multiple, min(length, most) // multiple * multiple)
    start = (length - size) // 2
    return slice(start, start + size)
