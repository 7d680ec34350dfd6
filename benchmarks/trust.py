"""Does the trust that needs no label rank images as the labels do?

    python benchmarks/trust.py IMAGES MASKS CHECKPOINT... [--names a,b] [--side 320]
    python benchmarks/trust.py IMAGES MASKS WORK/fold*/run/best.pt --folds --as-is

The middle of every image, as it is and changed as in `robustness.py`, is segmented and judged by
`segtrain.trust`; then the mask is read. The table has means by change, the last lines Spearman's
rank correlation of the figure with Boundary F1 at 2 px and with IoU, with a 95 % bootstrap interval
over the image copies. With ``--folds`` the checkpoints are those of `examples/uhcs.py`, each of
which judges the images that it has not learned from.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from robustness import CHANGES, Image
from scipy.stats import spearmanr
from skimage.transform import rescale

from cli import common
from phasegen.images import (
    Micrograph,
    grey_range,
    list_images,
    normalise,
    pair_masks,
    read_mask,
    read_micrograph,
)
from segtrain.metrics import boundary_f1, iou
from segtrain.predict import Segmenter, load_segmenter, segment
from segtrain.trust import judge

AS_IS = next(iter(CHANGES))

HEADER = ("images", "copies", "trust", "strangeness", "BF1@2px", "IoU", "doubted")


def main() -> None:
    """Print the table and the correlations."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--names", type=lambda text: text.split(","), help="images by stem")
    parser.add_argument("--side", type=int, default=320, help="of the part, pixels")
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--as-is", action="store_true", help="leave out the changes")
    parser.add_argument("--out", type=Path, help="JSON lines to write")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    for checkpoint in options.checkpoints:
        segmenter = load_segmenter(checkpoint)
        pairs = pair_masks(options.images, options.masks)
        if options.names:
            pairs = [pair for pair in pairs if pair[0].stem in options.names]
        if options.folds:
            learned = {path.name for path in list_images(checkpoint.parents[1] / "images")}
            pairs = [pair for pair in pairs if pair[0].name not in learned]
        for change in [AS_IS] if options.as_is else CHANGES:
            found += [measure(segmenter, *pair, change, options.side) for pair in pairs]
            print(found[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(map(json.dumps, found)))
    common.table(
        HEADER, [row(found, change) for change in dict.fromkeys(r["change"] for r in found)]
    )
    upright = [one for one in found if one["change"] != "contrast inverted"]
    for words, part in (("all copies", found), ("but the inverted", upright)):
        print(words, len(part), *(f"{s}: {correlation(part, s)}" for s in ("bf1", "iou")), sep=", ")


def measure(
    segmenter: Segmenter, image: Path, mask: Path, change: str, side: int
) -> dict[str, Any]:
    """Trust and scores of one changed image."""
    pixels, truth = changed(image, mask, change, side)
    micrograph = Micrograph(image, pixels, np.dtype("float32"), 0)
    trust = judge(segmenter, micrograph)
    predicted = segment(segmenter, micrograph)
    return {
        "image": image.stem,
        "change": change,
        "trust": trust.figure,
        "agreement": trust.agreement,
        "strangeness": trust.strangeness,
        "doubt": trust.doubt,
        "bf1": boundary_f1(predicted, truth),
        "iou": iou(predicted, truth),
    }


def changed(
    image: Path, mask: Path, change: str, side: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The middle of an image after a change, at most `side` pixels wide, and its mask."""
    alter, scale = CHANGES[change]
    scene = read_micrograph(image).scene
    grey: Image = alter(normalise(scene, *grey_range(scene)).astype(np.float64))
    sides = [min(n, int(side / max(scale, 1))) for n in scene.shape]
    middle = tuple(
        slice((n - s) // 2, (n + s) // 2) for n, s in zip(scene.shape, sides, strict=True)
    )
    grey, truth = grey[middle], read_mask(mask)[: len(scene)][middle]
    if scale != 1:
        grey = rescale(grey, scale, order=1, anti_aliasing=scale < 1)
        shares = [
            rescale((truth == k).astype(float), scale, order=1) for k in range(truth.max() + 1)
        ]
        truth = np.argmax(shares, axis=0).astype(np.uint8)
    return (np.clip(0.2 + 0.6 * grey, 0, 1) * 65535).astype(np.float32), truth


def row(found: Sequence[dict[str, Any]], change: str) -> tuple[str, ...]:
    """Means over the copies of one kind."""
    part = [one for one in found if one["change"] == change]
    means = (np.mean([one[key] for one in part]) for key in ("trust", "strangeness", "bf1", "iou"))
    doubted = sum(bool(one["doubt"]) for one in part)
    return (change, str(len(part)), *(f"{mean:.3f}" for mean in means), str(doubted))


def correlation(found: Sequence[dict[str, Any]], score: str) -> str:
    """Rank correlation of the figure with a score, with its bootstrap interval."""
    pairs = np.array([(one["trust"], one[score]) for one in found])
    draws = np.random.default_rng(0).integers(len(pairs), size=(2000, len(pairs)))
    spread = [spearmanr(*pairs[draw].T).statistic for draw in draws]
    low, high = np.nanquantile(spread, (0.025, 0.975))
    return f"{spearmanr(*pairs.T).statistic:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
