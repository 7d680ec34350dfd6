"""Time integration of a `GradientFlow` on a periodic grid, in Fourier space.

An integrator is a plain function ``(flow, grid, dt) -> step``; `run` drives one of them with an
adaptive time step. The spectrum is the state, so the mean of a conserved field never changes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from phasegen.equations import Array, GradientFlow
from phasegen.kernels import etd_correct, etd_predict


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

    def k2(self) -> Array:
        """Squared wave number of every mode, (modes,), float64."""
        axes = [2 * np.pi * np.fft.fftfreq(n) for n in self.shape[:-1]]
        axes.append(2 * np.pi * np.fft.rfftfreq(self.shape[-1]))
        total = np.zeros(())
        for axis in axes:
            total = total[..., None] + axis**2
        return total.ravel()

    def weight(self) -> Array:
        """Parseval weight of every mode of the half spectrum, (modes,), so that sums are means."""
        last = np.full(self.shape[-1] // 2 + 1, 2.0)
        last[0] = 1.0
        if self.shape[-1] % 2 == 0:
            last[-1] = 1.0
        cells = float(np.prod(self.shape))
        return np.tile(last / cells**2, int(np.prod(self.shape[:-1])))


Step = Callable[[Array, Array], tuple[Array, Array, float]]
"""``(spectrum, u) -> (spectrum, u, error)`` after dt; error: RMS difference of the stages."""

Integrator = Callable[[GradientFlow, Grid, float], Step]


def etdrk2(flow: GradientFlow, grid: Grid, dt: float) -> Step:
    r"""Exponential time differencing, Runge-Kutta of second order, with an embedded first order.

    The linear part is integrated exactly; the first stage is the first-order scheme, the second
    corrects it, and their difference estimates the error.

    References
    ----------
    Cox and Matthews, J. Comput. Phys. 176, 430 (2002), equations (22)-(23).
    """
    k2 = grid.k2()
    z = flow.linear_symbol(k2) * dt
    explicit = flow.explicit_symbol(k2) * dt
    decay, phi1, phi2 = _phi_functions(z)
    stabiliser = np.array(flow.stabiliser)
    decay -= stabiliser[:, None] * explicit * phi1
    decay, drive, correction, stabiliser, weight = (
        a.astype(grid.dtype)
        for a in (decay, explicit * phi1, explicit * phi2, stabiliser, grid.weight())
    )

    def step(spectrum: Array, u: Array) -> tuple[Array, Array, float]:
        potential = np.empty_like(u)
        flow.potential(u, potential)
        before = grid.forward(potential)
        predicted = np.empty_like(spectrum)
        etd_predict(spectrum, before, decay, drive, predicted)
        flow.potential(grid.backward(predicted), potential)
        after = grid.forward(potential)
        corrected = np.empty_like(spectrum)
        square = etd_correct(
            predicted, spectrum, before, after, correction, stabiliser, weight, corrected
        )
        return corrected, grid.backward(corrected), float(np.sqrt(square))

    return step


def semi_implicit(flow: GradientFlow, grid: Grid, dt: float) -> Step:
    """First-order scheme: linear part implicit, the rest explicit; the plain reference.

    It estimates no error (0), so it is for fixed steps.
    """
    k2 = grid.k2()
    decay = 1 / (1 - flow.linear_symbol(k2) * dt)
    drive = decay * flow.explicit_symbol(k2) * dt
    decay -= np.array(flow.stabiliser)[:, None] * drive
    decay, drive = decay.astype(grid.dtype), drive.astype(grid.dtype)

    def step(spectrum: Array, u: Array) -> tuple[Array, Array, float]:
        potential = np.empty_like(u)
        flow.potential(u, potential)
        out = np.empty_like(spectrum)
        etd_predict(spectrum, grid.forward(potential), decay, drive, out)
        return out, grid.backward(out), 0.0

    return step


def run(
    flow: GradientFlow,
    u: Array,
    time: float,
    *,
    dt: float = 0.05,
    tolerance: float = 3e-3,
    adaptive: bool = True,
    integrator: Integrator = etdrk2,
    dtype: str = "float32",
) -> Array:
    """Integrate `flow` from `u` over `time`.

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
    adaptive : bool
        Whether the step follows the error estimate.

    Returns
    -------
    ndarray (fields, [Z,] Y, X)

    Raises
    ------
    BlowUpError
        If a field stops being finite or the step falls below 1e-6 of the first one.
    """
    shape = u.shape
    for _, _, u in _trajectory(flow, u, time, dt, tolerance, adaptive, integrator, dtype):
        pass
    return u.reshape(shape)


def energy(flow: GradientFlow, u: Array) -> float:
    """Total energy of fields (fields, [Z,] Y, X), the gradients taken spectrally, in float64."""
    grid = Grid(u.shape[1:], "float64")
    flat = u.reshape(u.shape[0], -1).astype(np.float64)
    power = np.abs(grid.forward(flat)) ** 2 @ (grid.weight() * grid.k2())
    gradients = 0.5 * np.dot(flow.gradient, power) * flat.shape[1]
    return flow.bulk_energy(flat) + float(gradients)


def _trajectory(
    flow: GradientFlow,
    u: Array,
    time: float,
    dt: float,
    tolerance: float,
    adaptive: bool,
    integrator: Integrator,
    dtype: str,
) -> Iterator[tuple[float, float, Array]]:
    grid = Grid(u.shape[1:], dtype)
    make = lru_cache(maxsize=8)(lambda size: integrator(flow, grid, size))
    u = np.ascontiguousarray(u.reshape(u.shape[0], -1), dtype=dtype)
    spectrum = grid.forward(u)
    now, smallest = 0.0, 1e-6 * dt
    level = 0
    while now < time * (1 - 1e-12):
        # Steps come from a ladder of ratio sqrt(2), so that their coefficient tables are reused.
        size = min(dt * 2 ** (level / 2), time - now)
        new_spectrum, new_u, error = make(size)(spectrum, u)
        if not np.isfinite(error) or not np.isfinite(new_u[:, 0]).all():
            if not adaptive or size < smallest:
                raise BlowUpError(f"fields stopped being finite at t = {now:.6g}, dt = {size:.3g}")
            level -= 4
            continue
        if adaptive and error > tolerance:
            if size < smallest:
                raise BlowUpError(f"error {error:.3g} at t = {now:.6g} even with dt = {size:.3g}")
            level -= 1 if error < 2 * tolerance else 2
            continue
        spectrum, u, now = new_spectrum, new_u, now + size
        yield now, size, u
        if adaptive and error < 0.4 * tolerance:
            level += 1


def _phi_functions(z: Array) -> tuple[Array, Array, Array]:
    """exp(z), (exp(z) - 1) / z and (exp(z) - 1 - z) / z^2, by series where these cancel."""
    small = np.abs(z) < 1e-2
    safe = np.where(small, 1.0, z)
    grown = np.expm1(safe)
    phi1 = np.where(small, 1 + z / 2 * (1 + z / 3 * (1 + z / 4)), grown / safe)
    phi2 = np.where(small, 0.5 + z / 6 * (1 + z / 4 * (1 + z / 5)), (grown - safe) / safe**2)
    return np.exp(z), phi1, phi2
