"""Dual-phase steel: islands of martensite between the grains of ferrite.

Between the temperatures A1 and A3, austenite forms at the junctions of the ferrite grains and, as
there is more of it, along their boundaries; quenching makes it martensite. The intercritical
temperature and the carbon content set the fraction: some 15-25 % in DP600, where islands lie apart
at the junctions, to 40-50 % in DP980, where they join to a chain around the ferrite. Ferrite grains
are of 3-10 um, islands of 1-5 um (Speich, Demarest and Miller, Metall. Trans. A 12, 1419 (1981);
Tasan et al., Annu. Rev. Mater. Res. 45, 391 (2015)).

The ferrite is a polycrystal after grain growth. Nuclei of austenite sit on its triple junctions,
then on its boundaries, and grow, faster along a boundary than into a grain, up to the fraction.
Then the interface rounds off at constant volume, by threshold dynamics (Merriman, Bence and Osher,
1992).

`phase` is the martensite fraction, with the substructure of laths in it and, below 1/2, the etched
boundaries and the orientation contrast of the ferrite. In the light microscope (nital) martensite
is dark, in the scanning electron microscope bright: the sign of the microscope's contrast.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import fft, ndimage

from phasegen.config import AtLeastOne, Config, NotNegative, Positive, Share, Within
from phasegen.equations.grain_growth import Grains
from phasegen.masks import Array, coarse, label_periodic, magnify
from phasegen.nucleation import distance_from, separations
from phasegen.recipes.grains import (
    GrainSize,
    boundary_distance,
    polycrystal,
    require_grooves_within,
)
from phasegen.recipes.recipe import Recipe
from phasegen.voronoi import voronoi

GROWTH = 1.7
"""Mean diameter of the ferrite grains over that at impingement."""

ROUNDING = 1.3
"""Standard deviation of the filter that rounds the islands off, cells."""

STEEPNESS = 2.0
"""Of the interface, against what the filter leaves: some two cells from 0 to 1."""

LATH_WIDTH, LATH_LENGTH, LATHS = 0.8, 5.0, 12
"""Standard deviations of the substructure, pixels, and the number of its directions."""


Islands = Annotated[Share, Within(-math.inf, 0.8, "the ferrite would be the islands")]
Rounded = Annotated[
    Positive, Within(3 * ROUNDING, math.inf, "the rounding wipes smaller islands, in cells, out")
]
Depth = Annotated[NotNegative, Within(-math.inf, 0.49, "martensite would be taken for ferrite")]


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells unless stated."""

    magnification: AtLeastOne = Field((1.4, 2.8), description="image pixels per grid cell, about")
    martensite: Islands = Field((0.15, 0.5), description="share of martensite")
    grain_size: GrainSize = Field((18.0, 32.0), description="mean diameter of the ferrite grains")
    island_size: Rounded = Field((7.0, 13.0), description="mean diameter of the islands")
    wetting: NotNegative = Field((1.0, 4.0), description="lead of the growth along boundaries")
    groove: Positive = Field((1.5, 3.0), description="width of etched ferrite boundaries, pixels")
    laths: Depth = Field((0.1, 0.4), description="depth of the martensite's substructure")

    @model_validator(mode="after")
    def _islands_among_grains(self) -> "Ranges":
        require_grooves_within(self.groove, self.magnification)
        if self.island_size[1] >= self.grain_size[0]:
            raise ValueError(
                f"island_size = {self.island_size[1]:g} is not below grain_size = "
                f"{self.grain_size[0]:g}, so islands would swallow grains; make it less"
            )
        if self.wetting[1] > self.island_size[0]:
            raise ValueError(
                f"wetting = {self.wetting[1]:g} exceeds island_size = {self.island_size[0]:g}, so "
                f"films would replace the islands; make it {self.island_size[0]:g} or less"
            )
        return self


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 ferrite, 1 martensite), instances and fields of one sample."""
    p = parameters
    cells = coarse(shape, p["magnification"])
    grains = polycrystal(cells, p["grain_size"], GROWTH, rng)
    names, lead = grains.magnified(shape)
    smooth = magnify(_islands(grains, p, rng)[None], shape)[0]
    above = smooth - np.quantile(smooth, 1 - p["martensite"])
    martensite = np.clip(0.5 + STEEPNESS * above, 0, 1)
    inside = martensite > 0.5
    distance = boundary_distance(lead) * p["magnification"]
    ferrite = rng.uniform(0, 0.15, names.max() + 1)[names]
    ferrite += (0.45 - ferrite) * np.exp2(-((2 * distance / p["groove"]) ** 2))
    laths = p["laths"] * _laths(shape, p["island_size"] * p["magnification"], rng)
    # Both fade at the interface, so that 1/2 remains the border between the classes.
    phase = martensite + np.where(inside, laths, ferrite) * (1 - 2 * martensite)
    fields = np.stack([martensite, lead]).astype(np.float32)
    return phase.astype(np.float32), inside.astype(np.uint8), label_periodic(inside), fields


def _islands(grains: Grains, p: Mapping[str, float], rng: np.random.Generator) -> Array:
    """Smooth field that is larger in the martensite."""
    cells, box = grains.shape, np.array(grains.shape)
    volume = math.pi / (4 if len(cells) == 2 else 6) * p["island_size"] ** len(cells)
    wanted = max(1, round(p["martensite"] * math.prod(cells) / volume))
    # The sum of the squares of the order parameters is 1/2 on a boundary, 1/3 on a junction.
    junction, boundary = (np.argwhere(grains.squares < limit) for limit in (0.4, 0.52))
    candidates = np.concatenate([rng.permutation(junction), rng.permutation(boundary)])
    sites: list[Array] = []
    for site in candidates:
        if len(sites) == wanted:
            break
        taken = np.array(sites).reshape(-1, len(cells))
        if (separations(site[None], taken, box) > 0.25 * p["island_size"] ** 2).all():
            sites.append(site)
    points = np.array(sites) if sites else rng.integers(0, box, (1, len(cells)))
    radii = p["island_size"] / 2 * rng.uniform(0.4, 1.6, len(points))
    lead = p["wetting"] * 2 * (1 - grains.squares)
    reach = np.full(cells, -np.inf)
    for site, radius in zip(points, radii, strict=True):
        np.maximum(reach, radius - distance_from(site, cells), out=reach)
    smooth: Array = reach + lead
    for _ in range(4):
        inside = smooth > np.quantile(smooth, 1 - p["martensite"])
        smooth = ndimage.gaussian_filter(inside.astype(np.float64), ROUNDING, mode="wrap")
    return smooth


def _laths(shape: tuple[int, ...], packet: float, rng: np.random.Generator) -> Array:
    """Streaks, 0..1, of one direction in every packet of the given size."""
    axes = [np.fft.fftfreq(n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    k = np.stack(np.meshgrid(*axes, indexing="ij"))
    count = max(1, round(math.prod(shape) / packet ** len(shape)))
    packets = voronoi(shape, rng.uniform(0, shape, (count, len(shape))))
    kind = rng.integers(LATHS, size=count)[packets]
    spectrum = fft.rfftn(rng.standard_normal(shape))
    laths = np.zeros(shape)
    for direction in range(LATHS):
        along = rng.standard_normal(len(shape))
        along /= np.linalg.norm(along)
        parallel = np.tensordot(along, k, 1) ** 2
        across = (k**2).sum(axis=0) - parallel
        damped = np.exp(-2 * np.pi**2 * (LATH_LENGTH**2 * parallel + LATH_WIDTH**2 * across))
        streaks = fft.irfftn(spectrum * damped, s=shape)
        chosen = kind == direction
        laths[chosen] = (0.5 + 0.35 * streaks / streaks.std())[chosen]
    return np.clip(laths, 0, 1)


RECIPE = Recipe(
    name="dual-phase",
    summary="dual-phase steel: martensite islands on the boundaries of ferrite grains",
    classes=("ferrite", "martensite"),
    ranges=Ranges,
    fields=2,
    grow=grow,
    length=lambda parameters: parameters["grain_size"],
    length_of="mean ferrite grain diameter",
    clock="martensite",
    sized_by="grain_size",
)
