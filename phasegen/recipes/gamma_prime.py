"""Bimodal gamma-prime: an aged nickel superalloy with fine tertiary particles between the coarse.

A first quench nucleates ordered (L1_2) precipitates of four variants, which grow and coarsen while
the alloy is aged: particles of one variant coalesce into lobed shapes, those of different variants
keep a film of matrix between them. A second quench lowers the solubility of the matrix. Where it
is far enough from the coarse (secondary) particles to stay supersaturated, fine (tertiary) ones
nucleate; near the coarse ones the excess is drained by their growth, which leaves a
precipitate-free zone.

The fractions and sizes are those of disc alloys after sub-solvus ageing (for example Rene 88DT:
40-50 % of secondary gamma-prime; tertiary particles a tenth of their size). Times and mobilities
are in model units: the length scale is set by `magnification`, the number of image pixels per
grid cell.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from phasegen.config import AtLeastOne, Config, NotNegative, Positive, Share, Within
from phasegen.equations import interface_width
from phasegen.equations.ordered_precipitates import VARIANTS, fraction, ordered_precipitates
from phasegen.masks import coarse, label_variants, magnify
from phasegen.nucleation import add_nuclei, seed_sites, separations
from phasegen.recipes.recipe import Recipe
from phasegen.stepping import run

MATRIX, PRECIPITATE = 0.3, 0.7
"""Equilibrium concentrations while ageing."""

QUENCHED_MATRIX = 0.2
"""Equilibrium concentration of the matrix after the second quench."""


GRADIENT = 2.0
"""Gradient energy coefficient: interfaces of 3.6 (order parameter) and 2.9 cells
(concentration, 10-90 %), measured; the two sharpen each other."""

FILM, TERTIARY_FILM = 5.0, 1.0
"""Least width of the matrix film between nuclei of different variants, first and second, cells."""


LAG = 10.0
"""Relative tolerance, in effect none: a third of the steps, for an ageing that lags somewhat behind
its time, which no measurement is compared with."""


INTERFACE = round(interface_width(GRADIENT, 1.0), 1)
"""Width of an interface (10-90 %), cells."""

Parted = Annotated[Share, Within(0.05, 0.75, "less is no phase of its own, of more all joins")]
Apart = Annotated[
    Positive, Within(INTERFACE, np.inf, "closer sites, in grid cells, share one interface")
]
Resolved = Annotated[
    Positive, Within(INTERFACE / 2, np.inf, "a nucleus within its own interface dissolves")
]
Zone = Annotated[
    NotNegative, Within(-np.inf, 25.0, "the matrix lies no farther from the secondary particles")
]


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells, times in model units."""

    magnification: AtLeastOne = Field((1.4, 2.8), description="image pixels per grid cell, about")
    volume_fraction: Parted = Field((0.4, 0.52), description="secondary gamma-prime after ageing")
    nucleus_spacing: Apart = Field((9.0, 15.0), description="least distance of first nuclei")
    nucleus_radius: Resolved = Field((7.0, 10.0), description="radius of first nuclei")
    cluster: Apart = Field((25.0, 50.0), description="size of a patch of nuclei of one variant")
    ageing_time: Positive = Field((4.0, 40.0), description="duration of the first ageing")
    free_zone: Zone = Field((8.0, 13.0), description="least distance of tertiary nuclei")
    tertiary_spacing: Apart = Field((7.5, 12.0), description="least distance between them")
    tertiary_radius: Resolved = Field((2.8, 4.2), description="radius of tertiary nuclei")
    second_time: Positive = Field((1.4, 3.4), description="duration after the second quench")


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 matrix, 1 tertiary, 2 secondary), instances and fields of one sample."""
    p = parameters
    u = np.zeros((1 + VARIANTS, *coarse(shape, p["magnification"])), np.float32)
    u[0] = MATRIX + (PRECIPITATE - MATRIX) * p["volume_fraction"]
    _nucleate(u, p["nucleus_spacing"], p["nucleus_radius"], p["cluster"], FILM, rng)
    flow = ordered_precipitates(MATRIX, PRECIPITATE, gradient=GRADIENT)
    u = run(flow, u, p["ageing_time"], relative_tolerance=LAG)

    aged = u[1:].max(axis=0) > 0.5
    far = _periodic_distance(aged) > p["free_zone"]
    spacing, radius = p["tertiary_spacing"], p["tertiary_radius"]
    _nucleate(u, spacing, radius, spacing, TERTIARY_FILM, rng, far)
    flow = ordered_precipitates(QUENCHED_MATRIX, PRECIPITATE, gradient=GRADIENT)
    u = run(flow, u, p["second_time"], relative_tolerance=LAG)

    fields = magnify(u, shape)
    variants = fraction(fields[1:])
    phase = np.minimum(variants.sum(axis=0), 1)
    instance = label_variants(variants)
    old = magnify(aged[None].astype(np.float32), shape)[0] > 0.5
    secondary = np.bincount(instance[old], minlength=instance.max() + 1) > 0
    mask = np.where(secondary[instance], 2, 1).astype(np.uint8)
    mask[instance == 0] = 0
    return phase, mask, instance, fields


def _nucleate(
    u: NDArray[np.float32],
    spacing: float,
    radius: float,
    cluster: float,
    film: float,
    rng: np.random.Generator,
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Nuclei, of one variant in a patch of size `cluster`, with a `film` between variants."""
    box = np.array(u.shape[1:], float)
    sites = seed_sites(u.shape[1:], spacing, rng, allowed)
    # Nuclei of one quench differ in size as they differ in age.
    radii = radius * rng.uniform(0.75, 1.25, len(sites))
    centres = seed_sites(u.shape[1:], cluster, rng)
    nearest = separations(sites, centres, box).argmin(axis=1)
    variants = rng.integers(VARIANTS, size=len(centres))[nearest]
    clash = np.sqrt(separations(sites, sites, box)) < radii[:, None] + radii + film
    clash &= variants[:, None] != variants
    kept: list[int] = []
    for site in range(len(sites)):
        if not clash[site, kept].any():
            kept.append(site)
    # A nucleus has the composition of the precipitate and the matrix pays for it: as many form as
    # leave it a concentration above zero. Sites are in random order, so the last may go.
    while True:
        order, concentration = u[1:].copy(), u[0].copy()
        add_nuclei(order, sites[kept], radii[kept], variants[kept], np.sqrt(2 * GRADIENT))
        particle = np.minimum(order.sum(axis=0), 1)
        concentration += particle * (PRECIPITATE - concentration)
        owed = u[0].mean() - concentration.mean()
        concentration += owed / max((1 - particle).mean(), 1e-6) * (1 - particle)
        if concentration.min() > 0 or not kept:
            break
        del kept[-max(1, len(kept) // 8) :]
    u[0], u[1:] = concentration, order


def _periodic_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of every cell to the mask on a periodic grid."""
    pad = [(n // 2, n // 2) for n in mask.shape]
    distance = ndimage.distance_transform_edt(~np.pad(mask, pad, mode="wrap"))
    inner = tuple(slice(n // 2, n // 2 + n) for n in mask.shape)
    result: NDArray[np.float64] = distance[inner]
    return result


def spacing(parameters: Mapping[str, float]) -> float:
    """Mean distance of secondary particles along a line, from one to the next, cells.

    A fit to 30 planes of 200 x 200 cells with parameters from the ranges: each within 14 %, 8 % in
    the root mean square. In a volume it is about a fifth less.
    """
    p = parameters
    nuclei = p["nucleus_radius"] ** 0.46 / p["nucleus_spacing"] ** 0.77
    patches = p["cluster"] ** 0.47 * p["ageing_time"] ** 0.075
    return float(14.4 * nuclei * patches / p["volume_fraction"] ** 0.7)


RECIPE = Recipe(
    name="gamma-prime",
    summary="nickel superalloy: coarse secondary and fine tertiary gamma-prime in a matrix",
    classes=("matrix", "tertiary", "secondary"),
    ranges=Ranges,
    fields=1 + VARIANTS,
    grow=grow,
    length=spacing,
    length_of="mean distance of secondary particles along a line",
    clock="ageing_time",
)
