"""Spinodal decomposition: two interwoven phases that separate from a quenched solid solution.

Inside the spinodal (:math:`f'' < 0`) a solid solution is unstable to fluctuations of any size.
Waves longer than :math:`2 \\pi \\sqrt{\\kappa / |f''|}` grow, that of :math:`\\sqrt 2` times this
length the fastest: 13 cells here. Once the two phases have their equilibrium concentrations, at a
time of about 100, the structure coarsens in proportion to the cube root of time. It stands for the
solute-rich and solute-poor phases of aged Fe-Cr (alpha' and alpha), Alnico or Cu-Ni-Sn alloys, and
for phase-separated glasses (Cahn, Acta Metall. 9, 795 (1961)).

At a mean concentration of 1/2 the two phases are equivalent and both percolate; off it the minority
breaks up into islands as it coarsens. Concentrations are scaled so that the two phases lie at 0 and
1; times are in model units. The length scale is set by `magnification`, the number of image pixels
per grid cell.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from phasegen.config import AtLeastOne, Config, Positive, Share, Within
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.masks import coarse, label_periodic, magnify
from phasegen.recipes.recipe import Recipe
from phasegen.stepping import run

GRADIENT = 2.0
"""Gradient energy coefficient: an interface of 4.4 cells (10-90 %), free of lattice pinning."""


Unstable = Annotated[
    Share,
    Within(0.3, 0.7, "nothing decomposes outside 0.211 to 0.789, the spinodal, nor soon near it"),
]
Moderate = Annotated[
    Positive, Within(-np.inf, 0.5, "the phases differ by 1, so more is no fluctuation")
]


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells, times in model units."""

    magnification: AtLeastOne = Field((1.4, 2.8), description="image pixels per grid cell, about")
    composition: Unstable = Field((0.4, 0.6), description="mean concentration: rich fraction")
    fluctuation: Moderate = Field(
        (0.02, 0.1), description="standard deviation of the first fluctuations"
    )
    time: Positive = Field((150.0, 1500.0), description="duration of the ageing")

    @model_validator(mode="after")
    def _time_to_grow(self) -> "Ranges":
        # The fastest wave grows at the rate f''^2 / 4 kappa, f'' = 2 - 12 c (1 - c).
        farthest = max(self.composition, key=lambda c: abs(c - 0.5))
        least = 4 * GRADIENT / (2 - 12 * farthest * (1 - farthest)) ** 2
        if self.time[0] < least:
            raise ValueError(
                f"time = {self.time[0]:g} is too short: at a composition of {farthest:g} even the "
                f"fastest wave grows by a factor of e in {least:.3g}; make it that or longer"
            )
        return self


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 solute-poor, 1 solute-rich), instances and fields of one sample."""
    p = parameters
    noise = rng.standard_normal((1, *coarse(shape, p["magnification"])))
    u = p["composition"] + p["fluctuation"] * (noise - noise.mean())
    fields = magnify(run(cahn_hilliard(gradient=GRADIENT), u, p["time"]), shape)
    # The equilibrium concentrations are 0 and 1, so the concentration is the fraction of the rich.
    phase = np.clip(fields[0], 0, 1)
    rich = phase > 0.5
    return phase, rich.astype(np.uint8), label_periodic(rich), fields


def wavelength(parameters: Mapping[str, float]) -> float:
    """Mean wavelength (first moment of the spectrum), cells, in the range of times below.

    Measured, in two and three dimensions at compositions of 0.4 to 0.6: within 10 %.
    """
    return float(np.cbrt(1800 + 20 * parameters["time"]))


RECIPE = Recipe(
    name="spinodal",
    summary="interwoven solute-rich and solute-poor phases after spinodal decomposition",
    classes=("solute-poor", "solute-rich"),
    ranges=Ranges,
    fields=1,
    grow=grow,
    length=wavelength,
    length_of="wavelength",
)
