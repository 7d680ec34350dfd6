"""``segtrain --dry-run`` and ``--profile``: what a training would take, before it is begun."""

from pathlib import Path

from cli import common
from segtrain.config import Training
from segtrain.rehearsal import PROFILED, rehearse, trace


def tell(settings: Training) -> None:
    """Print network, data, memory and time of a training; nothing is written."""
    found = rehearse(settings)
    common.table(
        ("source", "kind", "labels", "images", "share of the patches"),
        [
            (one["path"], one["kind"], one["labels"], one["samples"], f"{100 * one['share']:.0f} %")
            for one in found.sources
        ],
    )
    sides = settings.patch if isinstance(settings.patch, tuple) else (settings.patch,)
    print(f"images: {found.training} to learn from, {found.validation} held out")
    print(f"network: {settings.model}, {found.cost} a patch forward")
    if found.learning != found.cost.parameters:
        print(f"  {found.learning:,} parameters learn, the others are frozen")
    print(f"batch: {settings.batch} patches of {' x '.join(map(str, sides))} pixels")
    print(f"step: {found.seconds:.3g} s, of which {found.loading:.2g} s for its patches")
    phases = f"{settings.steps} steps"
    if settings.adapt:
        phases += f" and {settings.adapt_steps} of self-training"
    print(f"in all: {common.clock(found.total)} for {phases}, without validations")
    if found.memory:  # some systems do not tell
        print(f"memory: {found.memory / 1e9:.2f} GB")


def tell_profile(settings: Training, out: Path) -> None:
    """Print what takes longest in a step, and where the trace is."""
    table, path = trace(settings, out)
    print(table)
    print(f"{PROFILED} steps: open {path} in https://ui.perfetto.dev or chrome://tracing")
