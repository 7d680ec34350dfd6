"""Thermal fluctuations: the noise that the fluctuation-dissipation theorem asks of a flow."""

import numpy as np

from phasegen.equations import Array
from phasegen.integrators import Estimate, Integrator, Step, System


def fluctuating(integrator: Integrator, temperature: float, rng: np.random.Generator) -> Integrator:
    r"""An integrator whose steps lie between two halves of their fluctuations.

    The rate of every field has a part that is white in time and of variance :math:`2 k_B T M` (not
    conserved) or :math:`2 k_B T M k^2` (conserved: the divergence of a random flux), per volume.
    The amplitude of modes that relax within a step is bounded by their linear part, so that these,
    too, have the fluctuations of equilibrium, to second order in the step.

    Parameters
    ----------
    temperature : float
        :math:`k_B T`, in the unit of the energy.

    References
    ----------
    Cook, Acta Metall. 18, 297 (1970).
    """

    def build(system: System, dt: float) -> Step:
        drift = integrator(system, dt)
        explicit, linear, _ = system.potential_symbols
        relaxed = np.maximum(-linear * dt, 1e-12)
        variance = temperature / system.grid.cell * dt * np.tanh(relaxed) / relaxed
        if system.flow.relative_mobility is None:
            variance = -explicit * variance
        else:
            variance = np.array(system.flow.mobility)[:, None] * variance
        (amplitude,) = system.tables(np.sqrt(variance))

        def step(spectrum: Array, u: Array, time: float) -> tuple[Array, Array, Estimate]:
            spectrum = spectrum + amplitude * _white(system, u, rng)
            after, u, estimate = drift(spectrum, system.grid.backward(spectrum), time)
            after += amplitude * _white(system, u, rng)
            return after, system.grid.backward(after), estimate

        return step

    return build


def _white(system: System, u: Array, rng: np.random.Generator) -> Array:
    """Spectrum of a noise of unit variance, or of the divergence of such a flux if M varies."""
    flow, grid = system.flow, system.grid
    white = grid.forward(rng.standard_normal(u.shape, dtype=u.dtype))
    if flow.relative_mobility is None:
        return white
    share = np.sqrt(np.maximum(flow.relative_mobility(u), 0))
    flux = [share * rng.standard_normal(u.shape, dtype=u.dtype) for _ in grid.shape]
    return np.where(np.array(flow.conserved)[:, None], grid.divergence(flux), white)
