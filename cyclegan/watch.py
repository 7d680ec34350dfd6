"""What is looked after during training: a fit that fails must say so before it is used."""

from collections.abc import Sequence
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cyclegan.batches import Batch, Pair, draw
from cyclegan.geometry import Drift, boundary_drift, has_drifted
from cyclegan.networks import Generator
from cyclegan.objectives.objective import Objective
from cyclegan.settings import Translation
from phasegen.errors import InputError

PATCHES, SIDE = 8, 256
"""Number of patches that are looked at, and their largest side; drift needs many boundaries."""

LEAST_CHANGE = 1 / 255
"""A level of an 8-bit image: less is nothing."""

MOST_CHANGE = 0.9
"""Mean change as a share of the bound, where the generator has no gradient left."""

LEAST_DIVERSITY = 0.1
"""Differences between outputs as a share of those between inputs; below, all look the same."""

IDLE_CRITIC = 0.01
"""Loss of a discriminator that has won; at chance it is 0.25."""

MOST_HIDDEN = 2.0
"""Factor by which noise of a grey level may raise the cycle loss."""

PATIENCE = 3
"""Checkpoints in a row with moved boundaries, at which a run is stopped."""

WARNED = {"drift": 2, "critic": 3}
"""Checkpoints in a row before a warning of what may pass; it does not wait after the last step."""

Record = dict[str, Any]
"""``figures`` of the last checkpoint, ``warnings`` by name, and how often in a row (``counts``)."""


def patches(
    simulated: Sequence[Pair],
    scenes: Sequence[NDArray[np.float32]],
    config: Translation,
    device: torch.device,
) -> Batch:
    """The patches that are looked at, as large as all images allow."""
    sides = [n for image in (*scenes, *(image for image, _ in simulated)) for n in image.shape]
    large = config.model_copy(update={"patch": min(SIDE, *sides) // 4 * 4})
    # Training draws from the steps before this one.
    return draw(simulated, scenes, large, config.steps, range(PATCHES), device)


def drift_of(images: Tensor, batch: Batch) -> Drift:
    """Boundary drift of patches (B, 1, P, P) against the masks of a batch."""
    grey = images[:, 0].float().cpu().numpy()
    return boundary_drift(zip(grey, batch.mask.cpu().numpy(), strict=True))


@torch.no_grad()
def measure(
    to_real: Generator, objective: Objective, batch: Batch, seed: int
) -> dict[str, float | None]:
    """Figures of a generator on fixed patches.

    Parameters
    ----------
    to_real : Generator
        The one that is kept.
    objective : Objective
        The generators in training.
    batch : Batch
        The patches. Its random generators are set back first, so that noise is the same each time.
    seed : int
        What they are set to.

    Returns
    -------
    dict
        ``shift``, ``median`` and ``p95`` of the boundary drift and ``shift_start``, ``p95_start``
        of the images to start from, pixels (None without boundaries); ``change``: mean change of
        a grey value; ``diversity``: mean difference between outputs over that between inputs;
        ``variety``: mean difference of two pictures of one mask, with a noise channel;
        and the objective's own.
    """
    batch.rngs[:] = [np.random.default_rng((seed, i)) for i in range(len(batch.rngs))]
    sim = batch.sim
    out = to_real(batch.noisy(sim))
    before, after = drift_of(sim, batch), drift_of(out, batch)
    between = [(images - images.roll(1, 0)).abs().mean() for images in (out, sim)]
    figures = {
        "shift": after.shift,
        "median": after.median,
        "p95": after.p95,
        "shift_start": before.shift,
        "p95_start": before.p95,
        "change": float((out - sim).abs().mean()),
        "diversity": float(between[0] / between[1].clamp_min(1e-6)),
    }
    if batch.sigma:
        figures["variety"] = float((out - to_real(batch.noisy(sim))).abs().mean())
    figures |= objective.figures(batch)
    lost = isnan(before.shift)  # patches without boundaries have no drift
    return {k: None if lost and isnan(v) else v for k, v in figures.items()}


def judge(
    record: Record, figures: dict[str, float | None], config: Translation, step: int, out: Path
) -> Record:
    """The next record; what is wrong now is counted, and warned of where it was not before.

    Raises
    ------
    InputError
        If a figure is not finite.
    """
    for name, value in figures.items():
        if value is not None and not isfinite(value):
            raise InputError(
                out, f"diverged at step {step} ({name} is {value})", "Lower --set learning_rate"
            )
    complaints = _complaints(figures, config, step)
    counts = {name: record.get("counts", {}).get(name, 0) + 1 for name in complaints}
    warnings = dict(record.get("warnings", {}))
    for name, text in complaints.items():
        if counts[name] >= WARNED.get(name, 1) or step == config.steps:
            warnings.setdefault(name, f"step {step}: {text}")
    return {"figures": figures, "warnings": warnings, "counts": counts, "step": step}


def require_in_place(record: Record, config: Translation, out: Path) -> None:
    """Stop a run whose boundaries stay moved, unless it is told to go on.

    Raises
    ------
    InputError
        If they had moved at the last `PATIENCE` checkpoints, or more.
    """
    if record.get("counts", {}).get("drift", 0) < PATIENCE or config.on_drift == "warn":
        return
    said, step = _complaints(record["figures"], config, record["step"])["drift"], record["step"]
    more = "a higher geometry_weight" if config.geometry != "none" else "a geometry loss"
    raise InputError(
        out,
        f"{said} at {PATIENCE} checkpoints in a row, up to step {step}",
        f"Go on from there with --set on_drift=warn, or start afresh with {more} or a lower bound "
        "and --overwrite",
    )


def _complaints(figures: dict[str, float | None], config: Translation, step: int) -> dict[str, str]:
    """What is wrong with the figures, by name."""
    found = {name: value for name, value in figures.items() if value is not None}
    said = {}
    if "shift" in found:
        before = Drift(found["shift_start"], 0, found["p95_start"])
        after = Drift(found["shift"], 0, found["p95"])
        if has_drifted(before, after):
            said["drift"] = (
                f"has moved boundaries (median {before.shift:+.2f} -> {after.shift:+.2f} px, "
                f"95 % within {before.p95:.2f} -> {after.p95:.2f} px)"
            )
    if found["diversity"] < LEAST_DIVERSITY:
        share = found["diversity"]
        said["collapse"] = f"outputs differ by {share:.1%} of what the inputs do: lower --set bound"
    if found["change"] > MOST_CHANGE * config.bound:
        said["bound"] = "nearly all grey values change by the bound: lower --set learning_rate"
    # At first it is the identity by construction.
    if found["change"] < LEAST_CHANGE and 2 * step >= config.steps:
        change = found["change"]
        said["identity"] = (
            f"grey values change by {change:.4f} only: more --steps, or a lower cycle"
        )
    if found.get("variety", 1.0) < LEAST_CHANGE and 2 * step >= config.steps:
        said["noise"] = "the noise channel is not used: raise --set noise or diversity"
    if found["critic"] < IDLE_CRITIC:
        said["critic"] = "the discriminator has won for long: lower --set learning_rate"
    if found.get("hidden", 1.0) > MOST_HIDDEN:
        factor = found["hidden"]
        said["hidden"] = (
            f"noise of 1/255 raises the cycle loss {factor:.1f}-fold: the generator hides what the "
            "other needs; lower --set cycle, or set noise"
        )
    return said
