"""The loop: steps, validations and checkpoints of one phase of a training."""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from phasegen import checkpoint, distributed
from phasegen.errors import InputError
from segtrain.config import CLASSES
from segtrain.log import Log
from segtrain.steps import Phase, Run, learner, take_step
from segtrain.validation import validate

BEST = "best.pt"
KIND = "segtrain"

Progress = Callable[[str, int, int], Any]
"""``(phase, total, done)`` -> context manager of ``advance(steps, note)``."""


def fit(
    run: Run, phase: Phase, records: list[dict[str, Any]], state: dict[str, Any], progress: Progress
) -> None:
    """Run one phase from `state` (empty: from its start) to its end, with checkpoints.

    Raises
    ------
    InputError
        If the loss is no longer finite, or the memory of the device does not suffice.
    """
    config, pupil = run.config, learner(run, phase)
    step, best, stale = 0, -1.0, 0
    if state:
        pupil.load(state)
        step, best, stale = state["step"], state["best"], state["stale"]
    known = {
        "classes": list(run.data.truth.classes),
        "channels": run.data.source.channels,
        "spacing": list(run.data.source.spacing),
        "config": config.model_dump(mode="json"),
        "sources": records,
    }
    # The first process alone writes.
    log = None if distributed.rank() else Log(run.out, config, phase.name, phase.before, step)
    with progress(phase.name, phase.steps, step) as advance:
        while step < phase.steps:
            loss = take_step(pupil, step)
            step += 1
            if not math.isfinite(loss):
                raise InputError(
                    run.out, f"diverged at step {step}", "Lower --set learning_rate and start again"
                )
            if log:
                log.step(step, loss, float(pupil.course.get_last_lr()[0]))
            advance(1, f"loss {loss:.3f}")
            if step % config.validate_every and step < phase.steps:
                continue
            for network in (run.network, pupil.kept):
                distributed.share(network.buffers())
            show = partial(log.picture, step) if log else None
            score, decoding = distributed.first(partial(validate, run, pupil.kept, show))
            ended = step == phase.steps
            stale = 0 if score > best else stale + 1
            # Self-training has no score that speaks of the real images: its last state counts.
            better = (score > best) if phase.stops_early and run.data.validation else ended
            best = score if better else best
            if log:
                log.validation(step, score)
                if better:
                    weights = {"network": pupil.kept.state_dict(), "score": score, "step": step}
                    found = {} if config.target == CLASSES else {"decoding": asdict(decoding)}
                    checkpoint.save(run.out / BEST, KIND, known | weights | found)
                    checkpoint.save_weights(run.out / "best.safetensors", pupil.kept)
            if phase.stops_early and stale >= config.patience:
                step = phase.steps
            if log:
                place = {"phase": phase.name, "step": step, "best": best, "stale": stale}
                last = known | pupil.state() | place | {"inputs": run.inputs}
                checkpoint.save(run.out / checkpoint.LAST, KIND, last)
    if log:
        log.close()
