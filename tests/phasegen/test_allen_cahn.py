"""Curvature, driving force and the manufactured solution of PFHub benchmark 7."""

from functools import cached_property
from itertools import pairwise

import numpy as np
import pytest

from phasegen.equations import Array
from phasegen.equations.allen_cahn import allen_cahn, manufactured_interface
from phasegen.errors import InputError
from phasegen.grid import Grid
from phasegen.integrators import System, etdrk4
from phasegen.stepping import trajectory


@pytest.mark.parametrize("sides", [(32, 32), (30, 30, 30)])
def test_circle_and_sphere_shrink_at_the_rate_of_mean_curvature(sides: tuple[int, ...]) -> None:
    """d(R^2)/dt = -2 (dimensions - 1) M kappa, that is dA/dt = -2 pi M kappa of a circle.

    A quarter of the circle, an eighth of the sphere, between walls without a flux.
    """
    gradient, radius = 2.0, sides[0] - 9
    distance = np.sqrt(((np.indices(sides) + 0.5) ** 2).sum(axis=0))
    u = 0.5 * (1 - np.tanh((distance - radius) / np.sqrt(2 * gradient)))[None]
    path = trajectory(allen_cahn(gradient=gradient), u, 12.0, tolerance=1e-4, boundary="no-flux")
    time, size = np.array([(t, v.sum(dtype=float)) for t, v in path if t > 2]).T
    square = 4 * size / np.pi if len(sides) == 2 else (6 * size / np.pi) ** (2 / 3)
    rate = -2 * (len(sides) - 1) * gradient
    assert np.polyfit(time, square, 1)[0] == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize("drive", [-0.02, 0.04])
def test_flat_interface_moves_with_the_drive(drive: float) -> None:
    mobility, gradient, barrier = 1.3, 2.0, 1.1
    x = np.arange(160)[None, None] + 0.5
    length = np.sqrt(2 * gradient / barrier)
    u = 0.5 * (np.tanh((x - 40) / length) - np.tanh((x - 120) / length))
    flow = allen_cahn(mobility, gradient, barrier, drive)
    path = trajectory(flow, u, 40.0, tolerance=1e-4, dtype="float64")
    time, size = np.array([(t, v.sum()) for t, v in path if t > 10]).T
    sigma = np.sqrt(gradient * barrier / 18)
    speed = mobility * gradient * drive / sigma
    assert np.polyfit(time, size, 1)[0] == pytest.approx(2 * speed, rel=0.01)


def test_refuses_a_drive_that_leaves_no_barrier() -> None:
    with pytest.raises(InputError, match=r"drive = 0.3 is more than a fifth of the barrier of 1"):
        allen_cahn(drive=0.3)


class _Differences(Grid):
    """The five-point Laplacian of the same grid: its symbol instead of -k^2."""

    @cached_property
    def k2(self) -> Array:
        return ((2 / self.spacing * np.sin(self.k * self.spacing / 2)) ** 2).sum(axis=0)


def _solve(grid: Grid, dt: float, time: float) -> tuple[Array, Array]:
    """PFHub benchmark 7 at a time, and the exact solution."""
    flow, exact = manufactured_interface(grid)
    step = etdrk4(System(flow, grid), dt)
    u = exact(0.0)
    spectrum = grid.forward(u)
    for n in range(round(time / dt)):
        spectrum, u, _ = step(spectrum, u, n * dt)
    return u, exact(time)


def _error(kind: type[Grid], cells: int, dt: float) -> float:
    """L2 error at t = 8 on a grid of `cells` rows."""
    grid = kind((cells, 2 * cells), "float64", 0.5 / cells, ("zero", "periodic"))
    u, exact = _solve(grid, dt, 8.0)
    return float(np.sqrt(grid.cell * ((u - exact) ** 2).sum()))


def test_source_of_the_manufactured_solution() -> None:
    """The exact solution obeys the equation: its rate of change by differences in time."""
    grid = Grid((192, 384), "float64", 0.5 / 192, ("zero", "periodic"))
    flow, exact = manufactured_interface(grid)
    for time in (0.0, 3.0):
        u = exact(time)
        potential = np.empty_like(u)
        flow.potential(u, potential)
        laplacian = grid.backward(-grid.k2 * grid.forward(u))
        rate = flow.gradient[0] * laplacian - potential + flow.source(time)
        slope = (exact(time + 1e-5) - exact(time - 1e-5)) / 2e-5
        # The exact solution meets the boundary values to 1e-5 alone.
        inner = np.s_[:, 24 * 384 : -24 * 384]
        np.testing.assert_allclose(rate[inner], slope[inner], atol=1e-4)


@pytest.mark.slow
def test_pfhub_benchmark_7_by_differences() -> None:
    """The L2 errors published for second-order schemes, and their order."""
    published = {50: 6.753e-3, 100: 1.390e-3, 200: 3.373e-4, 400: 8.39e-5}
    errors = {cells: _error(_Differences, cells, 0.1) for cells in published}
    assert errors == pytest.approx(published, rel=0.02)
    # The coarsest has 2.8 cells per interface width: its own order is above 2.
    for coarse, fine in pairwise(list(errors.values())[1:]):
        assert np.log2(coarse / fine) == pytest.approx(2, abs=0.2)


def test_pfhub_benchmark_7_spectrally() -> None:
    """The error falls faster than any power of the spacing, where that of differences is 1.4e-3."""
    coarse, middle, fine = (_error(Grid, cells, 0.1) for cells in (48, 64, 96))
    assert fine < 2e-5
    assert 4 < np.log(coarse / middle) / np.log(4 / 3) < np.log(middle / fine) / np.log(3 / 2)


def test_order_in_time_with_a_source() -> None:
    grid = Grid((48, 96), "float64", 0.5 / 48, ("zero", "periodic"))
    reference = _solve(grid, 1 / 1600, 0.16)[0]
    errors = [np.abs(_solve(grid, 1 / n, 0.16)[0] - reference).max() for n in (100, 200, 400)]
    for coarse, fine in pairwise(errors):
        assert np.log2(coarse / fine) == pytest.approx(4, abs=0.2)
