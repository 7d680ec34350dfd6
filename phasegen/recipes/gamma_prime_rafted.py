"""Cuboidal and rafted gamma-prime: a single-crystal blade alloy before and after creep.

The lattices of particle and matrix stay coherent, and the misfit strains both. The elastic energy
is least for interfaces on cube planes, so that particles which would be spheres become cubes, and
line up in rows along the cube axes. A load along a cube axis makes it tetragonal (for the stiffer
phase strains less): particles grow together into plates, the rafts. In tension and with the
negative misfit of these alloys they lie across the load (N-type), in compression along it (P-type).

It stands for nickel alloys of the second generation such as CMSX-4: two thirds of gamma-prime in
cubes of 0.4-0.5 micrometres, misfit -0.1 to -0.3 % at 1000 degrees C. The elastic constants are
about those of such alloys at that temperature (C11, C12, C44 = 210, 146, 97 GPa: Young's modulus
90 GPa along [001], Zener anisotropy 3); gamma-prime is taken to be stiffer by 10 GPa in C11 - C12,
of the order of what is measured on the single phases (Sieborger, Knake and Glatzel, Mater. Sci.
Eng. A 298, 26 (2001)). The energy of the interface, of which reports range over 5-25 mJ/m^2, is
15 mJ/m^2. A cell is `CELL` wide; an image pixel is that over `magnification`. Times are in model
units.

Four variants of the ordered lattice keep particles apart. Creep fills the channels with matrix
dislocations, whose slip shifts one lattice against the other until two neighbours match and can
grow together; `rafting` is the share of the particles for which this has happened towards the next
one along a raft. The elastic energy does the rest. That creep also relaxes the misfit in one kind
of channel, and so drives rafting beyond the elastic model, is not modelled: `stress` is an
effective one. With `rafting` = 0 and `stress` = 0 the cubes stay as heat treatment left them.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from phasegen.config import AtLeastOne, Config, NotNegative, Positive, Range, Share, Within
from phasegen.elasticity import Cubic, Misfit
from phasegen.equations import Array
from phasegen.equations.ordered_precipitates import VARIANTS, fraction, ordered_precipitates
from phasegen.masks import coarse, label_variants, magnify
from phasegen.nucleation import add_nuclei, seed_sites, separations
from phasegen.recipes.recipe import Recipe
from phasegen.stepping import run

MATRIX, PRECIPITATE = 0.3, 0.7
"""Equilibrium concentrations."""

GRADIENT = 2.0
"""Gradient energy coefficient: interfaces of 3.6 (order parameter) and 2.9 cells
(concentration, 10-90 %), measured; the two sharpen each other."""

CELL = 18e-9
"""Width of a grid cell, m."""

INTERFACE_ENERGY, MODEL_ENERGY = 0.015, 0.516
"""Energy of an interface: J/m^2, and in the units of the model with this gradient."""

MATRIX_CONSTANTS, PRECIPITATE_CONSTANTS = Cubic(205.0, 146.0, 97.0), Cubic(215.0, 146.0, 97.0)
"""Elastic constants, GPa."""

NUCLEI = 0.3
"""Volume fraction of the nuclei."""

PITCH = 1.2
"""Mean distance of the sites (root of the area of each) over their least, when no more fit."""

FACING = 10
"""Distance, in cells, over which a particle faces the next one: a channel and some of that one."""

VOLUME_PACE = 0.15
"""Times in a volume over those in a plane: with three times the neighbours, four variants cannot
keep all particles apart, and coarsening is that much faster."""

LAG = 10.0
"""Relative tolerance, in effect none: no measurement is compared with the time."""


Channelled = Annotated[
    Share,
    Within(
        0.4,
        0.8,
        "less than the nuclei and their solubility take dissolves, of more the channels close",
    ),
]
Resolved = Annotated[
    Positive, Within(12.0, np.inf, "closer nuclei are thinner than two interfaces, in grid cells")
]
Coherent = Annotated[
    Range, Within(-0.5, 0.5, "with a larger misfit, in %, particles of this size lose coherency")
]
Elastic = Annotated[Range, Within(-1000.0, 1000.0, "beyond that stress, in MPa, the alloy yields")]
Part = Annotated[NotNegative, Within(-np.inf, 1.0, "it is a share")]


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells, times in model units."""

    magnification: AtLeastOne = Field((1.4, 2.2), description="image pixels per grid cell, about")
    volume_fraction: Channelled = Field((0.6, 0.7), description="gamma-prime")
    spacing: Resolved = Field((18.0, 27.0), description="least distance of the nuclei")
    misfit: Coherent = Field((-0.3, -0.15), description="difference of the lattice parameters, %")
    ageing_time: Positive = Field((40.0, 150.0), description="duration without load")
    stress: Elastic = Field((100.0, 250.0), description="along a cube axis, MPa; tension positive")
    rafting: Part = Field((0.0, 1.0), description="share of facing pairs that may join")
    creep_time: NotNegative = Field((20.0, 80.0), description="duration under load")
    angle: Range = Field((-8.0, 8.0), description="of a cube axis from the x axis, degrees")


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 matrix, 1 precipitate), instances and fields of one sample."""
    p = parameters
    u = _nucleate(coarse(shape, p["magnification"]), p["spacing"], p["volume_fraction"], rng)
    pace = VOLUME_PACE if len(shape) == 3 else 1.0
    u = _anneal(u, _misfit(p["misfit"], 0.0, p["angle"]), pace * p["ageing_time"])
    misfit = _misfit(p["misfit"], p["stress"], p["angle"])
    _match(u, misfit, p["rafting"], rng)
    u = _anneal(u, misfit, pace * p["creep_time"])

    fields = magnify(u, shape)
    variants = fraction(fields[1:])
    phase = np.minimum(variants.sum(axis=0), 1)
    instance = label_variants(variants)
    return phase, (instance > 0).astype(np.uint8), instance, fields


def _misfit(percent: float, stress: float, angle: float) -> Misfit:
    """Misfit under a stress in MPa along the cube axis nearest to y."""
    return Misfit(
        percent / 100,
        MATRIX_CONSTANTS,
        PRECIPITATE_CONSTANTS,
        stress=(0.0, stress / 1e3, 0.0),
        angle=angle,
        scale=1e9 * CELL * MODEL_ENERGY / INTERFACE_ENERGY,
    )


def _anneal(u: Array, misfit: Misfit, time: float) -> Array:
    flow = ordered_precipitates(MATRIX, PRECIPITATE, gradient=GRADIENT, misfit=misfit)
    return run(flow, u, time, relative_tolerance=LAG)


def _nucleate(
    shape: tuple[int, ...], spacing: float, fraction: float, rng: np.random.Generator
) -> Array:
    """Nuclei in a supersaturated matrix; neighbours are of different variants, where they can."""
    u = np.zeros((1 + VARIANTS, *shape), np.float32)
    sites = seed_sites(shape, spacing, rng)
    nearness = np.exp(-separations(sites, sites, np.array(shape)) / (2 * spacing**2))
    volume = NUCLEI * u[0].size / len(sites)
    radius = np.sqrt(volume / np.pi) if len(shape) == 2 else np.cbrt(0.75 * volume / np.pi)
    radii = radius * rng.uniform(0.8, 1.2, len(sites))
    add_nuclei(u[1:], sites, radii, _colour(nearness), np.sqrt(2 * GRADIENT))
    particle = np.minimum(u[1:].sum(axis=0), 1)
    mean = MATRIX + (PRECIPITATE - MATRIX) * fraction
    # What the nuclei have, the matrix lacks.
    matrix = (mean - particle.mean() * PRECIPITATE) / (1 - particle.mean())
    u[0] = matrix + particle * (PRECIPITATE - matrix)
    return u


def _colour(nearness: Array) -> NDArray[np.int64]:
    """A variant for each particle: that which is scarcest near it among those already given."""
    given = np.zeros((len(nearness), VARIANTS))
    for i in range(len(nearness)):
        given[i, (nearness[i] @ given).argmin()] = 1
    variant: NDArray[np.int64] = given.argmax(axis=1)
    return variant


def _match(u: Array, misfit: Misfit, share: float, rng: np.random.Generator) -> None:
    """Make a share of the particles the variant of the next one along a raft, in place."""
    axes = u.ndim - 1
    turn = np.deg2rad(misfit.angle)
    turned = np.array(
        [[1, 0, 0], [0, np.cos(turn), np.sin(turn)], [0, -np.sin(turn), np.cos(turn)]]
    )
    cube = turned[3 - axes :, 3 - axes :]
    energy = misfit.kernel(cube.T)
    label = label_variants(u[1:]).astype(np.int64)
    count = int(label.max())
    if count == 0:
        return
    size = np.bincount(label.ravel(), minlength=count + 1)[1:]
    group = np.arange(count)
    # Plates are normal to the softest axis (or axes): particles join along the others.
    for axis in cube[energy > energy.min() + 1e-3 * np.ptp(energy)]:
        facing = _facing(label, np.rint(FACING * axis).astype(int), count)
        chosen = facing.argmax(axis=1)
        face = np.minimum(size, size[chosen]) ** (1 - 1 / axes)
        joined = facing[np.arange(count), chosen] > face * FACING / 4
        for particle in np.flatnonzero(joined & (rng.random(count) < share)):
            group[group == group[particle]] = group[chosen[particle]]
    near = np.zeros((count, count))
    for step in cube[:, None] * np.array([FACING, -FACING])[None, :, None]:
        for offset in step:
            near += _facing(label, np.rint(offset).astype(int), count)
    member = np.equal.outer(np.arange(count), group).astype(float)
    variant = _colour(member @ near @ member.T)[group]
    # Every cell goes with the particle nearest to it.
    pad = [(FACING, FACING)] * axes
    padded = np.pad(label, pad, mode="wrap")
    nearest = ndimage.distance_transform_edt(
        padded == 0, return_distances=False, return_indices=True
    )
    inner = (slice(FACING, -FACING),) * axes
    owner = variant[padded[tuple(nearest)][inner] - 1]
    order = u[1:].max(axis=0)
    for v in range(VARIANTS):
        u[1 + v] = np.where(owner == v, order, 0)


def _facing(label: Array, offset: Array, count: int) -> Array:
    """Cells of each particle (row) that lie in each other one (column) once moved by `offset`."""
    moved = np.roll(label, tuple(-offset), axis=tuple(range(label.ndim)))
    touching = (label > 0) & (moved > 0) & (label != moved)
    pairs = (label[touching] - 1) * count + moved[touching] - 1
    return np.bincount(pairs, minlength=count * count).reshape(count, count).astype(float)


RECIPE = Recipe(
    name="gamma-prime-rafted",
    summary="single-crystal superalloy: aligned gamma-prime cubes, rafted under load",
    classes=("matrix", "precipitate"),
    ranges=Ranges,
    fields=1 + VARIANTS,
    grow=grow,
    length=lambda parameters: PITCH * parameters["spacing"],
    length_of="mean distance of the cubes",
    clock="creep_time",
    sized_by="spacing",
)
