"""Adaptive augmentation of what the discriminator sees, so that few images do not wear out."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SHIFT, HOLE = 1 / 8, 1 / 2
"""Largest translation, and side of the square that is cut out, as shares of the patch."""

MOST = 0.8
"""Above this probability the generator would learn to draw augmented images (Karras et al.)."""

RAMP = 250
"""Steps in which the probability may go from 0 to 1: a tenth of the original's images, for runs of
a thousandth of its length."""


def augment(images: Tensor, p: float, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Mirror and turn, shift, and cut out, each with probability `p`; differentiable.

    Nothing here changes the style: grey values stay, but for the grey hole.

    Parameters
    ----------
    images : Tensor (k B, 1, P, P)
        Square patches.
    p : float
        Probability, 0..1.
    rngs : sequence of Generator
        One for each of the B patches.

    References
    ----------
    Zhao et al., Differentiable augmentation, NeurIPS 2020, section 3; Karras et al., Training
    generative adversarial networks with limited data, NeurIPS 2020, section 3.
    """
    if not p:
        return images
    return torch.stack([_one(image, p, rngs[i % len(rngs)]) for i, image in enumerate(images)])


def _one(image: Tensor, p: float, rng: np.random.Generator) -> Tensor:
    side = image.shape[-1]
    if rng.random() < p:
        image = image.rot90(int(rng.integers(4)), (-2, -1))
        image = image.flip(-1) if rng.integers(2) else image
    if rng.random() < p:
        far = int(SHIFT * side)
        y, x = (int(rng.integers(2 * far + 1)) for _ in "yx")
        padded = torch.nn.functional.pad(image, (far, far, far, far), mode="reflect")
        image = padded[:, y : y + side, x : x + side]
    if rng.random() < p:
        half = int(HOLE * side) // 2
        y, x = (int(rng.integers(side)) for _ in "yx")
        kept = torch.ones_like(image)
        kept[:, max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
        image = (image - 0.5) * kept + 0.5
    return image


def adjust(p: float, confidence: float, target: float) -> float:
    """Probability for the next step: more while the discriminator is too sure of real patches.

    Parameters
    ----------
    p : float
        Probability of this step.
    confidence : float
        Mean sign of the real patches' scores about the middle between real and fake: the
        heuristic r_t of Karras et al., section 3.2, equation (1); 0 at chance, 1 if all of them
        are known.
    target : float
        Confidence to be held; 0 switches augmentation off.
    """
    return min(MOST, max(0.0, p + float(np.sign(confidence - target)) / RAMP)) if target else 0.0
