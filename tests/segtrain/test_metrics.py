from math import isnan, nan

import numpy as np
import pytest

from segtrain.metrics import Summary, boundary_f1, dice, evaluate, iou, summarise

CLASSES = ("matrix", "precipitate", "pore")


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
    ]
    foreground = prediction > 0, truth > 0
    assert row["iou"] == iou(*foreground)
    assert row["dice"] == dice(*foreground)
    assert row["bf1"] == boundary_f1(*foreground, 0.5)
    for label, name in enumerate(CLASSES):
        assert row[f"iou_{name}"] == pytest.approx(iou(prediction == label, truth == label))
    assert row["miou"] == pytest.approx(np.mean([row[f"iou_{name}"] for name in CLASSES]))
    assert all(type(value) is float for value in row.values())


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
