from math import isnan, nan

import numpy as np
import pytest

from segtrain.metrics import (
    Summary,
    boundary_f1,
    boundary_iou,
    compare,
    dice,
    evaluate,
    iou,
    overlap,
    summarise,
    surface_scores,
)

CLASSES = ("matrix", "precipitate", "pore")
PER_CLASS = ("dice", "precision", "recall", "bf1", "biou", "hd", "hd95", "assd")


def masks():
    truth = np.zeros((60, 80), dtype=np.uint8)
    truth[10:30, 10:30] = 1
    truth[40:50, 50:70] = 2
    prediction = np.roll(truth, 1, axis=1)
    prediction[40:45, 51:71] = 1
    return prediction, truth


def test_evaluate_gathers_the_scores_in_fixed_order():
    prediction, truth = masks()
    row = evaluate(prediction, truth, CLASSES, tolerance=0.5)
    assert list(row) == [
        "iou",
        "dice",
        "bf1",
        "bf1_diag",
        "miou",
        "iou_matrix",
        "iou_precipitate",
        "iou_pore",
        "precision",
        "recall",
        "biou",
        "hd",
        "hd95",
        "assd",
        *(f"{score}_{name}" for score in PER_CLASS for name in CLASSES),
    ]
    foreground = prediction > 0, truth > 0
    assert row["iou"] == iou(*foreground)
    assert row["dice"] == dice(*foreground)
    assert row["bf1"] == boundary_f1(*foreground, 0.5)
    for label, name in enumerate(CLASSES):
        assert row[f"iou_{name}"] == pytest.approx(iou(prediction == label, truth == label))
    assert row["miou"] == pytest.approx(np.mean([row[f"iou_{name}"] for name in CLASSES]))
    assert all(type(value) is float for value in row.values())


def scores_of(prediction, truth, spacing=None):
    """By the functions for one mask, at half a pixel."""
    whole, surface = overlap(prediction, truth), surface_scores(prediction, truth, spacing)
    return {
        "dice": whole.dice,
        "precision": whole.precision,
        "recall": whole.recall,
        "bf1": boundary_f1(prediction, truth, 0.5),
        "biou": boundary_iou(prediction, truth, spacing=spacing),
        "hd": surface.hausdorff,
        "hd95": surface.hd95,
        "assd": surface.average,
    }


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("spacing", [None, (0.3, 0.3), (2.0, 0.5)])
def test_every_class_and_the_foreground_have_every_score(binary, spacing):
    prediction, truth = masks()
    names = CLASSES[:2] if binary else CLASSES
    if binary:
        prediction, truth = prediction > 0, truth > 0
    row = evaluate(prediction, truth, names, tolerance=0.5, spacing=spacing)
    expected = {None: scores_of(prediction > 0, truth > 0, spacing)} | {
        name: scores_of(prediction == label, truth == label, spacing)
        for label, name in enumerate(names)
    }
    for name, scores in expected.items():
        for score, value in scores.items():
            assert row[f"{score}_{name}" if name else score] == pytest.approx(value), (score, name)


def test_surfaces_have_the_unit_of_the_spacing_and_the_tolerance_that_of_pixels():
    prediction, truth = masks()
    plain = evaluate(prediction, truth, CLASSES)
    fine = evaluate(prediction, truth, CLASSES, spacing=(0.25, 0.25))
    lengths = ("hd", "assd")
    for key, value in plain.items():
        factor = 0.25 if key.startswith(lengths) else 1
        assert fine[key] == pytest.approx(factor * value, nan_ok=True), key


def test_the_tolerance_counts_pixels_of_the_finest_axis():
    truth = np.zeros((20, 20, 20), dtype=np.uint8)
    truth[5:15, 5:15, 5:15] = 1
    across = evaluate(np.roll(truth, 2, 2), truth, CLASSES[:2], spacing=(4, 2, 2))
    down = evaluate(np.roll(truth, 2, 0), truth, CLASSES[:2], spacing=(4, 2, 2))
    assert across["bf1"] == 1.0
    assert down["bf1"] < 1.0
    assert (across["hd"], down["hd"]) == (4, 8)


def test_missed_and_false_objects_cost_the_diagonal():
    truth = np.zeros((30, 40), dtype=np.uint8)
    truth[4:8, 4:8] = 1
    nothing = np.zeros_like(truth)
    for pair in ((nothing, truth), (truth, nothing)):
        row = evaluate(*pair, CLASSES, spacing=(0.1, 0.1))
        for name in ("", "_precipitate"):
            distances = [row[f"{score}{name}"] for score in ("hd", "hd95", "assd")]
            assert distances == pytest.approx([5.0] * 3)
            assert [row[f"{score}{name}"] for score in ("precision", "recall", "biou")] == [0.0] * 3
        assert all(isnan(row[f"{score}_pore"]) for score in ("iou", *PER_CLASS))
    # A perfect second image does not outweigh a miss that is left out.
    table = {"a": evaluate(nothing, truth, CLASSES), "b": evaluate(truth, truth, CLASSES)}
    assert summarise(table)["hd95_precipitate"].mean == pytest.approx(25.0)
    empty = evaluate(nothing, nothing, CLASSES)
    assert (empty["precision"], empty["recall"], empty["biou"]) == (1, 1, 1)
    assert (empty["hd"], empty["hd95"], empty["assd"]) == (0, 0, 0)


@pytest.mark.parametrize(("shift", "within"), [(3, True), (4, False)])
def test_the_second_tolerance_is_a_share_of_the_diagonal(shift, within):
    # The diagonal of 300 x 400 pixels is 500 px, of which 0.75 % are 3.75 px.
    truth = np.zeros((300, 400), dtype=np.uint8)
    truth[100:200, 100:200] = 1
    row = evaluate(np.roll(truth, shift, axis=0), truth, CLASSES[:2])
    assert (row["bf1_diag"] == 1.0) is within
    assert row["bf1"] < row["bf1_diag"]


def test_a_class_absent_from_both_masks_is_left_out_of_the_mean():
    truth = np.zeros((8, 8), dtype=np.uint8)
    truth[2:4, 2:4] = 2
    prediction = np.zeros_like(truth)
    row = evaluate(prediction, truth, CLASSES)
    assert isnan(row["iou_precipitate"])
    assert row["iou_matrix"] == 60 / 64
    assert row["iou_pore"] == 0.0
    assert row["miou"] == pytest.approx(60 / 64 / 2)


def test_binary_truth_is_compared_with_the_foreground():
    prediction, truth = masks()
    row = evaluate(prediction > 0, truth > 0, ("background", "foreground"))
    assert row["iou_foreground"] == row["iou"] == iou(prediction, truth)


def test_evaluate_refuses_what_does_not_fit():
    prediction, truth = masks()
    with pytest.raises(ValueError, match=r"\(60, 79\).*\(60, 80\)"):
        evaluate(prediction[:, :-1], truth, CLASSES)
    with pytest.raises(ValueError, match=r"labels 0\.\.2, but 2 classes"):
        evaluate(prediction, truth, CLASSES[:2])
    with pytest.raises(ValueError, match="2 axes needs as many positive spacings"):
        evaluate(prediction, truth, CLASSES, spacing=(1, 1, 1))
    with pytest.raises(ValueError, match='"diag"'):
        evaluate(prediction, truth, ("matrix", "diag", "pore"))


def rows(values):
    return {f"{number}.tif": {"iou": value} for number, value in enumerate(values)}


def test_summary_of_a_constant_is_that_constant():
    assert summarise(rows([0.5] * 6)) == {"iou": Summary(0.5, 0.5, 0.5, 6)}


def test_the_interval_agrees_with_the_central_limit():
    values = np.random.default_rng(3).normal(0.8, 0.05, 400)
    summary = summarise(rows(values))["iou"]
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert summary.mean == pytest.approx(values.mean())
    assert summary.low == pytest.approx(values.mean() - half_width, abs=0.1 * half_width)
    assert summary.high == pytest.approx(values.mean() + half_width, abs=0.1 * half_width)


def test_the_interval_of_two_images_is_known_exactly():
    # Resampling two images gives either twice (1/4 each) or their mean, so that both percentiles
    # are the extremes.
    assert summarise(rows([0.2, 0.6])) == {"iou": Summary(pytest.approx(0.4), 0.2, 0.6, 2)}


def test_the_interval_is_reproducible_and_blind_to_the_order_of_images():
    values = np.random.default_rng(1).random(9)
    assert summarise(rows(values)) == summarise(rows(values)) == summarise(rows(values[::-1]))
    assert summarise(rows(values)) != summarise(rows(values), seed=1)


def test_undefined_and_missing_values_leave_an_image_out():
    table = rows([0.1, 0.7, 0.4])
    expected = summarise(table)["iou"]
    table |= {"without.tif": {"iou": nan, "miou": 0.3}}
    summary = summarise(table)
    assert summary["iou"] == expected
    assert summary["miou"].mean == 0.3
    assert list(summary) == ["iou", "miou"]


def test_too_few_images_have_no_interval():
    one = summarise(rows([0.3]))["iou"]
    assert (one.mean, one.images) == (0.3, 1)
    assert isnan(one.low)
    assert isnan(one.high)
    none = summarise(rows([nan]))["iou"]
    assert isnan(none.mean)
    assert none.images == 0
    assert summarise({}) == {}


def test_a_summary_reads_well():
    assert str(Summary(0.91234, 0.87, 0.9449, 12)) == "0.912 [0.870, 0.945]"
    assert str(Summary(0.91234, nan, nan, 1)) == "0.912"
    assert str(Summary(nan, nan, nan, 0)) == "–"


def test_a_paired_comparison_sees_what_intervals_of_means_do_not():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.2, 0.9, 12)
    second = first + rng.uniform(0.01, 0.03, 12)
    one, two = rows(first), rows(second)
    assert summarise(one)["iou"].high > summarise(two)["iou"].mean
    comparison = compare(one, two)["iou"]
    assert comparison.difference.mean == pytest.approx((second - first).mean())
    assert 0.01 < comparison.difference.low < comparison.difference.high < 0.03
    # All 12 differences have one sign: 2 of 2^12 equally likely assignments are as extreme.
    assert comparison.p == pytest.approx(2 / 2**12)


def test_the_p_value_is_that_of_all_signs():
    """Wilcoxon (1945): ranks of the absolute differences with every sign they could have had."""
    differences = np.array([0.11, -0.02, 0.07, 0.23, -0.05, 0.13, 0.31])
    ranks = np.abs(differences).argsort().argsort() + 1
    signs = 2 * (np.arange(2**7)[:, None] >> np.arange(7) & 1) - 1
    sums = np.abs(signs @ ranks)
    expected = np.mean(sums >= abs(np.sign(differences) @ ranks))
    found = compare(rows(np.zeros(7)), rows(differences))["iou"]
    assert found.p == pytest.approx(expected)
    assert 0.05 < found.p < 0.2
    back = compare(rows(differences), rows(np.zeros(7)))["iou"]
    assert back.p == found.p
    assert back.difference.mean == -found.difference.mean


def test_images_are_paired_by_name():
    values = np.random.default_rng(2).random(9)
    one, two = rows(values), rows(values + 0.1)
    shuffled = dict(sorted(two.items(), reverse=True))
    assert compare(one, shuffled) == compare(one, two)
    assert compare(one, two | {"more.tif": {"iou": 0.0}}) == compare(one, two)
    undefined = one | {"0.tif": {"iou": nan}}
    assert compare(undefined, two)["iou"].difference.images == 8
    with pytest.raises(ValueError, match="no image is in both"):
        compare(one, {"other.tif": {"iou": 1.0}})


def test_equal_models_do_not_differ():
    one = rows([0.2, 0.5, 0.7])
    comparison = compare(one, one)["iou"]
    assert (comparison.p, comparison.difference) == (1.0, Summary(0.0, 0.0, 0.0, 3))
    assert str(comparison) == "0.000 [0.000, 0.000], p = 1"
    assert isnan(compare(rows([nan]), rows([0.1]))["iou"].p)


def test_only_metrics_of_both_are_compared():
    one, two = {"a": {"iou": 0.1, "dice": 0.2}}, {"a": {"dice": 0.3, "bf1": 0.2}}
    assert list(compare(one, two)) == ["dice"]
