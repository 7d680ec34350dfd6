"""Cahn-Hilliard against its peers: CPU time to the same error, in one run, on one thread.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/phasefield.py DATA [--cells 256 512]

The problem is PFHub benchmark 1a to t = 100, points at the cell centres. DATA is the folder `pfhub`
with the converged reference. Every method goes through its settings from coarse to fine and is
timed at the first whose free energy is within 1 % of the reference at t = 15, 20, 50 and 100.
A peer that is not installed says so. An explicit peer takes equal steps at the limit of
stability, so that a part of the time is enough: its row is scaled up, and says so.
"""

import argparse
import csv
import math
import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.grid import Grid
from phasegen.integrators import System, etdrk4
from phasegen.stepping import energy, run

Array = NDArray[Any]

SIDE, END, MARKS = 200.0, 100.0, (15.0, 20.0, 50.0, 100.0)
ALLOWED = 0.01


def phasegen(u: Array, h: float, time: float, tolerance: float) -> Array:
    """This library."""
    flow = cahn_hilliard(mobility=5, gradient=2, barrier=5, low=0.3, high=0.7, spacing=h)
    return run(flow, u[None], time, tolerance=tolerance, spacing=h)[0]


def snippet(u: Array, h: float, time: float, dt: float) -> Array:
    """What everybody writes first: semi-implicit Fourier, ten lines of SciPy."""
    steps = math.ceil(time / dt)
    dt = time / steps
    k = [2 * np.pi * np.fft.fftfreq(u.shape[0], h), 2 * np.pi * np.fft.rfftfreq(u.shape[1], h)]
    k2 = (k[0][:, None] ** 2 + k[1] ** 2).astype(np.float32)
    c = u.astype(np.float32)
    spectrum = fft.rfft2(c)
    for _ in range(steps):
        force = fft.rfft2(10 * (c - 0.3) * (0.7 - c) * (1 - 2 * c) - 0.8 * c)
        spectrum = (spectrum - dt * 5 * k2 * force) / (1 + dt * 5 * k2 * (2 * k2 + 0.8))
        c = fft.irfft2(spectrum, s=u.shape)
    return c


def py_pde(u: Array, h: float, time: float, tolerance: float) -> Array:
    """py-pde: explicit Runge-Kutta with an adaptive step, differences of second order."""
    import pde

    # c = .5 + .2 psi makes the equation d(psi)/dt = 4 laplacian(psi^3 - psi - 2.5 laplacian psi).
    grid = pde.CartesianGrid([[0, SIDE], [0, SIDE]], u.shape, periodic=True)
    state = pde.ScalarField(grid, (u - 0.5) / 0.2)
    equation = pde.CahnHilliardPDE(interface_width=2.5)
    control = {"adaptive": True, "tolerance": tolerance, "tracker": None, "dt": 1e-3}
    after = equation.solve(state, 4 * time, solver="runge-kutta", **control)
    return 0.5 + 0.2 * np.asarray(after.data)


Method = Callable[[Array, float, float, float], Array]

METHODS: dict[str, tuple[Method, tuple[float, ...], float]] = {
    "phasegen": (phasegen, (2e-3, 1e-3, 5e-4, 2e-4), 1.0),
    "SciPy semi-implicit": (snippet, (0.2, 0.1, 0.05, 0.02, 0.01, 0.005), 1.0),
    "py-pde": (py_pde, (1e-3,), 0.02),
}
"""Method, its settings from coarse to fine, and the part of the time that is run if not all."""


def main() -> None:
    """Time every method on every grid and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cells", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    reference = _reference(options.data / "bm1a_reference_spectral.csv")
    print("cells | method | setting | worst error | CPU s (median) | to phasegen | FFT share, pair")
    for cells in options.cells:
        own = math.nan
        for name, (method, settings, part) in METHODS.items():
            row = _measure(method, settings, part, cells, reference, options.repeats)
            if row is None:
                print(f"{cells} | {name} | not installed | - | - | - | -")
                continue
            setting, error, seconds = row
            own = seconds if name == "phasegen" else own
            note = "" if part == 1 else f" (from {part:.0%} of the time)"
            worst = "not measured" if math.isnan(error) else f"{error:.2%}"
            share = "{:.0%} ({:.3f} ms)".format(*_fft_share(cells)) if name == "phasegen" else "-"
            print(
                f"{cells} | {name} | {setting:g} | {worst} | {seconds:.3f}{note} | "
                f"{seconds / own:.1f} | {share}",
                flush=True,
            )


def _measure(
    method: Method,
    settings: tuple[float, ...],
    part: float,
    cells: int,
    reference: dict[float, float],
    repeats: int,
) -> tuple[float, float, float] | None:
    """Setting, worst error and median CPU seconds; None if the peer is not installed."""
    u, h = _start(cells)
    try:
        method(u, h, 0.1, settings[0])
    except ImportError:
        return None
    error = math.nan
    for setting in settings:
        if part < 1:
            break
        ends = {mark: method(u, h, mark, setting) for mark in MARKS}
        error = max(abs(_energy(c, h) / reference[mark] - 1) for mark, c in ends.items())
        if error < ALLOWED:
            break
    seconds = []
    for _ in range(repeats if part == 1 else 2):
        begin = clock.process_time()
        method(u, h, part * END, setting)
        seconds.append((clock.process_time() - begin) / part)
    # A peer that compiles does so on every call: the shorter run is what it costs to start.
    if part < 1:
        begin = clock.process_time()
        method(u, h, part / 2 * END, setting)
        started = clock.process_time() - begin
        seconds = [(part * s - started) * 2 / part for s in seconds]
    return setting, error, float(np.median(seconds))


def _fft_share(cells: int) -> tuple[float, float]:
    """CPU time of four pairs of transforms over that of a step; milliseconds of a bare pair."""
    u, h = _start(cells)
    grid = Grid(u.shape, "float32", h)
    flow = cahn_hilliard(mobility=5, gradient=2, barrier=5, low=0.3, high=0.7, spacing=h)
    step = etdrk4(System(flow, grid), 0.1)
    image = u.astype(np.float32)
    flat = image.reshape(1, -1)
    spectrum = grid.forward(flat)
    pairs, steps = [], []
    for _ in range(9):
        begin = clock.process_time()
        for _ in range(4 * 20):
            fft.irfft2(fft.rfft2(image), s=u.shape)
        pairs.append(clock.process_time() - begin)
        begin = clock.process_time()
        for _ in range(20):
            step(spectrum, flat, 0.0)
        steps.append(clock.process_time() - begin)
    pair = float(np.median(pairs))
    return pair / float(np.median(steps)), 1e3 * pair / 80


def _energy(c: Array, h: float) -> float:
    flow = cahn_hilliard(mobility=5, gradient=2, barrier=5, low=0.3, high=0.7, spacing=h)
    return energy(flow, c[None], spacing=h)


def _start(cells: int) -> tuple[Array, float]:
    h = SIDE / cells
    x = (np.arange(cells) + 0.5)[None, :] * h
    y = (np.arange(cells) + 0.5)[:, None] * h
    cos = np.cos
    waves = cos(0.105 * x) * cos(0.11 * y) + (cos(0.13 * x) * cos(0.087 * y)) ** 2
    waves += cos(0.025 * x - 0.15 * y) * cos(0.07 * x - 0.02 * y)
    return 0.5 + 0.01 * waves, h


def _reference(table: Path) -> dict[float, float]:
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["code"] == "spectral_ETDRK4_N256_cell"]
    return {float(row["time"]): float(row["total_free_energy"]) for row in rows}


if __name__ == "__main__":
    main()
