"""Augmentation of patches: turns, scalings and flips, grey values, blur and noise.

Everything about a patch is drawn from its own generator. So nothing depends on how a batch is
shared among processes, and images and volumes go the same way.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Changes:
    """How often, and how much, patches are changed.

    Attributes
    ----------
    warp : float
        Chance of a turn by any angle about the z axis, with a change of size.
    scale : tuple of float
        Range of the step from pixel to pixel; below 1 it magnifies.
    stretch : float
        Largest additional factor along z.
    blur : float
        Chance of a Gaussian blur of 0.3 to 1.2 pixels.
    contrast, brightness : float
        Largest change of contrast as a factor, and of grey values in standard deviations of the
        image, each for half of the channels.
    noise : tuple of float
        Chance of white noise, and its standard deviation.
    """

    warp: float
    scale: tuple[float, float]
    stretch: float
    blur: float
    contrast: float
    brightness: float
    noise: tuple[float, float]


CHANGES = {
    2: Changes(0.7, (0.75, 1.33), 1.0, 0.3, 1.4, 0.0, (0.3, 0.2)),
    3: Changes(0.5, (0.8, 1.25), 1.15, 0.0, 1.3, 0.3, (0.5, 0.1)),
}
"""Of images and of volumes. Voxels are often longer along z, and so volumes are not tilted.

Standardised images hardly differ in brightness, and must not: changes of 0.2 took the panoptic
quality of unseen live cells from 0.42 to 0.27. Nothing is sheared: pixels are square, and the
angles between interfaces mean something.
"""

BLUR = (0.3, 1.2)

TILT = math.pi / 12
"""Largest turn where orientation means something, as in a body."""


def augment(
    image: Tensor,
    target: Tensor,
    weight: Tensor,
    patch: Sequence[int],
    smooth: bool,
    rng: np.random.Generator,
    oriented: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The middle `patch` of a window, turned, scaled, mirrored and of other grey values.

    Parameters
    ----------
    image : Tensor, shape (C, [Z,] Y, X)
        A window at least as large as `patch`.
    target, weight : Tensor, shape (1, [Z,] Y, X)
        Class indices or a field, as floats; weights.
    patch : sequence of int
        Sides of what is returned.
    smooth : bool
        Whether the target is a field, to be interpolated.
    rng : Generator
        Source of all randomness.
    oriented : bool
        Whether up and down mean something: turns stay below `TILT`, and only x is mirrored.

    Returns
    -------
    image, target, weight : Tensor
        The same with sides `patch`.
    """
    changes = CHANGES[len(patch)]
    parts = [image, target, weight]
    if rng.random() < changes.warp:
        grid = _grid(image.shape[1:], patch, changes, TILT if oriented else math.pi, rng)
        parts = [
            F.grid_sample(
                part[None],
                grid,
                mode="bilinear" if linear else "nearest",
                padding_mode="reflection",
                align_corners=False,
            )[0]
            for part, linear in zip(parts, (True, smooth, False), strict=True)
        ]
    else:
        starts = [(n - side) // 2 for n, side in zip(image.shape[1:], patch, strict=True)]
        spans = [slice(first, first + side) for first, side in zip(starts, patch, strict=True)]
        parts = [part[:, *spans] for part in parts]
    axes = range(1, len(patch) + 1)
    mirrored = [axis for axis in (axes[-1:] if oriented else axes) if rng.random() < 0.5]
    image, target, weight = (part.flip(mirrored) for part in parts)
    if rng.random() < changes.blur:
        image = _blurred(image, rng.uniform(*BLUR))
    return _shaded(image, changes, rng), target, weight


def _grid(
    window: Sequence[int],
    patch: Sequence[int],
    changes: Changes,
    turn: float,
    rng: np.random.Generator,
) -> Tensor:
    """Where the pixels of a patch come from in its window, (1, [Z,] Y, X, axes) in -1..1."""
    angle = rng.uniform(-turn, turn)
    scale = math.exp(rng.uniform(*np.log(changes.scale)))
    stretch = math.exp(rng.uniform(-1, 1) * math.log(changes.stretch))
    # From the middle of the patch, in half windows.
    *z, y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in patch), indexing="ij"
    )
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    offsets = [
        x * cosine - y * sine,
        x * sine + y * cosine,
        *(scale * stretch * part for part in z),
    ]
    halves = [n / 2 for n in reversed(window)]
    return torch.stack([o / half for o, half in zip(offsets, halves, strict=True)], dim=-1)[None]


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """An image (C, Y, X) less sharp, within 5 x 5 pixels."""
    kernel = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image[:, None], (2, 2, 2, 2), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 5, 1)), kernel.view(1, 1, 1, 5))[:, 0]


def _shaded(image: Tensor, changes: Changes, rng: np.random.Generator) -> Tensor:
    """Other contrast, brightness and noise."""

    def of_some(values: np.ndarray, otherwise: float) -> Tensor:
        chosen = np.where(rng.random(len(values)) < 0.5, values, otherwise)
        return torch.from_numpy(chosen.astype(np.float32)).view(-1, *(1,) * (image.ndim - 1))

    channels, most = len(image), changes.contrast
    image = image * of_some(np.exp(rng.uniform(-1, 1, channels) * math.log(most)), 1.0)
    image = image + of_some(rng.uniform(-1, 1, channels) * changes.brightness, 0.0)
    chance, deviation = changes.noise
    if rng.random() < chance:
        noise = rng.standard_normal(tuple(image.shape), np.float32)
        image = image + torch.from_numpy(deviation * noise)
    return image
