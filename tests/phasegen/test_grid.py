"""Transforms, wave numbers and norms of every kind of boundary."""

import numpy as np
import pytest

from phasegen.errors import InputError
from phasegen.grid import Boundary, Grid

MIXED: tuple[Boundary, ...] = ("zero", "no-flux", "periodic")
CASES = [
    ((8,), "periodic"),
    ((7, 6), "periodic"),
    ((6, 9), "periodic"),
    ((4, 5, 6), "periodic"),
    ((7, 6), "no-flux"),
    ((4, 5, 6), "no-flux"),
    ((5, 8), "zero"),
    ((6, 7), ("zero", "periodic")),
    ((6, 7), ("periodic", "no-flux")),
    ((5, 7, 6), MIXED),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "boundary"), CASES)
def test_spectra_obey_parseval_and_return(shape, boundary, dtype: str) -> None:
    grid = Grid(shape, dtype, boundary=boundary)
    u = np.random.default_rng(0).standard_normal((2, int(np.prod(shape)))).astype(dtype)
    before = u.copy()
    spectrum = grid.forward(u)
    back = grid.backward(spectrum)
    np.testing.assert_array_equal(u, before)
    assert back.dtype == dtype
    precision = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(back, u, atol=precision)
    norm = np.abs(spectrum) ** 2 @ grid.weight
    np.testing.assert_allclose(norm, (u**2).mean(axis=1), rtol=precision)
    values, index = grid.shells
    np.testing.assert_array_equal(values[index], grid.k2)
    np.testing.assert_allclose((grid.k**2).sum(axis=0), grid.k2, atol=1e-12)


@pytest.mark.parametrize("spacing", [0.5, 2.0])
@pytest.mark.parametrize("boundary", ["periodic", "no-flux", "zero"])
def test_laplacian_of_a_wave_that_the_boundary_allows(boundary: Boundary, spacing: float) -> None:
    rows, columns = 12, 10
    grid = Grid((rows, columns), "float64", spacing, boundary)
    y, x = np.meshgrid(*((np.arange(n) + 0.5) * spacing for n in (rows, columns)), indexing="ij")
    half = np.pi / (spacing * np.array([rows, columns]))
    wave = {
        "periodic": lambda a, b: np.cos(a) * np.sin(b),
        "no-flux": lambda a, b: np.cos(a) * np.cos(b),
        "zero": lambda a, b: np.sin(a) * np.sin(b),
    }[boundary]
    ky, kx = 2 * half[0], 4 * half[1]
    u = wave(ky * y, kx * x).reshape(1, -1)
    laplacian = grid.backward(-grid.k2 * grid.forward(u))
    np.testing.assert_allclose(laplacian, -(ky**2 + kx**2) * u, atol=1e-12 / spacing**2)


def test_signed_wave_vectors_of_a_periodic_grid() -> None:
    grid = Grid((6, 8), spacing=0.5)
    k = grid.k.reshape(2, 6, 5) * 6 * 0.5 / (2 * np.pi)
    np.testing.assert_allclose(k[0, :, 0], [0, 1, 2, -3, -2, -1], atol=1e-12)
    np.testing.assert_allclose(k[1, 0] * 8 / 6, [0, 1, 2, 3, 4], atol=1e-12)


def test_refuses_an_impossible_grid() -> None:
    with pytest.raises(InputError, match=r"spacing = 0 is not positive"):
        Grid((4, 4), spacing=0.0)
    with pytest.raises(InputError, match=r"boundary 'open' is unknown"):
        Grid((4, 4), boundary="open")
    with pytest.raises(InputError, match=r"is unknown"):
        Grid((4, 4, 4), boundary=("periodic", "no-flux"))
