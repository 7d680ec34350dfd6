"""Polycrystals that nuclei make when they grow at one speed until they impinge; periodic."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phasegen.nucleation import distance_from

Array = NDArray[Any]


def voronoi(shape: tuple[int, ...], sites: Array) -> NDArray[np.int64]:
    """Nearest site of every cell: all nuclei start at once (site saturation).

    Parameters
    ----------
    shape : tuple of int
        Cells per axis of the periodic grid.
    sites : ndarray (sites, dimensions)
        Coordinates in 0..shape, in which cell i has its centre at i + 1/2.
    """
    centres = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), axis=-1)
    nearest: NDArray[np.int64] = cKDTree(sites % shape, boxsize=shape).query(centres)[1]
    return nearest


def johnson_mehl(
    shape: tuple[int, ...], density: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    r"""Grains of nuclei that keep appearing, at a constant rate, wherever none has grown yet.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis of the periodic grid.
    density : float
        Expected number of grains per cell.

    Returns
    -------
    labels : ndarray of int64
        The grain of every cell, numbered from 0 by age.
    arrival : ndarray of float64
        The time at which it got there; nuclei grow by one cell in a unit of time.

    Notes
    -----
    At the time t a point is still free with the probability :math:`\exp(-\omega I t^{d+1}/(d+1))`,
    where :math:`\omega = \pi, 4\pi/3` and I is the rate of nucleation (Johnson and Mehl, Trans.
    AIME 135, 416 (1939); Avrami, J. Chem. Phys. 7, 1103 (1939)). I times its integral over the
    time is the density, which gives I.
    """
    dimensions, cells = len(shape), math.prod(shape)
    ball = math.pi if dimensions == 2 else 4 * math.pi / 3
    power = dimensions + 1
    # density = I Gamma(1 + 1/power) (ball I / power)^(-1/power), solved for I.
    free = math.gamma(1 + 1 / power) * (power / ball) ** (1 / power)
    rate = (density / free) ** (power / dimensions)
    labels, arrival = np.zeros(shape, np.int64), np.full(shape, np.inf)
    now, grains = 0.0, 0
    while now < arrival.max():
        now += rng.exponential(1 / (rate * cells))
        site = rng.uniform(0, shape)
        if arrival[tuple(site.astype(int))] <= now:
            continue
        reached = now + distance_from(site, shape, centre=0.5)
        earlier = reached < arrival
        labels[earlier], arrival[earlier] = grains, reached[earlier]
        grains += 1
    return labels, arrival
