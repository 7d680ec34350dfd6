"""Training, from the data to the best checkpoint: on labels, then on unlabelled images."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from phasegen import checkpoint, devices, distributed
from phasegen.errors import InputError
from phasegen.images import digest_files, list_images, read_micrograph
from segtrain.config import CLASSES, Training
from segtrain.data.patches import Batch, draw
from segtrain.loop import BEST, KIND, Progress, fit
from segtrain.predict import build, load_segmenter
from segtrain.selftrain import pseudo_labels
from segtrain.sources import Data, open_data
from segtrain.steps import Phase, Run
from segtrain.validation import multiples

TEACHER = "teacher.pt"


def train(config: Training, out: Path, progress: Progress, overwrite: bool = False) -> Path:
    """Train, adapt if asked to, and return the path of the best checkpoint.

    Of several processes that ``torchrun`` has started, each takes batches of its own, and the first
    one writes.

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
    device = devices.choose(config.device)
    with distributed.group(device):
        _train(config, out, distributed.unseen if distributed.rank() else progress, overwrite)
    return out / BEST


def _train(config: Training, out: Path, progress: Progress, overwrite: bool) -> None:
    unlabelled = list_images(config.adapt) if config.adapt else []
    for path in unlabelled:
        read_micrograph(path)  # what cannot be read is refused now, not after the first phase
    run, records = prepare(config, out)
    run.inputs["adapt"] = digest_files(unlabelled)

    def open_run() -> dict[str, Any]:
        if overwrite:
            checkpoint.discard_run(out)
        return checkpoint.open_run(out, KIND, config, run.inputs)

    state = distributed.first(open_run)
    if state.get("phase", "train") == "train" and state.get("step") != config.steps:
        fit(run, supervised(run), records, state, progress)
    if config.adapt is None or _ended(state, config):
        return

    def keep_teacher() -> None:
        # The best model of the first phase, apart: the second phase replaces best.pt at its end.
        if not (out / TEACHER).exists():
            checkpoint.copy(out / BEST, out / TEACHER)

    distributed.first(keep_teacher)
    teacher = load_segmenter(out / TEACHER, config.device)
    if list(teacher.sources) != records:
        raise InputError(out / TEACHER, "is of another run", "Start afresh with --overwrite")
    target = pseudo_labels(teacher, unlabelled, config, progress)
    run.network.load_state_dict(teacher.network.state_dict())
    half = config.batch // 2

    def mixed(step: int) -> Batch:
        step += config.steps
        ours = labelled(run, config.batch - half, step, 0)
        theirs = draw(
            target,
            range(target.count),
            half,
            config.patch,
            (config.seed, step, 1),
            first=half * distributed.rank(),
        )
        return tuple(torch.cat(parts) for parts in zip(ours, theirs, strict=True))  # type: ignore[return-value]

    phase = Phase("adapt", config.adapt_steps, config.adapt_rate, mixed, False, before=config.steps)
    resumed = state if state.get("phase") == "adapt" else {}
    fit(run, phase, [*records, target.record], resumed, progress)


def prepare(config: Training, out: Path) -> tuple[Run, list[dict[str, Any]]]:
    """Data and network of a run before its first step, and the records of all data it has seen.

    Raises
    ------
    InputError
        See `open_data` and `begin`.
    """
    data = open_data(config)
    device = devices.choose(config.device)
    torch.manual_seed(config.seed)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS refuses
    torch.use_deterministic_algorithms(config.deterministic)
    network, records = begin(config, data, device)
    inputs = {
        "data": [record["digest"] for record in data.records],
        "start": digest_files([config.start] if config.start else []),
        "processes": distributed.size(),
    }
    return Run(config, out, network, device, data, inputs, _freeze(network, config)), records


def supervised(run: Run) -> Phase:
    """The phase that learns from labels alone."""
    config = run.config

    def batch(step: int) -> Batch:
        return labelled(run, config.batch, step)

    return Phase("train", config.steps, config.learning_rate, batch, True)


def labelled(run: Run, count: int, *seed: int) -> Batch:
    """The labelled patches of this process."""
    config, data = run.config, run.data
    return draw(
        data.source,
        data.training,
        count,
        config.patch,
        (config.seed, *seed),
        shares=data.shares,
        foreground=config.foreground,
        first=count * distributed.rank(),
    )


def begin(
    config: Training, data: Data, device: torch.device
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The network to train, and the records of all data that it will have seen.

    It is fresh, or has the weights of the checkpoint `start`; a head for another number of classes
    starts anew.

    Raises
    ------
    InputError
        If patches or class weights do not fit network or data, or the checkpoint does not, or
        under `synthetic_only` has seen drawn masks.
    """
    truth = data.truth
    network = build(config, truth.channels, len(truth.classes), truth.axes, device)
    sides = config.sides(truth.axes)
    for side, multiple in zip(sides, multiples(network, truth.axes), strict=True):
        if side % multiple:
            problem = f"has a side that is no multiple of {multiple}, as the network needs"
            raise InputError(f"patch {config.patch}", problem, f"Use multiples of {multiple}")
    if config.class_weights and (
        config.target != CLASSES or len(config.class_weights) != len(truth.classes)
    ):
        problem = f"are {len(config.class_weights)} numbers for {len(truth.classes)} classes"
        raise InputError("class_weights", problem, f"Give one for each of {truth.classes}")
    if config.start is None:
        return network, data.records
    state = checkpoint.load(config.start, KIND)
    seen = list(state["sources"])
    if config.synthetic_only and any(one["labels"] == "drawn" for one in seen):
        problem = "has learned from drawn masks, which --synthetic-only refuses"
        raise InputError(config.start, problem, "Start from another checkpoint")
    own, theirs = network.state_dict(), state["network"]
    outputs = len(truth.classes) if config.target == CLASSES else 1
    # What depends on the number of outputs alone is a head.
    heads = {
        name
        for name, value in own.items()
        if name in theirs and value.shape != theirs[name].shape and value.shape[:1] == (outputs,)
        if value.shape[1:] == theirs[name].shape[1:]
    }
    kept = {name: value for name, value in theirs.items() if name not in heads}
    fitting = own.keys() == theirs.keys() and all(
        own[name].shape == value.shape for name, value in kept.items()
    )
    if not fitting:
        settings = state["config"]
        problem = (
            f"is of a {settings['model']} of widths {settings['widths']} "
            f"for {state['channels']} channels and {len(state['spacing'])} axes"
        )
        remedy = "Give its --model, options and widths and data of its kind, or another --start"
        raise InputError(config.start, problem, remedy)
    network.load_state_dict(own | kept)
    return network, [*seen, *data.records]


def _freeze(network: nn.Module, config: Training) -> list[nn.Module]:
    """Keep the named parts of a network as they are; returns them."""
    parts = dict(network.named_modules())
    unknown = [name for name in config.freeze if not name or name not in parts]
    children = ", ".join(name for name, _ in network.named_children())
    if unknown:
        problem = f"names {unknown[0]!r}, which {config.model} does not have"
        raise InputError("freeze", problem, f"Its parts are {children}")
    frozen = [parts[name] for name in config.freeze]
    for part in frozen:
        part.requires_grad_(False)
    if not any(p.requires_grad for p in network.parameters()):
        raise InputError("freeze", "leaves nothing to learn", f"Leave out one of {children}")
    return frozen


def _ended(state: dict[str, Any], config: Training) -> bool:
    return state.get("phase") == "adapt" and bool(state["step"] == config.adapt_steps)
