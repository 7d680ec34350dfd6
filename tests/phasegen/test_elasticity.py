"""Coherency energy against closed forms, a solution of the elastic problem, and Crum's theorem."""

from itertools import pairwise

import numpy as np
import pytest

from phasegen.elasticity import Cubic, Misfit, direction_energy
from phasegen.equations import Array
from phasegen.equations.ordered_precipitates import ordered_precipitates
from phasegen.errors import InputError
from phasegen.grid import Grid
from phasegen.integrators import Integrator, etdrk2, etdrk4
from phasegen.stepping import energy, run, trajectory

NICKEL = Cubic(210.0, 146.0, 97.0)
ISOTROPIC = Cubic(220.0, 100.0, 60.0)
DILATION = np.full(3, 0.01)


def _tensor(c: Cubic) -> Array:
    """C_ijkl along the cube axes."""
    one = np.eye(3)
    full = c.c12 * np.einsum("ij,kl->ijkl", one, one)
    full += c.c44 * (np.einsum("ik,jl->ijkl", one, one) + np.einsum("il,jk->ijkl", one, one))
    for i in range(3):
        full[i, i, i, i] += c.c11 - c.c12 - 2 * c.c44
    return full


def _field(shape: tuple[int, ...]) -> Array:
    """Phase fraction without waves at the Nyquist frequency, whose direction is ambiguous."""
    spectrum = np.fft.fftn(np.random.default_rng(0).standard_normal(shape))
    for axis, n in enumerate(shape):
        if n % 2 == 0:
            np.moveaxis(spectrum, axis, 0)[n // 2] = 0
    return np.fft.ifftn(spectrum).real


def _kernel_energy(misfit: Misfit, x: Array) -> float:
    grid = Grid(x.shape, "float64")
    power = np.abs(grid.forward(x.reshape(1, -1))[0]) ** 2 * grid.weight
    return 0.5 * float((misfit.kernel(grid.k) * power).sum())


@pytest.mark.parametrize(
    ("normal", "stiff"),
    [((1, 0, 0), 210), ((0, 1, 1), (210 + 146 + 194) / 2), ((1, -1, 1), (210 + 292 + 388) / 3)],
)
def test_plates_on_symmetry_planes(normal: tuple[int, ...], stiff: float) -> None:
    """B = s (3 - s / C_L), s = C11 + 2 C12, C_L the longitudinal modulus along the normal."""
    n = np.array(normal)[:, None] / np.sqrt(np.dot(normal, normal))
    s = 210 + 2 * 146
    found = direction_energy(NICKEL, DILATION, n)
    assert found == pytest.approx(1e-4 * s * (3 - s / stiff), rel=1e-12)


def test_isotropic_crystal_has_no_preferred_direction() -> None:
    """B = 4 mu (1 + nu)/(1 - nu) eps^2, twice Eshelby's energy of any dilated inclusion."""
    lame, shear = 100.0, 60.0
    nu = lame / (2 * (lame + shear))
    n = np.random.default_rng(0).standard_normal((3, 50))
    found = direction_energy(ISOTROPIC, DILATION, n / np.linalg.norm(n, axis=0))
    np.testing.assert_allclose(found, 4 * shear * (1 + nu) / (1 - nu) * 1e-4, rtol=1e-12)


@pytest.mark.parametrize("shape", [(9, 12), (6, 7, 8)])
def test_energy_is_that_of_the_solved_elastic_problem(shape: tuple[int, ...]) -> None:
    """Displacements solved mode by mode in full tensors; strains and stresses in real space."""
    misfit = Misfit(0.01, Cubic(200, 150, 90), Cubic(220, 142, 104), (3.0, -5.0, 8.0), 23.0)
    turn = np.deg2rad(23.0)
    cos, sin = np.cos(turn), np.sin(turn)
    # Columns are the cube axes z, y, x in the frame of the image (z, y, x).
    axes = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    c = np.einsum("ia,jb,kc,ld,abcd->ijkl", *[axes] * 4, _tensor(NICKEL))
    eigenstrain = axes @ np.diag(misfit.eigenstrain) @ axes.T
    x = _field(shape)
    waves = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(n) for n in shape], indexing="ij")
    k = np.zeros((3, x.size))
    k[3 - len(shape) :] = [w.ravel() for w in waves]
    spectrum = np.fft.fftn(x - x.mean()).ravel()
    force = -1j * np.einsum("ijkl,kl,jm,m->mi", c, eigenstrain, k, spectrum)
    acoustic = np.einsum("ijkl,jm,lm->mik", c, k, k)
    acoustic[0] = np.eye(3)
    displacement = np.linalg.solve(acoustic, force[:, :, None])[:, :, 0]
    gradient = 1j * np.einsum("jm,mi->ijm", k, displacement).reshape(3, 3, *shape)
    strain = np.fft.ifftn(gradient, axes=range(2, 2 + len(shape))).real
    strain = (strain + strain.swapaxes(0, 1)) / 2
    strain -= eigenstrain[(...,) + (None,) * len(shape)] * (x - x.mean())
    density = 0.5 * np.einsum("ijkl,ij...,kl...->...", c, strain, strain).mean()
    assert _kernel_energy(misfit, x) == pytest.approx(density, rel=1e-10)


def test_crum_energy_of_a_dilated_inclusion_in_an_isotropic_solid_depends_on_no_shape() -> None:
    y, x = np.mgrid[:32, :32]
    disc = (np.hypot(y - 16, x - 16) < 8).astype(float)
    plate = np.zeros((32, 32))
    plate.flat[: int(disc.sum())] = 1
    isotropic, cubic = Misfit(0.01, ISOTROPIC, ISOTROPIC), Misfit(0.01, NICKEL, NICKEL)
    of_disc, of_plate = _kernel_energy(isotropic, disc), _kernel_energy(isotropic, plate)
    assert of_disc == pytest.approx(of_plate, rel=1e-12)
    # And it is Eshelby's: B / 2 per inclusion volume, less what its periodic images relieve.
    share = disc.mean()
    nu = 100 / 320
    assert of_disc == pytest.approx(2 * 60 * 1e-4 * (1 + nu) / (1 - nu) * share * (1 - share))
    # In a crystal that is soft along the cube axes the plate is the cheaper of the two.
    assert _kernel_energy(cubic, disc) > 1.1 * _kernel_energy(cubic, plate)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_energy_of_a_lamella_in_a_simulation(axis: int) -> None:
    """B(n)/2 (V_p/V)(1 - V_p/V) per volume for sharp plates; here with the variance of c."""
    misfit = Misfit(0.01, NICKEL, NICKEL, scale=3.0)
    plain, strained = ordered_precipitates(), ordered_precipitates(misfit=misfit)
    u = np.zeros((5, 16, 16, 16))
    y = np.arange(16) / 16
    wave = 0.5 + 0.15 * np.cos(2 * np.pi * y) + 0.05 * np.cos(4 * np.pi * y)
    u[0] += np.moveaxis(np.broadcast_to(wave, u[0].shape), 2, axis)
    assert energy(strained, u) == pytest.approx(energy(plain, u), rel=1e-12)
    # Normal to [011]: more expensive by s^2 (1/C11 - 1/C_L), s = C11 + 2 C12.
    index = np.indices((16, 16, 16))
    diagonal = index[axis] + index[axis - 1]
    u[0] = wave[diagonal % 16]
    excess = 502**2 * (1 / 210 - 2 / (210 + 146 + 2 * 97)) * 1e-4 * 3.0
    expected = 0.5 * excess * wave.var() / 0.4**2 * u[0].size
    found = energy(strained, u) - energy(plain, u)
    assert found == pytest.approx(expected, rel=1e-10)


def test_direction_turns_with_the_angle() -> None:
    """The soft axes lie `angle` anticlockwise from x as the picture shows it, y downwards."""
    turn = np.deg2rad(np.arange(0.0, 180.0))
    k = np.stack([-np.sin(turn), np.cos(turn)])
    straight = Misfit(0.01, NICKEL, NICKEL).kernel(k)
    turned = Misfit(0.01, NICKEL, NICKEL, angle=30.0).kernel(k)
    np.testing.assert_allclose(turned, np.roll(straight, 30), rtol=1e-12)
    assert straight.argmin() in (0, 90)
    flat = Misfit(0.01, NICKEL, NICKEL, angle=30.0).kernel(np.stack([np.zeros(180), *k]))
    np.testing.assert_allclose(flat, turned, rtol=1e-12)


@pytest.mark.parametrize("strain", [-0.002, 0.002])
@pytest.mark.parametrize("stress", [-0.2, 0.2])
@pytest.mark.parametrize("stiffer", [-10.0, 10.0])
def test_softest_normal_under_load(strain: float, stress: float, stiffer: float) -> None:
    """Along the load where stress x misfit x mismatch is negative, across it elsewhere."""
    matrix, particle = Cubic(210 - stiffer / 2, 146, 97), Cubic(210 + stiffer / 2, 146, 97)
    for axis in range(3):
        load = tuple(stress if i == axis else 0.0 for i in range(3))
        kernel = Misfit(strain, matrix, particle, load).kernel(np.eye(3))
        across, along = np.delete(kernel, axis), kernel[axis]
        np.testing.assert_allclose(across[0], across[1], rtol=1e-12)
        assert (along < across[0]) == (stress * strain * stiffer < 0)
        # No load lies between the two.
        free = Misfit(strain, matrix, particle).kernel(np.eye(3))[0]
        assert (along - free) * (across[0] - free) < 0


def test_equal_constants_feel_no_load() -> None:
    loaded = Misfit(0.002, NICKEL, NICKEL, (0.1, -0.2, 0.3))
    np.testing.assert_allclose(loaded.eigenstrain, 0.002)


def _particle(cells: int, dimensions: int = 2) -> Array:
    centre = np.indices((cells,) * dimensions) - cells / 2
    u = np.zeros((5, *centre.shape[1:]))
    u[1] = 0.5 * (1 - np.tanh((np.sqrt((centre**2).sum(axis=0)) - cells / 4) / 2))
    u[0] = 0.3 + 0.4 * u[1]
    return u


@pytest.mark.parametrize("stress", [0.0, 0.4])
def test_energy_never_rises_with_misfit(stress: float) -> None:
    particle = Cubic(220, 146, 97)
    misfit = Misfit(-0.002, NICKEL, particle, (0.0, stress, 0.0), 17.0, scale=600.0)
    flow = ordered_precipitates(gradient=2.0, misfit=misfit)
    path = trajectory(flow, _particle(48), 100.0, dtype="float64")
    energies = [energy(flow, _particle(48))] + [energy(flow, v) for _, v in path]
    assert energies[-1] < 0.99 * energies[0]
    assert max(b / a - 1 for a, b in pairwise(energies)) < 1e-8


@pytest.mark.parametrize(("integrator", "order", "steps"), [(etdrk2, 2, 16), (etdrk4, 4, 48)])
def test_integrators_keep_their_order_with_misfit(
    integrator: Integrator, order: int, steps: int
) -> None:
    misfit = Misfit(-0.002, NICKEL, NICKEL, angle=17.0, scale=1000.0)
    # Smooth and slow, since the order of stiff modes only shows at steps far below any use.
    flow = ordered_precipitates(gradient=2.0, mobility=0.1, misfit=misfit)
    y, x = 2 * np.pi * np.indices((16, 16)) / 16
    start = np.zeros((5, 16, 16))
    start[0] = 0.5 + 0.1 * np.cos(x + y)
    start[1] = 0.4 + 0.3 * np.cos(x) * np.cos(y)

    def after(count: int, scheme: Integrator) -> Array:
        dt = 1 / count
        return run(flow, start, 1.0, dt=dt, adaptive=False, integrator=scheme, dtype="float64")

    reference = after(1024, etdrk4)
    counts = (steps, 2 * steps, 4 * steps)
    errors = [np.abs(after(count, integrator) - reference).max() for count in counts]
    for coarse, fine in pairwise(errors):
        assert np.log2(coarse / fine) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(
    ("constants", "problem"),
    [
        ((210, 146, -1), r"C44 = -1 is not positive"),
        ((146, 210, 97), r"C11 - C12 = -64 is not positive"),
        ((100, -60, 97), r"C11 \+ 2 C12 = -20 is not positive"),
    ],
)
def test_refuses_an_unstable_crystal(constants: tuple[float, ...], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Cubic(*constants)
