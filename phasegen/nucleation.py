"""Explicit nucleation: where and when particles start, and what a nucleus looks like on the grid.

It works with any equation. At once (site saturation): `seed_sites` for nuclei that keep a distance,
or one call of `nucleate` with the wanted density as rate and a time of 1. Continuously: between two
stretches of time, `nucleation_rate` of the local driving force and `nucleate`, then `add_nuclei` or
`stamp_nuclei`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phasegen.errors import InputError

Array = NDArray[Any]

PATIENCE = 400
"""Candidates refused in a row before the grid counts as full."""


def separations(a: Array, b: Array, box: Array) -> Array:
    """Squared distance of every point of `a` from every one of `b` in a periodic box.

    Parameters
    ----------
    a, b : ndarray (points, dimensions)
        Coordinates in the box.
    box : ndarray (dimensions,)
        Its sides.

    Returns
    -------
    ndarray (points of a, points of b)
    """
    squares: Array = (_around(a[:, None] - b, box) ** 2).sum(axis=2)
    return squares


def distance_from(site: Array, shape: tuple[int, ...], centre: float = 0.0) -> Array:
    """Distance of every cell of a periodic grid from a site.

    Parameters
    ----------
    site : ndarray (dimensions,)
        Coordinates in which cell i has its centre at i + `centre`.
    shape : tuple of int
        Cells per axis.
    """
    axes = [_around(np.arange(n) + centre - x, n) ** 2 for n, x in zip(shape, site, strict=True)]
    distance: Array = np.sqrt(sum(np.ix_(*axes)))
    return distance


def _around(offset: Array, period: Array | float) -> Array:
    """Length of an offset along an axis, the shorter way round."""
    length = np.abs(offset)
    return np.minimum(length, period - length)


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

    Raises
    ------
    InputError
        If the spacing is not positive: there would be no end of sites.
    """
    if not spacing > 0:
        raise InputError("sites", f"spacing = {spacing:g} is not positive", "Give it in cells")
    box = np.array(shape, float)
    candidates = np.argwhere(np.ones(shape, bool) if allowed is None else allowed)
    sites = np.empty((0, len(shape)))
    refused = 0
    while refused < PATIENCE and len(candidates):
        site = candidates[rng.integers(len(candidates))] + rng.uniform(-0.5, 0.5, len(shape))
        if separations(site[None], sites, box).min(initial=np.inf) < spacing**2:
            refused += 1
            continue
        sites, refused = np.vstack([sites, site]), 0
    return sites


def nucleation_rate(
    driving_force: Array,
    prefactor: float,
    interface_energy: float,
    thermal_energy: float,
    dimensions: int,
) -> Array:
    r"""Classical nucleation rate :math:`I_0 \exp(-\Delta G^* / kT)`, zero without a driving force.

    The barrier is :math:`16 \pi \gamma^3 / 3 \Delta g^2` of a sphere and :math:`\pi \gamma^2 /
    \Delta g` of a disc.

    Parameters
    ----------
    driving_force : ndarray
        :math:`\Delta g`, the free energy that a unit volume of nucleus sets free where it forms:
        for a small supersaturation in proportion to it.
    prefactor : float
        :math:`I_0`, nuclei per cell and unit time.
    interface_energy, thermal_energy : float
        :math:`\gamma` and kT, in the units of the driving force times length and volume.
    dimensions : int
        2 or 3.

    Returns
    -------
    ndarray of the shape of `driving_force`
        Nuclei per cell and unit time.

    References
    ----------
    Simmons, Shen and Wang, Scripta Mater. 43, 935 (2000), for its use in phase-field models.
    """
    force = np.maximum(driving_force, np.finfo(float).tiny)
    with np.errstate(over="ignore"):
        if dimensions == 2:
            barrier = np.pi * interface_energy**2 / force
        else:
            barrier = 16 * np.pi / 3 * interface_energy**3 / force / force
        rate: Array = np.where(driving_force > 0, prefactor * np.exp(-barrier / thermal_energy), 0)
    return rate


def nucleate(
    rate: Array,
    time: float,
    rng: np.random.Generator,
    exclusion: float = 0.0,
    existing: Array | None = None,
) -> Array:
    """Sites of the nuclei that form on a periodic grid within a time: a Poisson process.

    Parameters
    ----------
    rate : ndarray ([Z,] Y, X)
        Nuclei per cell and unit time; zero where none can form.
    time : float
        Duration, over which the rate is taken as constant.
    exclusion : float
        Depletion zone: a nucleus closer than this to another, in cells, does not form.
    existing : ndarray (sites, dimensions), optional
        Nuclei formed before, whose depletion zones count too.

    Returns
    -------
    ndarray (sites, dimensions)
        Cell coordinates in random order, possibly none.

    Raises
    ------
    InputError
        If the rate is negative or not finite somewhere.
    """
    if not (np.isfinite(rate).all() and (rate >= 0).all()):
        raise InputError("nucleation rate", "is negative or not finite", "Give it as 0 or more")
    cumulative = np.cumsum(rate.ravel(), dtype=np.float64)
    number = rng.poisson(cumulative[-1] * time)
    cells = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], number), side="right")
    corners = np.stack(np.unravel_index(cells, rate.shape), axis=1)
    sites: Array = corners + rng.uniform(-0.5, 0.5, corners.shape)
    if exclusion <= 0:
        return sites
    old = np.empty((0, rate.ndim)) if existing is None else existing
    box = np.array(rate.shape, float)
    # Half-open, as the tree wants it: the sum may round up to the edge.
    points = np.concatenate([old, sites]) % box
    points[points >= box] = 0
    forms = np.ones(len(points), bool)
    for i, near in enumerate(cKDTree(points, boxsize=box).query_ball_point(points, exclusion)):
        forms[i] = i < len(old) or not any(forms[j] for j in near if j < i)
    return sites[forms[len(old) :]]


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
    for site, radius, variant in zip(sites, radii, variants, strict=True):
        axes, profile = _nucleus(order.shape[1:], site, radius, width)
        order[np.ix_([variant], *axes)] += profile
    np.minimum(order, 1, out=order)


def stamp_nuclei(
    order: Array, index: Array, sites: Array, radii: Array, numbers: Array, width: float = 1.4
) -> None:
    """Put spherical nuclei into one order parameter and into the index that tells them apart.

    Both change in place, where the nucleus exceeds what is there.

    Parameters
    ----------
    order, index : ndarray ([Z,] Y, X)
        Order parameter, 0 to 1, and the number of the particle or grain of every cell.
    sites, radii, numbers : ndarrays (sites, dimensions), (sites,), (sites,)
        Centre, radius and number of every nucleus, in cells.
    width : float
        Length of the tanh profile, in cells.
    """
    for site, radius, number in zip(sites, radii, numbers, strict=True):
        axes, profile = _nucleus(order.shape, site, radius, width)
        patch = np.ix_(*axes)
        larger = profile > order[patch]
        order[patch] = np.where(larger, profile, order[patch])
        index[patch] = np.where(larger, number, index[patch])


def _nucleus(
    shape: tuple[int, ...], site: Array, radius: float, width: float
) -> tuple[list[Array], Array]:
    """Indices along every axis of the cells around a site, and the tanh profile in them."""
    reach = min(int(np.ceil(radius + 4 * width)), (min(shape) - 1) // 2)
    offsets = np.arange(-reach, reach + 1)
    centre = np.floor(site).astype(int)
    axes = [(c + offsets) % n for c, n in zip(centre, shape, strict=True)]
    squares = [(c + offsets - x) ** 2 for c, x in zip(centre, site, strict=True)]
    distance = np.sqrt(sum(np.ix_(*squares)))
    profile: Array = 0.5 * (1 - np.tanh((distance - radius) / width))
    return axes, profile
