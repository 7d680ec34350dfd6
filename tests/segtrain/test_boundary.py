from math import hypot, inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_erosion

from segtrain.metrics.boundary import (
    boundary_distances,
    boundary_f1,
    boundary_iou,
    boundary_scores,
    inner_boundary,
    score_at,
)
from segtrain.metrics.overlap import iou

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7))
PAIRS = array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)
# Distances that do occur between pixels, and values just beside them.
TOLERANCES = st.sampled_from([0.0, 0.99, 1.0, 1.41, sqrt(2), 2.0, sqrt(5), 2.5, 3.0])


def boundary_by_definition(mask):
    """Foreground pixels with a background face neighbour inside the image."""
    found = []
    for pixel in np.argwhere(mask):
        for step in np.vstack([np.eye(mask.ndim, dtype=int), -np.eye(mask.ndim, dtype=int)]):
            other = pixel + step
            if (other >= 0).all() and (other < mask.shape).all() and not mask[tuple(other)]:
                found.append(tuple(int(i) for i in pixel))
                break
    return found


def scores_by_definition(prediction, truth, tolerance):
    predicted, true = boundary_by_definition(prediction), boundary_by_definition(truth)
    if not predicted and not true:
        return 1.0, 1.0, 1.0
    if not predicted or not true:
        return 0.0, 0.0, 0.0

    def near(p, others):
        return any(
            sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) <= tolerance**2 + 1e-9
            for q in others
        )

    precision = sum(near(p, true) for p in predicted) / len(predicted)
    recall = sum(near(q, predicted) for q in true) / len(true)
    return precision, recall, 2 / (1 / precision + 1 / recall) if precision and recall else 0.0


def square(shift=0, size=40, side=12):
    mask = np.zeros((size, size), dtype=bool)
    mask[14 : 14 + side, 14 + shift : 14 + shift + side] = True
    return mask


@given(MASKS)
@settings(max_examples=100, deadline=None)
def test_inner_boundary_is_the_definition(mask):
    boundary = inner_boundary(mask)
    assert [tuple(pixel) for pixel in np.argwhere(boundary)] == boundary_by_definition(mask)


@given(PAIRS, TOLERANCES)
@settings(max_examples=300, deadline=None)
def test_scores_are_the_definition(pair, tolerance):
    prediction, truth = pair
    expected = scores_by_definition(prediction, truth, tolerance)
    assert boundary_scores(prediction, truth, tolerance) == pytest.approx(expected, abs=1e-12)


@given(PAIRS, TOLERANCES)
@settings(max_examples=100, deadline=None)
def test_exchanging_the_masks_exchanges_precision_and_recall(pair, tolerance):
    prediction, truth = pair
    there, back = (boundary_scores(*masks, tolerance) for masks in (pair, (truth, prediction)))
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.f1 == pytest.approx(back.f1, abs=1e-15)


def test_distances_of_whole_pixels_are_exact():
    # Rounded on the way they would miss a tolerance of as many pixels.
    one = np.zeros((13, 13, 13), dtype=bool)
    one[0, 0, 0] = True
    for place in ((2, 1, 2), (1, 2, 2), (2, 2, 1), (2, 3, 6), (6, 2, 3), (4, 4, 7), (12, 0, 5)):
        other = np.zeros_like(one)
        other[place] = True
        expected = sqrt(sum(i * i for i in place))
        assert boundary_distances(one, other)[0].tolist() == [expected] == [round(expected)]
        assert boundary_f1(one, other, tolerance=expected) == 1.0


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_a_shift_matches_at_exactly_its_length(shift):
    assert boundary_f1(square(shift), square(), tolerance=shift) == 1.0
    assert boundary_f1(square(shift), square(), tolerance=shift - 0.01) < 1.0


def test_a_shifted_square_in_closed_form():
    # A 12 px square has 44 boundary pixels. Shifted by 3 px and judged at 2 px, the leading side
    # (12 pixels) lies 3 px outside the truth, and the trailing side 3 px inside it; of the latter
    # the 3 pixels nearest to either end match the top and bottom sides, which leaves 6.
    expected = 1 - (12 + 6) / 44
    score = boundary_scores(square(3), square(), tolerance=2)
    assert score == pytest.approx((expected, expected, expected))


def test_precision_counts_predictions_and_recall_the_truth():
    truth = np.zeros((50, 50), dtype=bool)
    truth[5:10, 5:10] = True  # 16 boundary pixels
    prediction = truth.copy()
    prediction[30:40, 30:40] = True  # 36 more that match nothing
    score = boundary_scores(prediction, truth)
    precision = 16 / 52
    assert score == pytest.approx((precision, 1.0, 2 * precision / (1 + precision)))


def test_concentric_discs_are_as_far_apart_as_their_radii():
    y, x = np.mgrid[:81, :81] - 40
    small, large = (np.hypot(y, x) <= radius for radius in (20, 25))
    of_small, of_large = boundary_distances(small, large)
    for distances in (of_small, of_large):
        assert np.all(np.abs(distances - 5) < sqrt(2))
    assert boundary_f1(small, large, tolerance=5 + sqrt(2)) == 1.0
    assert boundary_f1(small, large, tolerance=5 - sqrt(2)) == 0.0


def test_the_image_frame_is_no_boundary():
    half = np.zeros((8, 10), dtype=bool)
    half[:, :4] = True
    expected = np.zeros_like(half)
    expected[:, 3] = True
    np.testing.assert_array_equal(inner_boundary(half), expected)
    # Were the frame included, its shared pixels would lift the score of a wrong edge above 0.
    other = np.zeros_like(half)
    other[:, :8] = True
    assert boundary_f1(half, other, tolerance=2) == 0.0


def test_empty_boundaries():
    empty, full = np.zeros((9, 9), dtype=bool), np.ones((9, 9), dtype=bool)
    some = np.zeros((9, 9), dtype=bool)
    some[4, 4] = True
    assert boundary_scores(empty, empty) == (1.0, 1.0, 1.0)
    assert boundary_scores(full, full) == (1.0, 1.0, 1.0)
    assert boundary_scores(empty, some) == (0.0, 0.0, 0.0)
    assert boundary_scores(some, empty) == (0.0, 0.0, 0.0)


def test_distances_follow_the_boundary_pixels():
    prediction = np.zeros((3, 12), dtype=bool)
    prediction[1, [1, 9]] = True
    truth = np.zeros_like(prediction)
    truth[1, 3] = True
    of_prediction, of_truth = boundary_distances(prediction, truth)
    assert of_prediction.tolist() == [2.0, 6.0]
    assert of_truth.tolist() == [2.0]
    assert boundary_distances(prediction, np.zeros_like(truth))[0].tolist() == [inf, inf]


def test_tolerances_share_one_search():
    distances = boundary_distances(square(2), square())
    for tolerance in (0.5, 1.0, 2.0):
        assert score_at(distances, tolerance) == boundary_scores(square(2), square(), tolerance)


def test_labels_are_read_as_foreground():
    labels = square().astype(np.uint8) * 3
    assert boundary_f1(labels, square(1), 0.5) == boundary_f1(square(), square(1), 0.5)


def test_distance_is_euclidean():
    one, other = np.zeros((9, 9), dtype=bool), np.zeros((9, 9), dtype=bool)
    one[2, 2] = other[4, 4] = True
    assert boundary_f1(one, other, tolerance=2) == 0.0
    assert boundary_f1(one, other, tolerance=hypot(2, 2)) == 1.0


def test_shapes_must_match():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        boundary_f1(np.zeros((4, 5), dtype=bool), np.zeros((5, 4), dtype=bool))


def test_distances_have_the_unit_of_the_spacing():
    one, other = np.zeros((9, 9), dtype=bool), np.zeros((9, 9), dtype=bool)
    one[2, 2] = other[4, 5] = True
    assert boundary_distances(one, other, (0.5, 2.0))[0] == pytest.approx([hypot(1.0, 6.0)])
    with pytest.raises(ValueError, match="2 axes needs as many positive spacings"):
        boundary_distances(one, other, (1.0,))


def band_by_definition(mask, width):
    """The reference code: a frame of background, then as many erosions by a box of 3 pixels."""
    eroded = binary_erosion(np.pad(mask, 1), np.ones((3,) * mask.ndim), iterations=width)
    return mask & ~eroded[(slice(1, -1),) * mask.ndim]


@given(PAIRS, st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_boundary_iou_is_the_definition(pair, width):
    expected = iou(*(band_by_definition(mask, width) for mask in pair))
    assert boundary_iou(*pair, width) == expected == boundary_iou(*pair[::-1], width)


def test_the_bands_of_a_shifted_square_in_closed_form():
    # Bands 2 px wide of a 12 px square hold 144 - 64 = 80 pixels. Shifted by 3 px they share the
    # 4 rows at top and bottom over the 9 common columns, and nothing else.
    assert boundary_iou(square(3), square(), width=2) == pytest.approx(36 / (160 - 36))
    assert boundary_iou(square(), square(), width=2) == 1.0
    # Six pixels fill the square, whose IoU is 108 / 180.
    assert boundary_iou(square(3), square(), width=6) == pytest.approx(0.6)


def test_the_band_is_a_share_of_the_diagonal():
    # 2 % of the diagonal of 150 x 200 pixels are 5 px.
    truth = np.zeros((150, 200), dtype=bool)
    truth[20:120, 50:150] = True
    prediction = np.roll(truth, 2, axis=1)
    assert boundary_iou(prediction, truth) == boundary_iou(prediction, truth, 5.0)
    assert boundary_iou(prediction, truth) != boundary_iou(prediction, truth, 4.0)
    scaled = boundary_iou(prediction, truth, spacing=(0.1, 0.1))
    assert scaled == boundary_iou(prediction, truth)


def test_the_band_follows_the_spacing():
    truth = np.zeros((30, 40), dtype=bool)
    truth[5:25, 5:35] = True
    prediction = np.roll(truth, 1, axis=1)

    def band(mask):
        core = binary_erosion(mask, np.ones((3, 9)))
        return mask & ~core

    expected = iou(band(prediction), band(truth))
    assert boundary_iou(prediction, truth, 2.0, spacing=(2.0, 0.5)) == expected


def test_boundary_iou_of_empty_masks_and_wrong_shapes():
    empty = np.zeros((40, 40), dtype=bool)
    assert boundary_iou(empty, empty) == 1.0
    assert boundary_iou(empty, square()) == boundary_iou(square(), empty) == 0.0
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        boundary_iou(np.zeros((4, 5), dtype=bool), np.zeros((5, 4), dtype=bool))
    with pytest.raises(ValueError, match="spacings"):
        boundary_iou(square(), square(), spacing=(1.0, 0.0))
