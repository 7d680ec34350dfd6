import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from phasegen.errors import InputError
from segtrain.decode import decode
from segtrain.metrics.instance import average_precision, overlaps
from segtrain.targets import TARGETS


def smooth_field(seed, shape, sigma):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return (0.3 + 0.3 * field / field.std()).astype(np.float32)


def ellipses(seed, shape, smallest):
    """Ellipses, of axis ratio up to 3, with at least a pixel between any two."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for _ in range(25):
        axes = np.maximum(rng.uniform(4, 12) / rng.uniform(1, 3, len(shape)), 2)
        turn = np.linalg.qr(rng.standard_normal((len(shape),) * 2))[0]
        offset = np.moveaxis(np.indices(shape), 0, -1) - rng.uniform(0, shape)
        mask = (((offset @ turn) / axes) ** 2).sum(axis=-1) <= 1
        apart = not labels[ndimage.binary_dilation(mask)].any()
        if apart and mask.sum() > smallest:
            labels[mask] = labels.max() + 1
    return labels


@pytest.mark.parametrize("shape", [(80, 70), (20, 24, 28)])
@pytest.mark.parametrize("h", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_equals_reconstruction_and_marker_watershed(shape, h, seed):
    field = smooth_field(seed, shape, 2.0)
    # Background is 0, as `decode` has it.
    positive = np.where(field >= 0.05, field, 0).astype(np.float64)
    faces = ndimage.generate_binary_structure(len(shape), 1)
    peaks, count = ndimage.label(h_maxima(positive, h, footprint=faces))
    expected = watershed(-positive, peaks, mask=field >= 0.05)
    found = decode(field, h=h, min_size=0, max_hole=0)
    assert count > 3
    assert found.max() == len(np.unique(expected)) - 1
    np.testing.assert_array_equal(found > 0, expected > 0)
    # On passes of equal height a queue and a sorted list may differ by a few pixels.
    pairs = overlaps(found, expected)
    assert pairs.iou.max() == 1
    assert pairs.shared.sum() - average_agreement(pairs) <= 0.01 * pairs.shared.sum()


def average_agreement(pairs):
    best = np.zeros(pairs.true.size)
    np.maximum.at(best, pairs.pairs[:, 1], pairs.shared)
    return best.sum()


@pytest.mark.parametrize("shape", [(96, 96), (20, 40, 40)])
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_poisson_targets_give_every_convex_instance_back(shape, seed):
    labels = ellipses(seed, shape, 30)
    found = overlaps(decode(TARGETS["poisson"](labels, None)), labels)
    assert found.predicted.size == found.true.size
    np.testing.assert_array_equal(average_precision(found, [0.9]), 1)


def test_touching_instances_are_kept_apart():
    labels = np.zeros((30, 60), np.uint8)
    labels[5:25, 10:30], labels[5:25, 30:50] = 1, 2
    np.testing.assert_array_equal(decode(TARGETS["poisson"](labels, None)), labels)


def cones(*peaks, length=61, background=0.0):
    x = np.arange(length)
    field = np.max([height - 0.1 * abs(x - at) for at, height in peaks], axis=0)
    return np.maximum(np.repeat(field[None], 3, 0), background).astype(np.float32)


def test_basins_shallower_than_h_are_merged():
    # Peaks 1 and 0.8, pass 0.5: the lower one rises 0.3.
    field = cones((20, 1.0), (28, 0.8))
    assert decode(field, h=0.25).max() == 2
    assert decode(field, h=0.35).max() == 1


def test_islands_below_h_are_no_instances():
    field = cones((20, 1.0), (50, 0.35))
    assert decode(field, h=0.3, min_size=0).max() == 2
    assert decode(field, h=0.4, min_size=0).max() == 1


def test_epsilon_is_the_lowest_value_kept():
    field = np.array([[0.0, 0.25, 1.0, 0.125]], np.float32)
    assert decode(field, epsilon=0.25, min_size=0).tolist() == [[0, 1, 1, 0]]
    assert decode(field, epsilon=0.125, min_size=0).tolist() == [[0, 1, 1, 1]]


def test_small_instances_and_holes():
    field = np.zeros((20, 20), np.float32)
    field[2:9, 2:9], field[4:6, 4:6] = 1, 0
    field[15, 15:18] = 1
    assert decode(field, min_size=4, max_hole=4).max() == 1
    assert (decode(field, min_size=0, max_hole=4) > 0).sum() == 49 + 3
    assert (decode(field, min_size=0, max_hole=3) > 0).sum() == 45 + 3
    # The hole counts for the size only where it is filled.
    assert decode(field, min_size=49, max_hole=4).max() == 1
    assert decode(field, min_size=49, max_hole=3).max() == 0


def test_holes_between_instances_and_at_the_frame_stay():
    labels = np.ones((11, 20), np.uint8)
    labels[:, 10:] = 2
    field = TARGETS["poisson"](labels, None)
    field[5, 9:11] = 0
    field[0, 3] = 0
    found = decode(field, max_hole=10)
    assert found.max() == 2
    assert not found[5, 9:11].any()
    assert found[0, 3] == 0


@settings(deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=8),
        elements=st.sampled_from([-0.5, 0, 0.04, 0.05, 0.1, 0.14, 0.3, 0.31, 1, 1.5]),
    )
)
def test_labels_are_consecutive_in_raster_order(field):
    labels = decode(field, min_size=0, max_hole=0)
    assert labels.dtype == np.uint32
    values, first = np.unique(labels[labels > 0], return_index=True)
    assert values.tolist() == list(range(1, len(values) + 1))
    assert (np.diff(first) > 0).all()
    assert not labels[field < np.float32(0.05)].any()
    # Every instance hangs together and rises at least h above the background.
    for value in values:
        assert ndimage.label(labels == value)[1] == 1
        assert field[labels == value].max() >= np.float32(0.1)


def test_memory_order_and_precision_do_not_matter():
    field = smooth_field(1, (50, 60), 2.0)
    expected = decode(field)
    np.testing.assert_array_equal(decode(np.asfortranarray(field)), expected)
    np.testing.assert_array_equal(decode(field.astype(np.float64)), expected)


@pytest.mark.parametrize(
    ("field", "options", "source"),
    [
        (np.zeros(3), {}, "field"),
        (np.full((3, 3), np.nan), {}, "field"),
        (np.zeros((3, 3)), {"epsilon": 0.0}, "epsilon"),
        (np.zeros((3, 3)), {"h": 1.0}, "h"),
    ],
)
def test_bad_input_is_named(field, options, source):
    with pytest.raises(InputError, match=f"^{source}:"):
        decode(field, **options)
