"""Dendrites against published tip velocities, conservation and the variation of the energy."""

import numpy as np
import pytest

from phasegen.equations import Array
from phasegen.equations.solidification import (
    Melt,
    Solidification,
    add_crystals,
    random_orientations,
    solidify,
    undercooled,
)
from phasegen.errors import InputError
from phasegen.recipes import dendrites
from phasegen.stepping import BlowUpError

ALIGNED = {2: np.array([[1.0, 0.0]]), 3: np.eye(3)[None]}


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _crystal(
    shape: tuple[int, ...], undercooling: float, radius: float, spacing: float, dtype: str
) -> Melt:
    """A crystal of the given radius (in W_0) at the corner of the box."""
    melt = undercooled(shape, undercooling, dtype)
    distance = np.sqrt(sum(np.ix_(*[(np.arange(n) + 0.5) ** 2 for n in shape]))) * spacing
    phase = np.tanh((radius - distance) / np.sqrt(2)).astype(dtype)
    return Melt(phase, melt.temperature, melt.grain, ALIGNED[len(shape)])


def _tip_velocity(
    undercooling: float, diffusivity: float, cells: tuple[int, int], times: tuple[float, float]
) -> float:
    """Velocity of a tip along the last axis between two times, in D / d_0."""
    model = Solidification(diffusivity, 0.05, spacing=0.8, periodic=False)
    melt = _crystal(cells, undercooling, 8.0, model.spacing, "float32")
    tips = []
    for duration in (times[0], times[1] - times[0]):
        melt = solidify(model, melt, duration, _rng())
        row = melt.phase[0]
        last = np.flatnonzero(row > 0)[-1]
        tips.append((last + row[last] / (row[last] - row[last + 1])) * model.spacing)
    velocity = (tips[1] - tips[0]) / (times[1] - times[0])
    return float(velocity * model.capillary_length / diffusivity)


def test_tip_velocity_at_high_undercooling() -> None:
    """Green's function solution for Delta = 0.65, epsilon = 0.05: V d_0 / D = 0.0469.

    Karma and Rappel, Phys. Rev. E 57, 4323 (1998), table of two-dimensional dendrites; their
    phase field gave 0.0465 with the same D.
    """
    velocity = _tip_velocity(0.65, 1.0, (100, 160), (600.0, 800.0))
    assert velocity == pytest.approx(0.0469, rel=0.05)


@pytest.mark.slow
def test_tip_velocity_at_moderate_undercooling() -> None:
    """The same table at Delta = 0.55: 0.0170 (Green's function), 0.0168 (phase field, D = 2)."""
    velocity = _tip_velocity(0.55, 2.0, (200, 400), (1300.0, 1700.0))
    assert velocity == pytest.approx(0.0170, rel=0.05)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [(40, 56), (16, 20, 24)])
@pytest.mark.parametrize(("dtype", "drift"), [("float64", 1e-12), ("float32", 1e-6)])
def test_enthalpy_is_conserved(shape, periodic: bool, dtype: str, drift: float) -> None:
    model = Solidification(noise=0.05, periodic=periodic)
    melt = _crystal(shape, 0.6, 5.0, model.spacing, dtype)
    after = solidify(model, melt, 8.0, _rng())
    assert after.phase.mean() > melt.phase.mean() + 0.01

    def enthalpy(m: Melt) -> float:
        return float((m.temperature.astype(float) - m.phase.astype(float) / 2).mean())

    assert enthalpy(after) == pytest.approx(enthalpy(melt), rel=drift)


WAVE = np.pi / 10
"""Wave number of the fields below, whose box is 20 W_0 wide."""


def _waves(x: Array) -> Array:
    """A smooth periodic order parameter at points (axes, ...)."""
    along = sum(np.sin(WAVE * a + 0.7 * i) for i, a in enumerate(x))
    return 0.3 * along + 0.1 * np.cos(WAVE * (x[0] - x[1]))


def _gradient(x: Array) -> Array:
    slope = WAVE * np.stack([0.3 * np.cos(WAVE * a + 0.7 * i) for i, a in enumerate(x)])
    across = 0.1 * WAVE * np.sin(WAVE * (x[0] - x[1]))
    slope[0] -= across
    slope[1] += across
    return slope


def _bulk(gradient: Array, turned: Array, strength: float) -> Array:
    """a(n)^2 g^2 / 2 of gradients (axes, ...), `turned` being the axes of the crystal."""
    g = np.tensordot(turned, gradient, 1)
    g2 = (g**2).sum(axis=0)
    return 0.5 * (1 - 3 * strength + 4 * strength * (g**4).sum(axis=0) / g2**2) ** 2 * g2


def _variation(x: Array, turned: Array, strength: float) -> Array:
    """Divergence of the derivative of `_bulk` with respect to the gradient, by differences."""
    h, total = 1e-4, np.zeros(x.shape[1:])
    for i in range(len(x)):
        step = h * np.eye(len(x))[i].reshape(-1, *[1] * (x.ndim - 1))
        for sign in (-1, 1):
            g = _gradient(x + sign * step)
            flux = _bulk(g + step, turned, strength) - _bulk(g - step, turned, strength)
            total += sign * flux / (2 * h) ** 2
    return total


@pytest.mark.parametrize("dimensions", [2, 3])
def test_anisotropic_term_is_the_variation_of_the_gradient_energy(dimensions: int) -> None:
    """One tiny step against derivatives of the energy at the points, the error falling as dx^2."""
    strength, dt = 0.05, 1e-7
    if dimensions == 2:
        cosine, sine = np.cos(0.4), np.sin(0.4)
        # Axes of a crystal turned from x towards y by 0.4, its components in the order (y, x).
        turned = np.array([[cosine, -sine], [sine, cosine]])
        orientation = np.array([[np.cos(1.6), np.sin(1.6)]])
    else:
        orientation = random_orientations(1, 3, np.random.default_rng(3))
        turned = orientation[0]
        np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-12)
    errors = []
    for cells in (32, 64):
        model = Solidification(0.6267, strength, spacing=20 / cells)
        axis = np.arange(cells) * model.spacing
        x = np.stack(np.meshgrid(*[axis] * dimensions, indexing="ij"))
        phase, gradient = _waves(x), _gradient(x)
        melt = Melt(phase, np.zeros_like(phase), np.zeros(phase.shape, np.int32), orientation)
        rate = (solidify(model, melt, dt, _rng()).phase - phase) / dt
        # Where the gradient vanishes, the direction of the interface jumps.
        steep = (gradient**2).sum(axis=0) > 0.25 * (gradient**2).sum(axis=0).max()
        inertia = 2 * _bulk(gradient, turned, strength) / (gradient**2).sum(axis=0)
        exact = (_variation(x, turned, strength) + phase * (1 - phase**2)) / inertia
        errors.append(np.abs(rate - exact)[steep].max() / np.abs(exact[steep]).max())
    assert errors[1] < 5e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


def test_plane_and_space_agree() -> None:
    """A cylinder along an axis of the crystal grows as in the plane, whatever its turn about it."""
    model = Solidification(anisotropy=0.06, spacing=0.6)
    angle = 0.3
    cosine, sine = np.cos(angle), np.sin(angle)
    plane = undercooled((48, 48), 0.7, "float64")
    sites, wide = np.array([[24.0, 22.0]]), np.array([[np.cos(4 * angle), np.sin(4 * angle)]])
    plane = add_crystals(model, plane, sites, 8.0, wide)
    turned = np.array([[[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]])
    layers = [np.repeat(f[None], 4, axis=0) for f in (plane.phase, plane.temperature, plane.grain)]
    # The time step of space is smaller, so both take that of the plane over many short times.
    block = Melt(*layers, turned)
    dt = 0.5 * model.largest_step(3)
    for _ in range(60):
        plane, block = (solidify(model, m, dt, _rng()) for m in (plane, block))
    assert plane.phase.mean() > layers[0].mean() + 0.05
    # The Laplacians of 9 and 19 points differ in their error alone.
    np.testing.assert_allclose(block.phase[1], plane.phase, atol=0.02)
    np.testing.assert_allclose(block.phase[1], block.phase[3], atol=1e-12)


def test_small_crystals_melt_and_large_ones_grow() -> None:
    """Gibbs-Thomson: a disc is at rest at u = -d_0 / R."""
    model = Solidification(1.0, 0.0, spacing=0.5)
    critical = 6.0
    undercooling = model.capillary_length / critical
    for factor in (0.85, 1.15):
        melt = undercooled((100, 100), undercooling, "float64")
        site, radius = np.array([[50.0, 50.0]]), factor * critical / model.spacing
        melt = add_crystals(model, melt, site, radius, ALIGNED[2])
        # The first instants shape the interface; the disc hardly changes its field in the rest.
        early = solidify(model, melt, 2.0, _rng())
        late = solidify(model, early, 4.0, _rng())
        assert np.sign(late.phase.mean() - early.phase.mean()) == np.sign(factor - 1)


def test_crystals_keep_apart_what_belongs_to_them() -> None:
    """Turning a crystal by its symmetry changes nothing; each solid cell knows its crystal."""
    model = Solidification()
    sites = np.array([[20.0, 20.0], [60.0, 58.0]])
    grown = []
    for turns in ([0.0, 0.7], [np.pi / 2, 0.7 - np.pi / 2]):
        orientation = np.stack([np.cos(4 * np.array(turns)), np.sin(4 * np.array(turns))], axis=1)
        melt = add_crystals(model, undercooled((80, 80), 0.6), sites, 5.0, orientation)
        grown.append(solidify(model, melt, 60.0, _rng()))
    np.testing.assert_allclose(grown[0].phase, grown[1].phase, atol=1e-3)
    cells = np.argwhere(grown[0].phase > 0)
    offset = np.abs(cells[:, None] - sites)
    nearest = (np.minimum(offset, 80 - offset) ** 2).sum(axis=2).argmin(axis=1)
    owner = grown[0].grain[tuple(cells.T)]
    assert len(cells) > 800
    assert (owner == nearest).mean() > 0.95


def test_noise_is_that_of_the_generator_alone() -> None:
    model = Solidification(noise=0.1)
    melt = _crystal((40, 40), 0.6, 5.0, model.spacing, "float32")
    first, again = (solidify(model, melt, 5.0, _rng()).phase for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = solidify(model, melt, 5.0, np.random.default_rng(1)).phase
    assert (first != other).any()


def test_what_is_not_finite_is_noticed() -> None:
    melt = _crystal((20, 20), 0.6, 5.0, 0.8, "float32")
    melt.temperature[3, 4] = np.nan
    with pytest.raises(BlowUpError, match="fields not finite after"):
        solidify(Solidification(), melt, 1.0, _rng())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"diffusivity": 0.0}, "diffusivity = 0 is not positive"),
        ({"anisotropy": 0.07}, r"anisotropy = 0\.07 leaves orientations out"),
        ({"noise": -1.0}, "noise = -1 is negative"),
        ({"spacing": 1.2}, r"interface of 2\.59 cells .* Choose a spacing up to 1\.0"),
    ],
)
def test_refuses_what_cannot_be_simulated(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Solidification(**wrong)


def test_recipe_freezes_as_much_as_asked_and_labels_its_crystals() -> None:
    ranges = dendrites.Ranges.load(magnification=1.3, undercooling=0.6, solidified=0.8)
    p = ranges.draw(_rng())
    phase, mask, instance, fields = dendrites.grow(p, (120, 150), _rng())
    assert phase.mean() == pytest.approx(0.48, abs=0.03)
    assert mask.mean() == pytest.approx(phase.mean(), abs=0.01)
    np.testing.assert_array_equal(instance > 0, mask > 0)
    # Latent heat is all that warms the melt, but for the nuclei put in.
    assert fields[1].mean() == pytest.approx(phase.mean() - 0.6, abs=0.02)


@pytest.mark.slow
def test_recipe_grows_volumes() -> None:
    p = dendrites.Ranges.load(magnification=1.3).draw(_rng())
    phase, mask, instance, _ = dendrites.grow(p, (40, 48, 52), _rng())
    assert phase.shape == mask.shape == instance.shape == (40, 48, 52)
    assert 0.3 < mask.mean() < 0.7
