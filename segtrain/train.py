"""The trainer: one loop for synthetic and real data, readable from top to bottom."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from phasegen import checkpoint, devices
from phasegen.config import Config, one_of
from phasegen.errors import InputError
from phasegen.images import digest_files, list_images, read_micrograph
from segtrain.data.patches import Batch, draw
from segtrain.data.readers import from_folders, from_store
from segtrain.data.source import Labelled, Source, standardise
from segtrain.losses import LOSSES, Loss
from segtrain.losses.pde import STRENGTH, WIDTH, Regularised
from segtrain.metrics.overlap import iou
from segtrain.models import MODELS
from segtrain.predict import (
    Segmenter,
    build,
    load_segmenter,
    probabilities,
    segment_with_confidence,
)

BEST, TEACHER = "best.pt", "teacher.pt"
KIND = "segtrain"

LABELLED = 1024
"""Largest side of the part of an unlabelled image that self-training uses, pixels."""


class Training(Config):
    """Everything that training needs to know."""

    store: Path | None = Field(None, description="store with exact masks")
    images: Path | None = Field(None, description="folder of real images, with `masks`")
    masks: Path | None = Field(None, description="folder of drawn masks")
    classes: tuple[str, ...] = Field((), description="names of the values of drawn masks")
    synthetic_only: bool = Field(False, description="refuse every drawn mask")
    adapt: Path | None = Field(None, description="folder of unlabelled images to adapt to")
    model: Annotated[str, one_of(MODELS)] = Field("unet", description="network")
    widths: tuple[PositiveInt, ...] = Field(
        (16, 32, 64, 128), min_length=1, description="channels of every level, bottleneck last"
    )
    loss: Annotated[str, one_of(LOSSES)] = Field("ce-dice", description="loss")
    prior_weight: float = Field(STRENGTH, ge=0, description="weight of the loss's prior, if any")
    prior_width: float = Field(WIDTH, gt=0, description="width of interfaces in the prior, pixels")
    prior_warm_up: float = Field(
        0.2, ge=0, le=1, description="share of the steps over which the prior gains its weight"
    )
    steps: int = Field(1000, ge=1, description="steps of training")
    batch: int = Field(8, ge=2, description="patches a step")
    patch: int = Field(128, ge=16, description="side of a patch, pixels")
    learning_rate: float = Field(3e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(1e-4, ge=0, description="of AdamW")
    validation: int = Field(4, ge=0, description="images held out for early stopping")
    validate_every: int = Field(50, ge=1, description="steps between validations and checkpoints")
    patience: int = Field(10, ge=1, description="validations without progress before stopping")
    adapt_steps: int = Field(400, ge=1, description="steps of self-training")
    adapt_rate: float = Field(1e-3, gt=0, description="peak learning rate of self-training")
    confidence: float = Field(0.7, ge=0, lt=1, description="least probability of a pseudo-label")
    seed: int = Field(0, ge=0, lt=2**63, description="seed")
    device: str = Field("auto", description="auto, cpu or cuda")

    @model_validator(mode="after")
    def _check_patch(self) -> Self:
        multiple = 2 ** (len(self.widths) - 1)
        if self.patch % multiple:
            raise ValueError(
                f"patch = {self.patch} is no multiple of {multiple}, as {len(self.widths)} levels "
                "of pooling need"
            )
        return self


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


Progress = Callable[[str, int, int], Any]
"""``(phase, total, done)`` -> context manager of ``advance(steps, note)``."""


def open_source(config: Training) -> Source:
    """The labelled data of a configuration, held to the promise of `synthetic_only`.

    Raises
    ------
    InputError
        If the configuration names none or both kinds, or a drawn mask under `synthetic_only`.
    """
    if config.synthetic_only and (config.images or config.masks):
        raise InputError(
            config.masks or config.images or "",
            "holds drawn masks, which --synthetic-only refuses",
            "Leave out --images and --masks, or --synthetic-only",
        )
    if config.store and (config.images or config.masks):
        raise InputError(config.store, "is given besides --images and --masks", "Give one of both")
    if (config.images is None) != (config.masks is None):
        raise InputError("training", "needs both --images and --masks, or a store", "Give both")
    if config.images and config.masks:
        return from_folders(config.images, config.masks, config.patch, config.classes)
    if config.store is None:
        raise InputError("training", "has no data", "Give --store, or --images and --masks")
    return from_store(config.store, config.patch)


def train(config: Training, out: Path, progress: Progress, overwrite: bool = False) -> Path:
    """Train, adapt if asked to, and return the path of the best checkpoint.

    A run that was interrupted goes on from its last checkpoint and ends, bit for bit on a CPU, as
    if it had not been: every batch is a function of the seed and the step alone.

    Parameters
    ----------
    config : Training
        The configuration.
    out : Path
        Folder of the run: ``config.yaml``, ``last.pt``, ``best.pt``, ``best.safetensors`` and
        TensorBoard events.
    progress : callable
        Shows progress, see `Progress`.
    overwrite : bool
        Remove an earlier run in `out`, once all input has proved usable.
    """
    source = open_source(config)
    if source.count <= config.validation:
        raise InputError(
            source.record["path"],
            f"has {source.count} images, of which {config.validation} are held out",
            "Give more images or --set validation=0",
        )
    order = np.random.default_rng(config.seed).permutation(source.count).tolist()
    validation, training = order[: config.validation], order[config.validation :]
    unlabelled = list_images(config.adapt) if config.adapt else []
    for path in unlabelled:
        read_micrograph(path)  # what cannot be read is refused now, not after the first phase
    device = devices.choose(config.device)
    torch.manual_seed(config.seed)
    network = build(config.model, len(source.classes), config.widths, device)
    inputs = {"data": source.record["digest"], "adapt": digest_files(unlabelled)}
    if overwrite:
        checkpoint.discard_run(out)
    state = checkpoint.open_run(out, KIND, config, inputs)
    run = Run(config, out, network, device, source, validation, inputs)

    def supervised(step: int) -> Batch:
        return draw(source, training, config.batch, config.patch, (config.seed, step))

    phase = Phase("train", config.steps, config.learning_rate, supervised, True)
    if state.get("phase", "train") == "train" and state.get("step") != config.steps:
        fit(run, phase, [source.record], state, progress)
    if config.adapt is None or _ended(state, config):
        return out / BEST

    # The best model of the first phase, apart: the second phase replaces best.pt at its end.
    if not (out / TEACHER).exists():
        checkpoint.copy(out / BEST, out / TEACHER)
    teacher = load_segmenter(out / TEACHER, config.device)
    if teacher.sources != (source.record,):
        raise InputError(out / TEACHER, "is of another run", "Start afresh with --overwrite")
    target = pseudo_labels(teacher, unlabelled, config, progress)
    run.network.load_state_dict(teacher.network.state_dict())
    half = config.batch // 2

    def mixed(step: int) -> Batch:
        seed = (config.seed, config.steps + step)
        ours = draw(source, training, config.batch - half, config.patch, (*seed, 0))
        theirs = draw(target, range(target.count), half, config.patch, (*seed, 1))
        return tuple(torch.cat(parts) for parts in zip(ours, theirs, strict=True))  # type: ignore[return-value]

    phase = Phase("adapt", config.adapt_steps, config.adapt_rate, mixed, False, before=config.steps)
    resumed = state if state.get("phase") == "adapt" else {}
    fit(run, phase, [source.record, target.record], resumed, progress)
    return out / BEST


@dataclass(frozen=True, eq=False)
class Run:
    """What all phases of a run share."""

    config: Training
    out: Path
    network: nn.Module
    device: torch.device
    source: Source
    validation: list[int]
    inputs: dict[str, Any]


def fit(
    run: Run, phase: Phase, records: list[dict[str, Any]], state: dict[str, Any], progress: Progress
) -> None:
    """Run one phase from `state` (empty: from its start) to its end, with checkpoints."""
    config, network = run.config, run.network
    optimiser = torch.optim.AdamW(
        network.parameters(), phase.rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / phase.steps))
    step, best, stale = 0, -1.0, 0
    if state:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        step, best, stale = state["step"], state["best"], state["stale"]
    # What an interrupted run logged after its last state is logged again.
    log = SummaryWriter(str(run.out), purge_step=phase.before + step + 1)
    with progress(phase.name, phase.steps, step) as advance:
        while step < phase.steps:
            network.train()
            images, target, weight = (part.to(run.device) for part in phase.batch(step))
            with devices.autocast(run.device):
                logits = network(images.contiguous(memory_format=torch.channels_last))
            # Self-training goes on from a network whose prior has its weight already.
            loss_of = loss_at(config, 1.0 if phase.before else step / phase.steps)
            loss = loss_of(logits, target, weight)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            step += 1
            if not torch.isfinite(loss):
                raise InputError(
                    run.out, f"diverged at step {step}", "Lower --set learning_rate and start again"
                )
            log.add_scalar(f"{phase.name}/loss", loss.item(), phase.before + step)
            advance(1, f"loss {loss.item():.3f}")
            if step % config.validate_every and step < phase.steps:
                continue
            score = validate(run)
            log.add_scalar(f"{phase.name}/validation IoU", score, phase.before + step)
            ended = step == phase.steps
            stale = 0 if score > best else stale + 1
            last: dict[str, Any] = {
                "phase": phase.name,
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "classes": list(run.source.classes),
                "config": config.model_dump(mode="json"),
                "inputs": run.inputs,
                "sources": records,
            }
            # Self-training has no score that speaks of the real images: its last state counts.
            if (score > best) if phase.stops_early and run.validation else ended:
                best = score
                kept = {k: last[k] for k in ("network", "classes", "config", "sources")}
                checkpoint.save(run.out / BEST, KIND, {**kept, "score": score, "step": step})
                checkpoint.save_weights(run.out / "best.safetensors", network)
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
    loss = LOSSES[config.loss]
    if not isinstance(loss, Regularised):
        return loss
    rise = min(1.0, progress / config.prior_warm_up) if config.prior_warm_up else 1.0
    return replace(loss, strength=rise * config.prior_weight, eps=config.prior_width)


def validate(run: Run) -> float:
    """Mean foreground IoU on the middle of the held-out images; 0 if there are none."""
    segmenter = Segmenter(run.network.eval(), run.source.classes, run.device, ())
    scores = []
    for index in run.validation:
        sample = run.source.load(index)
        multiple = int(run.network.multiple)  # type: ignore[arg-type]
        window = tuple(_middle(n, 256, multiple) for n in sample.mask.shape)
        predicted = probabilities(segmenter, sample.image[window][None, None]).argmax(dim=1)
        scores.append(iou(predicted[0].cpu().numpy() > 0, sample.mask[window] > 0))
    return float(np.mean(scores)) if scores else 0.0


def pseudo_labels(
    teacher: Segmenter, images: list[Path], config: Training, progress: Progress
) -> Source:
    """The teacher's own predictions on unlabelled images, without what it is unsure of."""
    rng = np.random.default_rng((config.seed, len(images)))
    samples = []
    with progress("label", len(images), 0) as advance:
        for path in images:
            scene = standardise(read_micrograph(path).scene)
            corner = [int(rng.integers(max(n - LABELLED, 0) + 1)) for n in scene.shape]
            image = scene[tuple(slice(start, start + LABELLED) for start in corner)]
            mask, probability = segment_with_confidence(teacher, image)
            weight = (probability >= 255 * config.confidence).astype(np.float32)
            samples.append(Labelled(image, mask, weight))
            advance(1)
    record = {
        "labels": "predicted",
        "path": str(config.adapt),
        "kind": "unlabelled images",
        "samples": len(images),
        "digest": digest_files(images),
        "parents": [],
    }
    return Source(teacher.classes, len(samples), samples.__getitem__, record)


def _ended(state: dict[str, Any], config: Training) -> bool:
    return state.get("phase") == "adapt" and bool(state["step"] == config.adapt_steps)


def _rate(progress: float) -> float:
    """Share of the peak learning rate: a rise over the first fifth, then a cosine to zero."""
    rise, fall = progress / 0.2, max(0.0, progress - 0.2) / 0.8
    return max(0.02, min(1.0, rise)) * 0.5 * (1 + math.cos(math.pi * fall))


def _middle(length: int, most: int, multiple: int) -> slice:
    size = min(length, most) // multiple * multiple
    start = (length - size) // 2
    return slice(start, start + size)
