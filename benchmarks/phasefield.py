"""Cahn-Hilliard against its peers: CPU time to the same error, in one run, on one thread.

    export OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
    taskset -c 0 python benchmarks/phasefield.py DATA [--tables peers] [--only phasegen FiPy]

The problem is PFHub benchmark 1a to t = 100, points at the cell centres. DATA is the folder `pfhub`
with the converged reference. Every method goes through its settings from coarse to fine and is
timed at the first whose free energy is within 1 % of the reference at t = 15, 20, 50 and 100.
Times are of the process, without compilation. A slow peer of equal steps is run in part, scaled up.

The peers are `pip install evoxels jax py-pde fipy pymks pyarrow "setuptools<81"`; pymks needs the
last two. evoxels has the mobility c (1 - c): the constant one is written for it.
"""

import argparse
import csv
import math
import resource
import time as clock
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from phasegen.equations import GradientFlow
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.grid import Grid
from phasegen.integrators import System, etdrk4
from phasegen.stepping import energy, run, trajectory

Array = NDArray[Any]
Floats = Sequence[float]
Reference = dict[float, float]  # free energy at a time
Start = tuple[Array, float]  # composition and spacing

SIDE, END, MARKS = 200.0, 100.0, (15.0, 20.0, 50.0, 100.0)
ALLOWED = 0.01
REPEATS, PATIENCE = 5, 20.0  # runs; CPU seconds of one above which it is not repeated


def phasegen(u: Array, h: float, time: float, tolerance: float) -> Array:
    """This library."""
    return run(_flow(h), u[None], time, tolerance=tolerance, spacing=h)[0]


def snippet(u: Array, h: float, time: float, dt: float) -> Array:
    """What everybody writes first: semi-implicit Fourier, ten lines of SciPy."""
    k = [2 * np.pi * np.fft.fftfreq(u.shape[0], h), 2 * np.pi * np.fft.rfftfreq(u.shape[1], h)]
    k2 = (k[0][:, None] ** 2 + k[1] ** 2).astype(np.float32)
    c = u.astype(np.float32)
    spectrum = fft.rfft2(c)
    for _ in range(math.ceil(time / dt)):
        force = fft.rfft2(10 * (c - 0.3) * (0.7 - c) * (1 - 2 * c) - 0.8 * c)
        spectrum = (spectrum - dt * 5 * k2 * force) / (1 + dt * 5 * k2 * (2 * k2 + 0.8))
        c = fft.irfft2(spectrum, s=u.shape)
    return c


def evoxels(u: Array, h: float, time: float, dt: float) -> Array:
    """evoxels, JAX: the semi-implicit stepper of its own Cahn-Hilliard solver."""
    grid, step = _evoxels(u.shape, h, dt)
    c = grid.init_scalar_field(u[..., None])
    for number in range(math.ceil(time / dt)):
        c = step(number * dt, c)
    return np.asarray(grid.to_numpy(c)).reshape(u.shape)


@lru_cache
def _evoxels(shape: tuple[int, int], h: float, dt: float) -> tuple[Any, Callable[..., Any]]:
    import jax
    from evoxels.pdes import CahnHilliard
    from evoxels.timesteppers import PseudoSpectralIMEX
    from evoxels.voxelfields import VoxelFields
    from evoxels.voxelgrid import VoxelGridJax

    class ConstantMobility(CahnHilliard):  # type: ignore[misc]
        def __post_init__(self) -> None:
            self.initialize_boundary_conditions()
            self._fourier_symbol = -5 * 2 * self.k_squared() ** 2

        def rhs(self, t: float, c: Any) -> Any:
            mu = 10 * (c - 0.3) * (0.7 - c) * (1 - 2 * c) - 2 * self.vg.laplace(self.pad_bc(c))
            return 5 * self.vg.laplace(self.pad_bc(mu))

    box = VoxelFields((*shape, 1), domain_size=(h * shape[0], h * shape[1], h))
    grid = VoxelGridJax(box.grid_info())
    return grid, jax.jit(PseudoSpectralIMEX(ConstantMobility(grid), dt).step)


# The next two take d(psi)/dt = laplacian(psi^3 - psi - 2.5 laplacian psi): c = .5 + .2 psi, 4 t.


def py_pde(u: Array, h: float, time: float, tolerance: float) -> Array:
    """py-pde: explicit Runge-Kutta with an adaptive step, differences of second order."""
    field, step = _py_pde(u.shape, tolerance)
    field.data = (u - 0.5) / 0.2
    step(field, 0, 4 * time)
    return 0.5 + 0.2 * np.asarray(field.data)


@lru_cache
def _py_pde(shape: tuple[int, int], tolerance: float) -> tuple[Any, Callable[..., Any]]:
    import pde

    field = pde.ScalarField(pde.CartesianGrid([[0, SIDE], [0, SIDE]], shape, periodic=True))
    equation = pde.CahnHilliardPDE(interface_width=2.5)
    solver = pde.RungeKuttaSolver(equation, adaptive=True, tolerance=tolerance)
    return field, solver.make_stepper(field, dt=1e-3)


def pymks(u: Array, h: float, time: float, dt: float) -> Array:
    """pymks: semi-implicit Fourier with complex transforms, in NumPy through Dask."""
    from dask.array import from_array  # type: ignore[import-not-found]
    from pymks import solve_cahn_hilliard  # type: ignore[import-not-found]

    psi = from_array((u[None] - 0.5) / 0.2, chunks=(1, *u.shape))
    steps = {"n_steps": math.ceil(time / dt), "delta_t": 4 * dt}
    after = solve_cahn_hilliard(psi, **steps, delta_x=h, gamma=2.5)
    return 0.5 + 0.2 * np.asarray(after.compute(scheduler="synchronous"))[0]


def fipy(u: Array, h: float, time: float, dt: float) -> Array:
    """FiPy: finite volumes, implicit, as its example mesh2D, with conjugate gradients.

    Its default, LU, takes 20 times as long. At t = 15, steps of .1 err by 0.9 %, of .2 by 1.9 %.
    """
    import fipy  # type: ignore[import-not-found]

    mesh = fipy.PeriodicGrid2D(dx=h, dy=h, nx=u.shape[1], ny=u.shape[0])
    c = fipy.CellVariable(mesh=mesh, value=u.ravel())
    f = c.arithmeticFaceValue
    second = 10 * ((0.7 - f) ** 2 - 4 * (f - 0.3) * (0.7 - f) + (f - 0.3) ** 2)
    fluxes = fipy.DiffusionTerm(coeff=5 * second) - fipy.DiffusionTerm(coeff=(5.0, 2.0))
    solver = fipy.LinearCGSolver(tolerance=1e-6, iterations=1000)
    equation = fipy.TransientTerm() == fluxes
    for _ in range(math.ceil(time / dt)):
        equation.solve(c, dt=dt, solver=solver)
    return np.asarray(c.value).reshape(u.shape)


Method = Callable[[Array, float, float, float], Array]

METHODS: dict[str, tuple[Method, Floats, dict[int, float]]] = {
    "phasegen": (phasegen, (2e-3, 1e-3, 5e-4, 2e-4), {}),
    "SciPy semi-implicit": (snippet, (0.2, 0.1, 0.05, 0.02, 0.01, 0.005), {}),
    "evoxels (jax)": (evoxels, (0.1, 0.05, 0.02, 0.01), {}),
    "pymks": (pymks, (0.1, 0.05, 0.02, 0.01, 0.005), {512: 0.05}),
    "py-pde": (py_pde, (1e-2, 1e-3), {512: 0.02}),
    "FiPy": (fipy, (0.1,), {256: 0.02, 512: 0.004}),
}
"""Method, its settings from coarse to fine, and the part of the time that is run, by cells."""


def volumes(options: argparse.Namespace, reference: Reference) -> None:
    """Cubes, at the default tolerance: time and peak memory, each in a process of its own."""
    print("cube | steps | worst error | CPU s | CPU s per step | peak GiB", flush=True)
    for cells, steps in ((64, None), (256, 5)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            print(pool.submit(_cube, cells, steps).result(), flush=True)


def peers(options: argparse.Namespace, reference: Reference) -> None:
    """Every method on every grid."""
    print("cells | method | setting | worst error | CPU s (median) | to phasegen", flush=True)
    own, found = math.nan, dict[str, float]()
    for cells in options.cells:
        start = _start(cells)
        for name in options.only:
            method, settings, parts = METHODS[name]
            part = parts.get(cells, 1.0)
            try:
                method(*start, 0.1, settings[0])
            except ImportError:
                print(f"{cells} | {name} | not installed | - | - | -")
                continue
            if part < 1:
                setting = found.get(name, settings[-1])
                half, full = (_timed(method, *start, p * END, setting)[1] for p in (part / 2, part))
                seconds = (full - half) * 2 / part
                row = f"{setting:g} | not measured | {seconds:.3f} (from {part:.1%} of the time)"
            else:
                setting, error, seconds = _settle(method, settings, start, reference)
                runs = [seconds]
                while len(runs) < REPEATS and seconds < PATIENCE:
                    runs.append(_timed(method, *start, END, setting)[1])
                seconds = float(np.median(runs))
                row = f"{setting:g} | {error:.2%} | {seconds:.3f}"
            found[name] = setting
            own = seconds if name == "phasegen" else own
            print(f"{cells} | {name} | {row} | {seconds / own:.1f}", flush=True)
        print("{} | FFT's share of a step: {:.0%}; a pair: {:.3f} ms".format(cells, *_fft(cells)))


def long(options: argparse.Namespace, reference: Reference) -> None:
    """Coarsening to t = 10,000."""
    print("cells, to t = 10,000 | tolerance | worst error | CPU s")
    settings, marks = (5e-4, 2e-4, 1e-4, 5e-5), [t for t in reference if END <= t <= 1e4]
    row = _settle(phasegen, settings, _start(256), reference, marks)
    print("256 | {:g} | {:.2%} | {:.2f}".format(*row))


# Volumes come first: a process remembers the memory of the one that started it.
TABLES = {"volumes": volumes, "peers": peers, "long": long}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--cells", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    with (options.data / "bm1a_reference_spectral.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["code"] == "spectral_ETDRK4_N256_cell"]
    reference = {float(row["time"]): float(row["total_free_energy"]) for row in rows}
    for name in options.tables:
        TABLES[name](options, reference)


def _settle(
    method: Method, settings: Floats, start: Start, reference: Reference, marks: Floats = MARKS
) -> tuple[float, float, float]:
    """First setting that is accurate enough, else the last; its worst error; CPU s to the end."""
    for setting in settings:
        error, seconds, h = 0.0, 0.0, start[1]
        method(*start, 0.1, setting)  # compiles
        for mark in marks:
            after, seconds = _timed(method, *start, mark, setting)
            error = max(error, abs(energy(_flow(h), after[None], spacing=h) / reference[mark] - 1))
            if error > ALLOWED and setting != settings[-1]:
                break
        else:
            break
    return setting, error, seconds


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    begin = clock.process_time()
    made = call(*arguments)
    return made, clock.process_time() - begin


def _cube(cells: int, limit: int | None) -> str:
    """Noise in a cube: some steps, or to t = 100 and beside a tolerance ten times as fine."""
    h = SIDE / 128
    flow, rng = _flow(h), np.random.default_rng(1)
    u = 0.5 + 0.01 * rng.standard_normal((cells,) * 3, np.float32)
    phasegen(u[:8, :8, :8], h, 0.1, 1e-3)  # compiles
    states = islice(trajectory(flow, u[None], END, spacing=h), limit)
    steps, seconds = _timed(lambda: sum(1 for _ in states))
    worst = "-"
    if limit is None:
        fine = {t: energy(flow, phasegen(u, h, t, 1e-4)[None], spacing=h) for t in MARKS}
        worst = f"{_settle(phasegen, (1e-3,), (u, h), fine)[1]:.2%}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{cells}^3 | {steps} | {worst} | {seconds:.2f} | {seconds / steps:.3f} | {peak:.2f}"


def _fft(cells: int) -> tuple[float, float]:
    """CPU time of four pairs of transforms over that of a step; milliseconds of a bare pair."""
    u, h = _start(cells)
    system = System(_flow(h), Grid(u.shape, "float32", h))
    step = etdrk4(system, 0.1)
    image, flat = u.astype(np.float32), u.astype(np.float32).reshape(1, -1)
    spectrum = system.grid.forward(flat)

    def repeat(call: Callable[[], Any], times: int) -> None:
        for _ in range(times):
            call()

    works = ((lambda: fft.irfft2(fft.rfft2(image)), 80), (lambda: step(spectrum, flat, 0.0), 20))
    bare, whole = (np.median([_timed(repeat, *work)[1] for _ in range(9)]) for work in works)
    return float(bare / whole), 1e3 / 80 * float(bare)


def _flow(h: float) -> GradientFlow:
    return cahn_hilliard(mobility=5, gradient=2, barrier=5, low=0.3, high=0.7, spacing=h)


def _start(cells: int) -> Start:
    h = SIDE / cells
    x = (np.arange(cells) + 0.5)[None, :] * h
    y = (np.arange(cells) + 0.5)[:, None] * h
    cos = np.cos
    waves = cos(0.105 * x) * cos(0.11 * y) + (cos(0.13 * x) * cos(0.087 * y)) ** 2
    waves += cos(0.025 * x - 0.15 * y) * cos(0.07 * x - 0.02 * y)
    return 0.5 + 0.01 * waves, h


if __name__ == "__main__":
    main()
