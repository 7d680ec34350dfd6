"""Many samples into one store: seeded, spread over workers, resumable."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from scipy.stats import qmc

from phasegen import store
from phasegen.config import Config, Positive, Shape
from phasegen.errors import InputError
from phasegen.fib_sem import FibSem, photograph
from phasegen.files import make_folder
from phasegen.masks import coarse
from phasegen.microscope import MicroscopeRanges, render
from phasegen.places import Place, exists, is_url
from phasegen.pools import pool
from phasegen.recipes import Microstructure, find
from phasegen.stepping import BlowUpError
from phasegen.store import Store

COARSEST = 0.5
"""Least pixels per grid cell that a `length` may ask for: a pixel holds two cells of an interface
that is four cells wide, and the interpolation still loses nothing."""

Arrays = dict[str, NDArray[Any]]


class Simulation(Config):
    """Everything that `phasegen simulate` needs to know."""

    recipe: str = Field("gamma-prime", description="name of the microstructure")
    samples: int = Field(48, ge=1, description="number of samples")
    shape: Shape = Field((512, 512), description="pixels: the side of a square, Y,X or Z,Y,X")
    slice: int = Field(0, ge=0, description="sections of each volume that become samples")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the whole campaign")
    keep_fields: bool = Field(False, description="store the order parameters too")
    pixel_size: float | None = Field(None, gt=0, description="side of a pixel, micrometres")
    length: Positive | None = Field(
        None, description="the recipe's length, in micrometres, or pixels if these have no size"
    )
    parameters: dict[str, Any] = Field({}, description="ranges of the recipe")
    microscope: MicroscopeRanges = MicroscopeRanges()
    fib_sem: FibSem = FibSem()

    @model_validator(mode="after")
    def _sections_of_a_volume(self) -> "Simulation":
        depth = self.shape[0] if len(self.shape) == 3 else 0
        if self.slice > depth:
            raise ValueError(f"{self.slice} sections need a volume at least as deep: Z,Y,X pixels")
        return self

    @model_validator(mode="after")
    def _milled_volume(self) -> "Simulation":
        if self.milled and (len(self.shape) < 3 or self.slice):
            raise ValueError("a FIB-SEM mills whole volumes: give Z,Y,X pixels, and no slice")
        if self.fib_sem.slice_thickness > self.shape[0]:
            raise ValueError(f"slices are thicker than the volume of {self.shape[0]} planes")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So a store that no FIB has milled is the same as before there was one.
        values: dict[str, Any] = handler(self)
        return values if self.milled else {k: v for k, v in values.items() if k != "fib_sem"}

    @property
    def milled(self) -> bool:
        """Whether a FIB-SEM photographs the volumes."""
        return self.fib_sem != FibSem()

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: that of the volume, of its slices, or of a section through it."""
        if self.slice or len(self.shape) == 2:
            return self.shape[-2:]
        slices = -(-self.shape[0] // self.fib_sem.slice_thickness)
        return (slices, *self.shape[1:])

    def resolve(self) -> "Simulation":
        """The same with the recipe's ranges checked and filled in.

        Raises
        ------
        InputError
            If the recipe or a parameter is unknown.
        """
        ranges = find(self.recipe).ranges.load(**self.parameters)
        return self.model_copy(update={"parameters": ranges.model_dump(mode="json")})

    def seeds(self) -> NDArray[np.uint64]:
        """Seed of every sample; sections of one volume share the volume's."""
        volumes = -(-self.samples // (self.slice or 1))
        seeds = np.random.SeedSequence(self.seed).generate_state(volumes, np.uint64)
        return seeds.astype(np.uint64).repeat(self.slice or 1)[: self.samples]

    def draws(self) -> list[dict[str, float]]:
        """Parameters of every sample: the recipe's, then the microscope's.

        They are the points of one scrambled Sobol sequence over all ranges, which fill them more
        evenly than independent draws. More samples leave the first as they are.

        Raises
        ------
        InputError
            If a length cannot be had with the pixel size and the recipe's parameters.

        References
        ----------
        Owen, ACM Trans. Model. Comput. Simul. 8, 71 (1998).
        """
        recipe = find(self.recipe)
        ranges = recipe.ranges.load(**self.parameters)
        own = len(ranges.ranges())
        points = self._points(own + len(self.microscope.ranges()), 0)
        # Apart, so that the same seed gives the same specimens to whatever instrument.
        milling = self._points(len(self.fib_sem.ranges()), 1) if self.milled else []
        drawn = []
        for index in range(self.samples):
            volume, section = divmod(index, self.slice or 1)
            grown = ranges.at(points[volume][:own])
            if self.length is not None:
                at = list(ranges.ranges()).index("magnification")
                grown["magnification"] = self._magnification(grown, points[volume][at])
            photographed = self.microscope.at(points[index][own:])
            # Far apart, so that they cut different particles.
            cut = {"section": section * self.shape[0] // self.slice} if self.slice else {}
            added = self.fib_sem.at(milling[index]) if milling else {}
            drawn.append(grown | photographed | cut | added)
        return drawn

    def _points(self, dimensions: int, stream: int) -> list[list[float]]:
        """Points of the unit cube, one or more for every sample."""
        seed = np.random.SeedSequence(self.seed).spawn(stream + 1)[stream]
        sequence = qmc.Sobol(dimensions, rng=np.random.default_rng(seed))
        points: list[list[float]] = sequence.random_base2((self.samples - 1).bit_length()).tolist()
        return points

    def _magnification(self, grown: dict[str, float], at: float) -> float:
        """Pixels per cell that give the length at the position `at` (0..1) of its range."""
        low, high = self.length or (1, 1)
        recipe = find(self.recipe)
        pixels = (low + (high - low) * at) / (self.pixel_size or 1)
        cells = recipe.length(grown)
        if pixels < COARSEST * cells:
            raise InputError(
                "length",
                f"{pixels:.3g} pixels are too few for the {recipe.length_of} of {self.recipe}, "
                f"which takes {cells:.3g} grid cells",
                f"Give a pixel size or a length that make it {COARSEST * cells:.3g} pixels or more",
            )
        return pixels / cells


def simulate(
    recipe: str = "gamma-prime", shape: int | Sequence[int] = 512, seed: int = 0, **ranges: Any
) -> Microstructure:
    """One microstructure, without a store or a microscope.

    Parameters
    ----------
    recipe : str
        A name of `phasegen list`.
    shape : int or sequence of int
        Pixels: (Y, X) or (Z, Y, X); a single number is the side of a square.
    seed : int
        Same seed, same microstructure.
    **ranges
        The recipe's parameters: a number, or ``(low, high)`` to draw from.

    Raises
    ------
    InputError
        If the recipe or a parameter is unknown, or does not fit, or the simulation diverges.
    """
    chosen = find(recipe)
    settings = Simulation.load(recipe=recipe, shape=shape, seed=seed)
    rng = np.random.default_rng(seed)
    drawn = chosen.ranges.load(**ranges).draw(rng)
    chosen.require_room(drawn, settings.shape)
    return _grow(settings, drawn, rng)


def require_room(simulation: Simulation) -> None:
    """Refuse a campaign of which some sample would not fit into its box.

    Raises
    ------
    InputError
        It names the parameter and the size that would do.
    """
    for drawn in simulation.draws():
        coarse(simulation.shape, drawn["magnification"])
        find(simulation.recipe).require_room(drawn, simulation.shape)


def prepare(path: Place, simulation: Simulation) -> Store:
    """Create the store of a campaign, or open it to go on where it stopped.

    Raises
    ------
    InputError
        If the store at `path` comes from other settings.
    """
    simulation = simulation.resolve()
    config = simulation.model_dump(mode="json")
    if exists(path):
        existing = store.open_store(path, "r+")
        if existing.config != config:
            known = {**existing.config, **config}
            changed = [k for k in known if existing.config.get(k) != config.get(k)] or ["kind"]
            raise InputError(
                path,
                f"was simulated with other settings ({', '.join(changed)})",
                "Choose another --out, or start afresh with --overwrite",
            )
        return existing
    if not is_url(path):
        make_folder(Path(path).parent)
    recipe, side = find(simulation.recipe), simulation.pixel_size or 1.0
    thickness = simulation.fib_sem.slice_thickness
    return store.create(
        path,
        samples=simulation.samples,
        shape=simulation.sample_shape,
        classes=recipe.classes,
        kind="simulation",
        seeds=simulation.seeds(),
        config=config,
        parameters=simulation.draws(),
        pixel_size=side,
        unit="micrometer" if simulation.pixel_size else "pixel",
        z_spacing=thickness * side if thickness > 1 else None,
        fields=recipe.fields if simulation.keep_fields else 0,
    )


def run(target: Store, workers: int = 0, scheduler: str | None = None) -> Iterator[int]:
    """Simulate what the store still lacks; yields the index of each sample once it is written.

    A sample depends on its own seed and parameters alone, so the store is the same bit for bit
    whatever the number of workers, wherever they are, and however often the campaign was
    interrupted. Workers send their arrays back and this process writes them, so a cluster need not
    reach the store. At most two samples per worker are under way or waiting to be written.

    Parameters
    ----------
    target : Store
        From `prepare`.
    workers : int
        Processes on this machine, each with one thread; 0 takes one per processor.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers are used instead.

    Raises
    ------
    InputError
        If a sample diverges, a worker dies, or the scheduler cannot be reached. What is complete
        stays.
    """
    simulation = Simulation.load(**target.config)
    waiting = deque(_volumes(target, simulation))
    running: dict[Future[list[Arrays]], list[int]] = {}
    with pool(workers, scheduler, len(waiting)) as (submit, busy):
        while waiting or running:
            while waiting and len(running) < busy:
                indices, drawn, seed = waiting.popleft()
                running[submit(samples, simulation, drawn, seed)] = indices
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                for index, arrays in zip(running.pop(future), future.result(), strict=True):
                    target.write(index, **arrays)
                    yield index


def _volumes(
    target: Store, simulation: Simulation
) -> Iterator[tuple[list[int], list[dict[str, float]], int]]:
    """Samples still missing, with their parameters and seed, those of one volume together."""
    seeds = target.seeds
    by_volume: dict[int, list[int]] = {}
    for index in target.missing().tolist():
        by_volume.setdefault(index // (simulation.slice or 1), []).append(index)
    for indices in by_volume.values():
        yield indices, [target.parameters[i] for i in indices], int(seeds[indices[0]])


def samples(simulation: Simulation, drawn: Sequence[dict[str, float]], seed: int) -> list[Arrays]:
    """Simulate once and photograph one or, of a volume cut into sections, several samples.

    Parameters
    ----------
    simulation : Simulation
        Of the campaign.
    drawn : sequence of dict
        Parameters of the samples to make; those of the recipe are the same in all.
    seed : int
        Of the simulation.

    Returns
    -------
    list of dict
        The arrays of every sample, as `Store.write` takes them.
    """
    grown = _grow(simulation, drawn[0], np.random.default_rng(seed))
    made = []
    for parameters in drawn:
        section = int(parameters.get("section", 0))
        view = grown.section(section) if simulation.slice else grown
        rng = np.random.default_rng([seed, section])
        if simulation.milled:
            image, view = photograph(view, parameters, simulation.fib_sem.slice_thickness, rng)
        else:
            image = render(view.phase, parameters, rng)
        arrays: Arrays = {"image": image[None], "mask": view.mask, "instance": view.instance}
        if simulation.keep_fields:
            arrays["field"] = view.fields.astype(np.float16)
        made.append(arrays)
    return made


def _grow(
    simulation: Simulation, parameters: dict[str, float], rng: np.random.Generator
) -> Microstructure:
    recipe = find(simulation.recipe)
    try:
        phase, mask, instance, fields = recipe.grow(parameters, simulation.shape, rng)
    except BlowUpError as error:
        values = ", ".join(f"{key} {value:.4g}" for key, value in parameters.items())
        problem = f"a sample diverged ({error}) with {values}"
        raise InputError(simulation.recipe, problem, "Choose other parameters") from None
    except MemoryError as error:
        size = " x ".join(map(str, simulation.shape))
        problem = f"a sample of {size} pixels does not fit into memory ({error})"
        raise InputError(simulation.recipe, problem, "Simulate smaller ones") from None
    if mask.min() == mask.max():
        values = ", ".join(f"{key} {value:.4g}" for key, value in parameters.items())
        problem = (
            f"a sample of {mask.shape} pixels is all {recipe.classes[mask.flat[0]]} ({values})"
        )
        raise InputError(simulation.recipe, problem, "Simulate larger ones, or change parameters")
    return Microstructure(phase, mask, instance, fields, recipe.classes, parameters)
