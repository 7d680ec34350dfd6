"""Choose a recipe's parameters so that its pictures have the lengths and shares of real ones.

No label is read. Real pictures are described by `phasegen.descriptors`; a few small pilot
simulations are described by the same functions, bias included, and the ranges of the simulation
are moved until the simulated descriptors cover the real ones. What the recipe cannot cover with any
of the ranges that are moved is reported, never forced.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.campaign import Simulation, samples
from phasegen.coverage import (
    LENGTHS,
    SHAPES,
    Coverage,
    compare,
    dark_interval,
    direction_notes,
    values,
    verdict,
)
from phasegen.descriptors import Descriptors, describe
from phasegen.errors import InputError
from phasegen.images import list_images, read_micrograph
from phasegen.microscope import MicroscopeRanges
from phasegen.recipes import find

Array = NDArray[Any]

MOST_IMAGES = 64
"""Images of a folder that are described, evenly spaced by name."""

ROUNDS = (8, 8, 12)
"""Pilot simulations of each round: the last one measures what the others have chosen."""

PILOT, PILOT_CELLS = 256, 192
"""Side of a pilot of the first round, pixels, and of the later ones, at most, grid cells."""

LEAST_SIZE, MOST_SIZE, STEP = 256, 1024, 32
"""Bounds of the simulated side, pixels: room for a patch of training, and for the memory."""

UNDECIDED = 0.3
"""Polarity below which neither phase is called the matrix."""

MARGIN, SHORTFALL = 1.2, 1.35
"""Factors by which the simulated lengths reach below and above the real ones: rims and texture cut
the measured chords of faint particles, so that real lengths err on the short side."""

FOLLOWS = 0.25
"""Largest standard deviation, in natural logarithms, of a length of the pilots around that of the
simulation: grooves of a fixed width and the grey values of grains say nothing of a magnification.
"""

LEAST_CELLS = 48
"""Cells per side that a magnification leaves at least: a few of the recipe's lengths."""

STEERED = 0.6
"""Least correlation of a parameter with the dark share to be trusted to steer it."""

STEERING = ("volume_fraction", "composition", "porosity", "martensite")
"""What recipes call the share of a phase."""

SHARES, EXTRAPOLATED = (0.02, 0.95), 0.05
"""Bounds of a share that is set, and how far beyond the pilots it may go."""


@dataclass(frozen=True, eq=False)
class Match:
    """Settings for a campaign, and how well they fit.

    Attributes
    ----------
    simulation : Simulation
        What `phasegen simulate --config` takes.
    coverage : list of Coverage
        One for each descriptor, for the settings chosen.
    share : tuple of float
        Interval for the share of the dark phase in the real images (`dark_interval`).
    real, simulated : list of Descriptors
    scenes, images : list of ndarray (Y, X)
        The pictures that they describe.
    notes : list of str
        What was decided, and what could not be.
    """

    simulation: Simulation
    coverage: list[Coverage]
    share: tuple[float, float]
    real: list[Descriptors] = field(repr=False)
    simulated: list[Descriptors] = field(repr=False)
    scenes: list[Array] = field(repr=False)
    images: list[Array] = field(repr=False)
    notes: list[str] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Pilot:
    """A simulated picture with the parameters it was made with."""

    parameters: dict[str, float]
    image: Array
    descriptors: Descriptors


def read_folder(folder: Path) -> list[Array]:
    """The scenes of a folder, without info bars: all of them, or `MOST_IMAGES` evenly spaced.

    Raises
    ------
    InputError
        If the folder holds no image, or one that cannot be read or shows nothing.
    """
    paths = list_images(folder)
    chosen = np.linspace(0, len(paths) - 1, min(len(paths), MOST_IMAGES)).round().astype(int)
    return [read_micrograph(paths[i], min_size=64).scene for i in chosen]


def match(
    scenes: Sequence[Array],
    recipe: str,
    seed: int = 0,
    advance: Callable[[], object] = lambda: None,
) -> Match:
    """Fit the ranges of a recipe to real pictures.

    Parameters
    ----------
    scenes : sequence of ndarray (Y, X)
        From `read_folder`.
    recipe : str
        A name of `phasegen list`.
    seed : int
        Of the pilot simulations, and of the campaign.
    advance : callable
        Called after every picture described: ``len(scenes) + sum(ROUNDS)`` times.

    Raises
    ------
    InputError
        If the recipe is unknown or all of its pilots fail.
    """
    simulation = Simulation(recipe=recipe, seed=seed).resolve()
    real = []
    for scene in scenes:
        real.append(describe(scene))
        advance()
    share, side = dark_interval(real), _side(real)
    notes: list[str] = []
    pilots: list[Pilot] = []
    latest = _pilots(_widened(simulation, share, real), ROUNDS[0], PILOT, advance)
    simulation = _face(simulation, real, latest, notes)
    for number in ROUNDS[1:]:
        if _contrast(simulation) * _contrast(latest[0].parameters) < 0:
            latest = [replace(p, descriptors=p.descriptors.inverted()) for p in latest]
        pilots += latest
        simulation = _steer(simulation, share, pilots, len(latest))
        wanted = _wanted_magnification(simulation.recipe, real, pilots, len(latest))
        simulation = _magnify(simulation, wanted, side)
        simulation = _expose(simulation, real, latest)
        magnification = np.mean(simulation.parameters.get("magnification", 1.0))
        latest = _pilots(simulation, number, min(side, int(PILOT_CELLS * magnification)), advance)
    simulated = [pilot.descriptors for pilot in latest]
    coverage = [compare(name, real, simulated) for name in LENGTHS + SHAPES]
    if len(latest) < ROUNDS[-1]:
        notes.append(
            f"{ROUNDS[-1] - len(latest)} of {ROUNDS[-1]} simulations dissolved or diverged."
        )
    notes = verdict(recipe, coverage) + notes
    notes += _scale_notes(wanted, side) + direction_notes(real, simulated)
    notes.append(_untouched(simulation))
    return Match(
        simulation=simulation.model_copy(update={"shape": (side, side)}),
        coverage=coverage,
        share=share,
        real=real,
        simulated=simulated,
        scenes=list(scenes),
        images=[pilot.image for pilot in latest],
        notes=notes,
    )


def _side(real: Sequence[Descriptors]) -> int:
    side = int(np.median([min(d.shape) for d in real])) // STEP * STEP
    return int(np.clip(side, LEAST_SIZE, MOST_SIZE))


def _contrast(settings: Any) -> float:
    if isinstance(settings, Simulation):
        return float(np.mean(settings.microscope.contrast))
    return float(settings["contrast"])


def _pilots(
    simulation: Simulation, number: int, side: int, advance: Callable[[], object]
) -> list[Pilot]:
    """Small samples of a campaign, described; those that diverge or dissolve are left out."""
    small = simulation.model_copy(update={"samples": number, "shape": (side, side)})
    made = []
    failure = InputError(
        simulation.recipe,
        "makes a single phase with the share of the phases in the real images",
        "Choose another recipe",
    )
    for parameters, seed in zip(small.draws(), small.seeds().tolist(), strict=True):
        try:
            arrays = samples(small, [parameters], seed)[0]
        except InputError as error:
            failure = error
        else:
            if np.ptp(arrays["mask"]) > 0:
                image = arrays["image"][0]
                made.append(Pilot(parameters, image, describe(image)))
        advance()
    if not made:
        raise failure
    return made


def _shares(simulation: Simulation) -> list[str]:
    """Parameters of the recipe that may decide the share of a phase."""
    return [name for name in STEERING if name in simulation.parameters]


def _set(simulation: Simulation, **parameters: tuple[float, float]) -> Simulation:
    limits = find(simulation.recipe).ranges.limits
    rounded = {
        k: [float(f"{x:.3g}") for x in np.clip(bounds, *limits(k))]
        for k, bounds in parameters.items()
    }
    parameters = simulation.parameters | rounded
    try:
        find(simulation.recipe).ranges.load(**parameters)
    except InputError:  # parameters that contradict each other: what was valid stands
        return simulation
    return simulation.model_copy(update={"parameters": parameters})


def _widened(
    simulation: Simulation, share: tuple[float, float], real: Sequence[Descriptors]
) -> Simulation:
    """Ranges of shares stretched to what the real images may hold of the enclosed phase."""
    low, high = share if np.median(values("polarity", real)) < 0 else (1 - share[1], 1 - share[0])
    for name in _shares(simulation):
        default = simulation.parameters[name]
        bounds = np.clip((min(low, default[0]), max(high, default[1])), *SHARES)
        simulation = _set(simulation, **{name: (float(bounds[0]), float(bounds[1]))})
    return simulation


def _face(
    simulation: Simulation, real: Sequence[Descriptors], pilots: Sequence[Pilot], notes: list[str]
) -> Simulation:
    """Turn the contrast if the recipe's enclosed phase has the wrong grey value."""
    wanted = float(np.median(values("polarity", real)))
    given = float(np.median([p.descriptors.polarity for p in pilots]))
    if abs(wanted) < UNDECIDED:
        notes.append("Neither phase encloses the other, so the sign of the contrast is left alone.")
        return simulation
    notes.append(
        f"The {'dark' if wanted < 0 else 'bright'} phase is enclosed by the other "
        f"(polarity {wanted:+.2f}, from -1 for dark particles to +1 for bright ones)."
    )
    if wanted * given >= 0 or abs(given) < UNDECIDED:
        return simulation
    microscope = simulation.microscope
    turned = {
        "background": tuple(round(1 - x, 6) for x in reversed(microscope.background)),
        "contrast": tuple(-x for x in reversed(microscope.contrast)),
    }
    return simulation.model_copy(update={"microscope": microscope.model_copy(update=turned)})


def _steer(
    simulation: Simulation, share: tuple[float, float], pilots: Sequence[Pilot], latest: int
) -> Simulation:
    """Set the range of the parameter that decides the dark share, by a line through the pilots.

    All pilots give its slope; the latest ones, whose magnification and noise are nearer to those of
    the real images, give its height.
    """
    dark = values("dark", [p.descriptors for p in pilots])
    best, drawn, name = STEERED, dark, None
    for candidate in _shares(simulation):
        at = np.array([p.parameters[candidate] for p in pilots])
        correlation = abs(np.corrcoef(at, dark)[0, 1]) if np.ptp(at) > 0 < np.ptp(dark) else 0.0
        if correlation > best:
            best, drawn, name = correlation, at, candidate
    if name is None:
        return simulation
    slope = np.polyfit(drawn, dark, 1)[0]
    offset = np.median((dark - slope * drawn)[-latest:])
    ends = np.clip(
        (np.array(share) - offset) / slope,
        max(drawn.min() - EXTRAPOLATED, SHARES[0]),
        min(drawn.max() + EXTRAPOLATED, SHARES[1]),
    )
    return _set(simulation, **{name: (float(ends.min()), float(ends.max()))})


def _wanted_magnification(
    recipe: str, real: Sequence[Descriptors], pilots: Sequence[Pilot], latest: int
) -> tuple[float, float]:
    """Pixels per cell at which the lengths of the pilots would be those of the real images.

    Lengths are the mean wavelength, the chords of the enclosed phase, or of both if neither is
    (the width of a matrix follows from the share of what it encloses), and the distance of thin
    lines; those that do not follow the length of the pilots are left out (`FOLLOWS`).
    """
    cells = np.log([p.parameters["magnification"] for p in pilots])
    length = find(recipe).length
    lengths = np.log([length(p.parameters) for p in pilots])
    polarity = float(np.median(values("polarity", real)))
    names = ["wavelength", "intercept"]
    names += ["chord_dark"] if polarity < UNDECIDED else []
    names += ["chord_bright"] if polarity > -UNDECIDED else []
    per_cell = {n: np.log(values(n, [p.descriptors for p in pilots])) - cells for n in names}
    # Some follow the length that the recipe is known by, some no more than the magnification.
    strays = {n: min(np.std(x), np.std(x - lengths)) for n, x in per_cell.items()}
    ends: list[float] = []
    for name in (n for n in names if strays[n] <= max(FOLLOWS, min(strays.values()))):
        low, middle, high = np.quantile(np.log(values(name, real)), (0.1, 0.5, 0.9))
        least, most = np.quantile(per_cell[name], (0.1, 0.9))
        # What the recipe varies on its own, the magnification need not.
        spread = np.sqrt(max((high - low) ** 2 - (most - least) ** 2, 0.0)) / 2
        centre = middle - np.median(per_cell[name][-latest:])
        ends += [centre - spread, centre + spread]
    return float(np.exp(min(ends)) / MARGIN), float(np.exp(max(ends)) * SHORTFALL)


def _magnify(simulation: Simulation, wanted: tuple[float, float], side: int) -> Simulation:
    # A cell is no smaller than a pixel: the simulation would resolve what the picture cannot show.
    low, high = np.clip(wanted, 1.0, side / LEAST_CELLS).tolist()
    return _set(simulation, magnification=(low, high))


def _expose(
    simulation: Simulation, real: Sequence[Descriptors], pilots: Sequence[Pilot]
) -> Simulation:
    """Set electrons and amplifier to give half of the real noise each."""
    microscope = simulation.microscope
    # The measured contrast is that of blurred particles, less than the one that was set.
    ratios = []
    for pilot in pilots:
        p = pilot.parameters
        variance = p["noise"] ** 2 + (p["background"] + p["contrast"] / 2) / p["dose"]
        ratios.append(pilot.descriptors.noise * abs(p["contrast"]) / np.sqrt(variance))
    share = np.quantile(values("noise", real), (0.1, 0.9)) * (1 / MARGIN, MARGIN)
    level = share * abs(_contrast(simulation)) / np.median(ratios)
    low, high = (float(x) for x in np.maximum(level, 1e-3))
    grey = float(np.mean(microscope.background)) + _contrast(simulation) / 2
    exposed = MicroscopeRanges.load(
        **microscope.model_dump()
        | {
            "noise": [float(f"{x / np.sqrt(2):.2g}") for x in (low, high)],
            "dose": [max(float(f"{2 * grey / (x * x):.2g}"), 1.0) for x in (high, low)],
        }
    )
    return simulation.model_copy(update={"microscope": exposed})


def _scale_notes(wanted: tuple[float, float], side: int) -> list[str]:
    """What to do with images that are too fine for a cell per pixel, or too coarse."""
    notes: list[str] = []
    coarsest = side / LEAST_CELLS
    if wanted[0] * MARGIN < 1:
        finer = 1 / (wanted[0] * MARGIN)
        notes.append(
            f"The finest real structures are {finer:.2g} times finer than one grid cell per pixel "
            f"can show, and left out: enlarge the images {finer:.2g} times, here and for the "
            "network, or take them at a higher magnification."
        )
    if wanted[1] / SHORTFALL > coarsest:
        coarser = wanted[1] / SHORTFALL / coarsest
        notes.append(
            f"The coarsest real structures leave {side} pixels too few grid cells: reduce the "
            f"images {coarser:.2g} times, here and for the network, or give larger ones."
        )
    return notes


def _untouched(simulation: Simulation) -> str:
    """The settings that no image has been asked about."""
    default = Simulation(recipe=simulation.recipe).resolve()
    ranges = default.parameters, default.microscope.model_dump(mode="json")
    chosen = simulation.parameters, simulation.microscope.model_dump(mode="json")
    same = [[k for k in a if a[k] == b[k]] for a, b in zip(ranges, chosen, strict=True)]
    return (
        f"Kept as the recipe has them, not matched: {', '.join(same[0]) or 'nothing'}; "
        f"of the microscope: {', '.join(same[1])}."
    )
