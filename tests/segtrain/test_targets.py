import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu

from phasegen.errors import InputError
from segtrain.targets import TARGETS
from segtrain.targets.diagonals import lay_out
from segtrain.targets.diffusion import leaky_heat
from segtrain.targets.instances import compact
from segtrain.targets.poisson import deflection

# Random pixels: instances touch, have holes, fall apart, lie at the frame, or are single pixels.
LABELS = array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7).flatmap(
    lambda shape: arrays(np.uint16, shape, elements=st.sampled_from([0, 1, 1, 2, 2, 40]))
)
SIZES = st.tuples(*[st.sampled_from([0.5, 1.0, 2.5])] * 3)


def disc(radius, margin=1):
    y, x = np.indices((2 * (radius + margin) + 1,) * 2) - radius - margin
    return (x * x + y * y <= radius * radius).astype(np.uint8)


def poisson_by_lu(mask, spacing):
    inside = np.pad(mask, 1)
    numbers = np.full(inside.shape, -1)
    numbers[inside] = np.arange(mask.sum())
    matrix = sparse.eye(mask.sum(), format="lil") * (2 * sum(1 / s**2 for s in spacing))
    for axis, size in enumerate(spacing):
        other = np.roll(numbers, 1, axis)
        both = inside & (other >= 0)
        matrix[numbers[both], other[both]] = matrix[other[both], numbers[both]] = -1 / size**2
    solution = np.zeros(mask.shape)
    solution[mask] = splu(matrix.tocsc()).solve(np.ones(mask.sum()))
    return solution


def source_of(mask, spacing):
    points = np.argwhere(mask)
    distance = (((points - points.mean(axis=0)) * spacing) ** 2).sum(axis=1)
    source = np.zeros(mask.shape)
    source[tuple(points[np.isclose(distance, distance.min(), rtol=0, atol=1e-9)].T)] = 1
    return source / source.sum()


def sum_of_box(heat):
    return ndimage.uniform_filter(heat, 3, mode="constant") * 3**heat.ndim


def leaky_by_definition(mask, spacing):
    source, heat, counts = source_of(mask, spacing), np.zeros(mask.shape), []
    pieces, number = ndimage.label(mask, np.ones((3,) * mask.ndim))
    for piece in range(1, number + 1):
        inside = pieces == piece
        if source[inside].any():
            within, count = leaky_piece_by_definition(inside, source * inside)
            heat += within
            counts.append(count)
    return heat, max(counts)


def leaky_piece_by_definition(mask, source):
    heat = np.zeros(mask.shape)
    for iteration in range(1, 10_000):
        before, heat = heat, sum_of_box(heat + source) / 3**mask.ndim * mask
        if np.linalg.norm(heat - before) < 0.01:
            return heat, iteration
    raise AssertionError("does not converge")


def solve_poisson(labels, spacing):
    instances, solution, iterations = deflection(compact(labels), spacing)
    return instances.image(solution, float), iterations


@settings(deadline=None)
@given(LABELS, SIZES)
def test_poisson_equals_sparse_lu(labels, sizes):
    spacing = sizes[: labels.ndim]
    solution, _ = solve_poisson(labels, spacing)
    for label in set(labels.ravel().tolist()) - {0}:
        mask = labels == label
        np.testing.assert_allclose(solution[mask], poisson_by_lu(mask, spacing)[mask], rtol=1e-6)
    assert not solution[labels == 0].any()


def test_poisson_of_a_large_instance_equals_sparse_lu():
    mask = disc(40) > 0
    mask[30:34, 20:60] = False
    solution, _ = solve_poisson(mask, (1.0, 1.0))
    np.testing.assert_allclose(solution[mask], poisson_by_lu(mask, (1.0, 1.0))[mask], rtol=1e-6)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.5)])
def test_poisson_of_scattered_and_compact_instances_equals_sparse_lu(spacing):
    labels = np.zeros((60, 70), int)
    labels[2:28, 3:30] = disc(12)[:26, :27]
    labels[1:60:7, 31:70:9] = 2
    labels[57, :30], labels[30:50, 12] = 3, 4
    labels[[0, 59], [69, 0]] = 5
    instances, solution, _ = deflection(compact(labels), spacing)
    for label in range(1, 6):
        own = slice(*instances.starts[label : label + 2])
        places = np.empty(own.stop - own.start, np.uint64)
        _, size = lay_out(instances.pixels[own], instances.padded[-1], places)
        assert (size == 0) == (label == 2)
        mask = labels == label
        expected = poisson_by_lu(mask, spacing)[mask]
        np.testing.assert_allclose(solution[own], expected, rtol=1e-6)


def test_poisson_closed_forms():
    # One pixel: 4 u = 1. A strip without end would deflect by x (L - x) / 2.
    assert solve_poisson(np.ones((1, 1), int), (1.0, 1.0))[0] == pytest.approx(0.25)
    # Thin pixels decouple the long axis, of which 1 / 100^2 remains.
    x = np.arange(1, 10)
    strip = solve_poisson(np.ones((3, 9), int), (1e4, 1.0))[0]
    np.testing.assert_allclose(strip[1], x * (10 - x) / 2, rtol=1e-5)
    # Clamped square of side 1: 0.0736713 in the middle (torsion of a square bar, Timoshenko).
    square = solve_poisson(np.ones((63, 63), int), (1 / 64, 1 / 64))[0]
    assert square[31, 31] == pytest.approx(0.0736713, rel=1e-3)


@pytest.mark.parametrize(("radius", "iterations"), [(6, 60), (12, 171), (25, 487)])
def test_leaky_diffusion_of_discs(radius, iterations):
    pieces, heat, found = leaky_heat(compact(disc(radius)), (1.0, 1.0))
    expected, count = leaky_by_definition(disc(radius) > 0, (1, 1))
    assert found.tolist() == [0, iterations]
    assert count == iterations
    np.testing.assert_allclose(pieces.image(heat, float), expected, rtol=1e-6, atol=1e-12)


@settings(deadline=None)
@given(LABELS, SIZES)
def test_leaky_diffusion_equals_its_definition(labels, sizes):
    spacing = sizes[: labels.ndim]
    dense = compact(labels)
    pieces, heat, iterations = leaky_heat(dense, spacing)
    image = pieces.image(heat, float)
    for label in set(dense.ravel().tolist()) - {0}:
        expected, count = leaky_by_definition(dense == label, spacing)
        assert iterations[label] == count
        np.testing.assert_allclose(image[dense == label], expected[dense == label], atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5)])
def test_neumann_diffusion_is_the_shape_that_the_text_tends_to(shape):
    mask = np.ones(shape, bool)
    mask.ravel()[:4] = mask.ravel()[-2:] = False
    heat, source, within = np.zeros(shape), source_of(mask, 1.0), sum_of_box(mask.astype(float))
    for _ in range(3000):
        heat = np.where(mask, sum_of_box(heat + source) / np.maximum(within, 1), 0)
    expected = (heat - heat[mask].min()) / np.ptp(heat[mask])
    field = TARGETS["diffusion-neumann"](mask.astype(int), None)
    np.testing.assert_allclose(field[mask], expected[mask], atol=1e-6)


@settings(deadline=None)
@given(LABELS, SIZES)
def test_distance_equals_the_transform_of_every_instance(labels, sizes):
    spacing = sizes[: labels.ndim]
    field = TARGETS["distance"](labels, spacing)
    inner = (slice(1, -1),) * labels.ndim
    for label in set(labels.ravel().tolist()) - {0}:
        mask = labels == label
        expected = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[inner]
        np.testing.assert_allclose(field[mask], expected[mask] / expected.max(), rtol=1e-6)


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None)
@given(LABELS)
def test_range_of_every_target(name, labels):
    field = TARGETS[name](labels, None)
    assert field.dtype == np.float32
    assert not field[labels == 0].any()
    assert (field >= 0).all()
    for label in set(labels.ravel().tolist()) - {0}:
        assert field[labels == label].max() == pytest.approx(1)
    if name in ("poisson", "distance"):
        assert (field[labels > 0] > 0).all()


def test_leaky_diffusion_is_positive_in_compact_instances():
    assert (TARGETS["diffusion"](disc(9), None)[disc(9) > 0] > 0).all()


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None)
@given(LABELS, st.permutations([1, 2, 40]), st.integers(1, 10**6))
def test_numbers_do_not_matter(name, labels, others, factor):
    renamed = np.zeros(labels.shape, np.int64)
    for old, new in zip([1, 2, 40], others, strict=True):
        renamed[labels == old] = new * factor
    np.testing.assert_array_equal(TARGETS[name](renamed, None), TARGETS[name](labels, None))


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None)
@given(LABELS)
def test_rotation_commutes(name, labels):
    turned = TARGETS[name](np.rot90(labels, axes=(-2, -1)), None)
    expected = np.rot90(TARGETS[name](labels, None), axes=(-2, -1))
    np.testing.assert_allclose(turned, expected, atol=2e-6)


@pytest.mark.parametrize("name", TARGETS)
def test_an_instance_does_not_see_the_others(name):
    alone = disc(6)
    pair = np.concatenate([alone, 2 * disc(6)], axis=1)
    field = TARGETS[name](pair, None)
    np.testing.assert_array_equal(field[:, : alone.shape[1]], TARGETS[name](alone, None))


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("shape", [(4, 5), (0, 3), (2, 3, 4)])
def test_without_instances(name, shape):
    field = TARGETS[name](np.zeros(shape, np.uint16), None)
    assert field.shape == shape
    assert not field.any()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    ("labels", "spacing", "source"),
    [
        (np.zeros((3, 3)), None, "labels"),
        (np.zeros(3, int), None, "labels"),
        (np.full((3, 3), -1), None, "labels"),
        (np.ones((3, 3), int), (1.0,), "spacing"),
        (np.ones((3, 3), int), (1.0, 0.0), "spacing"),
        (np.ones((3, 3), int), (1.0, np.nan), "spacing"),
    ],
)
def test_bad_input_is_named(name, labels, spacing, source):
    with pytest.raises(InputError, match=source):
        TARGETS[name](labels, spacing)
