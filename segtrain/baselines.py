"""What needs no training: the score that a network has to beat."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from phasegen.images import pair_masks, read_mask, read_micrograph
from segtrain.metrics import evaluate


def otsu(scene: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The darker phase by Otsu's threshold after Gaussian smoothing (standard deviation 2 px)."""
    smooth = ndimage.gaussian_filter(scene, 2.0)
    darker: NDArray[np.bool_] = smooth < threshold_otsu(smooth)
    return darker


def otsu_scores(images: Path, masks: Path, tolerance: float = 2.0) -> dict[str, dict[str, float]]:
    """Foreground scores of `otsu` by image name, info bars left out; see `segtrain.metrics`."""
    rows = {}
    for image, mask in pair_masks(images, masks):
        micrograph = read_micrograph(image)
        scene = micrograph.scene
        truth = read_mask(mask, micrograph.pixels.shape)[: len(scene)] > 0
        classes = ("background", "foreground")
        rows[image.name] = evaluate(otsu(scene), truth, classes, tolerance=tolerance)
    return rows
