"""Free energies against finite differences, and closed forms of interfaces and growth rates."""

from dataclasses import replace

import numpy as np
import pytest

from phasegen.equations import Array, GradientFlow, interface_width
from phasegen.equations.allen_cahn import allen_cahn
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.equations.eutectic import eutectic
from phasegen.equations.ordered_precipitates import ordered_precipitates
from phasegen.equations.regular_solution import regular_solution
from phasegen.errors import InputError
from phasegen.integrators import etdrk2
from phasegen.stepping import energy, run, trajectory

FLOWS = {
    "cahn-hilliard": cahn_hilliard(gradient=1.5, barrier=1.2, low=0.1, high=0.95),
    "allen-cahn": allen_cahn(gradient=1.5, barrier=1.2, drive=0.2),
    "regular solution": regular_solution(gradient=4.0, interaction=1.4, lengths=(4.0, 1.0)),
    "ordered": ordered_precipitates(
        low=0.25, high=0.8, gradient=2.5, stiffness=1.7, barrier=1.3, repulsion=3.0
    ),
    "eutectic": eutectic(0.15, -0.3, well=1.3, stiffness=0.8, barrier=1.2),
}
each_flow = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)


@each_flow
def test_potential_is_the_derivative_of_the_bulk_energy(flow: GradientFlow) -> None:
    """Beyond the wells, too: the regular solution's energy goes on there."""
    u = np.random.default_rng(0).uniform(-0.2, 1.2, (len(flow.names), 12))
    potential = np.empty_like(u)
    flow.potential(u, potential)
    step = 1e-5
    for index in np.ndindex(*u.shape):
        up, down = u.copy(), u.copy()
        up[index] += step
        down[index] -= step
        slope = (flow.bulk_energy(up) - flow.bulk_energy(down)) / (2 * step)
        assert potential[index] == pytest.approx(slope, rel=1e-7, abs=1e-8)


@each_flow
def test_symbols_descend_the_whole_energy(flow: GradientFlow) -> None:
    """The first tiny step is -mobility dt times the variation of `energy`, gradients included."""
    rng = np.random.default_rng(1)
    u = rng.uniform(0.2, 0.8, (len(flow.names), 8, 8))
    u[:] = np.fft.irfft2(np.fft.rfft2(u) * (np.abs(np.fft.fftfreq(8)) < 0.4)[:, None], (8, 8))
    flow = replace(flow, conserved=(False,) * len(flow.names))
    dt, step = 1e-7, 1e-5
    (_, after), *_ = trajectory(flow, u, dt, dt=dt, adaptive=False, dtype="float64")
    direction = rng.standard_normal(u.shape)
    slope = (energy(flow, u + step * direction) - energy(flow, u - step * direction)) / (2 * step)
    mobility = np.array(flow.mobility)[:, None, None]
    assert (-(after - u) / dt / mobility * direction).sum() == pytest.approx(slope, rel=1e-4)


def _two_interfaces(cells: int, length: float, low: float, high: float) -> Array:
    """A slab between two tanh profiles, (1, 1, cells)."""
    x = np.arange(cells) + 0.5
    slab = np.tanh((x - cells / 4) / length) - np.tanh((x - 3 * cells / 4) / length) - 1
    return ((low + high) / 2 + (high - low) / 2 * slab)[None, None]


@pytest.mark.parametrize(("width", "error"), [(3.0, 1e-3), (4.0, 1e-4), (6.0, 1e-6)])
def test_equilibrium_profile_and_interface_energy(width: float, error: float) -> None:
    barrier, low, high = 1.3, 0.15, 0.9
    gradient = (width / interface_width(1.0, barrier, high - low)) ** 2 * (1 + 1e-9)
    length = 2 / (high - low) * np.sqrt(gradient / (2 * barrier))
    closed = _two_interfaces(128, length, low, high)
    flow = cahn_hilliard(1.0, gradient, barrier, low, high)
    # From a profile that is too wide: the closed form is found, not kept.
    wide = _two_interfaces(128, 1.5 * length, low, high)
    wide += closed.mean() - wide.mean()
    found = run(flow, wide, 1e5, tolerance=1e-4, dtype="float64")
    assert np.abs(found - closed).max() < error
    # sigma = sqrt(kappa W / 18) (high - low)^3, twice.
    sigma = np.sqrt(gradient * barrier / 18) * (high - low) ** 3
    assert energy(flow, found) == pytest.approx(2 * sigma, rel=2e-3)


def test_interface_width_is_that_of_the_profile() -> None:
    length = 2 / 0.7 * np.sqrt(30.0 / (2 * 1.1))
    x = np.linspace(-80, 80, 100_001)
    profile = 0.5 * (1 + np.tanh(x / length))
    measured = np.interp(0.9, profile, x) - np.interp(0.1, profile, x)
    assert interface_width(30.0, 1.1, 0.7) == pytest.approx(measured, rel=1e-6)


@pytest.mark.parametrize("waves", [2, 5, 9])
def test_small_wave_follows_the_dispersion_relation(waves: int) -> None:
    """Rate -M k^2 (f'' + kappa k^2): growth inside the spinodal, decay of short waves."""
    cells, mobility, gradient, barrier, mean = 64, 1.7, 1.5, 1.2, 0.45
    flow = cahn_hilliard(mobility, gradient, barrier)
    wave = np.cos(2 * np.pi * waves * np.arange(cells) / cells)
    u = mean + 1e-6 * wave[None, None]
    grown = run(flow, u, 1.0, dt=0.01, adaptive=False, dtype="float64")
    rate = np.log(2 * (grown * wave).mean() / 1e-6)
    k2 = (2 * np.pi * waves / cells) ** 2
    curvature = 2 * barrier * (1 - 6 * mean * (1 - mean))
    assert rate == pytest.approx(-mobility * k2 * (curvature + gradient * k2), rel=1e-3)


def test_circle_shrinks_at_the_rate_of_mean_curvature() -> None:
    """Without a driving force one variant obeys Allen-Cahn: dA/dt = -2 pi M kappa."""
    cells, mobility, gradient = 64, 1.0, 2.0
    flow = ordered_precipitates(mobility=mobility, gradient=gradient, stiffness=0.0)
    y, x = np.mgrid[:cells, :cells] - cells / 2
    u = np.zeros((5, cells, cells))
    u[1] = 0.5 * (1 - np.tanh((np.hypot(y, x) - 22) / np.sqrt(2 * gradient)))
    path = trajectory(flow, u, 25.0, dt=0.02, adaptive=False, dtype="float64")
    time, area = np.array([(t, v[1].sum()) for t, v in path if t > 5]).T
    assert np.polyfit(time, area, 1)[0] == pytest.approx(-2 * np.pi * mobility * gradient, rel=0.01)


def test_stabiliser_changes_no_solution() -> None:
    u = 0.5 + 0.1 * np.random.default_rng(3).standard_normal((1, 16, 16))
    flow = cahn_hilliard(gradient=2.0)
    bare = replace(flow, stabiliser=(0.0,))
    control = {"dt": 2e-3, "adaptive": False, "dtype": "float64", "integrator": etdrk2}
    np.testing.assert_allclose(
        run(flow, u, 1.0, **control), run(bare, u, 1.0, **control), atol=2e-6
    )


@pytest.mark.parametrize("wrong", [{"stiffness": -1}, {"repulsion": -5}, {"low": 0.7, "high": 0.3}])
def test_precipitates_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InputError, match="ordered precipitates: "):
        ordered_precipitates(**wrong)
