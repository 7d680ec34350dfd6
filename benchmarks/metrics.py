"""Boundary F1 and HD95 against MONAI and the definition of DeepMind's surface-distance.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [--sizes 512 1024 2048 4096] [--rounds N]

Processor time of one thread, medians of alternating rounds. Structures: `dense`, particles all over
the image and outlines that are a little off; `sparse`, a few particles of which one is found where
nothing is, so that its distances are as long as the image.

MONAI takes the frame of the image for a boundary, as our surface distances do but not our boundary
F1; here no particle touches it, and all values must be equal. It has no boundary F1, which is
computed from its distances. surface-distance does not see pixels but the corners between four of
them, weighted by the length of outline that passes there: its distances differ from those of pixels
by less than one of them, and its surface Dice is the share of both outlines together.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from monai.metrics.utils import get_edge_surface_distance
from numpy.typing import NDArray
from scipy import ndimage

from cli import common
from segtrain.metrics import boundary_f1, surface_scores

Mask = NDArray[np.bool_]
TOLERANCE, PERCENTILE = 2.0, 95
HALF = 0.5 * np.hypot(1, 1)
LENGTHS = np.array(
    [0, HALF, HALF, 1, HALF, 1, 2 * HALF, HALF, HALF, 2 * HALF, 1, HALF, 1, HALF, HALF, 0]
)
"""Length of outline by the code of four pixels, the first two bits above the last two."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    contest(*structure("dense", 64), rounds=1)
    rows = []
    for kind in ("dense", "sparse"):
        for size in options.sizes:
            results = contest(*structure(kind, size), rounds=options.rounds)
            for metric, ways in results.items():
                ours, own = ways["ours"]
                row = [f"{kind} {size}", metric, f"{ours:.4f}", f"{own * 1e3:.1f}"]
                for way in ("MONAI", "surface-distance"):
                    value, seconds = ways[way]
                    row += [f"{value:.4f}", f"{seconds * 1e3:.1f}", f"{seconds / own:.1f}"]
                if abs(ways["MONAI"][0] - ours) > 1e-5 * max(ours, 1):
                    raise SystemExit(f"{row[0]}: MONAI finds another {metric}")
                rows.append(row)
                print(*row, sep=" | ", flush=True)
    header = ["image", "metric", "ours", "ms", "MONAI", "ms", "ratio", "surface-d.", "ms", "ratio"]
    common.table(header, rows)


def contest(
    prediction: Mask, truth: Mask, rounds: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Value and seconds by metric and way."""
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    ways: dict[str, dict[str, Callable[[], float]]] = {
        "boundary F1": {
            "ours": partial(boundary_f1, prediction, truth, TOLERANCE),
            "MONAI": partial(f1_of_monai, *tensors),
            "surface-distance": lambda: surface_distance(prediction, truth)[0],
        },
        "HD95": {
            "ours": lambda: surface_scores(prediction, truth).hd95,
            "MONAI": partial(hd95_of_monai, *tensors),
            "surface-distance": lambda: surface_distance(prediction, truth)[1],
        },
    }
    return {metric: _alternate(functions, rounds) for metric, functions in ways.items()}


def structure(kind: str, size: int) -> tuple[Mask, Mask]:
    """A prediction and its truth."""
    rng = np.random.default_rng(0)
    inside = np.pad(np.ones((size - 2, size - 2), dtype=bool), 1)
    if kind == "dense":
        smooth, rough = (
            ndimage.gaussian_filter(rng.standard_normal((size,) * 2), w) for w in (8, 3)
        )
        field = smooth / smooth.std()
        return (field + 0.15 * rough / rough.std() > 0.5) & inside, (field > 0.5) & inside
    y, x = np.ogrid[:size, :size]
    truth = np.zeros((size, size), dtype=bool)
    for cy, cx in rng.uniform(0.1 * size, 0.5 * size, (5, 2)):
        truth |= np.hypot(y - cy, x - cx) < 0.04 * size
    prediction = np.roll(truth, 1, 1)
    prediction |= np.hypot(y - 0.9 * size, x - 0.9 * size) < 0.05 * size
    return prediction & inside, truth & inside


def f1_of_monai(prediction: torch.Tensor, truth: torch.Tensor) -> float:
    """Csurka's score, from MONAI's distances."""
    pair = prediction[0, 0].bool(), truth[0, 0].bool()
    _, distances, _ = get_edge_surface_distance(*pair, symmetric=True)
    precision, recall = (float((d <= TOLERANCE).double().mean()) for d in distances)
    return 2 * precision * recall / max(precision + recall, 1e-300)


def hd95_of_monai(prediction: torch.Tensor, truth: torch.Tensor) -> float:
    """As users call it."""
    pair = prediction, truth
    return compute_hausdorff_distance(*pair, include_background=True, percentile=PERCENTILE).item()


def surface_distance(prediction: Mask, truth: Mask) -> tuple[float, float]:
    """Surface Dice and robust Hausdorff distance as DeepMind's surface-distance defines them.

    Nikolov et al., "Clinically applicable segmentation of head and neck anatomy", J. Med. Internet
    Res. 23:e26151, 2021: a distance transform from the places where the outline passes, and the
    distances weighted by its length there.
    """
    box = ndimage.find_objects((prediction | truth).astype(np.uint8))[0]
    codes = [_codes(np.pad(mask[box], 1).astype(np.uint8)) for mask in (prediction, truth)]
    borders = [(code > 0) & (code < 15) for code in codes]
    transforms = [ndimage.distance_transform_edt(~border) for border in borders]
    weights = [LENGTHS[code[border]] for code, border in zip(codes, borders, strict=True)]
    distances = [transforms[1 - i][borders[i]] for i in range(2)]
    near = sum(w[d <= TOLERANCE].sum() for w, d in zip(weights, distances, strict=True))
    robust = []
    for weight, distance in zip(weights, distances, strict=True):
        order = np.argsort(distance)
        shares = np.cumsum(weight[order]) / weight.sum()
        robust.append(distance[order][np.searchsorted(shares, PERCENTILE / 100)])
    return float(near / sum(w.sum() for w in weights)), float(max(robust))


def _codes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return 8 * mask[:-1, :-1] + 4 * mask[:-1, 1:] + 2 * mask[1:, :-1] + mask[1:, 1:]


def _alternate(
    functions: dict[str, Callable[[], float]], rounds: int
) -> dict[str, tuple[float, float]]:
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    values: dict[str, Any] = {}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            values[name] = function()
            seconds[name].append(time.process_time() - start)
    return {name: (values[name], median(seconds[name])) for name in functions}


if __name__ == "__main__":
    main()
