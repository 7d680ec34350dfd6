"""Integration of a `GradientFlow` over time, with steps that follow an error estimate.

The spectrum is the state, so the mean of a conserved field never changes.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from phasegen.equations import Array, GradientFlow, require_positive
from phasegen.errors import InputError
from phasegen.grid import Boundary, Grid
from phasegen.integrators import Integrator, System, etdrk4
from phasegen.noise import fluctuating

LOWEST = -40
"""Level of the ladder of time steps, in powers of sqrt(2), below which a run is given up: 1e-6."""

WATCH = 10
"""Steps between two looks at the energy."""

RISE = 1e-3
"""Relative rise of the energy between two looks that is a blow-up; a sound run has none."""

NEGLIGIBLE = 1e-6
"""Energy density that rounding alone may make."""

TABLE_MODES = 1 << 21
"""Modes that the coefficients in memory may have together: eight numbers for each."""

LEAST_SHARE = 0.3
"""Of what its rate at the start would make of the fields, what a step must at least make of them.

Where it makes less, the stabiliser holds the fields back: time passes and nothing happens. PFHub
benchmark 1a stays within 1.7 % of its energy to t = 10,000 with this, and is 57 % off without; one
of 0.5 takes twice the steps for 1.3 %.
"""


class BlowUpError(ArithmeticError):
    """A run whose fields are no longer finite, whose energy rises or whose step has collapsed."""


def trajectory(
    flow: GradientFlow,
    u: Array,
    time: float,
    *,
    dt: float = 0.05,
    tolerance: float = 1e-3,
    relative_tolerance: float = 0.1,
    adaptive: bool = True,
    integrator: Integrator = etdrk4,
    dtype: str = "float32",
    spacing: float = 1.0,
    boundary: Boundary | tuple[Boundary, ...] = "periodic",
    temperature: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Iterator[tuple[float, Array]]:
    """Integrate `flow` from `u` over `time`, step by step.

    Parameters
    ----------
    flow : GradientFlow
        The equation.
    u : ndarray (fields, [Z,] Y, X)
        Initial fields; not changed.
    time : float
        Duration, in the units of the mobility; nothing happens in 0.
    dt : float
        First time step, or the only one if not `adaptive`.
    tolerance : float
        Largest RMS error of one step (all fields together) before the step is repeated smaller.
    relative_tolerance : float
        The same as a fraction of the change in the step. Up to 1, a step must also make
        `LEAST_SHARE` of what its rate promises; with more, fields may lag behind the time.
    adaptive : bool
        Whether the step follows the error estimate of the integrator, if it has one. With
        fluctuations the estimate of a step sets the size of the next alone, and none is repeated: a
        second draw for the steps that fluctuate most would make all fluctuations too small.
    dtype : str
        ``"float32"`` or ``"float64"``.
    spacing, boundary
        Of the `Grid`.
    temperature : float
        Thermal energy that drives fluctuations, in the unit of the energy; 0 for none.
    rng : Generator
        Where the fluctuations are drawn from.

    Yields
    ------
    time : float
    u : ndarray (fields, [Z,] Y, X)
        The fields after every accepted step; new arrays.

    Raises
    ------
    BlowUpError
        If a field stops being finite, the energy rises or the step falls below 1e-6 of the first.
    InputError
        If the fields are not those of the flow, a number is out of its range, or the temperature
        comes without a generator, or the other way round.
    """
    if not 0 <= time < math.inf:
        problem = f"time = {time:g} is negative or not finite"
        raise InputError("time stepping", problem, "Give a duration of at least 0")
    require_positive("time stepping", {"dt": dt})
    for name, value in {"tolerance": tolerance, "relative_tolerance": relative_tolerance}.items():
        if not value > 0:
            problem = f"{name} = {value:g} is not positive"
            raise InputError("time stepping", problem, "Give a positive number")
    if not 0 <= temperature < math.inf or (temperature > 0) != (rng is not None):
        problem = f"temperature = {temperature:g} makes no fluctuations"
        raise InputError("noise", problem, "Give one above 0 and a numpy.random.Generator, or none")
    if rng is not None:
        integrator = fluctuating(integrator, temperature, rng)
    shape = u.shape
    _require_fields(flow, shape)
    system = System(flow, Grid(shape[1:], dtype, spacing, boundary))
    # An adaptive step wanders between few sizes, so few tables are worth their memory.
    tables = min(max(TABLE_MODES // system.grid.k2.size, 2), 16)
    stepper = lru_cache(maxsize=tables)(lambda size: integrator(system, size))
    u = np.ascontiguousarray(u.reshape(shape[0], -1), dtype=dtype)
    spectrum = system.grid.forward(u)
    descends = temperature == 0 and flow.source is None
    seen = system.energy(spectrum, u) if descends else 0.0
    # The energy of a field that has become uniform is rounding error.
    scale = max(abs(seen), NEGLIGIBLE * system.grid.cell * u.shape[1])
    # Fluctuations keep the stiff modes busy, whose change is far from what their rate promises.
    prompt = relative_tolerance <= 1 and rng is None
    now, level, steps = 0.0, 0, 0
    while now < time * (1 - 1e-12):
        # Steps come from a ladder of ratio sqrt(2), so that their coefficient tables are reused.
        size = min(dt * 2 ** (level / 2), time - now)
        where = f"at t = {now:.6g} (step {steps + 1}) with dt = {size:.3g}"
        new_spectrum, new_u, estimate = stepper(size)(spectrum, u, now)
        finite = math.isfinite(estimate.change)
        estimated = adaptive and estimate.order > 0
        repeatable = estimated and rng is None
        ratio = 0.0 if finite else math.inf
        if finite and estimated:
            # The fields at rest change by rounding errors alone, hence the floor.
            allowed = relative_tolerance * estimate.change + tolerance / 300
            # Roots make both ratios grow as dt.
            ratio = max(
                (estimate.error / tolerance) ** (1 / estimate.order),
                (estimate.error / allowed) ** (1 / (estimate.order - 1)),
            )
            if prompt:
                promised = LEAST_SHARE * max(estimate.nominal - tolerance / 100, 0)
                ratio = max(ratio, promised / max(estimate.change, 1e-30))
        if (ratio > 1 and level < LOWEST) or not (finite or repeatable):
            raise BlowUpError(f"{'inaccurate' if finite else 'fields not finite'} {where}")
        level += _rungs(ratio) if estimated else 0
        if ratio > 1 and repeatable:
            continue
        spectrum, u, now, steps = new_spectrum, new_u, now + size, steps + 1
        if descends and (steps % WATCH == 0 or now >= time):
            before, seen = seen, system.energy(spectrum, u)
            if not seen - before <= RISE * max(abs(before), scale):
                raise BlowUpError(f"energy rose from {before:.6g} to {seen:.6g} {where}")
        yield now, u.reshape(shape)


def _rungs(ratio: float) -> int:
    """Rungs of the ladder to go up, or down, after a step of that ratio to the best one."""
    if ratio > 1:
        return -4 if math.isinf(ratio) else -2 if ratio > 2 else -1
    return 0 if ratio > 0.64 else 1 if ratio > 0.4 else 2


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
    _require_fields(flow, u.shape)
    system = System(flow, Grid(u.shape[1:], "float64", spacing, boundary))
    u = u.reshape(u.shape[0], -1).astype(np.float64)
    return system.energy(system.grid.forward(u), u)


def _require_fields(flow: GradientFlow, shape: tuple[int, ...]) -> None:
    # The kernels index fields unchecked.
    if len(shape) not in (3, 4) or shape[0] != len(flow.names):
        expected = f"({len(flow.names)}, [Z,] Y, X)"
        raise InputError("fields", f"have the shape {shape}", f"Give an array of shape {expected}")
