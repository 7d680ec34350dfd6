"""Precipitates that ripen: separate particles of a minority phase in a matrix.

Below the spinodal a supersaturated solution is metastable: particles nucleate, drain it, and then
compete. By the Gibbs-Thomson effect the matrix at a small particle is richer than at a large one,
so the large grow at the expense of the small, and the cube of the mean size rises linearly with
time (Ostwald ripening; Lifshitz and Slyozov, J. Phys. Chem. Solids 19, 35 (1961); Wagner, Z.
Elektrochem. 65, 581 (1961)). The simulation starts from nuclei and stops when as few particles are
left as the wanted mean diameter and volume fraction allow, whatever time that takes.

It stands for alloys with a few to some 30 % of rounded particles: delta' (Al3Li) in Al-Li
(5-30 %), Co in Cu-Co (1-5 %), gamma-prime of small misfit as in Ni-Al-Cr (10-35 %), or graphite
nodules in cast iron (8-12 %). In a volume, neighbours touch and merge from a fraction of about 0.2
on, so that fewer and larger particles come out than asked for. Concentrations are scaled so that
matrix and precipitate lie at 0 and 1 across a flat interface.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from phasegen.config import AtLeastOne, Config, Positive, Share, Within
from phasegen.equations import interface_width
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.errors import InputError
from phasegen.masks import coarse, label_periodic, magnify
from phasegen.nucleation import add_nuclei, seed_sites
from phasegen.recipes.fraction import with_fraction
from phasegen.recipes.recipe import Recipe
from phasegen.stepping import trajectory

GRADIENT = 2.0
"""Gradient energy coefficient: an interface of 4.4 cells (10-90 %), free of lattice pinning."""

CAPILLARY = math.sqrt(GRADIENT / 18) / 2
"""Rise of the concentrations at an interface of curvature 1, cells: energy over f'' = 2."""

PATIENCE = 100.0
"""Time after which ripening is given up, in units of the final radius cubed: in a box of very few
particles of one size it may never end."""


Separate = Annotated[Share, Within(-math.inf, 0.4, "particles of more than that join to a network")]
Resolved = Annotated[
    Positive,
    Within(
        round(2 * interface_width(GRADIENT, 1.0), 1),
        math.inf,
        "a particle thinner than two interfaces, in grid cells, is not resolved and dissolves",
    ),
]


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells."""

    magnification: AtLeastOne = Field((1.4, 2.8), description="image pixels per grid cell, about")
    volume_fraction: Separate = Field((0.1, 0.25), description="share of the precipitate")
    nuclei: Resolved = Field((10.0, 11.0), description="mean diameter of the nuclei")
    diameter: Resolved = Field((13.0, 20.0), description="mean diameter at the end")

    @model_validator(mode="after")
    def _ripe(self) -> "Ranges":
        if self.diameter[0] < self.nuclei[1]:
            raise ValueError(
                f"diameter = {self.diameter[0]:g} is below nuclei = {self.nuclei[1]:g}, but "
                f"ripening enlarges; make it {self.nuclei[1]:g} or more"
            )
        return self


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 matrix, 1 precipitate), instances and fields of one sample."""
    p = parameters
    cells = coarse(shape, p["magnification"])
    nuclei = _nuclei(cells, p, rng)
    excess = (len(cells) - 1) * CAPILLARY / (p["diameter"] / 2)
    share = p["volume_fraction"]
    u = with_fraction("volume_fraction", share, lambda mean: _ripen(nuclei, mean, p), excess)
    fields = magnify(u, shape)
    phase = np.clip(fields[0], 0, 1)
    inside = phase > 0.5
    return phase, inside.astype(np.uint8), label_periodic(inside), fields


def _ripen(nuclei: NDArray[np.float64], mean: float, p: Mapping[str, float]) -> NDArray[np.float32]:
    """Concentration (1, cells) when no more particles are left than the final diameter allows."""
    matrix = (mean - nuclei.mean()) / (1 - nuclei).mean()
    u: NDArray[np.float32] = (nuclei + matrix * (1 - nuclei)).astype(np.float32)
    wanted = _count(u.shape[1:], p["volume_fraction"], p["diameter"])
    until = PATIENCE * (p["diameter"] / 2) ** 3
    for _, after in trajectory(cahn_hilliard(gradient=GRADIENT), u, until):
        u = after
        if label_periodic(u[0] > 0.5).max() <= wanted:
            return u
    raise InputError(
        f"diameter = {p['diameter']:.3g}",
        f"more than {wanted} particles were left at t = {until:.3g}",
        "Ask for a smaller diameter, or for larger nuclei",
    )


def _nuclei(
    cells: tuple[int, ...], p: Mapping[str, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Fraction of the precipitate (1, cells) in nuclei that together have the wanted volume."""
    number = _count(cells, p["volume_fraction"], p["nuclei"])
    pitch = (np.prod(cells) / number) ** (1 / len(cells))
    # A little looser than the densest random sequence of discs (0.547) and spheres (0.38).
    sites = seed_sites(cells, (0.79 if len(cells) == 2 else 0.87) * pitch, rng)[:number]
    radii = p["nuclei"] / 2 * rng.uniform(0.85, 1.15, len(sites))
    u = np.zeros((1, *cells))
    add_nuclei(u, sites, radii, np.zeros(len(sites), int), np.sqrt(2 * GRADIENT))
    return u


def _count(cells: tuple[int, ...], fraction: float, diameter: float) -> int:
    """Particles of that diameter which make up that fraction, at least one."""
    volume = np.pi * diameter**2 / 4 if len(cells) == 2 else np.pi * diameter**3 / 6
    return max(1, round(fraction * float(np.prod(cells)) / volume))


RECIPE = Recipe(
    name="precipitates",
    summary="separate particles of a minority phase, ripened in a matrix",
    classes=("matrix", "precipitate"),
    ranges=Ranges,
    fields=1,
    grow=grow,
    length=lambda parameters: parameters["diameter"],
    length_of="mean particle diameter",
    clock="diameter",
    sized_by="diameter",
)
