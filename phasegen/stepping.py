"""Time integration of a `GradientFlow` on a regular grid, in Fourier space.

An integrator is a plain function ``(flow, grid, dt) -> step``; `run` drives one of them with an
adaptive time step. The spectrum is the state, so the mean of a conserved field never changes.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from phasegen.equations import Array, GradientFlow
from phasegen.grid import Boundary, Grid
from phasegen.kernels.etd import etd_correct, etd_predict

LOWEST = -40
"""Level of the ladder of time steps, in powers of sqrt(2), below which a run is given up: 1e-6."""


class BlowUpError(ArithmeticError):
    """A run whose fields are no longer finite, or whose time step has collapsed."""


Step = Callable[[Array, Array], tuple[Array, Array, tuple[float, float] | None]]
"""``(spectrum, u) -> (spectrum, u, norms)`` after dt.

The norms are the RMS of the estimated error and of the change; None if nothing is estimated.
"""

Integrator = Callable[[GradientFlow, Grid, float], Step]


def etdrk2(flow: GradientFlow, grid: Grid, dt: float) -> Step:
    r"""Exponential time differencing, Runge-Kutta of second order, with an embedded first order.

    The linear part is integrated exactly; the first stage is the first-order scheme, the second
    corrects it, and their difference estimates the error.

    References
    ----------
    Cox and Matthews, J. Comput. Phys. 176, 430 (2002), equations (22)-(23).
    """
    explicit, linear, mode = _symbols(flow, grid)
    explicit = explicit * dt
    decay, phi1, phi2 = _phi_functions(linear * dt)
    decay -= np.array(flow.stabiliser)[:, None] * explicit * phi1
    decay, drive, correction = (
        table.astype(grid.dtype)[:, mode] for table in (decay, explicit * phi1, explicit * phi2)
    )
    stabiliser, weight = np.array(flow.stabiliser, grid.dtype), grid.weight.astype(grid.dtype)

    def step(spectrum: Array, u: Array) -> tuple[Array, Array, tuple[float, float] | None]:
        potential = np.empty_like(u)
        flow.potential(u, potential)
        before = grid.forward(potential)
        predicted = np.empty_like(spectrum)
        etd_predict(spectrum, before, decay, drive, predicted)
        flow.potential(grid.backward(predicted), potential)
        after = grid.forward(potential)
        corrected = np.empty_like(spectrum)
        error, change = etd_correct(
            predicted, spectrum, before, after, correction, stabiliser, weight, corrected
        )
        return corrected, grid.backward(corrected), (math.sqrt(error), math.sqrt(change))

    return step


def semi_implicit(flow: GradientFlow, grid: Grid, dt: float) -> Step:
    """First-order scheme: linear part implicit, the rest explicit; the plain reference.

    It estimates no error, so its step stays as it is.
    """
    explicit, linear, mode = _symbols(flow, grid)
    decay = 1 / (1 - linear * dt)
    drive = decay * explicit * dt
    decay -= np.array(flow.stabiliser)[:, None] * drive
    decay, drive = (table.astype(grid.dtype)[:, mode] for table in (decay, drive))

    def step(spectrum: Array, u: Array) -> tuple[Array, Array, tuple[float, float] | None]:
        potential = np.empty_like(u)
        flow.potential(u, potential)
        out = np.empty_like(spectrum)
        etd_predict(spectrum, grid.forward(potential), decay, drive, out)
        return out, grid.backward(out), None

    return step


def trajectory(
    flow: GradientFlow,
    u: Array,
    time: float,
    *,
    dt: float = 0.05,
    tolerance: float = 3e-3,
    relative_tolerance: float = 0.3,
    adaptive: bool = True,
    integrator: Integrator = etdrk2,
    dtype: str = "float32",
    spacing: float = 1.0,
    boundary: Boundary | tuple[Boundary, ...] = "periodic",
) -> Iterator[tuple[float, Array]]:
    """Integrate `flow` from `u` over `time`, step by step.

    Parameters
    ----------
    flow : GradientFlow
        The equation.
    u : ndarray (fields, [Z,] Y, X)
        Initial fields; not changed.
    time : float
        Duration, in the units of the mobility.
    dt : float
        First time step, or the only one if not `adaptive`.
    tolerance : float
        Largest RMS error of one step (all fields together) before the step is repeated smaller.
    relative_tolerance : float
        The same as a fraction of the change in the step. Slow coarsening needs this one: with a
        large step the stabiliser holds the fields back, by ever less than `tolerance` at a time.
    adaptive : bool
        Whether the step follows the error estimate of the integrator, if it has one.
    dtype : str
        ``"float32"`` or ``"float64"``.
    spacing, boundary
        Of the `Grid`.

    Yields
    ------
    time : float
    u : ndarray (fields, [Z,] Y, X)
        The fields after every accepted step; new arrays.

    Raises
    ------
    BlowUpError
        If a field stops being finite or the step falls below 1e-6 of the first one.
    """
    shape = u.shape
    grid = Grid(shape[1:], dtype, spacing, boundary)
    # An adaptive step wanders between few sizes, so few tables are worth their memory.
    stepper = lru_cache(maxsize=4)(lambda size: integrator(flow, grid, size))
    u = np.ascontiguousarray(u.reshape(shape[0], -1), dtype=dtype)
    spectrum = grid.forward(u)
    now, level = 0.0, 0
    while now < time * (1 - 1e-12):
        # Steps come from a ladder of ratio sqrt(2), so that their coefficient tables are reused.
        size = min(dt * 2 ** (level / 2), time - now)
        new_spectrum, new_u, norms = stepper(size)(spectrum, u)
        finite = np.isfinite(new_u).all()
        ratio = 1.0
        if adaptive and norms is not None:
            error, change = norms
            # The fields at rest change by rounding errors alone, hence the floor. The second ratio
            # grows as dt and the first as dt^2: squared, they climb the same ladder.
            floor = tolerance / 300
            ratio = max(error / tolerance, (error / (relative_tolerance * change + floor)) ** 2)
        if not finite or ratio > 1:
            if not adaptive or norms is None or level < LOWEST:
                problem = "steps too inaccurate" if finite else "fields not finite"
                raise BlowUpError(f"{problem} at t = {now:.6g} with dt = {size:.3g}")
            level -= 4 if not finite else 2 if ratio > 2 else 1
            continue
        spectrum, u, now = new_spectrum, new_u, now + size
        yield now, u.reshape(shape)
        level += ratio < 0.4


def run(flow: GradientFlow, u: Array, time: float, **control: Any) -> Array:
    """Fields (fields, [Z,] Y, X) that `flow` makes of `u` over `time`.

    The parameters and errors are those of `trajectory`.
    """
    for _, after in trajectory(flow, u, time, **control):
        u = after
    return u


def energy(
    flow: GradientFlow,
    u: Array,
    *,
    spacing: float = 1.0,
    boundary: Boundary | tuple[Boundary, ...] = "periodic",
) -> float:
    """Total energy of fields (fields, [Z,] Y, X), the gradients taken spectrally, in float64.

    `spacing` and `boundary` are those of the `Grid`.
    """
    grid = Grid(u.shape[1:], "float64", spacing, boundary)
    flat = u.reshape(u.shape[0], -1).astype(np.float64)
    power = np.abs(grid.forward(flat)) ** 2 * grid.weight
    quadratic = float(np.dot(flow.gradient, power @ grid.k2))
    if flow.interaction is not None:
        quadratic += float((flow.interaction(grid.k) * power).sum())
    return grid.cell * (flow.bulk_energy(flat) + 0.5 * quadratic * flat.shape[1])


def _symbols(flow: GradientFlow, grid: Grid) -> tuple[Array, Array, Array | slice]:
    """Explicit and linear symbols of the flow, and where every mode finds its own."""
    if flow.interaction is None:
        k2, mode = grid.shells
        return flow.explicit_symbol(k2), flow.linear_symbol(k2), mode
    explicit = flow.explicit_symbol(grid.k2)
    linear = flow.linear_symbol(grid.k2) + explicit * flow.interaction(grid.k)
    return explicit, linear, slice(None)


def _phi_functions(z: Array) -> tuple[Array, Array, Array]:
    """exp(z), (exp(z) - 1) / z and (exp(z) - 1 - z) / z^2, by series where these cancel."""
    small = np.abs(z) < 1e-2
    safe = np.where(small, 1.0, z)
    grown = np.expm1(safe)
    phi1 = np.where(small, 1 + z / 2 * (1 + z / 3 * (1 + z / 4)), grown / safe)
    phi2 = np.where(small, 0.5 + z / 6 * (1 + z / 4 * (1 + z / 5)), (grown - safe) / safe**2)
    return np.exp(z), phi1, phi2
