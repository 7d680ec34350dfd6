"""What each of two processes does in `test_distributed_training`: whole runs and one in parts."""

import sys
from pathlib import Path

import torch

from phasegen import devices, distributed
from phasegen.errors import InputError
from segtrain import sources
from segtrain.train import train
from tests.segtrain.specimens import settings, source, stopping_after

FIELD = {"model": "unet3d", "target": "distance", "loss": "l2", "learning_rate": 1e-2, "clip": 0.5}
"""Normalised image by image, and with a loss that is a mean over images."""


def config(**changes):
    """What is trained."""
    return settings(**FIELD | {"steps": 6, "validate_every": 3} | changes)


def in_single_precision(device):
    """Bfloat16 rounds by more than the order of summation does."""
    return torch.autocast(device.type, enabled=False)


def prepare():
    """One thread, and data from memory."""
    torch.set_num_threads(1)
    devices.autocast = in_single_precision
    sources.open_sources = lambda _: [source(instances=True)]


def never(*_):
    raise AssertionError("progress is shown by the first process alone")


def main(folder: Path) -> None:
    """Leave runs in `folder`, and what this process was told."""
    prepare()
    progress = never if distributed.rank() else stopping_after("", 0)
    with distributed.group(torch.device("cpu")):
        train(config(), folder / "whole", progress)
        classes = config(model="unet", target="classes", loss="ce-dice", ema=0.5)
        train(classes, folder / "classes", progress)
        try:
            train(config(validation=3), folder / "refused", progress)
        except InputError as error:
            said = str(error)
    torch.save({"said": said}, folder / f"said{distributed.rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
