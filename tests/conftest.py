"""Tiny stores and folders that many tests share, made once per session."""

from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from phasegen import campaign
from phasegen.images import write_image
from phasegen.store import open_store

torch.set_num_threads(1)  # on tensors as small as these a second thread only waits

SIZE, SAMPLES = 96, 6

GROWTH = {"magnification": 1.0, "time": 100.0}
"""Spinodal structures fine enough for a sample to hold many boundaries."""

UNEVEN = {
    "background": 0.5,
    "contrast": [-0.35, -0.3],
    "halo": 0.1,
    "blur": 1.0,
    "dose": 1000,
    "noise": 0.1,
    "illumination": 0.5,
}
"""A microscope whose uneven light defeats a threshold, yet not a network."""


class Folder(NamedTuple):
    """Images with their true masks."""

    images: Path
    masks: Path


def fill(path, microscope, samples=SAMPLES, seed=0):
    """Simulate a store with the given microscope."""
    settings = campaign.Simulation(
        recipe="spinodal",
        samples=samples,
        shape=SIZE,
        seed=seed,
        parameters=GROWTH,
        microscope=microscope,
    )
    for _ in campaign.run(campaign.prepare(path, settings), workers=1):
        pass
    return path


@pytest.fixture(scope="session")
def simulation(tmp_path_factory):
    """Store of simulated images as the default microscope takes them."""
    return fill(tmp_path_factory.mktemp("simulation") / "sim.zarr", {})


@pytest.fixture(scope="session")
def uneven(tmp_path_factory):
    """Store of simulated images under uneven light."""
    return fill(tmp_path_factory.mktemp("uneven") / "sim.zarr", UNEVEN, samples=8)


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """Folder of 16-bit images of other specimens under uneven light, with their masks."""
    folder = tmp_path_factory.mktemp("real")
    found = Folder(folder / "images", folder / "masks")
    for one in found:
        one.mkdir()
    store = open_store(fill(folder / "hidden.zarr", UNEVEN, samples=4, seed=1000))
    for number in range(store.samples):
        sample = store.read(number)
        grey = (sample.image[0, :, :80] * 65535).round().astype(np.uint16)
        write_image(found.images / f"{number}.tif", grey)
        write_image(found.masks / f"{number}.png", sample.mask[:, :80])
    return found


@pytest.fixture(scope="session")
def silent():
    """A progress display that shows nothing."""

    @contextmanager
    def progress(*_):
        yield lambda *_: None

    return progress
