"""Many samples into one store: seeded, parallel over processes, resumable."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phasegen import store
from phasegen.config import Config
from phasegen.errors import InputError
from phasegen.files import make_folder
from phasegen.microscope import MicroscopeRanges, render
from phasegen.recipes import Microstructure, find
from phasegen.stepping import BlowUpError
from phasegen.store import Store


class Simulation(Config):
    """Everything that `phasegen simulate` needs to know."""

    recipe: str = Field("gamma-prime", description="name of the microstructure")
    samples: int = Field(48, ge=1, description="number of samples")
    size: int = Field(512, ge=32, description="side of the square images, pixels")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the whole campaign")
    keep_fields: bool = Field(False, description="store the order parameters too")
    parameters: dict[str, Any] = Field({}, description="ranges of the recipe")
    microscope: MicroscopeRanges = MicroscopeRanges()

    def resolve(self) -> "Simulation":
        """The same with the recipe's ranges checked and filled in."""
        ranges = find(self.recipe).ranges.load(**self.parameters)
        return self.model_copy(update={"parameters": ranges.model_dump(mode="json")})

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """Parameters of one sample: the recipe's, then the microscope's."""
        recipe = find(self.recipe).ranges.load(**self.parameters)
        return recipe.draw(rng) | self.microscope.draw(rng)


def simulate(
    recipe: str = "gamma-prime", size: int = 512, seed: int = 0, **ranges: Any
) -> Microstructure:
    """One microstructure, without a store or a microscope.

    Parameters
    ----------
    recipe : str
        A name of `phasegen list`.
    size : int
        Side of the square, pixels.
    seed : int
        Same seed, same microstructure.
    **ranges
        The recipe's parameters: a number, or ``(low, high)`` to draw from.

    Raises
    ------
    InputError
        If the recipe or a parameter is unknown.
    """
    chosen = find(recipe)
    rng = np.random.default_rng(seed)
    parameters = chosen.ranges.load(**ranges).draw(rng)
    phase, mask, instance, fields = chosen.grow(parameters, (size, size), rng)
    return Microstructure(phase, mask, instance, fields, chosen.classes, parameters)


def prepare(path: Path, simulation: Simulation) -> Store:
    """Create the store of a campaign, or open it to go on where it stopped.

    Raises
    ------
    InputError
        If the store at `path` comes from other settings.
    """
    simulation = simulation.resolve()
    config = simulation.model_dump(mode="json")
    if path.exists():
        existing = store.open_store(path, "r+")
        if existing.config != config:
            changed = [k for k in config if existing.config.get(k) != config[k]] or ["kind"]
            raise InputError(
                path,
                f"was simulated with other settings ({', '.join(changed)})",
                "Choose another --out, or start afresh with --overwrite",
            )
        return existing
    seeds = np.random.SeedSequence(simulation.seed).generate_state(simulation.samples, np.uint64)
    recipe = find(simulation.recipe)
    make_folder(path.parent)
    return store.create(
        path,
        samples=simulation.samples,
        shape=(simulation.size, simulation.size),
        classes=recipe.classes,
        kind="simulation",
        seeds=seeds,
        config=config,
        parameters=[simulation.draw(np.random.default_rng(int(s))) for s in seeds],
        fields=recipe.fields if simulation.keep_fields else 0,
    )


def run(target: Store, workers: int = 0) -> Iterator[int]:
    """Simulate what the store still lacks; yields the index of each sample once it is written.

    A sample depends on its own seed alone, so the store is the same bit for bit whatever the
    number of workers and however often the campaign was interrupted.

    Parameters
    ----------
    target : Store
        From `prepare`.
    workers : int
        Processes, each with one thread; 0 takes one per processor.
    """
    simulation = Simulation.load(**target.config)
    missing = [int(i) for i in target.missing()]
    workers = min(workers or _processors(), len(missing))
    jobs = [(simulation, int(target.seeds[i])) for i in missing]
    if workers <= 1:
        for index, job in zip(missing, jobs, strict=True):
            target.write(index, **sample(*job))
            yield index
        return
    # One thread per process: on grids of this size threads inside a simulation only contend.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent) as pool:
        futures = {pool.submit(sample, *job): i for i, job in zip(missing, jobs, strict=True)}
        try:
            for future in as_completed(futures):
                index = futures.pop(future)
                target.write(index, **future.result())
                yield index
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def sample(simulation: Simulation, seed: int) -> dict[str, NDArray[Any]]:
    """Simulate and photograph one sample; its arrays, as `Store.write` takes them."""
    rng = np.random.default_rng(seed)
    parameters = simulation.draw(rng)
    grow = find(simulation.recipe).grow
    try:
        phase, mask, instance, fields = grow(parameters, (simulation.size, simulation.size), rng)
    except BlowUpError as error:
        values = ", ".join(f"{key} {value:.4g}" for key, value in parameters.items())
        problem = f"the sample of seed {seed} diverged ({error}) with {values}"
        raise InputError(simulation.recipe, problem, "Choose other parameters") from None
    image = render(phase, parameters, rng)
    arrays = {"image": image[None], "mask": mask, "instance": instance}
    return arrays | ({"field": fields.astype(np.float16)} if simulation.keep_fields else {})
