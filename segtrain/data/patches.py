"""Batches of random patches, a function of (seed, step) alone, so that runs resume exactly."""

from collections.abc import Sequence

import numpy as np
import torch
from kornia import augmentation as K
from torch import Tensor

from segtrain.data.source import Labelled, Source

MARGIN = 1.5
"""Patches are cut larger by this factor, so that rotation and scaling seldom need padding."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Images (B, 1, Y, X), class indices (B, Y, X) int64, weights (B, Y, X)."""


def augmentation(patch: int) -> K.AugmentationSequential:
    """Geometry for image, mask and weight together, grey values for the image."""
    return K.AugmentationSequential(
        K.RandomAffine(
            degrees=180.0, scale=(0.75, 1.33), padding_mode="reflection", p=0.7, keepdim=True
        ),
        K.CenterCrop((patch, patch), keepdim=True),
        K.RandomHorizontalFlip(p=0.5, keepdim=True),
        K.RandomVerticalFlip(p=0.5, keepdim=True),
        K.RandomGaussianBlur((5, 5), (0.3, 1.2), p=0.3, keepdim=True),
        K.RandomContrast((0.7, 1.4), clip_output=False, p=0.5, keepdim=True),
        K.RandomGaussianNoise(std=0.2, p=0.3, keepdim=True),
        data_keys=["input", "mask", "mask"],
    )


def draw(
    source: Source, indices: Sequence[int], count: int, patch: int, seed: tuple[int, ...]
) -> Batch:
    """A batch of `count` random augmented patches from the images `indices` of a source.

    Parameters
    ----------
    seed : tuple of int
        Such as (seed of the run, step): the same tuple gives the same batch.
    """
    rng = np.random.default_rng(seed)
    cuts = [_cut(source.load(int(rng.choice(indices))), patch, rng) for _ in range(count)]
    images, masks, weights = (torch.stack(parts) for parts in zip(*cuts, strict=True))
    # kornia draws from the global generator.
    torch.manual_seed(int(rng.integers(2**62)))
    images, masks, weights = augmentation(patch)(images, masks, weights)
    return images, masks[:, 0].long(), weights[:, 0]


def _cut(sample: Labelled, patch: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    side = int(MARGIN * patch)
    y, x = (int(rng.integers(max(n - side, 0) + 1)) for n in sample.mask.shape)
    window = (slice(y, y + side), slice(x, x + side))
    lack = [(0, max(side - n, 0)) for n in sample.mask.shape]
    image, mask, weight = (
        torch.from_numpy(np.pad(a[window].astype(np.float32), lack, mode="symmetric"))[None]
        for a in (sample.image, sample.mask, sample.weight)
    )
    return image, mask, weight
