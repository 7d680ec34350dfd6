"""What a campaign will take, told before it runs: samples, time, memory and disk."""

import math
import time
import tracemalloc
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from phasegen import campaign
from phasegen.campaign import Simulation
from phasegen.config import SMALLEST
from phasegen.errors import InputError
from phasegen.recipes import find

PROBE = {2: 192**2, 3: 48**3}
"""Most pixels of the simulation that is timed, by dimension."""

ROOM = 2
"""Lengths of the recipe that a probe must hold: a box of one grain is no sample."""

INTERPRETER = 230e6
"""Memory of a worker that has imported and compiled everything and holds no sample yet, bytes."""


@dataclass(frozen=True)
class Estimate:
    """What a campaign takes.

    Attributes
    ----------
    samples, volumes : int
        Samples of the store, and simulations behind them.
    seconds : float
        Processor time of all simulations; over several workers it is shared.
    memory : float
        Peak of one worker, bytes.
    disk : float
        Size of the finished store, bytes.
    """

    samples: int
    volumes: int
    seconds: float
    memory: float
    disk: float


def estimate(simulation: Simulation) -> Estimate:
    """Estimate a campaign from a small simulation, in about the time of one sample.

    The probe has the first draw of the parameters, and as many pixels as the campaign's shape but
    at most those of `PROBE`; time, memory and disk are taken to grow with the number of pixels.

    Raises
    ------
    InputError
        If the settings do not fit, or the probe diverges.
    """
    simulation = simulation.resolve()
    pixels = math.prod(simulation.shape)
    scale = (PROBE[len(simulation.shape)] / pixels) ** (1 / len(simulation.shape))
    small = tuple(max(SMALLEST, round(n * min(scale, 1))) for n in simulation.shape)
    drawn, seed = simulation.draws()[:1], int(simulation.seeds()[0])
    small = _with_room(simulation, drawn[0], small)
    probe = simulation.model_copy(update={"shape": small, "samples": 1, "slice": 0})
    tiny = (SMALLEST,) * len(small)
    with suppress(InputError):  # compiles; a tiny box need not hold the structure
        campaign.samples(probe.model_copy(update={"shape": tiny}), drawn, seed)
    tracemalloc.start()
    start = time.process_time()
    try:
        (arrays,) = campaign.samples(probe, drawn, seed)
        seconds, memory = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "probe.zarr"
        campaign.prepare(path, probe).write(0, **arrays)
        disk = sum(file.stat().st_size for file in path.rglob("*/c/**/*") if file.is_file())
    volumes = len(set(simulation.seeds().tolist()))
    ratio = pixels / math.prod(small)
    per_sample = math.prod(simulation.sample_shape) / math.prod(probe.sample_shape)
    return Estimate(
        simulation.samples,
        volumes,
        seconds * ratio * volumes,
        INTERPRETER + memory * ratio,
        disk * per_sample * simulation.samples,
    )


def _with_room(
    simulation: Simulation, drawn: dict[str, float], small: tuple[int, ...]
) -> tuple[int, ...]:
    """A probe that holds what the recipe makes, at most as large as the campaign's samples."""
    while small != simulation.shape:
        try:
            find(simulation.recipe).require_room(drawn, tuple(n // ROOM for n in small))
            break
        except InputError:
            small = tuple(
                min(whole, n + n // 2) for whole, n in zip(simulation.shape, small, strict=True)
            )
    return small
