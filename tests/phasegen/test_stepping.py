"""Conservation, dissipation, measured order and failure of the integrators."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from phasegen.equations import Array, GradientFlow
from phasegen.equations.allen_cahn import allen_cahn
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.equations.ordered_precipitates import ordered_precipitates
from phasegen.equations.regular_solution import binodal, regular_solution
from phasegen.errors import InputError
from phasegen.grid import Grid
from phasegen.integrators import Integrator, System, etdrk2, etdrk4, semi_implicit
from phasegen.stepping import LEAST_SHARE, BlowUpError, energy, run, trajectory


def _noise(cells: int, seed: int = 0) -> Array:
    return 0.45 + 0.05 * np.random.default_rng(seed).standard_normal((1, cells, cells))


def _particles(cells: int) -> Array:
    """Concentration and four variants: four particles, two of them of one variant and touching."""
    u = np.zeros((5, cells, cells))
    y, x = np.mgrid[:cells, :cells] / cells
    centres = [(0.25, 0.25), (0.25, 0.72), (0.7, 0.3), (0.7, 0.65)]
    for variant, (cy, cx) in zip((1, 1, 2, 3), centres, strict=True):
        distance = np.hypot((y - cy + 0.5) % 1 - 0.5, (x - cx + 0.5) % 1 - 0.5)
        u[variant] += 0.5 * (1 - np.tanh((distance - 0.17) * cells / 2))
    u[0] = 0.3 + 0.4 * u[1:].sum(axis=0)
    return u


CASES = [
    pytest.param(cahn_hilliard(gradient=2.0), _noise(64), id="cahn-hilliard"),
    pytest.param(ordered_precipitates(gradient=2.0), _particles(64), id="ordered"),
]


# A stiff explicit part (couplings that diffuse, a mobility that varies) shows its order at small
# steps alone, that is at a small mobility and for waves that are not too short.
ORDER_CASES = [
    pytest.param(cahn_hilliard(gradient=2.0), _noise(64), 1.0, id="cahn-hilliard"),
    pytest.param(ordered_precipitates(gradient=2.0), _particles(64), 0.2, id="ordered"),
    pytest.param(allen_cahn(gradient=2.0, drive=0.15), _noise(64), 1.0, id="allen-cahn"),
    pytest.param(
        cahn_hilliard(gradient=2.0, relative_mobility=lambda u: 0.2 + 3.2 * u * (1 - u)),
        _noise(64),
        0.3,
        id="variable mobility",
    ),
]


@pytest.mark.parametrize(("dtype", "drift"), [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize(("flow", "u"), CASES)
def test_mean_of_a_conserved_field_stays(
    flow: GradientFlow, u: Array, dtype: str, drift: float
) -> None:
    mean = u[0].astype(dtype).mean(dtype="float64")
    after = run(flow, u, 30.0, dtype=dtype)
    assert after.dtype == dtype
    assert after.shape == u.shape
    assert np.abs(after[0] - u[0]).max() > 0.05
    assert abs(after[0].mean(dtype="float64") / mean - 1) < drift


@pytest.mark.parametrize("relative", [0.3, 10.0])
@pytest.mark.parametrize(("flow", "u"), CASES)
def test_energy_never_rises(flow: GradientFlow, u: Array, relative: float) -> None:
    """At the default tolerance, and where next to nothing but stability limits the step."""
    path = trajectory(flow, u, 100.0, relative_tolerance=relative, dtype="float64")
    energies = [energy(flow, u)] + [energy(flow, v) for _, v in path]
    assert energies[-1] < 0.95 * energies[0]
    assert max(b / a - 1 for a, b in pairwise(energies)) < 1e-8


@pytest.mark.parametrize(
    ("integrator", "order", "steps"),
    [(semi_implicit, 1, 64), (etdrk2, 2, 64), (etdrk4, 4, 18)],
)
@pytest.mark.parametrize(("flow", "u", "mobility"), ORDER_CASES)
def test_measured_order(
    flow: GradientFlow, u: Array, mobility: float, integrator: Integrator, order: int, steps: int
) -> None:
    # The order is that of a smooth solution: rough noise first settles.
    start = run(flow, u[:, :32, :32], 1.0, dtype="float64")
    flow = replace(flow, mobility=(mobility,) * len(flow.names))

    def after(dt: float, scheme: Integrator) -> Array:
        control = {"dt": dt, "adaptive": False, "dtype": "float64", "spacing": 2.0}
        return run(flow, start, 1.0, integrator=scheme, **control)

    reference = after(1 / 256, etdrk4)
    counts = (steps, 2 * steps, 4 * steps)
    errors = [np.abs(after(1 / n, integrator) - reference).max() for n in counts]
    for coarse, fine in pairwise(errors):
        assert np.log2(coarse / fine) == pytest.approx(order, abs=0.2)


def test_slow_coarsening_does_not_lag() -> None:
    """A large step would be held back by the stabiliser within any absolute tolerance."""
    flow = cahn_hilliard(gradient=2.0)
    start = run(flow, _noise(128), 100.0)
    reference = energy(flow, run(flow, start, 400.0, tolerance=1e-4))
    assert energy(flow, run(flow, start, 400.0)) == pytest.approx(reference, rel=5e-3)
    lagging = run(flow, start, 400.0, tolerance=3e-3, relative_tolerance=10.0)
    assert energy(flow, lagging) > 1.01 * reference


def test_final_time_is_met_and_the_start_kept() -> None:
    u = _noise(16)
    before = u.copy()
    times = [t for t, _ in trajectory(cahn_hilliard(), u, 1.234)]
    assert times[-1] == pytest.approx(1.234, rel=1e-12)
    np.testing.assert_array_equal(u, before)
    fixed = np.diff([0.0, *(t for t, _ in trajectory(cahn_hilliard(), u, 1.0, adaptive=False))])
    np.testing.assert_allclose(fixed, 0.05)


def test_step_grows_once_the_fields_are_at_rest() -> None:
    steps = list(trajectory(cahn_hilliard(), np.full((1, 8, 8), 0.3), 1e5))
    assert len(steps) < 60


def test_scheme_without_an_estimate_keeps_its_step() -> None:
    path = trajectory(cahn_hilliard(), _noise(16), 1.0, dt=0.1, integrator=semi_implicit)
    np.testing.assert_allclose(np.diff([0.0, *(t for t, _ in path)]), 0.1)


def test_two_and_three_dimensions_agree() -> None:
    flow, u = cahn_hilliard(gradient=2.0), _noise(16)
    control = {"dt": 0.1, "adaptive": False, "dtype": "float64"}
    plane = run(flow, u, 5.0, **control)
    block = run(flow, np.repeat(u[:, None], 6, axis=1), 5.0, **control)
    np.testing.assert_allclose(block, np.repeat(plane[:, None], 6, axis=1), atol=1e-12)


@pytest.mark.parametrize("integrator", [etdrk4, etdrk2, semi_implicit])
def test_blow_up_is_noticed_at_a_fixed_step(integrator: Integrator) -> None:
    unstable = replace(cahn_hilliard(mobility=50.0), stabiliser=(0.0,))
    with pytest.raises(BlowUpError, match=r"not finite at t = .* with dt = 5"):
        run(unstable, _noise(32), 5000.0, dt=5.0, adaptive=False, integrator=integrator)


def test_adaptive_step_recovers_from_too_large_a_first_one() -> None:
    unstable = replace(cahn_hilliard(mobility=50.0), stabiliser=(0.0,))
    after = run(unstable, _noise(32), 1.0, dt=10.0)
    assert np.abs(after).max() < 1.1
    assert energy(unstable, after) < energy(unstable, _noise(32))


def test_rising_energy_is_noticed() -> None:
    """A step too large for too weak a stabiliser: the fields stay finite, but oscillate."""
    flow = replace(cahn_hilliard(gradient=2.0), stabiliser=(0.3,))
    with pytest.raises(
        BlowUpError, match=r"energy rose from .* at t = .*\(step \d+\) with dt = 20"
    ):
        run(flow, _noise(32), 1e4, dt=20.0, adaptive=False, integrator=semi_implicit)


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("flow", "u"), CASES)
def test_any_value_that_is_not_finite_is_noticed(
    flow: GradientFlow, u: Array, bad: float, adaptive: bool
) -> None:
    u = u.copy()
    u[-1, 5, 7] = bad
    with pytest.raises(BlowUpError, match=r"not finite at t = 0"):
        run(flow, u, 1.0, adaptive=adaptive)


@pytest.mark.parametrize("shape", [(16, 16), (2, 16, 16), (1, 16), (1, 4, 4, 4, 4)])
def test_fields_that_are_not_those_of_the_flow_are_refused(shape):
    flow, u = cahn_hilliard(gradient=2.0), np.zeros(shape)
    for use in (lambda: run(flow, u, 1.0), lambda: energy(flow, u)):
        with pytest.raises(InputError, match=r"Give an array of shape \(1, \[Z,\] Y, X\)"):
            use()


@pytest.mark.parametrize("interaction", [4.0, 5.0])
def test_a_stiff_energy_separates_instead_of_standing_still(interaction):
    flow = regular_solution(gradient=16.9, interaction=interaction)
    u = 0.5 + np.random.default_rng(0).uniform(-0.05, 0.05, (1, 32, 32))
    after = run(flow, u, 100.0)
    low, high = binodal(interaction)
    assert after.min() == pytest.approx(low, abs=0.02)
    assert after.max() == pytest.approx(high, abs=0.02)


def test_time_does_not_pass_without_the_fields():
    """A step makes at least `LEAST_SHARE` of what the rate at its start promises."""
    flow = cahn_hilliard(gradient=2.0)
    u = run(flow, 0.5 + np.random.default_rng(0).uniform(-0.1, 0.1, (1, 64, 64)), 200.0)
    shares, before, now = [], u.astype(np.float64), 0.0
    system = System(flow, Grid((64, 64), "float64"))
    for time, after in trajectory(flow, u, 4e3, dt=1.0, dtype="float64"):
        flat = before.reshape(1, -1)
        spectrum = system.grid.forward(flat)
        linear, explicit = system.tables(system.symbols[1], system.symbols[0])
        rate = linear * spectrum + explicit * system.force(spectrum, flat, 0.0)
        promised = (time - now) * np.sqrt(np.mean(system.grid.backward(rate) ** 2))
        if promised > 1e-3:
            shares.append(np.sqrt(np.mean((after - before) ** 2)) / promised)
        before, now = after.astype(np.float64), time
    assert len(shares) > 20
    assert min(shares) > 0.95 * LEAST_SHARE
