"""Explicit nucleation: where particles start, and what a nucleus looks like on the grid."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PATIENCE = 400
"""Candidates refused in a row before the grid counts as full."""


def seed_sites(
    shape: tuple[int, ...], spacing: float, rng: np.random.Generator, allowed: Array | None = None
) -> Array:
    """Random sites on a periodic grid, none closer than `spacing` (random sequential addition).

    Parameters
    ----------
    shape : tuple of int
        Cells per axis.
    spacing : float
        Least distance of two sites, in cells.
    allowed : ndarray of bool, optional
        Cells in which a site may lie; everywhere by default.

    Returns
    -------
    ndarray (sites, dimensions)
        Cell coordinates, possibly none.
    """
    box = np.array(shape, float)
    candidates = np.argwhere(np.ones(shape, bool) if allowed is None else allowed)
    sites = np.empty((0, len(shape)))
    refused = 0
    while refused < PATIENCE and len(candidates):
        site = candidates[rng.integers(len(candidates))] + rng.uniform(-0.5, 0.5, len(shape))
        offset = np.abs(sites - site)
        distance = np.minimum(offset, box - offset)
        if (distance**2).sum(axis=1).min(initial=np.inf) < spacing**2:
            refused += 1
            continue
        sites, refused = np.vstack([sites, site]), 0
    return sites


def add_nuclei(
    order: Array, sites: Array, radii: Array, variants: Array, width: float = 1.4
) -> None:
    """Add spherical nuclei with a tanh profile to the order parameters, in place.

    Parameters
    ----------
    order : ndarray (variants, [Z,] Y, X)
        Order parameters; limited to 1 afterwards.
    sites, radii, variants : ndarrays (sites, dimensions), (sites,), (sites,)
        Centre, radius and index of the order parameter of every nucleus, in cells.
    width : float
        Length of the tanh profile, in cells; sqrt(2 kappa / W) is that of the equilibrium.
    """
    shape = order.shape[1:]
    for site, radius, variant in zip(sites, radii, variants, strict=True):
        reach = min(int(np.ceil(radius + 4 * width)), (min(shape) - 1) // 2)
        offsets = np.arange(-reach, reach + 1)
        centre = np.floor(site).astype(int)
        axes = [(c + offsets) % n for c, n in zip(centre, shape, strict=True)]
        squares = [(c + offsets - x) ** 2 for c, x in zip(centre, site, strict=True)]
        distance = np.sqrt(sum(np.ix_(*squares)))
        order[np.ix_([variant], *axes)] += 0.5 * (1 - np.tanh((distance - radius) / width))
    np.minimum(order, 1, out=order)
