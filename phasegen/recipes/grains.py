"""Grains: a single-phase polycrystal, recrystallised and grown.

Recrystallisation fills the deformed metal with nuclei that appear at a constant rate and grow until
they impinge (Johnson and Mehl, 1939). Then the boundaries move by their curvature at
:math:`v = M \\sigma \\kappa`, small grains vanish and the mean area grows in proportion to time
(Burke and Turnbull, Prog. Met. Phys. 3, 220 (1952)), which makes straight boundaries that meet at
120 degrees.

It stands for annealed austenitic steel, ferrite (interstitial-free steel), nickel, copper or
alumina ceramics: grains of 5-100 um, a boundary energy of .3-1 J/m^2 and a mobility that is
thermally activated, so that only the final size counts here. `growth` says how much of it came
after the impingement: little leaves the curved, unequal grains of recrystallisation.

The classes are what a segmentation asks for: the boundary, as wide as the etched groove, and the
grains, each with a number of its own. `phase` has the channelling contrast of the orientations
(0 to `channelling`, at most .5) and the groove at 1. So the grooves are dark where the contrast of
the microscope is negative.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from phasegen.config import AtLeastOne, Config, NotNegative, Positive, Within
from phasegen.equations.grain_growth import WIDTH, Grains, evolve, grains_from_labels
from phasegen.masks import Array, coarse, label_regions
from phasegen.recipes.recipe import Recipe
from phasegen.voronoi import johnson_mehl

LEAST_NUCLEUS = 5.0
"""Mean diameter of the grains at impingement below which the grid does not tell them apart."""

GrainSize = Annotated[
    Positive, Within(2 * WIDTH, np.inf, "a grain of fewer grid cells is all boundary")
]
Contrast = Annotated[
    NotNegative, Within(-np.inf, 0.45, "grains would be as bright as the boundaries")
]


def require_grooves_within(groove: tuple[float, float], magnification: tuple[float, float]) -> None:
    """Refuse grooves, pixels, that are wider than the boundaries of the phase field.

    Raises
    ------
    ValueError
        If some of the ranges' combinations are; it names the limits.
    """
    widest = WIDTH * magnification[0]
    if groove[1] >= widest:
        raise ValueError(
            f"groove = {groove[1]:g} pixels is wider than the boundaries, {WIDTH:g} cells of "
            f"{magnification[0]:g} pixels; make it less than {widest:.3g}, or magnification more "
            f"than {groove[1] / WIDTH:.3g}"
        )


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells unless stated."""

    magnification: AtLeastOne = Field((1.4, 2.8), description="image pixels per grid cell, about")
    grain_size: GrainSize = Field((18.0, 36.0), description="mean diameter of the grains")
    growth: AtLeastOne = Field((1.3, 2.5), description="mean diameter over that at impingement")
    groove: Positive = Field((2.0, 4.0), description="width of the etched boundary, pixels")
    channelling: Contrast = Field((0.2, 0.45), description="spread of the grains' brightness")

    @model_validator(mode="after")
    def _resolved(self) -> "Ranges":
        require_grooves_within(self.groove, self.magnification)
        most = self.grain_size[0] / LEAST_NUCLEUS
        if self.growth[1] > most:
            raise ValueError(
                f"growth = {self.growth[1]:g} to a grain_size of {self.grain_size[0]:g} begins "
                f"with grains of less than {LEAST_NUCLEUS:g} cells; make it {most:.3g} or less"
            )
        return self


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 boundary, 1 grain), instances and fields of one sample."""
    p = parameters
    cells = coarse(shape, p["magnification"])
    grains = polycrystal(cells, p["grain_size"], p["growth"], rng)
    names, lead = grains.magnified(shape)
    distance = boundary_distance(lead) * p["magnification"]
    instance = label_regions(np.where(distance > p["groove"] / 2, names + 1, 0))
    mask = (instance > 0).astype(np.uint8)
    brightness = rng.uniform(0, p["channelling"], names.max() + 1)[names]
    # The wall of a groove falls to half of its depth at the edge of the class.
    groove = np.exp2(-((2 * distance / p["groove"]) ** 2))
    phase = brightness + (1 - brightness) * groove
    return phase.astype(np.float32), mask, instance, lead[None]


def polycrystal(
    cells: tuple[int, ...], size: float, growth: float, rng: np.random.Generator
) -> Grains:
    """Grains on a periodic grid, nucleated and grown until their mean diameter is `size`.

    `growth` is that diameter over the one at which they impinged.
    """
    mean = np.pi / 4 * size**2 if len(cells) == 2 else np.pi / 6 * size**3
    density = growth ** len(cells) / mean
    grains = grains_from_labels(johnson_mehl(cells, density, rng)[0])
    target = max(np.prod(cells) / mean, 1)
    # In a box not much larger than a grain the last of them need not go; the square of the size
    # grows by about 2 M sigma in a unit of time.
    for _ in range(100):
        grains = evolve(grains, size**2 / 100)
        if len(grains.names) <= target:
            break
    return grains


def boundary_distance(lead: Array) -> Array:
    """Distance from the boundary, in cells, by the profile of the lead of the largest grain.

    No more than half the width of a boundary in the phase field.
    """
    distance: Array = WIDTH / np.pi * np.arcsin(np.clip(lead, 0, 1))
    return distance


RECIPE = Recipe(
    name="grains",
    summary="single-phase polycrystal with etched grain boundaries",
    classes=("boundary", "grain"),
    ranges=Ranges,
    fields=1,
    grow=grow,
    length=lambda parameters: parameters["grain_size"],
    length_of="mean grain diameter",
    clock="",
    sized_by="grain_size",
)
