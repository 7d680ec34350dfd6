"""Distances between surfaces: closed forms, the definition by brute force, scikit-image."""

from math import hypot, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist
from skimage.metrics import hausdorff_distance

from segtrain.metrics.surface import surface_distances, surface_scores

PAIRS = array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6).flatmap(
    lambda shape: st.tuples(
        arrays(bool, shape),
        arrays(bool, shape),
        st.tuples(*[st.sampled_from([0.3, 1.0, 1.7, 5.0])] * len(shape)),
    )
)


def surface(mask):
    """Foreground less its erosion by the cross, the image surrounded by background."""
    return mask & ~binary_erosion(mask)


def scores_by_definition(prediction, truth, spacing):
    """All pairs of surface pixels."""
    a, b = (np.argwhere(surface(mask)) * spacing for mask in (prediction, truth))
    if not len(a) and not len(b):
        return 0.0, 0.0, 0.0
    if not len(a) or not len(b):
        return (hypot(*np.multiply(truth.shape, spacing)),) * 3
    pairs = cdist(a, b)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    return (
        max(there.max(), back.max()),
        max(np.quantile(there, 0.95), np.quantile(back, 0.95)),
        (there.sum() + back.sum()) / (len(there) + len(back)),
    )


def square(shift=0, size=40, side=12):
    mask = np.zeros((size, size), dtype=bool)
    mask[14 : 14 + side, 14 + shift : 14 + shift + side] = True
    return mask


def ball(radius, shape, spacing):
    """The ball in the middle of an image, `radius` in the unit of the spacing."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    return sum(x**2 for x in np.meshgrid(*axes, indexing="ij")) <= radius**2


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_scores_are_the_definition(case):
    prediction, truth, spacing = case
    expected = scores_by_definition(prediction, truth, spacing)
    assert surface_scores(prediction, truth, spacing) == pytest.approx(expected, abs=1e-9)
    if spacing[0] == 1:
        plain = scores_by_definition(prediction, truth, np.ones(truth.ndim))
        assert surface_scores(prediction, truth) == pytest.approx(plain, abs=1e-9)


@given(PAIRS)
@settings(max_examples=50, deadline=None)
def test_the_hausdorff_distance_is_that_of_scikit_image(case):
    prediction, truth, _ = case
    if prediction.any() and truth.any():
        expected = hausdorff_distance(surface(prediction), surface(truth))
        assert surface_scores(prediction, truth).hausdorff == pytest.approx(expected, abs=1e-9)


@given(PAIRS)
@settings(max_examples=50, deadline=None)
def test_exchange_and_scale(case):
    prediction, truth, spacing = case
    score = surface_scores(prediction, truth, spacing)
    assert surface_scores(truth, prediction, spacing) == pytest.approx(score, abs=1e-12)
    doubled = surface_scores(prediction, truth, [2 * step for step in spacing])
    assert doubled == pytest.approx([2 * value for value in score], abs=1e-9)
    assert surface_scores(truth, truth, spacing) == (0.0, 0.0, 0.0)
    assert score.average <= score.hausdorff + 1e-12
    assert score.hd95 <= score.hausdorff


def test_a_shifted_square_in_closed_form():
    # 44 surface pixels each, 3 px apart. The 12 of the leading side are 3 px away; of the top and
    # the bottom side those beside it 1 and 2 px; of the trailing side 0, 1, 2, 6 x 3, 2, 1, 0 px.
    total = 12 * 3 + 2 * (1 + 2) + 24
    score = surface_scores(square(3), square())
    assert score == pytest.approx((3, 3, total / 44))
    assert surface_scores(square(3), square(), (1, 2)).hausdorff == 6
    assert surface_scores(square(3), square(), (2, 1)).hausdorff == 3


def test_the_percentile_forgives_a_speck():
    truth = square(side=20)  # 76 surface pixels
    prediction = truth.copy()
    prediction[0, 14] = True  # 14 px above
    score = surface_scores(prediction, truth)
    assert score == pytest.approx((14, 0, 14 / (76 + 77)))
    # In the other direction, too: only the larger of the two counts.
    assert surface_scores(truth, prediction) == score
    # 4 specks of 80 surface pixels are 5 %: the percentile lies in the gap, 19 of 20 parts below.
    prediction[0, 14:21:2] = True
    assert surface_scores(prediction, truth).hd95 == pytest.approx(14 * 0.05)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((81, 81), (1, 1)), ((61, 121), (1, 0.5)), ((401, 401), (0.15, 0.15))]
    + [((61, 61, 61), (1, 1, 1)), ((31, 61, 61), (2, 1, 1))],
)
def test_concentric_balls_are_as_far_apart_as_their_radii(shape, spacing):
    small, large = (ball(radius, shape, spacing) for radius in (20, 25))
    score = surface_scores(small, large, spacing)
    pixel = hypot(*spacing)
    assert abs(score.hausdorff - 5) < pixel
    assert abs(score.hd95 - 5) < 0.6 * pixel
    assert abs(score.average - 5) < 0.25 * pixel
    of_small, of_large = surface_distances(small, large, spacing)
    assert min(of_small.min(), of_large.min()) > 5 - pixel


@pytest.mark.parametrize("shape", [(30, 40), (3, 4, 12)])
def test_a_missed_object_costs_the_diagonal(shape):
    empty, truth = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    truth[(0,) * len(shape)] = True
    diagonal = 50.0 if len(shape) == 2 else 13.0
    assert surface_scores(empty, truth) == pytest.approx((diagonal,) * 3)
    assert surface_scores(truth, empty) == pytest.approx((diagonal,) * 3)
    assert surface_scores(truth, empty, (0.1,) * len(shape)).hd95 == pytest.approx(diagonal / 10)
    # More than the farthest object that was found.
    far = np.zeros(shape, dtype=bool)
    far[(-1,) * len(shape)] = True
    assert surface_scores(far, truth).hausdorff < diagonal
    assert surface_scores(empty, empty) == (0.0, 0.0, 0.0)


def test_the_frame_is_a_surface():
    full = np.ones((9, 9), dtype=bool)
    hole = full.copy()
    hole[4, 4] = False
    # The four pixels about the hole are 3 px from the frame, whose 32 pixels both masks share.
    assert surface_scores(full, hole) == pytest.approx((3, 3, 4 * 3 / (32 + 36)))


def test_distances_follow_the_surface_pixels():
    prediction, truth = np.zeros((3, 12), dtype=bool), np.zeros((3, 12), dtype=bool)
    prediction[1, [1, 9]] = truth[2, 3] = True
    of_prediction, of_truth = surface_distances(prediction, truth)
    assert of_prediction == pytest.approx([sqrt(5), sqrt(37)])
    assert of_truth == pytest.approx([sqrt(5)])


def test_labels_are_read_as_foreground():
    labels = square().astype(np.uint8) * 3
    assert surface_scores(labels, square(1)) == surface_scores(square(), square(1))


def test_shapes_and_spacing_must_fit():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        surface_scores(np.zeros((4, 5), dtype=bool), np.zeros((5, 4), dtype=bool))
    for spacing in ((1,), (1, 1, 1), (1, 0), (1, -1), (1, np.nan), (1, np.inf)):
        with pytest.raises(ValueError, match="2 axes needs as many positive spacings"):
            surface_scores(square(), square(), spacing)
    with pytest.raises(ValueError, match="one to three axes, not 4"):
        surface_scores(np.zeros((1, 2, 2, 2), dtype=bool), np.zeros((1, 2, 2, 2), dtype=bool))


def test_a_line_has_two_ends():
    prediction, truth = np.zeros(20, dtype=bool), np.zeros(20, dtype=bool)
    prediction[3:9], truth[5:10] = True, True
    assert surface_scores(prediction, truth, [0.5]) == pytest.approx((1.0, 0.975, 0.75))
