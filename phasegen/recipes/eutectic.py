"""Lamellar eutectic: two solids that grow side by side from one liquid.

Colonies nucleate in the undercooled liquid as slabs of alternating alpha and beta, and grow by the
exchange of solute along their fronts: the lamellae follow the direction of growth, branch where the
front spreads and end where it is crowded; where colonies meet, a coarser and irregular seam stays.
The spacing follows the undercooling: lamellae twice as wide as those whose interfaces would take up
the whole driving force grow fastest (Jackson and Hunt, Trans. Metall. Soc. AIME 236, 1129 (1966)),
16-22 cells here, and those up to twice as wide again are stable.

It stands for Al-Al2Cu (46 % Al2Cu; spacing^2 x velocity = 88 um^3/s, so 3 um at 10 um/s), Pb-Sn
(33 um^3/s), Ag-Cu or Cd-Zn. Real lamellae are as straight as these where growth is
directional, with a plate or a seam every few dozen spacings. In a section of 3D growth below about
30 % the minority breaks up into rods. Concentrations are scaled so that alpha lies at -1 and beta
at 1; times are in model units. The length scale is set by `magnification`, the number of image
pixels per grid cell.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phasegen.config import AtLeastOne, Config, NotNegative, Positive, Share
from phasegen.equations.eutectic import eutectic, lamellar_energy, partitionless
from phasegen.masks import coarse, label_periodic, magnify
from phasegen.nucleation import seed_sites
from phasegen.recipes.recipe import Recipe
from phasegen.stepping import run, trajectory

GRADIENT = 1.0
"""Gradient energy coefficient: interfaces of 3.1 cells (10-90 %), for as fine lamellae as can be.
"""

HALF_THICKNESS, EDGE = 5.0, 1.4
"""Of a first slab, and the length of its tanh profile, cells."""

FLUCTUATION = 0.02
"""Standard deviation of the concentration at first."""

STEP = 1.0
"""Time step: the front moves a tenth of a cell in it."""

FROZEN, LONGEST = 0.999, 6000.0
"""Solid fraction at which the sample counts as frozen, and the time after which it does at last."""


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells, times in model units."""

    magnification: AtLeastOne = Field((1.0, 2.0), description="image pixels per grid cell, about")
    volume_fraction: Share = Field((0.4, 0.5), description="beta")
    undercooling: Share = Field(
        (0.8, 0.95), description="relative to where the solid would form without separating"
    )
    colony_spacing: Positive = Field((80.0, 160.0), description="least distance of colonies")
    ageing_time: NotNegative = Field((0.0, 100.0), description="duration of coarsening when solid")


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 alpha, 1 beta), instances and fields of one sample."""
    p = parameters
    point = 2 * p["volume_fraction"] - 1
    force = p["undercooling"] * partitionless(point)
    flow = eutectic(force, point, gradient=GRADIENT)
    u = _slabs(coarse(shape, p["magnification"]), point, force, p["colony_spacing"], rng)
    for _, after in trajectory(flow, u, LONGEST, dt=STEP, adaptive=False):
        u = after
        if u[1].mean() > FROZEN:
            break
    # What liquid is left is the last to freeze: the seams.
    u = run(flow, u, p["ageing_time"], relative_tolerance=0.1)
    fields = magnify(u, shape)
    phase = np.clip((fields[0] + 1) / 2, 0, 1)
    beta = phase > 0.5
    return phase, beta.astype(np.uint8), label_periodic(beta), fields


def _spacing(p: Mapping[str, float]) -> float:
    """Mean lamellar spacing, cells: measured at 1.2 to 1.45 times that which grows fastest."""
    force = p["undercooling"] * partitionless(2 * p["volume_fraction"] - 1)
    return 1.3 * 4 * lamellar_energy(GRADIENT) / force


def _slabs(
    shape: tuple[int, ...], point: float, force: float, spacing: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Concentration and solid of a liquid with striped slabs of random direction."""
    box = np.array(shape, float)
    cells = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    solid, concentration = np.zeros(shape), np.full(shape, point)
    period = 4 * lamellar_energy(GRADIENT) / force
    reach = min(0.4 * spacing, 0.5 * box.min() - 2 * EDGE)
    for site in seed_sites(shape, min(spacing, 0.7 * box.min()), rng):
        # Columns of a random rotation: the normal of the slab, the normal of its lamellae.
        axes = np.linalg.qr(rng.standard_normal((len(shape), len(shape))))[0]
        offset = (cells - site + box / 2) % box - box / 2
        height, along = (offset @ axes[:, i] for i in range(2))
        radius = np.sqrt(np.maximum((offset**2).sum(axis=-1) - height**2, 0))
        slab = 0.25 * (1 - np.tanh((np.abs(height) - HALF_THICKNESS) / EDGE))
        slab *= 1 - np.tanh((radius - reach) / EDGE)
        wave = np.cos(2 * np.pi * along / period + rng.uniform(0, 2 * np.pi))
        lamellae = np.tanh(2 * (wave - np.cos(np.pi * (1 + point) / 2)))
        first = slab > solid
        concentration[first] = (point + slab * (lamellae - point))[first]
        solid[first] = slab[first]
    concentration += FLUCTUATION * rng.standard_normal(shape)
    # The liquid pays for a slab whose lamellae are not whole.
    liquid = 1 - solid
    concentration += (point - concentration.mean()) / liquid.mean() * liquid
    return np.stack([concentration, solid])


RECIPE = Recipe(
    name="eutectic",
    summary="lamellar eutectic: two solids grown side by side in colonies",
    classes=("alpha", "beta"),
    ranges=Ranges,
    fields=2,
    grow=grow,
    length=_spacing,
    length_of="lamellar spacing",
    clock="ageing_time",
)
