"""Speed of grain growth against the number of grains, and against one array per grain.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/grain_growth.py [--quick]

Mcell/s are cells of the grid times steps per second of CPU time of one thread; medians. The
reference is the equation of Fan and Chen (Acta Mater. 45, 611 (1997)) as the paper has
it: an array per order parameter, explicit Euler steps, a loop over the grains in Numba. Its cost
per step grows with their number, so it is measured on a few and scaled.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cli import common
from phasegen.equations.grain_growth import evolve, grains_from_labels, largest_step
from phasegen.voronoi import voronoi

Array = NDArray[Any]

DENSE_GRAINS = 4
"""Grains of the reference that are measured."""


@njit(fastmath=True)
def fan_chen(eta: Array, out: Array, dt: float) -> None:
    """One step of every field (grains, Z, Y, X), periodic; in 2D the axis Z has one cell."""
    grains, nz, ny, nx = eta.shape
    squares = np.zeros(eta.shape[1:], eta.dtype)
    for g in range(grains):
        for z in range(nz):
            for y in range(ny):
                for x in range(nx):
                    squares[z, y, x] += eta[g, z, y, x] * eta[g, z, y, x]
    for g in range(grains):
        for z in range(nz):
            for y in range(ny):
                for x in range(nx):
                    e = eta[g, z, y, x]
                    left = eta[g, z, y, x - 1 if x else nx - 1]
                    right = eta[g, z, y, x + 1 if x < nx - 1 else 0]
                    up = eta[g, z, y - 1 if y else ny - 1, x]
                    down = eta[g, z, y + 1 if y < ny - 1 else 0, x]
                    laplacian = left + right + up + down - 4 * e
                    if nz > 1:
                        front = eta[g, z - 1 if z else nz - 1, y, x]
                        laplacian += front + eta[g, z + 1 if z < nz - 1 else 0, y, x] - 2 * e
                    bulk = -e + e * e * e + 2 * e * (squares[z, y, x] - e * e)
                    out[g, z, y, x] = e + dt * (2 * laplacian - bulk)


def _seconds(call: Callable[[], object], repeats: int) -> float:
    call()
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def _row(grains: int, shape: tuple[int, ...], repeats: int) -> tuple[str, ...]:
    cells, dt = math.prod(shape), largest_step(len(shape))
    sites = np.random.default_rng(0).uniform(0, shape, (grains, len(shape)))
    # The sharp start becomes diffuse, and hardly a grain vanishes.
    state = evolve(grains_from_labels(voronoi(shape, sites)), 20 * dt)
    steps = 10
    ours = _seconds(lambda: evolve(state, steps * dt), repeats) / steps
    eta = np.random.default_rng(0).random((DENSE_GRAINS, *(1,) * (3 - len(shape)), *shape))
    eta, dt32 = eta.astype(np.float32), np.float32(0.05)
    out = np.empty_like(eta)
    dense = _seconds(lambda: fan_chen(eta, out, dt32), repeats) * grains / DENSE_GRAINS
    active = 1 - (state.squares > 1 - 1e-6).mean()
    boxes = state.phi.size / cells
    return (
        " x ".join(map(str, shape)),
        str(len(state.names)),
        f"{active:.2f}",
        f"{boxes:.2f}",
        f"{cells / ours / 1e6:.1f}",
        f"{state.phi.size / ours / 1e6:.0f}",
        f"{dense / ours:,.0f}",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller grids of the same density")
    quick = parser.parse_args().quick
    # Of one grid, and of grains of one size on grids that grow with their number.
    runs = [(n, (1024, 1024)) for n in (300, 1000, 3000)]
    runs += [(300, (324, 324)), (1000, (592, 592)), (300, (96, 96, 96))]
    if quick:
        runs = [(n, (320, 320)) for n in (30, 100, 300)] + [(30, (101, 101)), (37, (48, 48, 48))]
    columns = ("grid", "grains", "boundary", "boxes", "Mcell/s", "box Mcell/s", "times dense")
    common.table(columns, [_row(n, shape, 3 if quick else 5) for n, shape in runs])


if __name__ == "__main__":
    main()
