"""Checkpoints: one flat dict, written whole or not at all, and folders of runs that resume."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from phasegen.config import Config
from phasegen.errors import InputError
from phasegen.files import make_folder, written_whole

SETTINGS, LAST = "config.yaml", "last.pt"

WRITTEN = (
    LAST,
    "best.pt",
    "best.safetensors",
    "teacher.pt",
    "model.pt",
    "log.jsonl",
    "events.out.tfevents.*",
    ".*.partial",
)
"""What runs write to their folders, apart from the settings."""


def save(path: Path, kind: str, state: dict[str, Any]) -> None:
    """Write a checkpoint of plain values and tensors under a temporary name, then rename it.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What wrote it, such as ``"segtrain"``; `load` refuses other kinds.
    state : dict
        Numbers, strings, lists, dicts and tensors.
    """
    with written_whole(path) as partial:
        torch.save({"kind": kind, **state}, partial)


def save_weights(path: Path, network: torch.nn.Module) -> None:
    """Write the weights alone as safetensors, for use without this project."""
    with written_whole(path) as partial:
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, partial)


def copy(source: Path, target: Path) -> None:
    """Copy a checkpoint; the target appears whole or not at all."""
    with written_whole(target) as partial:
        shutil.copyfile(source, partial)


def load(path: Path, kind: str) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises
    ------
    InputError
        If it is missing, damaged, or was written by something else than `kind`.
    """
    if not path.is_file():
        raise InputError(path, "does not exist", f"Give a checkpoint that {kind} has written")
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file may fail anywhere inside the unpickler
        remedy = f"Give a checkpoint that {kind} has written"
        raise InputError(path, "is damaged or no checkpoint", remedy) from None
    found = state.get("kind") if isinstance(state, dict) else None
    if found != kind:
        raise InputError(
            path,
            f"is a checkpoint of {found or 'another program'}, not of {kind}",
            f"Give a checkpoint that {kind} has written",
        )
    return dict(state)


def open_run(folder: Path, kind: str, config: Config, inputs: dict[str, Any]) -> dict[str, Any]:
    """Start a run in `folder`, or return the last state of the same run.

    Parameters
    ----------
    folder : Path
        Created if missing; the resolved configuration is written there.
    kind : str
        As for `save`.
    config : Config
        The run's configuration.
    inputs : dict
        What identifies its data (digests, file counts): a run does not go on with other data.

    Returns
    -------
    dict
        The content of ``last.pt``, or an empty dict for a new run.

    Raises
    ------
    InputError
        If the folder cannot be written, or holds a run with another configuration or other data.
    """
    last = folder / LAST
    if not last.exists():
        make_folder(folder)
        if _written(folder) and _settings(folder) != config.model_dump(mode="json"):
            raise InputError(
                folder,
                f"holds {_written(folder)[0].name} of another run, whose {LAST} is gone",
                "Choose another folder, or empty it",
            )
        # What the same run left before its first state would be mistaken for this one's.
        _discard(folder)
        config.save(folder / SETTINGS)
        return {}
    state = load(last, kind)
    dumped = config.model_dump(mode="json")
    changed = [k for k in dumped if state["config"].get(k) != dumped[k]]
    changed += [k for k in inputs if state["inputs"].get(k) != inputs[k]]
    if changed:
        raise InputError(
            folder,
            f"holds a run with other settings or data ({', '.join(changed)})",
            "Choose another folder, or start afresh with --overwrite",
        )
    return state


def discard_run(folder: Path) -> None:
    """Remove what a run has written to its folder; whatever else is there stays.

    Raises
    ------
    InputError
        If the folder holds something, but no run.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / SETTINGS).is_file():
        raise InputError(folder, "holds no run to overwrite", "Choose another folder, or empty it")
    _discard(folder)
    (folder / SETTINGS).unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _written(folder: Path) -> list[Path]:
    return [path for pattern in WRITTEN for path in sorted(folder.glob(pattern))]


def _settings(folder: Path) -> Any:
    """Content of the settings in a folder; None if there are none that can be read."""
    try:
        return yaml.safe_load((folder / SETTINGS).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _discard(folder: Path) -> None:
    for path in _written(folder):
        path.unlink()
