from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segtrain.metrics.instance import (
    AP_THRESHOLDS,
    PanopticScore,
    aggregated_jaccard,
    average_precision,
    overlaps,
    panoptic_quality,
    pool,
    score_instances,
    seg,
)

# Few labels on few pixels, so that overlaps of every size occur; gaps in the numbers as well.
PAIRS = array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5).flatmap(
    lambda shape: st.tuples(
        *[arrays(np.int32, shape, elements=st.sampled_from([0, 0, 1, 2, 5, 7]))] * 2
    )
)


def masks(labels):
    return [labels == value for value in sorted(set(labels.ravel().tolist()) - {0})]


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def best_matching(prediction, truth, threshold):
    """Of all one-to-one assignments that with the most matches; brute force."""
    predicted, true = masks(prediction), masks(truth)
    few, many = sorted([predicted, true], key=len)
    best = (0, 0.0)
    for size in range(len(few) + 1):
        for chosen in combinations(few, size):
            for partners in permutations(many, size):
                values = [iou(a, b) for a, b in zip(chosen, partners, strict=True)]
                if all(value > threshold for value in values):
                    best = max(best, (size, sum(values)))
    return best, len(predicted), len(true)


def aggregated_jaccard_by_definition(prediction, truth):
    predicted, true = masks(prediction), masks(truth)
    if not predicted and not true:
        return 1.0
    used, shared, either = set(), 0, 0
    for mask in true:
        values = [iou(mask, other) for other in predicted]
        if values and max(values) > 0:
            at = values.index(max(values))
            used.add(at)
            shared += (mask & predicted[at]).sum()
            either += (mask | predicted[at]).sum()
        else:
            either += mask.sum()
    either += sum(mask.sum() for at, mask in enumerate(predicted) if at not in used)
    return shared / either


def seg_by_definition(prediction, truth):
    scores = []
    for mask in masks(truth):
        found = [other for other in masks(prediction) if (mask & other).sum() > mask.sum() / 2]
        scores.append(iou(mask, found[0]) if found else 0.0)
    return scores


def bars(*extents, length=20):
    """Labels 1, 2, ... on a line, each from its first pixel up to its last, that one excluded."""
    labels = np.zeros((1, length), dtype=np.int32)
    for label, (start, stop) in enumerate(extents, 1):
        labels[0, start:stop] = label
    return labels


@given(PAIRS, st.sampled_from(AP_THRESHOLDS))
def test_panoptic_quality_equals_the_best_of_all_assignments(pair, threshold):
    score = panoptic_quality(overlaps(*pair), threshold)
    (matched, iou_sum), predicted, true = best_matching(*pair, threshold)
    assert (score.matched, score.predicted, score.true) == (matched, predicted, true)
    assert score.iou_sum == pytest.approx(iou_sum)


@given(PAIRS)
def test_aggregated_jaccard_equals_its_definition(pair):
    assert aggregated_jaccard(overlaps(*pair)) == pytest.approx(
        aggregated_jaccard_by_definition(*pair)
    )


@given(PAIRS)
def test_seg_equals_its_definition(pair):
    np.testing.assert_allclose(seg(overlaps(*pair)), seg_by_definition(*pair))


@given(PAIRS)
def test_scores_do_not_depend_on_the_numbers(pair):
    prediction, truth = pair
    # In the same order: the aggregated index takes the first of two equal predictions.
    renamed = score_instances(prediction * 1000, truth * 7)
    assert renamed == pytest.approx(score_instances(prediction, truth), nan_ok=True)


@given(PAIRS)
def test_perfect_prediction_scores_one(pair):
    scores = score_instances(pair[0], pair[0])
    if not pair[0].any():
        assert np.isnan(scores.pop("seg"))
    assert all(value == 1 for value in scores.values())


def test_known_case():
    truth = bars((0, 4), (6, 10), (12, 16))
    prediction = bars((0, 4), (6, 9), (16, 20))
    found = overlaps(prediction, truth)
    score = panoptic_quality(found)
    assert score == PanopticScore(1.75, 2, 3, 3)
    assert (score.sq, score.rq) == pytest.approx((0.875, 2 / 3))
    assert score.pq == pytest.approx(1.75 / 3)
    # IoU 1 and 0.75: two matches up to 0.70, and 0.75 is not more than 0.75.
    np.testing.assert_allclose(average_precision(found), [2 / 4] * 5 + [1 / 5] * 5)
    np.testing.assert_allclose(seg(found), [1, 0.75, 0])
    assert aggregated_jaccard(found) == pytest.approx(7 / (8 + 4 + 4))


def test_exactly_half_is_no_match():
    half = overlaps(bars((0, 2)), bars((0, 4)))
    assert panoptic_quality(half).matched == 0
    assert average_precision(half)[0] == 0
    assert seg(half) == 0


def test_seg_matches_by_majority_not_by_iou():
    # 3 of 4 pixels covered by a prediction of 9: IoU 0.3, which panoptic quality does not match.
    found = overlaps(bars((1, 10)), bars((0, 4)))
    assert seg(found) == pytest.approx(0.3)
    assert panoptic_quality(found).matched == 0


def test_pooled_is_not_the_mean():
    images = [
        panoptic_quality(overlaps(bars((0, 4)), bars((0, 4)))),
        panoptic_quality(overlaps(bars(), bars((0, 4), (6, 10), (12, 16)))),
    ]
    assert [score.pq for score in images] == [1, 0]
    assert pool(images) == PanopticScore(1.0, 1, 1, 4)
    assert pool(images).pq == pytest.approx(2 / 5)
    assert pool([]).pq == 1


def test_empty_images():
    empty, one = bars(), bars((0, 4))
    scores = score_instances(empty, empty)
    assert np.isnan(scores.pop("seg"))
    assert set(scores.values()) == {1.0}
    assert set(score_instances(empty, one).values()) == {0.0}
    scores = score_instances(one, empty)
    assert np.isnan(scores.pop("seg"))
    assert set(scores.values()) == {0.0}


def test_without_background():
    labels = np.array([[1, 1, 2, 2]])
    assert panoptic_quality(overlaps(labels, labels)) == PanopticScore(2.0, 2, 2, 2)


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.array([[-1, 0], [0, 0]])])
def test_no_labels_are_refused(bad):
    with pytest.raises(ValueError, match="truth"):
        overlaps(np.zeros((2, 2), np.int32), bad)


def test_shapes_and_thresholds_are_checked():
    with pytest.raises(ValueError, match="shape"):
        overlaps(bars(), bars(length=19))
    with pytest.raises(ValueError, match=r"0\.3"):
        panoptic_quality(overlaps(bars(), bars()), 0.3)


def test_panoptic_quality_of_torchmetrics():
    detection = pytest.importorskip("torchmetrics.detection")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    truth = np.repeat(np.repeat(rng.integers(0, 5, (6, 6)), 4, 0), 4, 1)
    prediction = np.where(rng.random(truth.shape) < 0.25, 0, truth)
    pairs = [torch.tensor(np.stack([a > 0, a], -1)[None]) for a in (prediction, truth)]
    oracle = detection.PanopticQuality(things={1}, stuffs={0}, return_per_class=True)
    score = panoptic_quality(overlaps(prediction, truth))
    assert 0 < score.pq < 1
    assert score.pq == pytest.approx(float(oracle(*pairs)[0, 0]))
