"""Time integration of a `GradientFlow` on a periodic grid, in Fourier space.

An integrator is a plain function ``(flow, grid, dt) -> step``; `run` drives one of them with an
adaptive time step. The spectrum is the state, so the mean of a conserved field never changes.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from scipy import fft

from phasegen.equations import Array, GradientFlow
from phasegen.kernels.etd import etd_correct, etd_predict

LOWEST = -40
"""Level of the ladder of time steps, in powers of sqrt(2), below which a run is given up: 1e-6."""


class BlowUpError(ArithmeticError):
    """A run whose fields are no longer finite, or whose time step has collapsed."""


@dataclass(frozen=True)
class Grid:
    """A periodic grid of unit spacing.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis, (Y, X) or (Z, Y, X).
    dtype : str
        ``"float32"`` or ``"float64"``.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"

    def forward(self, u: Array) -> Array:
        """Spectrum (fields, modes) of real fields (fields, cells)."""
        axes = tuple(range(1, 1 + len(self.shape)))
        spectrum: Array = fft.rfftn(u.reshape(-1, *self.shape), axes=axes)
        return spectrum.reshape(u.shape[0], -1)

    def backward(self, spectrum: Array) -> Array:
        """Real fields (fields, cells) of a spectrum (fields, modes)."""
        axes = tuple(range(1, 1 + len(self.shape)))
        modes = (*self.shape[:-1], self.shape[-1] // 2 + 1)
        u: Array = fft.irfftn(spectrum.reshape(-1, *modes), s=self.shape, axes=axes)
        return u.reshape(spectrum.shape[0], -1)

    @cached_property
    def k2(self) -> Array:
        """Squared wave number of every mode, (modes,), float64."""
        axes = [2 * np.pi * np.fft.fftfreq(n) for n in self.shape[:-1]]
        axes.append(2 * np.pi * np.fft.rfftfreq(self.shape[-1]))
        total = np.zeros(())
        for axis in axes:
            total = total[..., None] + axis**2
        return total.ravel()

    @cached_property
    def shells(self) -> tuple[Array, Array]:
        """Distinct squared wave numbers, and for every mode the index of its own.

        Coefficients depend on nothing else, and there are several times fewer shells than modes.
        """
        values, index = np.unique(self.k2, return_inverse=True)
        return values, index

    @cached_property
    def weight(self) -> Array:
        """Parseval weight of every mode of the half spectrum, (modes,), so that sums are means."""
        last = np.full(self.shape[-1] // 2 + 1, 2.0)
        last[0] = 1.0
        if self.shape[-1] % 2 == 0:
            last[-1] = 1.0
        cells = float(np.prod(self.shape))
        return np.tile(last / cells**2, int(np.prod(self.shape[:-1])))


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
    k2, shell = grid.shells
    explicit = flow.explicit_symbol(k2) * dt
    decay, phi1, phi2 = _phi_functions(flow.linear_symbol(k2) * dt)
    decay -= np.array(flow.stabiliser)[:, None] * explicit * phi1
    decay, drive, correction = (
        table.astype(grid.dtype)[:, shell] for table in (decay, explicit * phi1, explicit * phi2)
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
    k2, shell = grid.shells
    decay = 1 / (1 - flow.linear_symbol(k2) * dt)
    drive = decay * flow.explicit_symbol(k2) * dt
    decay -= np.array(flow.stabiliser)[:, None] * drive
    decay, drive = (table.astype(grid.dtype)[:, shell] for table in (decay, drive))

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
    grid = Grid(shape[1:], dtype)
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


def energy(flow: GradientFlow, u: Array) -> float:
    """Total energy of fields (fields, [Z,] Y, X), the gradients taken spectrally, in float64."""
    grid = Grid(u.shape[1:], "float64")
    flat = u.reshape(u.shape[0], -1).astype(np.float64)
    power = np.abs(grid.forward(flat)) ** 2 @ (grid.weight * grid.k2)
    gradients = 0.5 * np.dot(flow.gradient, power) * flat.shape[1]
    return flow.bulk_energy(flat) + float(gradients)


def _phi_functions(z: Array) -> tuple[Array, Array, Array]:
    """exp(z), (exp(z) - 1) / z and (exp(z) - 1 - z) / z^2, by series where these cancel."""
    small = np.abs(z) < 1e-2
    safe = np.where(small, 1.0, z)
    grown = np.expm1(safe)
    phi1 = np.where(small, 1 + z / 2 * (1 + z / 3 * (1 + z / 4)), grown / safe)
    phi2 = np.where(small, 0.5 + z / 6 * (1 + z / 4 * (1 + z / 5)), (grown - safe) / safe**2)
    return np.exp(z), phi1, phi2
