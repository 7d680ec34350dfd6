"""What each of two processes does in `test_distributed`: two fits, one of them interrupted."""

import sys
from pathlib import Path

import torch

import cyclegan.fit as fit_module
from cyclegan.fit import KIND, fit
from phasegen import checkpoint, devices, distributed
from phasegen.errors import InputError
from tests.cyclegan.specimens import (
    SCENES,
    SHORT,
    SIMULATED,
    Stop,
    eager,
    settings,
    silent,
    stopping_after,
)


def config(**changes):
    """What is trained: with a noise channel, which is random too."""
    return settings(**SHORT | {"steps": 8, "noise": 0.5} | changes)


def in_single_precision(device):
    """Bfloat16 rounds by more than the order of summation does."""
    return torch.autocast(device.type, enabled=False)


def main(folder: Path) -> None:
    """Leave the weights of this process in `folder`."""
    torch.set_num_threads(1)
    devices.autocast = in_single_precision
    fit_module.adjust = eager
    with distributed.group(torch.device("cpu")):
        weights = {}
        for pool in (0, 2):
            settings, out = config(batch=2, pool=pool), folder / f"pool{pool}"
            weights[pool], _ = fit(settings, SIMULATED, SCENES, out, {}, {}, silent)
        out = folder / "parts"
        try:
            fit(settings, SIMULATED, SCENES, out, {}, {}, stopping_after(5))
        except Stop:
            state = distributed.first(lambda: checkpoint.load(out / checkpoint.LAST, KIND))
        weights["parts"], _ = fit(settings, SIMULATED, SCENES, out, state, {}, silent)

        def refuse():
            raise InputError("store", "is gone", "Look for it")

        try:
            distributed.first(refuse)
        except InputError as error:
            weights["said"] = str(error)
        weights["gathered"] = distributed.gather(distributed.rank())
    torch.save(weights, folder / f"weights{distributed.rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
