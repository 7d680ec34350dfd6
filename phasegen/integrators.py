"""Time integrators of a `GradientFlow` on a grid: plain functions ``(system, dt) -> step``.

The linear part :math:`L` of the equation is diagonal in Fourier space; exponential schemes
integrate it exactly, whatever the step, and the rest :math:`N` explicitly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from phasegen.equations import Array, GradientFlow
from phasegen.errors import InputError
from phasegen.grid import Grid
from phasegen.kernels.etd import (
    etd_stage,
    etdrk2_end,
    etdrk4_end,
    etdrk4_third,
    evaluate_phi_functions,
    squared_change,
    subtract_scaled,
    weighted_power,
)


class Estimate(NamedTuple):
    """What a step says of itself.

    Attributes
    ----------
    change : float
        RMS of the change; not finite if any mode is not.
    error : float
        RMS of the estimated error; 0 if nothing is estimated.
    order : int
        The error grows as dt to this power; 0 if nothing is estimated.
    nominal : float
        RMS of dt times the rate at the start; 0 if it was not taken.
    """

    change: float
    error: float = 0.0
    order: int = 0
    nominal: float = 0.0


def _keep_freed_memory() -> None:
    """Have the C library of Linux keep freed arrays, as each transform makes a new one.

    It gives memory back to the system, and asks for it again page by page, until an array of nearly
    32 MB, its limit, was freed.
    """
    np.empty((1 << 25) - (1 << 16), np.uint8)


_keep_freed_memory()


Step = Callable[[Array, Array, float], tuple[Array, Array, Estimate]]
"""``(spectrum, u, time) -> (spectrum, u, estimate)`` after dt."""


@dataclass(frozen=True, eq=False)
class System:
    """A flow on a grid: the spectrum changes at the rate linear * u + symbol * (force - a u)."""

    flow: GradientFlow
    grid: Grid

    @cached_property
    def potential_symbols(self) -> tuple[Array, Array, Array | None]:
        """Symbols of the potential and linear part; the shell of every mode, if by shells."""
        flow, grid = self.flow, self.grid
        if flow.interaction is None:
            k2, mode = grid.shells
            return flow.explicit_symbol(k2), flow.linear_symbol(k2), mode
        explicit = flow.explicit_symbol(grid.k2)
        linear = flow.linear_symbol(grid.k2) + explicit * flow.interaction(grid.k)
        return explicit, linear, None

    @cached_property
    def plain(self) -> bool:
        """Whether the force is the potential; else it is the whole explicit rate, symbol 1."""
        return self.flow.relative_mobility is None and self.flow.source is None

    @cached_property
    def symbols(self) -> tuple[Array, Array]:
        """Symbol of the force, and linear symbol."""
        explicit, linear, _ = self.potential_symbols
        return (explicit if self.plain else np.ones_like(explicit)), linear

    @cached_property
    def _stabiliser(self) -> Array:
        return np.array(self.flow.stabiliser, self.grid.dtype)

    @cached_property
    def weight(self) -> Array:
        """Parseval weight of every mode."""
        return self.grid.weight.astype(self.grid.dtype)

    @cached_property
    def quadratic(self) -> Array:
        """kappa k^2 and the interaction, (fields, modes): the linear part of the potential."""
        quadratic = np.outer(self.flow.gradient, self.grid.k2)
        if self.flow.interaction is not None:
            quadratic += self.flow.interaction(self.grid.k)
        return quadratic.astype(self.grid.dtype)

    @cached_property
    def potential(self) -> Array:
        """Working memory, (fields, cells)."""
        return np.zeros((len(self.flow.names), self.grid.cells), self.grid.dtype)

    @cached_property
    def stages(self) -> tuple[Array, Array]:
        """Working memory for two spectra: fresh memory costs a step a tenth of its time."""
        spectrum = self.grid.forward(self.potential)
        return spectrum, np.empty_like(spectrum)

    def force(self, spectrum: Array, u: Array, time: float) -> Array:
        """Spectrum of force - a u on fields u, of the given spectrum; a new array."""
        self.flow.potential(u, self.potential)
        if self.plain:
            subtract_scaled(self.potential, self._stabiliser, u)
            return self.grid.forward(self.potential)
        return self._explicit_rate(self.grid.forward(self.potential), spectrum, u, time)

    def stage(self, spectrum: Array, time: float) -> Array:
        """`force` of the fields of a spectrum, which is used up."""
        if self.plain:
            return self.force(spectrum, self.grid.backward(spectrum, overwrite=True), time)
        return self.force(spectrum, self.grid.backward(spectrum), time)

    def _explicit_rate(self, potential: Array, spectrum: Array, u: Array, time: float) -> Array:
        flow, grid = self.flow, self.grid
        explicit, linear = self._rate_tables
        potential += self.quadratic * spectrum
        rate: Array = explicit * potential
        if flow.relative_mobility is not None:
            relative = flow.relative_mobility(u)
            if relative.min() < 0:
                problem = (
                    f"is negative, {relative.min():.3g}, for fields of {u.min():.3g}..{u.max():.3g}"
                )
                raise InputError("relative mobility", problem, "Clip it: np.clip(..., 0, 1)")
            mobility = relative * np.array(flow.mobility, u.dtype)[:, None]
            axes = range(len(grid.shape))
            flux = grid.divergence([mobility * grid.derivative(potential, axis) for axis in axes])
            rate = np.where(np.array(flow.conserved)[:, None], flux, rate)
        if flow.source is not None:
            rate += grid.forward(np.asarray(flow.source(time), u.dtype))
        rate -= linear * spectrum
        return rate

    @cached_property
    def _rate_tables(self) -> tuple[Array, ...]:
        return self.tables(*self.potential_symbols[:2])

    def tables(self, *coefficients: Array) -> tuple[Array, ...]:
        """Coefficients of every mode, (fields, modes), from those of the shells."""
        shell = self.potential_symbols[2]
        real = tuple(table.astype(self.grid.dtype) for table in coefficients)
        return real if shell is None else tuple(table.take(shell, axis=1) for table in real)

    def energy(self, spectrum: Array, u: Array) -> float:
        """Total energy of fields u, of the given spectrum."""
        gradients = 0.5 * u.shape[1] * weighted_power(spectrum, self.quadratic, self.weight)
        return self.grid.cell * (self.flow.bulk_energy(u) + float(gradients))


Integrator = Callable[[System, float], Step]


def etdrk4(system: System, dt: float) -> Step:
    r"""Exponential time differencing, Runge-Kutta of fourth order.

    Its second and third stage are both estimates at half the step; their difference, weighed as in
    the last stage, is the error of an embedded scheme of second order.

    References
    ----------
    Cox and Matthews, J. Comput. Phys. 176, 430 (2002), equations (26)-(29).
    """
    explicit, linear = system.symbols
    half, half_phi, *_ = phi_functions(linear * (dt / 2))
    full, phi1, phi2, phi3 = phi_functions(linear * dt)
    explicit, nominal = explicit * dt, linear * dt
    half, drive, full, outer, inner, last, nominal, explicit = system.tables(
        half,
        explicit * half_phi / 2,
        full,
        explicit * (phi1 - 3 * phi2 + 4 * phi3),
        explicit * (2 * phi2 - 4 * phi3),
        explicit * (4 * phi3 - phi2),
        nominal,
        explicit,
    )
    weight, backward = system.weight, system.grid.backward

    def step(spectrum: Array, u: Array, time: float) -> tuple[Array, Array, Estimate]:
        middle, stage = system.stages
        after = np.empty_like(spectrum)
        first = system.force(spectrum, u, time)
        etd_stage(spectrum, first, half, drive, middle)
        stage[:] = middle
        second = system.stage(stage, time + dt / 2)
        etd_stage(spectrum, second, half, drive, stage)
        third = system.stage(stage, time + dt / 2)
        etdrk4_third(middle, first, third, half, drive, stage)
        fourth = system.stage(stage, time + dt)
        error, change, rated = etdrk4_end(
            spectrum,
            first,
            second,
            third,
            fourth,
            full,
            outer,
            inner,
            last,
            nominal,
            explicit,
            weight,
            after,
        )
        estimate = Estimate(math.sqrt(change), math.sqrt(error), 3, math.sqrt(rated))
        return after, backward(after), estimate

    return step


def etdrk2(system: System, dt: float) -> Step:
    r"""Exponential time differencing, Runge-Kutta of second order, with an embedded first order.

    The first stage is the first-order scheme, the second corrects it, and their difference
    estimates the error.

    References
    ----------
    Cox and Matthews, J. Comput. Phys. 176, 430 (2002), equations (22)-(23).
    """
    explicit, linear = system.symbols
    decay, phi1, phi2, _ = phi_functions(linear * dt)
    decay, drive, correction = system.tables(decay, explicit * dt * phi1, explicit * dt * phi2)
    weight, backward = system.weight, system.grid.backward

    def step(spectrum: Array, u: Array, time: float) -> tuple[Array, Array, Estimate]:
        first = system.force(spectrum, u, time)
        predicted, corrected = system.stages[0], np.empty_like(spectrum)
        etd_stage(spectrum, first, decay, drive, predicted)
        second = system.force(predicted, backward(predicted), time + dt)
        error, change = etdrk2_end(
            spectrum, predicted, first, second, correction, weight, corrected
        )
        return corrected, backward(corrected), Estimate(math.sqrt(change), math.sqrt(error), 2)

    return step


def semi_implicit(system: System, dt: float) -> Step:
    """First-order scheme: linear part implicit, the rest explicit; the plain reference.

    It estimates no error, so its step stays as it is.
    """
    explicit, linear = system.symbols
    decay = 1 / (1 - linear * dt)
    decay, drive = system.tables(decay, decay * explicit * dt)

    def step(spectrum: Array, u: Array, time: float) -> tuple[Array, Array, Estimate]:
        after = np.empty_like(spectrum)
        first = system.force(spectrum, u, time)
        etd_stage(spectrum, first, decay, drive, after)
        change = squared_change(spectrum, after, system.weight)
        return after, system.grid.backward(after), Estimate(math.sqrt(change))

    return step


def phi_functions(z: Array) -> tuple[Array, Array, Array, Array]:
    r""":math:`e^z` and :math:`\varphi_1, \varphi_2, \varphi_3` of real z, to machine precision.

    :math:`\varphi_{n+1}(z) = (\varphi_n(z) - 1/n!)/z` with :math:`\varphi_0 = e^z`; where this
    cancels, near 0, :math:`\varphi_3` is summed as a series and the others follow from it.
    """
    functions = np.empty((4, z.size))
    evaluate_phi_functions(z.ravel(), functions)
    exponential, phi1, phi2, phi3 = functions.reshape(4, *z.shape)
    return exponential, phi1, phi2, phi3
