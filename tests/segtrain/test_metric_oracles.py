"""The metrics against MONAI and torchmetrics, which must agree where the definitions do."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from segtrain.metrics import evaluate, overlap, surface_scores

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
SHAPES = [(48, 64), (37, 50), (14, 20, 22)]


def masks(shape, seed):
    """A smooth random structure and the same with its outline disturbed."""
    rng = np.random.default_rng(seed)
    smooth, rough = (
        gaussian_filter(rng.standard_normal(shape), width, mode="wrap") for width in (4, 1.5)
    )
    field = smooth / smooth.std()
    return field + 0.3 * rough / rough.std() > 0.4, field > 0.4


def batch(mask):
    return torch.from_numpy(mask)[None, None].float()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("spacing", [None, 0.5, 3.0])
def test_surface_distances_of_monai(shape, seed, spacing):
    metrics = pytest.importorskip("monai.metrics", reason="MONAI is the oracle")
    prediction, truth = masks(shape, seed)
    steps = None if spacing is None else (spacing, *(1.0,) * (len(shape) - 1))
    pair = batch(prediction), batch(truth)
    common = {"include_background": True, "spacing": steps}
    score = surface_scores(prediction, truth, steps)
    for percentile, value in ((None, score.hausdorff), (95, score.hd95)):
        theirs = metrics.compute_hausdorff_distance(*pair, percentile=percentile, **common)
        assert value == pytest.approx(theirs.item(), rel=1e-5)
    theirs = metrics.compute_average_surface_distance(*pair, symmetric=True, **common)
    assert score.average == pytest.approx(theirs.item(), rel=1e-5)
    assert 0 < score.average < score.hd95 < score.hausdorff


@pytest.mark.parametrize("shape", SHAPES)
def test_boundary_f1_from_the_distances_of_monai(shape):
    """MONAI's frame is a boundary and ours is not: without foreground there both mean the same."""
    utils = pytest.importorskip("monai.metrics.utils", reason="MONAI is the oracle")
    inside = np.pad(np.ones([size - 2 for size in shape], dtype=bool), 1)
    prediction, truth = (mask & inside for mask in masks(shape, 3))
    _, distances, _ = utils.get_edge_surface_distance(
        torch.from_numpy(prediction), torch.from_numpy(truth), symmetric=True
    )
    precision, recall = (float((d <= 1).double().mean()) for d in distances)
    expected = 2 * precision * recall / (precision + recall)
    row = evaluate(prediction, truth, ("matrix", "phase"), tolerance=1.0)
    assert row["bf1"] == pytest.approx(expected)
    assert row["bf1"] < 1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_miss_that_monai_drops_is_counted(shape):
    metrics = pytest.importorskip("monai.metrics", reason="MONAI is the oracle")
    _, truth = masks(shape, 0)
    nothing = np.zeros_like(truth)
    with pytest.warns(UserWarning, match="all 0"):
        theirs = metrics.compute_hausdorff_distance(batch(nothing), batch(truth), True)
    assert not torch.isfinite(theirs).all()
    assert surface_scores(nothing, truth).hd95 == pytest.approx(np.linalg.norm(shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_overlaps_of_torchmetrics(shape, seed):
    functional = pytest.importorskip(
        "torchmetrics.functional.classification", reason="torchmetrics is the oracle"
    )
    prediction, truth = masks(shape, seed)
    pair = torch.from_numpy(prediction).int(), torch.from_numpy(truth).int()
    score = overlap(prediction, truth)
    assert score.iou == pytest.approx(float(functional.binary_jaccard_index(*pair)))
    assert score.dice == pytest.approx(float(functional.binary_f1_score(*pair)))
    assert score.precision == pytest.approx(float(functional.binary_precision(*pair)))
    assert score.recall == pytest.approx(float(functional.binary_recall(*pair)))


def test_classes_of_torchmetrics():
    functional = pytest.importorskip(
        "torchmetrics.functional.classification", reason="torchmetrics is the oracle"
    )
    rng = np.random.default_rng(0)
    truth = np.repeat(np.repeat(rng.integers(0, 3, (8, 8)), 5, 0), 5, 1).astype(np.uint8)
    prediction = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 3, truth.shape), truth)
    row = evaluate(prediction, truth, ("a", "b", "c"))
    pair = torch.from_numpy(prediction), torch.from_numpy(truth.astype(np.int64))
    common = {"num_classes": 3, "average": None}
    for name, theirs in {
        "iou": functional.multiclass_jaccard_index(*pair, **common),
        "dice": functional.multiclass_f1_score(*pair, **common),
        "precision": functional.multiclass_precision(*pair, **common),
        "recall": functional.multiclass_recall(*pair, **common),
    }.items():
        assert [row[f"{name}_{label}"] for label in "abc"] == pytest.approx(theirs.tolist())
