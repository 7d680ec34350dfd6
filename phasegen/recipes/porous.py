"""Porous solid: a powder compact whose particles have sintered together.

Particles of about one size lie at random, each in touch with its neighbours. Surface energy then
rounds the necks between them, pinches off channels and lets large pores grow at the cost of small
ones, while the porosity stays (coarsening without densification, as when diffusion along surfaces
or through vapour governs; German, Sintering Theory and Practice, Wiley 1996, chapter 3). The
interface moves here by bulk diffusion (Cahn-Hilliard): of the true kinetics it keeps the
volume and the drive, not the rate, so `sintering` counts in units of the particle diameter cubed.

It stands for sintered metal filters and bearings (porosity 20-40 %), ceramic membranes and
scaffolds (30-50 %), solid-oxide fuel cell electrodes (25-40 %) or partly sintered alumina.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import KDTree

from phasegen.config import AtLeastOne, Config, Positive, Share, Within
from phasegen.equations import interface_width
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.masks import coarse, label_periodic, magnify
from phasegen.nucleation import seed_sites
from phasegen.recipes.fraction import with_fraction
from phasegen.recipes.recipe import Recipe
from phasegen.stepping import run

GRADIENT = 2.0
"""Gradient energy coefficient: an interface of 4.4 cells (10-90 %), free of lattice pinning."""


Touching = Annotated[
    Share, Within(0.02, 0.6, "less closes to single pores, with more the particles do not touch")
]
Resolved = Annotated[
    Positive,
    Within(
        round(3 * interface_width(GRADIENT, 1.0), 1),
        math.inf,
        "a particle of fewer grid cells, three interfaces, has no core and dissolves",
    ),
]
Sintered = Annotated[
    Positive, Within(-math.inf, 1.0, "nothing is left of the powder, whatever its particles were")
]


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells."""

    magnification: AtLeastOne = Field((1.4, 2.8), description="image pixels per grid cell, about")
    porosity: Touching = Field((0.2, 0.4), description="share of the pores")
    particle: Resolved = Field((16.0, 24.0), description="distance of neighbouring particles")
    sintering: Sintered = Field((0.005, 0.05), description="duration over particle cubed")


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 solid, 1 pore), instances and fields of one sample."""
    p = parameters
    distance = _distance(coarse(shape, p["magnification"]), p["particle"], rng)

    def sinter(porosity: float) -> NDArray[np.float32]:
        time = p["sintering"] * p["particle"] ** 3
        return run(cahn_hilliard(gradient=GRADIENT), _compact(distance, porosity)[None], time)

    fields = magnify(with_fraction("porosity", p["porosity"], sinter), shape)
    # The equilibrium concentrations are 0 and 1, so the concentration is the fraction of pore.
    phase = np.clip(fields[0], 0, 1)
    pore = phase > 0.5
    return phase, pore.astype(np.uint8), label_periodic(pore), fields


def _distance(
    cells: tuple[int, ...], particle: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Distance of every cell from the nearest centre of a particle."""
    # Sequential addition leaves nearest neighbours some 7 % further apart than the least distance.
    sites = seed_sites(cells, particle / 1.07, rng) % cells
    grid = np.indices(cells).reshape(len(cells), -1).T
    distance: NDArray[np.float64] = KDTree(sites, boxsize=cells).query(grid)[0].reshape(cells)
    return distance


def _compact(distance: NDArray[np.float64], porosity: float) -> NDArray[np.float64]:
    """Fraction of pore among equal particles, which overlap as far as the porosity takes."""
    low, high = 0.0, float(distance.max())
    while high - low > 1e-6:
        radius = (low + high) / 2
        pore: NDArray[np.float64] = 0.5 + 0.5 * np.tanh(
            (distance - radius) / math.sqrt(2 * GRADIENT)
        )
        low, high = (radius, high) if pore.mean() > porosity else (low, radius)
    return pore


RECIPE = Recipe(
    name="porous",
    summary="solid with pores: a powder compact, partly sintered",
    classes=("solid", "pore"),
    ranges=Ranges,
    fields=1,
    grow=grow,
    length=lambda parameters: parameters["particle"],
    length_of="distance of neighbouring powder particles",
    clock="sintering",
    sized_by="particle",
)
