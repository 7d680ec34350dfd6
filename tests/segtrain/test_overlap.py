import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segtrain.metrics.overlap import class_iou, class_overlaps, dice, iou, overlap

PAIRS = array_shapes(min_dims=1, max_dims=3, max_side=5).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


def test_half_overlapping_bars():
    prediction = np.array([[1, 1, 0, 0]], dtype=bool)
    truth = np.array([[0, 1, 1, 1]], dtype=bool)
    assert iou(prediction, truth) == 1 / 4
    assert dice(prediction, truth) == 2 / 5
    assert overlap(prediction, truth) == (1 / 4, 2 / 5, 1 / 2, 1 / 3)


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_scores_are_those_of_the_pixel_sets(pair):
    a, b = ({tuple(pixel) for pixel in np.argwhere(mask)} for mask in pair)
    expected = len(a & b) / len(a | b) if a | b else 1.0
    assert iou(*pair) == pytest.approx(expected)
    assert dice(*pair) == pytest.approx(2 * expected / (1 + expected))
    score = overlap(*pair)
    if a and b:
        assert score.precision == pytest.approx(len(a & b) / len(a))
        assert score.recall == pytest.approx(len(a & b) / len(b))
    assert all(0 <= value <= 1 for value in score)


@given(PAIRS)
@settings(max_examples=50, deadline=None)
def test_exchanging_the_masks_exchanges_precision_and_recall(pair):
    there, back = overlap(*pair), overlap(*pair[::-1])
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert (there.iou, there.dice) == (back.iou, back.dice)
    # Dice is their harmonic mean, also where one of the masks is empty.
    total = there.precision + there.recall
    expected = 2 * there.precision * there.recall / total if total else 0.0
    assert there.dice == pytest.approx(expected)


SCORES = [iou, dice, lambda *masks: overlap(*masks).precision, lambda *m: overlap(*m).recall]


@pytest.mark.parametrize("score", SCORES)
def test_empty_masks(score):
    empty, full = np.zeros((3, 4), dtype=bool), np.ones((3, 4), dtype=bool)
    assert score(empty, empty) == 1.0
    assert score(empty, full) == 0.0
    assert score(full, empty) == 0.0


@pytest.mark.parametrize("score", [iou, dice])
def test_labels_are_read_as_foreground(score):
    assert score(np.array([0, 1, 2, 3], np.uint8), np.array([0, 4, 8, 3], np.uint8)) == 1.0


def test_class_iou_takes_each_class_for_itself():
    prediction = np.array([[0, 0, 1], [2, 2, 1]], dtype=np.uint8)
    truth = np.array([[0, 1, 1], [2, 0, 1]], dtype=np.uint8)
    expected = [iou(prediction == label, truth == label) for label in range(3)]
    np.testing.assert_allclose(class_iou(prediction, truth, 3), expected)
    assert expected == pytest.approx([1 / 3, 2 / 3, 1 / 2])


def test_every_score_of_a_class_is_that_of_its_mask():
    rng = np.random.default_rng(0)
    prediction, truth = rng.integers(0, 3, (2, 5, 7)).astype(np.uint8)
    per_class = class_overlaps(prediction, truth, 3)
    expected = [overlap(prediction == label, truth == label) for label in range(3)]
    np.testing.assert_allclose(np.transpose(per_class), expected)


def test_a_class_in_neither_mask_has_no_iou():
    prediction, truth = np.array([0, 0], np.uint8), np.array([0, 2], np.uint8)
    for score in class_overlaps(prediction, truth, 4):
        np.testing.assert_array_equal(np.isnan(score), [False, True, False, True])
        assert score[2] == 0  # missed altogether
    np.testing.assert_array_equal(class_iou(prediction, truth, 4), [0.5, np.nan, 0.0, np.nan])


def test_class_iou_does_not_overflow_small_integers():
    labels = np.arange(200, dtype=np.uint8)
    np.testing.assert_array_equal(class_iou(labels, labels, 200), np.ones(200))


@pytest.mark.parametrize("score", [iou, dice, lambda *masks: class_iou(*masks, 2)])
def test_shapes_must_match(score):
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        score(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_must_be_classes(label):
    good, bad = np.array([0, 1], np.int16), np.array([0, label], np.int16)
    with pytest.raises(ValueError, match=rf"prediction holds labels .*{label}.*2 classes"):
        class_iou(bad, good, 2)
    with pytest.raises(ValueError, match=rf"truth holds labels .*{label}.*2 classes"):
        class_iou(good, bad, 2)
