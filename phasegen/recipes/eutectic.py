"""Lamellar eutectic: two solids that grow side by side from one liquid.

The spacing of the lamellae follows the undercooling: those twice as wide as lamellae whose
interfaces would take up the whole driving force grow fastest (Jackson and Hunt, Trans. Metall. Soc.
AIME 236, 1129 (1966)), 16-22 cells here. A simulation of the growth from seeds leaves lamellae of
several times that width where fronts spread or meet, so what is simulated is the end of the growth:
colonies, Voronoi cells of random direction, lie with lamellae of that spacing in a little liquid,
which freezes. Where colonies meet, lamellae bend into each other, branch or end: there the pattern
is first evened out to one wavelength, as the Swift-Hohenberg equation would do. Ageing follows.

It stands for Al-Al2Cu (46 % Al2Cu; spacing^2 x velocity = 88 um^3/s, so 3 um at 10 um/s), Pb-Sn
(33 um^3/s), Ag-Cu or Cd-Zn. In a section of 3D growth below about 30 % the minority breaks up into
rods. Concentrations are scaled so that alpha lies at -1 and beta at 1; times are in model units.
The length scale is set by `magnification`, the number of image pixels per grid cell.
"""

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import cKDTree

from phasegen.config import AtLeastOne, Config, NotNegative, Positive, Share
from phasegen.equations.eutectic import eutectic, lamellar_energy, partitionless
from phasegen.errors import InputError
from phasegen.grid import Grid
from phasegen.masks import coarse, label_periodic, magnify
from phasegen.nucleation import seed_sites
from phasegen.recipes.recipe import Recipe
from phasegen.stepping import run, trajectory

GRADIENT = 1.0
"""Gradient energy coefficient: interfaces of 3.1 cells (10-90 %), for as fine lamellae as can be.
"""

CHANNEL, EDGE = 2.0, 1.4
"""Half the liquid left between two colonies at first, and the length of its tanh profile, cells."""

BAND, ROUNDS = 0.2, 30
"""Relative width of the wave numbers that lamellae may have, and how often others are taken out."""

FLUCTUATION = 0.02
"""Standard deviation of the concentration at first."""

STEP = 1.0
"""Time step: the front moves a tenth of a cell in it."""

FROZEN, LONGEST = 0.999, 1000.0
"""Solid fraction at which the sample counts as frozen, and the time after which it never will."""


class Ranges(Config):
    """Ranges from which each sample draws; lengths in grid cells, times in model units."""

    magnification: AtLeastOne = Field((1.0, 2.0), description="image pixels per grid cell, about")
    volume_fraction: Share = Field((0.4, 0.5), description="beta")
    undercooling: Share = Field(
        (0.8, 0.95), description="relative to where the solid would form without separating"
    )
    colony_spacing: Positive = Field((80.0, 160.0), description="least distance of colonies")
    ageing_time: NotNegative = Field((0.0, 30.0), description="duration of coarsening when solid")


def grow(
    parameters: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32]]:
    """Phase, mask (0 alpha, 1 beta), instances and fields of one sample."""
    p = parameters
    point = 2 * p["volume_fraction"] - 1
    force = p["undercooling"] * partitionless(point)
    flow = eutectic(force, point, gradient=GRADIENT)
    u = _colonies(coarse(shape, p["magnification"]), point, _spacing(p), p["colony_spacing"], rng)
    for _, after in trajectory(flow, u, LONGEST, dt=STEP, adaptive=False):
        u = after
        if u[1].mean() > FROZEN:
            break
    else:
        raise InputError(
            "eutectic",
            f"undercooling = {p['undercooling']:.3g} leaves {1 - u[1].mean():.1%} liquid after a "
            f"time of {LONGEST:g}",
            "Choose a larger undercooling",
        )
    u = run(flow, u, p["ageing_time"], relative_tolerance=0.1)
    fields = magnify(u, shape)
    phase = np.clip((fields[0] + 1) / 2, 0, 1)
    beta = phase > 0.5
    return phase, beta.astype(np.uint8), label_periodic(beta), fields


def _spacing(p: Mapping[str, float]) -> float:
    """Lamellar spacing, cells: the one that grows fastest."""
    force = p["undercooling"] * partitionless(2 * p["volume_fraction"] - 1)
    return 4 * lamellar_energy(GRADIENT) / force


def _colonies(
    shape: tuple[int, ...], point: float, period: float, spacing: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Concentration and solid of colonies of random direction, with liquid where they meet."""
    box, axes = np.array(shape, float), len(shape)
    sites = seed_sites(shape, min(spacing, 0.7 * box.min()), rng)
    # With their images around the box, for a colony meets its own where the box wraps around.
    shifts = np.array(list(product((-1, 0, 1), repeat=axes)))
    images = (sites + box * shifts[:, None]).reshape(-1, axes)
    cells = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance, near = cKDTree(images).query(cells, k=2)
    between = np.linalg.norm(images[near[..., 0]] - images[near[..., 1]], axis=-1)
    border = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * between)
    solid = 0.5 * (1 + np.tanh((border - CHANNEL) / EDGE))

    colony = near[..., 0] % len(sites)
    normals = rng.standard_normal((len(sites), axes))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    along = ((cells - images[near[..., 0]]) * normals[colony]).sum(axis=-1)
    wave = np.cos(2 * np.pi * (along / period + rng.uniform(0, 1, len(sites))[colony]))
    lamellae = np.tanh(2 * (_evened(wave, period) - np.cos(np.pi * (1 + point) / 2)))
    concentration = point + solid * (lamellae - point)
    concentration += FLUCTUATION * rng.standard_normal(shape)
    concentration += point - concentration.mean()
    return np.stack([concentration, solid])


def _evened(wave: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """The wave with lamellae of one period also where colonies meet."""
    grid = Grid(wave.shape, "float64")
    k = np.sqrt(grid.k2) * period / (2 * np.pi)
    passed = np.exp(-0.5 * ((k - 1) / BAND) ** 2)
    for _ in range(ROUNDS):
        wave = np.tanh(3 * wave)
        wave = grid.backward(passed * grid.forward(wave[None]))[0].reshape(wave.shape)
        wave /= np.sqrt(2) * wave.std()
    return wave


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
