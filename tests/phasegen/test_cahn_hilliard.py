"""Variable mobility, fluctuations, no-flux walls, the energy of mixing and coarsening."""

from itertools import pairwise

import numpy as np
import pytest

from phasegen.equations import Array
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.equations.regular_solution import binodal, excess_energy, regular_solution
from phasegen.errors import InputError
from phasegen.grid import Grid
from phasegen.integrators import etdrk2
from phasegen.stepping import energy, run, trajectory


def _noise(shape: tuple[int, ...], mean: float = 0.5, seed: int = 0) -> Array:
    return mean + 0.05 * np.random.default_rng(seed).standard_normal((1, *shape))


def _degenerate(c: Array) -> Array:
    """Diffusion along interfaces alone."""
    return 4 * np.clip(c * (1 - c), 0, 0.25)


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_small_wave_grows_with_the_mobility_at_its_mean(boundary) -> None:
    cells, mean = 32, 0.4
    flow = cahn_hilliard(1.7, 1.5, relative_mobility=lambda c: 0.3 + c * c)
    wave = np.cos(2 * np.pi * 3 * (np.arange(cells) + 0.5) / cells)
    wave = wave[:, None] * np.cos(2 * np.pi * (np.arange(cells) + 0.5) / cells)
    grown = run(
        flow, mean + 1e-6 * wave[None], 1.0, dt=0.01, adaptive=False, dtype="float64",
        boundary=boundary,
    )  # fmt: skip
    rate = np.log(4 * ((grown - mean) * wave).mean() / 1e-6)
    k2 = (2 * np.pi * 3 / cells) ** 2 + (2 * np.pi / cells) ** 2
    curvature = 2 * (1 - 6 * mean * (1 - mean))
    mobility = 1.7 * (0.3 + mean * mean)
    assert rate == pytest.approx(-mobility * k2 * (curvature + 1.5 * k2), rel=1e-3)


@pytest.mark.parametrize("shape", [(48, 40), (16, 12, 14)])
@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_variable_mobility_conserves_and_descends(shape: tuple[int, ...], boundary) -> None:
    flow = cahn_hilliard(gradient=2.0, relative_mobility=_degenerate)
    u = _noise(shape)
    path = trajectory(flow, u, 30.0, dtype="float64", boundary=boundary)
    fields = [u, *(v for _, v in path)]
    energies = [energy(flow, v, boundary=boundary) for v in fields]
    assert energies[-1] < 0.9 * energies[0]
    assert max(b / a - 1 for a, b in pairwise(energies)) < 1e-8
    assert abs(fields[-1].mean() / u.mean() - 1) < 1e-12


def test_mobility_of_one_is_the_constant_mobility() -> None:
    u = _noise((24, 24))
    control = {"dt": 0.01, "adaptive": False, "dtype": "float64"}
    constant = run(cahn_hilliard(gradient=2.0), u, 2.0, **control)
    variable = cahn_hilliard(gradient=2.0, relative_mobility=np.ones_like)
    # The Nyquist modes of the noise, which have no flux, are what differs.
    smooth = run(cahn_hilliard(gradient=2.0), u, 1.0, **control)
    np.testing.assert_allclose(run(variable, smooth, 1.0, **control), constant, atol=1e-5)


def test_no_flux_box_is_a_quarter_of_its_periodic_mirror_image() -> None:
    flow, u = cahn_hilliard(gradient=2.0), _noise((20, 16))
    control = {"dt": 0.05, "adaptive": False, "dtype": "float64"}
    mirror = np.concatenate([u, u[:, ::-1]], axis=1)
    mirror = np.concatenate([mirror, mirror[:, :, ::-1]], axis=2)
    box = run(flow, u, 10.0, boundary="no-flux", **control)
    whole = run(flow, mirror, 10.0, **control)
    np.testing.assert_allclose(box, whole[:, :20, :16], atol=1e-11)
    assert 4 * energy(flow, box, boundary="no-flux") == pytest.approx(energy(flow, whole))


@pytest.mark.parametrize(
    ("relative", "control"),
    [
        (None, {"adaptive": False, "integrator": etdrk2}),
        (np.ones_like, {"adaptive": False, "integrator": etdrk2}),
        (None, {"tolerance": 8e-6}),
    ],
    ids=["constant", "flux", "adaptive"],
)
def test_fluctuations_have_the_structure_factor_of_equilibrium(relative, control) -> None:
    """Within a phase <|c_k|^2> = k_B T / (f'' + kappa k^2) per volume, at any mobility."""
    cells, spacing, temperature, mobility = 16, 1.5, 1e-4, 2.0
    flow = cahn_hilliard(mobility, gradient=4.0, spacing=spacing, relative_mobility=relative)
    rng = np.random.default_rng(5)
    grid = Grid((cells, cells), "float64", spacing)
    power, duration, before, sizes = np.zeros(grid.k2.size), 0.0, 5.0, set()
    control = {"dt": 0.05, "dtype": "float64"} | control
    thermal = {"spacing": spacing, "temperature": temperature, "rng": rng}
    path = trajectory(flow, np.zeros((1, cells, cells)), 100.0, **control, **thermal)
    for time, u in path:
        if time > 5:
            power += np.abs(grid.forward(u.reshape(1, -1))[0]) ** 2 * (time - before)
            duration += time - before
            sizes.add(round(time - before, 6))
            before = time
        assert abs(u.mean()) < 1e-13
    assert (len(sizes) > 2) == control.get("adaptive", True)
    measured = power / duration * grid.cell / cells**2
    k2 = grid.k2
    # Long waves relax too slowly to be sampled well, the shortest within a step.
    band = (k2 > 0.2) & (k2 < 1.5)
    assert (measured / (temperature / (2.0 + 4.0 * k2)))[band].mean() == pytest.approx(1, abs=0.05)


def test_fluctuations_are_those_of_the_generator() -> None:
    flow, u = cahn_hilliard(gradient=2.0), np.full((1, 24, 24), 0.5)

    def after(seed: int) -> Array:
        return run(flow, u, 20.0, temperature=1e-3, rng=np.random.default_rng(seed))

    first = after(1)
    assert first.std() > 0.01
    np.testing.assert_array_equal(first, after(1))
    assert not np.array_equal(first, after(2))
    with pytest.raises(InputError, match=r"temperature = 0.1 makes no fluctuations"):
        run(flow, u, 1.0, temperature=0.1)


def test_no_step_is_drawn_again_for_its_fluctuations() -> None:
    """Else the largest fluctuations are those that are drawn again, smaller."""
    used = 0

    class Counting(np.random.Generator):
        def standard_normal(self, *arguments, **options):
            nonlocal used
            used += 1
            return super().standard_normal(*arguments, **options)

    thermal = {"temperature": 1e-2, "rng": Counting(np.random.PCG64(3)), "tolerance": 1e-4}
    times = [t for t, _ in trajectory(cahn_hilliard(), np.zeros((1, 16, 16)), 3.0, **thermal)]
    steps = np.diff([0.0, *times])
    # The first step is far from accurate, and those that follow are smaller.
    assert steps[0] == pytest.approx(0.05)
    assert steps[10] < 0.03
    assert used == 2 * len(steps)


@pytest.mark.parametrize(("interaction", "lengths"), [(2.5, (1.0, 1.0)), (1.4, (4.0, 1.0))])
def test_energy_of_mixing(interaction: float, lengths: tuple[float, float]) -> None:
    """Both phases and the energy of a flat interface are those of the common tangent."""
    low, high = binodal(interaction, lengths)
    c = np.linspace(low, high, 100_001)
    excess = np.maximum(excess_energy(c, interaction, lengths), 0)
    # The tangent touches from below at both ends: no excess, no slope.
    assert excess.min() == 0
    assert max(excess[1], excess[-2]) < 1e-9
    gradient = 12.0
    sigma = np.trapezoid(np.sqrt(2 * gradient * excess), c)
    flow = regular_solution(gradient=gradient, interaction=interaction, lengths=lengths)
    x = (np.arange(96) + 0.5)[None, None]
    slab = 0.5 * (np.tanh((x - 24) / 6) - np.tanh((x - 72) / 6))
    found = run(flow, low + (high - low) * slab, 2e4, tolerance=1e-4, dtype="float64")
    assert (found.min(), found.max()) == pytest.approx((low, high), abs=1e-3)
    ends = np.array([[[found.min()]], [[found.max()]]]).reshape(1, 2)
    bulk = np.array([flow.bulk_energy(ends[:, :1]), flow.bulk_energy(ends[:, 1:])])
    share = (found.mean() - ends[0, 0]) / (ends[0, 1] - ends[0, 0])
    interfaces = energy(flow, found) - found.size * (bulk[0] + share * (bulk[1] - bulk[0]))
    assert interfaces == pytest.approx(2 * sigma, rel=2e-3)


def test_regular_solution_refuses_what_mixes() -> None:
    low, high = binodal(2.5)
    assert np.log(low / high) == pytest.approx(2.5 * (low - high))
    assert low + high == pytest.approx(1)
    with pytest.raises(InputError, match=r"interaction = 1.9 makes no two phases"):
        regular_solution(interaction=1.9)
    with pytest.raises(InputError, match=r"too thin.*raise the gradient"):
        regular_solution(gradient=0.1)


@pytest.mark.slow
def test_coarsening_exponent() -> None:
    """The length per area of interface, and with it the energy, falls as t^(-1/3)."""
    flow = cahn_hilliard(gradient=2.0)
    u = _noise((1024, 1024))
    u += 0.5 - u.mean()
    energies = []
    times = [1000.0, 1700.0, 2900.0, 5000.0]
    for before, after in pairwise([0.0, *times]):
        u = run(flow, u, after - before, dt=min(0.05 + before / 1000, 1.0))
        energies.append(energy(flow, u))
    assert 0.30 <= -np.polyfit(np.log(times), np.log(energies), 1)[0] <= 0.36
