"""Thermal fluctuations: the noise that the fluctuation-dissipation theorem asks of a flow."""

import numpy as np

from phasegen.equations import Array
from phasegen.integrators import System, phi_functions


def thermal_noise(
    system: System, u: Array, dt: float, temperature: float, rng: np.random.Generator
) -> Array:
    r"""Spectrum of the fluctuations that arise during dt.

    The rate of every field is white in time and of variance :math:`2 k_B T M` (not conserved) or
    :math:`2 k_B T M k^2` (conserved: the divergence of a random flux), per volume. What arises
    early in the step decays by its linear part until the end, so a large step stays bounded.

    Parameters
    ----------
    u : ndarray (fields, cells)
    temperature : float
        :math:`k_B T`, in the unit of the energy.

    References
    ----------
    Cook, Acta Metall. 18, 297 (1970).
    """
    flow, grid = system.flow, system.grid
    explicit, linear, _ = system.potential_symbols
    lasting = 2 * temperature / grid.cell * dt * phi_functions(2 * dt * linear)[1]
    conserved = np.array(flow.conserved)[:, None]
    if flow.relative_mobility is None or not conserved.any():
        (amplitude,) = system.tables(np.sqrt(-explicit * lasting))
        noise: Array = amplitude * grid.forward(rng.standard_normal(u.shape, dtype=u.dtype))
        return noise
    mobility = np.array(flow.mobility)[:, None]
    (amplitude,) = system.tables(np.sqrt(mobility * lasting))
    white = grid.forward(rng.standard_normal(u.shape, dtype=u.dtype))
    share = np.sqrt(np.maximum(flow.relative_mobility(u), 0))
    draw = [share * rng.standard_normal(u.shape, dtype=u.dtype) for _ in grid.shape]
    return amplitude * np.where(conserved, grid.divergence(draw), white)
