"""Interpolation against closed forms, labels against a brute-force flood fill."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from phasegen.errors import InputError
from phasegen.masks import Array, coarse, label_periodic, label_variants, magnify, renumber

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=3, max_side=6))


def _waves(shape: tuple[int, ...]) -> Array:
    """A band-limited field of two periods at most, sampled on a grid of the unit torus."""
    y, x = (2 * np.pi * np.arange(n) / n for n in shape)
    y, x = y[:, None], x[None, :]
    return np.stack([0.3 + np.cos(2 * y - x + 0.4), np.sin(y) * np.cos(2 * x) - 1.5 + 0 * (y + x)])


@pytest.mark.parametrize("cells", [(8, 10), (9, 7), (5, 6), (32, 30)])
@pytest.mark.parametrize("shape", [(12, 11), (13, 24), (40, 40)])
def test_magnify_is_exact_for_waves_both_grids_hold(
    cells: tuple[int, int], shape: tuple[int, int]
) -> None:
    fine = magnify(_waves(cells), shape)
    np.testing.assert_allclose(fine, _waves(shape), atol=1e-13)


@pytest.mark.parametrize("shape", [(21, 34), (16, 15), (7, 8), (16, 8)])
def test_magnify_keeps_the_mean_and_the_precision(shape: tuple[int, int]) -> None:
    fields = np.random.default_rng(0).random((3, 16, 15)).astype(np.float32)
    fine = magnify(fields, shape)
    assert fine.dtype == np.float32
    assert fine.shape == (3, *shape)
    np.testing.assert_allclose(fine.mean(axis=(1, 2)), fields.mean(axis=(1, 2)), rtol=1e-6)


def test_magnify_drops_the_ambiguous_nyquist_wave() -> None:
    """An alternating row has no phase, so no position: as an interpolant it is left out."""
    alternating = np.tile([1.0, -1.0], (1, 4, 4))
    np.testing.assert_allclose(magnify(alternating, (12, 16)), 0, atol=1e-15)
    np.testing.assert_allclose(magnify(alternating.transpose(0, 2, 1), (12, 16)), 0, atol=1e-15)


def test_magnify_in_three_dimensions() -> None:
    x = 2 * np.pi * np.arange(6) / 6
    block = np.cos(x)[:, None, None] + np.sin(x)[None, :, None] * np.cos(2 * x)
    fine = magnify(block[None], (12, 18, 12))[0]
    np.testing.assert_allclose(fine[::2, ::3, ::2], block, atol=1e-14)


def _flood(mask: Array) -> Array:
    """Components of a periodic mask by flood fill, numbered in the order of their first cell."""
    labels = np.zeros(mask.shape, int)
    count = 0
    for start in np.ndindex(mask.shape):
        if not mask[start] or labels[start]:
            continue
        count += 1
        stack = [start]
        while stack:
            cell = stack.pop()
            if not mask[cell] or labels[cell]:
                continue
            labels[cell] = count
            for axis, side in np.ndindex(mask.ndim, 2):
                near = list(cell)
                near[axis] = (near[axis] + 2 * side - 1) % mask.shape[axis]
                stack.append(tuple(near))
    return labels


@given(MASKS)
def test_labels_equal_a_flood_fill(mask: Array) -> None:
    labels = label_periodic(mask)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, _flood(mask))


@given(MASKS, st.lists(st.integers(-5, 5), min_size=3, max_size=3))
def test_labels_follow_a_periodic_shift(mask: Array, shift: list[int]) -> None:
    axes = tuple(range(mask.ndim))
    shifted = np.roll(label_periodic(mask), shift[: mask.ndim], axes)
    again = label_periodic(np.roll(mask, shift[: mask.ndim], axes))
    np.testing.assert_array_equal(renumber(shifted), again)


def test_renumber_closes_gaps_in_order_of_appearance() -> None:
    labels = np.array([[0, 9, 9], [4, 0, 9], [4, 7, 0]])
    np.testing.assert_array_equal(renumber(labels), [[0, 1, 1], [2, 0, 1], [2, 3, 0]])
    np.testing.assert_array_equal(renumber(np.zeros((2, 3), int)), np.zeros((2, 3)))
    np.testing.assert_array_equal(renumber(np.full((2, 2), 5)), np.ones((2, 2)))


def test_variants_part_touching_particles_and_wrap_around() -> None:
    phases = np.zeros((2, 4, 8))
    phases[0, 1:3, 1:4] = 1  # touches variant 1 on the right
    phases[1, 1:3, 4:6] = 1
    phases[1, 0, [0, 7]] = 1  # one particle across the edge
    phases[:, 3, 2] = 0.3  # a boundary cell: inside by the sum, of the first variant in a tie
    expected = [
        [1, 0, 0, 0, 0, 0, 0, 1],
        [0, 2, 2, 2, 3, 3, 0, 0],
        [0, 2, 2, 2, 3, 3, 0, 0],
        [0, 0, 2, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(label_variants(phases), expected)
    np.testing.assert_array_equal(label_variants(phases, threshold=0.7)[3], np.zeros(8))


@given(arrays(float, (3, 5, 6), elements=st.floats(0, 1)))
def test_variants_cover_exactly_the_particles(phases: Array) -> None:
    labels = label_variants(phases)
    np.testing.assert_array_equal(labels > 0, phases.sum(axis=0) > 0.5)
    variant = phases.argmax(axis=0)
    for number in range(1, labels.max() + 1):
        assert len(np.unique(variant[labels == number])) == 1


def test_a_grid_too_coarse_for_any_structure_is_refused():
    assert coarse((64, 64), 8.0) == (8, 8)
    with pytest.raises(
        InputError, match=r"leaves 6\.4 grid cells to 64 pixels.* 80 pixels or more"
    ):
        coarse((128, 64), 10.0)


@pytest.mark.parametrize(
    "shape", [(256, 256), (480, 640), (484, 645), (700, 1000), (128, 256, 256)]
)
def test_cells_are_square_and_of_about_the_size_asked_for(shape):
    for magnification in np.linspace(1.1, 2.9, 37):
        cells = coarse(shape, magnification)
        pixels = np.array(shape) / cells
        assert np.ptp(pixels) < 0.006 * pixels.mean()
        assert pixels.mean() == pytest.approx(magnification, rel=0.045)
        assert all(max(factors(n)) <= 7 for n in cells)


def factors(n):
    found = [1]
    for prime in range(2, n + 1):
        while n % prime == 0:
            found.append(prime)
            n //= prime
    return found
