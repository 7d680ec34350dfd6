"""Scores of several images taken for one, and of unions of classes."""

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segtrain.metrics import (
    class_overlaps,
    confusion,
    evaluate,
    join_overlaps,
    overlap,
    overlaps,
    pooled_overlaps,
    score_instances,
    score_overlaps,
)

LABELS = arrays(np.int32, (4, 6), elements=st.sampled_from([0, 0, 1, 2, 5]))
CLASSES = ("background", "a", "b", "c")


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=3))
def test_instances_of_several_images_are_those_of_one_that_holds_all(pairs):
    """Put side by side with other numbers, the images are one; overlaps are only joined."""
    joined = score_overlaps(join_overlaps(overlaps(*pair) for pair in pairs))
    one = [
        np.hstack([np.where(pair[k] > 0, pair[k] + 10 * n, 0) for n, pair in enumerate(pairs)])
        for k in (0, 1)
    ]
    assert joined == pytest.approx(score_instances(*one), nan_ok=True)


def test_no_images_at_all():
    scores = score_overlaps(join_overlaps([]))
    assert scores["pq"] == 1
    assert isnan(scores["seg"])


def test_seg_is_the_mean_of_all_true_instances_not_of_images():
    """One cell found whole; three cells missed: 1/4 for the challenge, 1/2 for the mean."""
    first = np.array([[1, 1, 0, 0, 0, 0]])
    second = np.array([[1, 0, 2, 0, 3, 0]])
    pairs = [(first, first), (np.zeros_like(second), second)]
    assert np.mean([score_instances(*pair)["seg"] for pair in pairs]) == 1 / 2
    assert score_overlaps(join_overlaps(overlaps(*pair) for pair in pairs))["seg"] == 1 / 4


def test_pooled_overlaps_are_of_all_pixels():
    rng = np.random.default_rng(0)
    predicted, truth = (rng.integers(0, 4, (3, 8, 9)) for _ in range(2))
    counts = sum(confusion(*pair, 4) for pair in zip(predicted, truth, strict=True))
    pooled = pooled_overlaps(counts, CLASSES, {"ab": (1, 2)})
    whole = overlap(predicted > 0, truth > 0)
    assert (pooled["iou"], pooled["dice"]) == pytest.approx((whole.iou, whole.dice))
    assert pooled["dice_b"] == pytest.approx(class_overlaps(predicted, truth, 4).dice[2])
    union = overlap(np.isin(predicted, (1, 2)), np.isin(truth, (1, 2)))
    assert (pooled["iou_ab"], pooled["dice_ab"]) == pytest.approx((union.iou, union.dice))


def test_pooled_overlaps_of_nothing():
    empty = np.zeros((4, 4), np.uint8)
    pooled = pooled_overlaps(confusion(empty, empty, 4), CLASSES)
    assert (pooled["iou"], pooled["dice"], pooled["iou_background"]) == (1, 1, 1)
    assert isnan(pooled["iou_c"])


def test_a_region_is_scored_like_the_mask_of_its_classes():
    rng = np.random.default_rng(1)
    predicted, truth = (rng.integers(0, 4, (12, 14)).astype(np.uint8) for _ in range(2))
    spacing = (1.0, 0.5)
    regions = {"bc": (2, 3), "all": (1, 2, 3)}
    row = evaluate(predicted, truth, CLASSES, spacing=spacing, regions=regions)
    parts = (np.isin(one, (2, 3)).astype(np.uint8) for one in (predicted, truth))
    alone = evaluate(*parts, ("rest", "bc"), spacing=spacing)
    for score in ("iou", "dice", "precision", "recall", "bf1", "biou", "hd", "hd95", "assd"):
        assert row[f"{score}_bc"] == pytest.approx(alone[f"{score}_bc"])
        assert row[f"{score}_all"] == pytest.approx(row[score])
    assert list(row)[:-18] == list(evaluate(predicted, truth, CLASSES, spacing=spacing))


def test_a_region_that_neither_mask_has_is_undefined():
    masks = np.zeros((2, 6, 6), np.uint8)
    masks[:, 2:4, 2:4] = 1
    row = evaluate(*masks, CLASSES, regions={"bc": (2, 3)})
    assert isnan(row["dice_bc"])
    assert isnan(row["hd95_bc"])
    with pytest.raises(ValueError, match="diag"):
        evaluate(*masks, CLASSES, regions={"diag": (2, 3)})
