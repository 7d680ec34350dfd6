"""Batches of random patches, functions of (seed, step) alone, so that runs resume exactly."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segtrain.data.augment import augment
from segtrain.data.source import Labelled, Source

MARGIN = 1.5
"""Patches are cut larger by this factor, so that rotation and scaling seldom need padding."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Images (B, C, [Z,] Y, X), targets (B, [Z,] Y, X) and weights of the same shape.

Targets are class indices (int64) or a field (float32).
"""


def draw(
    source: Source,
    indices: Sequence[int],
    count: int,
    patch: int | Sequence[int],
    seed: tuple[int, ...],
    *,
    shares: Sequence[float] | None = None,
    foreground: float = 0.0,
    first: int = 0,
) -> Batch:
    """A batch of `count` random augmented patches from the images `indices` of a source.

    A patch is drawn from (*seed, its number), so that the first four of a batch of eight are the
    batch of four, whichever process draws them.

    Parameters
    ----------
    patch : int or sequence of int
        Sides of a patch, pixels; one for all axes or one for each.
    seed : tuple of int
        Such as (seed of the run, step): the same tuple gives the same batch.
    shares : sequence of float, optional
        Chance of every index; equal if left out.
    foreground : float
        Share of the patches, 0..1, that are centred on a pixel that is not background: of each
        class of the image equally often.
    first : int
        Number of the first patch.
    """
    sides = (patch,) * source.axes if isinstance(patch, int) else tuple(patch)
    reach = tuple(int(MARGIN * side) for side in sides)
    patches = []
    for number in range(first, first + count):
        rng = np.random.default_rng((*seed, number))
        index = int(rng.choice(indices, p=shares))
        sample = source.load(index)
        centred = foreground and rng.random() < foreground
        image, target, weight = _cut(
            sample, reach, sides, rng, source.places(index) if centred else None
        )
        smooth = target.is_floating_point()
        patches.append(augment(image, target.float(), weight, sides, smooth, rng, source.oriented))
    images, targets, weights = (torch.stack(parts) for parts in zip(*patches, strict=True))
    return images, targets[:, 0] if smooth else targets[:, 0].long(), weights[:, 0]


def _cut(
    sample: Labelled,
    reach: Sequence[int],
    sides: Sequence[int],
    rng: np.random.Generator,
    places: NDArray[np.int64] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A window of `reach` pixels; centred on one of `places`, see `places_of`, if there are any.

    Its middle, the patch, lies anywhere in the image, or about it if it is longer. What the window
    has beyond is mirrored: the ends of an image, else, would be seen in warped patches alone.
    """
    sizes = sample.mask.shape
    margins = [(side - patch) // 2 for side, patch in zip(reach, sides, strict=True)]
    bounds = [
        [bound - margin for bound in sorted((0, n - side))]
        for n, side, margin in zip(sizes, sides, margins, strict=True)
    ]
    corner = [int(rng.integers(low, high + 1)) for low, high in bounds]
    if places is not None and len(places):
        # The class first: else a tumour within an organ would hardly ever be the centre.
        kind, which = rng.integers(len(places)), rng.integers(places.shape[1])
        centre = np.unravel_index(int(places[kind, which]), sizes)
        corner = [
            int(np.clip(c - side // 2, *bound))
            for c, side, bound in zip(centre, reach, bounds, strict=True)
        ]
    ends = [first + side for first, side in zip(corner, reach, strict=True)]
    window = tuple(slice(max(first, 0), end) for first, end in zip(corner, ends, strict=True))
    lack = [
        (max(-first, 0), max(end - n, 0)) for first, end, n in zip(corner, ends, sizes, strict=True)
    ]
    image = np.pad(sample.image[:, *window], [(0, 0), *lack], mode="symmetric")
    target, weight = (
        np.pad(a[window], lack, mode="symmetric") for a in (sample.mask, sample.weight)
    )
    return torch.from_numpy(image), _as_tensor(target)[None], torch.from_numpy(weight)[None]


def _as_tensor(target: NDArray[np.generic]) -> Tensor:
    """Indices as integers: that they are floats says that they are a field."""
    whole = target.dtype.kind != "f"
    return torch.from_numpy(target.astype(np.int32 if whole else np.float32))
