"""Batches as functions of seed and step, and the pool of earlier fakes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cyclegan.settings import Translation

Pair = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Image and class mask, (Y, X)."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches of both sides.

    Attributes
    ----------
    sim, real : Tensor (B, 1, P, P)
        Patches to start from, and of real scenes.
    mask : Tensor (B, P, P)
        Classes of the former.
    rngs : list of Generator
        What else is random about a patch is drawn from its own generator: then nothing depends on
        how a batch is shared among processes.
    sigma : float
        Standard deviation of the noise channel; 0: there is none.
    """

    sim: Tensor
    mask: Tensor
    real: Tensor
    rngs: list[np.random.Generator]
    sigma: float

    def noisy(self, images: Tensor) -> Tensor:
        """What the generator takes: `images` (k B, 1, P, P), with fresh noise as second channel."""
        if not self.sigma:
            return images
        shape = images.shape[1:]
        draws = [self.rngs[i % len(self.rngs)] for i in range(len(images))]
        noise = np.stack([rng.standard_normal(shape, np.float32) for rng in draws])
        return torch.cat([images, torch.from_numpy(self.sigma * noise).to(images)], 1)

    def quiet(self, images: Tensor) -> Tensor:
        """The same with a silent noise channel."""
        return torch.cat([images, torch.zeros_like(images)], 1) if self.sigma else images


def draw(
    simulated: Sequence[Pair],
    scenes: Sequence[NDArray[np.float32]],
    config: Translation,
    step: int,
    indices: Sequence[int],
    device: torch.device,
) -> Batch:
    """The patches `indices` of a step's batch, turned and mirrored at random.

    A patch is drawn from (seed, step, index), so that the first four of a batch of eight are the
    batch of four, whichever process draws them.
    """
    rngs = [np.random.default_rng((config.seed, step, index)) for index in indices]
    pairs = [
        _patch(simulated[int(rng.integers(len(simulated)))], config.patch, rng) for rng in rngs
    ]
    reals = [_patch((scenes[int(rng.integers(len(scenes)))],), config.patch, rng) for rng in rngs]
    sim, mask = (torch.from_numpy(np.stack(side)).to(device) for side in zip(*pairs, strict=True))
    (real,) = (torch.from_numpy(np.stack(side)).to(device) for side in zip(*reals, strict=True))
    return Batch(sim[:, None], mask.long(), real[:, None], rngs, config.noise)


def _patch(
    arrays: Sequence[NDArray[np.generic]], side: int, rng: np.random.Generator
) -> list[NDArray[np.generic]]:
    """The same random square of every array, turned and mirrored."""
    y, x = (int(rng.integers(n - side + 1)) for n in arrays[0].shape)
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    squares = [np.rot90(array[y : y + side, x : x + side], turns) for array in arrays]
    return [square[:, ::-1] if mirrored else square for square in squares]


def shade(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Change contrast and brightness, so that the segmenter does not hang on grey values."""
    drawn = np.array([(rng.uniform(0.7, 1.4), rng.uniform(-0.15, 0.15)) for rng in rngs])
    gain, offset = torch.from_numpy(drawn).to(images).T[:, :, None, None, None]
    shaded: Tensor = (images - 0.5) * gain + 0.5 + offset
    return shaded


def from_pool(pool: list[Tensor], fakes: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Fakes of this and of earlier steps, half and half once the pool is full.

    References
    ----------
    Shrivastava et al., CVPR 2017, section 2.3.
    """
    chosen = []
    for fake in fakes[:, None]:
        if len(pool) < size:
            pool.append(fake.clone())
        elif size and rng.random() < 0.5:
            index = int(rng.integers(size))
            fake, pool[index] = pool[index], fake.clone()
        chosen.append(fake)
    return torch.cat(chosen)
