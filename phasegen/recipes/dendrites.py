"""Dendrites: equiaxed crystals that branch as they grow into an undercooled melt.

Crystals of random orientation nucleate one after the other, where the latent heat (in an alloy: the
rejected solute) of the growing ones has not taken the undercooling away. Their tips grow along the
cube axes, where the interface energy is largest; fluctuations make the sides branch; arms stop
where they meet the diffusion field of others. The whole is quenched at a share of the solid
fraction that the undercooling allows, so what was left between the arms shows as a matrix.

It stands for primary dendrites of cubic metals in castings: aluminium in Al-Cu (3-10 % of Cu;
anisotropy 0.01-0.02), gamma in nickel superalloys (0.02-0.03), and the transparent model substance
succinonitrile (0.005); higher ones here make up for the few tip radii that an image holds. The
distance of secondary arms in castings is 10-100 um, of grains 0.1-2 mm. Growth is that of the
thin-interface model, whose tips are a few interface thicknesses W_0 in radius; the noise stands for
the fluctuations and particles of a real melt and is as large as makes side arms at this size.
Lengths are in grid cells, of one W_0 each; the scale is set by `magnification`, the number of image
pixels per cell.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from phasegen.config import AtLeastOne, Config, Positive, Share
from phasegen.equations.solidification import (
    Melt,
    Solidification,
    add_crystals,
    random_orientations,
    solidify,
    undercooled,
)
from phasegen.errors import InputError
from phasegen.masks import coarse, label_variants, magnify
from phasegen.nucleation import nucleate, nucleation_rate
from phasegen.recipes.recipe import Recipe

DIFFUSIVITY, NOISE = 5.0, 0.25
"""Of the model: tips of about 3 cells in radius, and as much noise as makes their sides branch."""

RADIUS = 5.0
"""Of a nucleus, cells: as small as the interface lets it be, far above d_0 / undercooling = 0.3."""

STRETCH = 2.0
"""Time between two looks at the undercooling and the solid fraction."""

BURST = 10.0
"""Time in which as many nuclei would form in a fresh melt as its grains have room."""

APART = 0.75
"""Least distance of two nuclei over the mean one."""

BARRIER = 15.0
"""Nucleation barrier in the fresh melt, kT: at 0.8 of its undercooling the rate is 1 % or less."""

CALM = 4.0
"""Time without noise at last, which smooths what it left on the sides at the size of a cell."""

LONGEST = 2500.0
"""Time after which growth that has not come to its end is given up."""


def _orientable(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[1] >= 1 / 15:
        raise ValueError("must be below 1/15, where orientations begin to be left out")
    return bounds


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells."""

    magnification: AtLeastOne = Field((1.1, 1.4), description="image pixels per grid cell, about")
    undercooling: Share = Field(
        (0.56, 0.62), description="in units of latent heat / heat capacity: final solid fraction"
    )
    anisotropy: Annotated[Positive, AfterValidator(_orientable)] = Field(
        (0.053, 0.062), description="of the interface energy, below 1/15"
    )
    grain_spacing: Positive = Field((300.0, 450.0), description="mean distance of crystals")
    solidified: Share = Field((0.6, 0.8), description="share of the final solid fraction")


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 melt, 1 solid), instances (crystals) and fields of one sample."""
    p = parameters
    cells = coarse(shape, p["magnification"])
    model = Solidification(DIFFUSIVITY, p["anisotropy"], spacing=1.0, noise=NOISE)
    melt = undercooled(cells, p["undercooling"])
    sites = rng.uniform(0, 1, (1, len(cells))) * cells - 0.5
    melt = _seed(model, melt, sites, rng)
    wanted = p["solidified"] * p["undercooling"]
    if _solid_share(melt) > wanted / 2:
        raise InputError(
            f"undercooling = {p['undercooling']:.3g}",
            f"allows so little solid that a nucleus takes most of it in {min(cells)} cells",
            "Choose a larger one, or simulate a larger picture",
        )
    for _ in range(round(LONGEST / STRETCH)):
        fresh = -melt.temperature / p["undercooling"] * (melt.phase < 0)
        rate = _rate(fresh) / BURST / p["grain_spacing"] ** len(cells)
        new = nucleate(rate, STRETCH, rng, APART * p["grain_spacing"], sites)
        melt = _seed(model, melt, new, rng)
        sites = np.concatenate([sites, new])
        melt = solidify(model, melt, STRETCH, rng)
        if _solid_share(melt) > wanted:
            break
        if melt.phase.max() < 0:
            source = f"undercooling = {p['undercooling']:.3g}"
            raise InputError(source, "is too little: the nuclei melt again", "Choose a larger one")
    else:
        raise InputError(
            f"undercooling = {p['undercooling']:.3g}",
            f"makes {_solid_share(melt):.1%} solid in a time of {LONGEST:g}, "
            f"but solidified = {p['solidified']:.3g} asks for {wanted:.1%}",
            "Choose a larger undercooling, a smaller grain_spacing, or less solidified",
        )
    melt = solidify(replace(model, noise=0.0), melt, CALM, rng)

    fields = magnify(np.stack([(melt.phase + 1) / 2, melt.temperature]), shape)
    phase = np.clip(fields[0], 0, 1)
    solid = phase > 0.5
    nearest = [
        np.rint(np.arange(n) * c / n).astype(int) % c for n, c in zip(shape, cells, strict=True)
    ]
    owner = melt.grain[np.ix_(*nearest)]
    crystals = np.stack([solid & (owner == g) for g in range(len(sites))])
    return phase, solid.astype(np.uint8), label_variants(crystals), fields


def _solid_share(melt: Melt) -> float:
    return float(melt.phase.mean() + 1) / 2


def _rate(fresh: NDArray[Any]) -> NDArray[np.float64]:
    """Nucleation rate relative to that in the fresh melt, where `fresh` is 1."""
    sphere = (3 / 16 * BARRIER / np.pi) ** (1 / 3)
    energy = sphere if fresh.ndim == 3 else np.sqrt(BARRIER / np.pi)
    rate: NDArray[np.float64] = nucleation_rate(fresh, np.exp(BARRIER), energy, 1.0, fresh.ndim)
    return rate


def _seed(
    model: Solidification, melt: Melt, sites: NDArray[np.float64], rng: np.random.Generator
) -> Melt:
    """The melt with crystals of random orientation at the sites."""
    turned = random_orientations(len(sites), melt.phase.ndim, rng)
    return add_crystals(model, melt, sites, RADIUS, turned)


RECIPE = Recipe(
    name="dendrites",
    summary="equiaxed dendrites of random orientation in the melt they grow from",
    classes=("interdendritic", "solid"),
    ranges=Ranges,
    fields=2,
    grow=grow,
    length=lambda p: p["grain_spacing"],
    length_of="mean distance of crystals",
    clock="solidified",
)
