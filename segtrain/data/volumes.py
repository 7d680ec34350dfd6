"""Augmentation of volumes: turns and scalings about the z axis, flips, grey values."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

TURN, SCALE, STRETCH = math.pi, (0.8, 1.25), 1.15
"""Largest turn in the plane, range of magnification, and of z against the plane."""

CHANCE = 0.5
"""Of each change of a patch."""


def augment_volumes(
    images: Tensor, targets: Tensor, weights: Tensor, patch: Sequence[int], smooth: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The middle `patch` of windows, turned, scaled, mirrored and of other grey values.

    All randomness is that of torch's global generator. Volumes are turned in the plane alone, since
    voxels are often longer along z.

    Parameters
    ----------
    images : Tensor, shape (B, C, Z, Y, X)
        Windows at least as large as `patch`.
    targets, weights : Tensor, shape (B, 1, Z, Y, X)
        Class indices or a field, as floats; weights.
    patch : sequence of int
        Sides of what is returned.
    smooth : bool
        Whether targets are a field, to be interpolated.

    Returns
    -------
    images, targets, weights : Tensor
        The same with sides `patch`.
    """
    parts = [
        _warped(images, targets, weights, index, patch, smooth) for index in range(len(images))
    ]
    images, targets, weights = (torch.stack(part) for part in zip(*parts, strict=True))
    for axis in (2, 3, 4):
        mirrored = torch.rand(len(images)) < CHANCE
        for part in (images, targets, weights):
            part[mirrored] = part[mirrored].flip(axis)
    return _shaded(images), targets, weights


def _warped(
    images: Tensor,
    targets: Tensor,
    weights: Tensor,
    index: int,
    patch: Sequence[int],
    smooth: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    parts = images[index], targets[index], weights[index]
    if torch.rand(()) >= CHANCE:
        spans = [
            slice((n - side) // 2, (n - side) // 2 + side)
            for n, side in zip(parts[0].shape[1:], patch, strict=True)
        ]
        image, target, weight = (part[:, *spans] for part in parts)
        return image, target, weight
    grid = _grid(parts[0].shape[1:], patch)
    image, target, weight = (
        F.grid_sample(
            part[None],
            grid,
            mode="bilinear" if linear else "nearest",
            padding_mode="reflection",
            align_corners=False,
        )[0]
        for part, linear in zip(parts, (True, smooth, False), strict=True)
    )
    return image, target, weight


def _grid(window: Sequence[int], patch: Sequence[int]) -> Tensor:
    """Where the voxels of a patch come from in its window, (1, Z, Y, X, 3) in -1..1."""
    angle = float(torch.empty(()).uniform_(-TURN, TURN))
    low, high = (math.log(bound) for bound in SCALE)
    scale = math.exp(float(torch.empty(()).uniform_(low, high)))
    stretch = math.exp(float(torch.empty(()).uniform_(-1, 1)) * math.log(STRETCH))
    z, y, x = (torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in patch)
    z = (z * scale * stretch)[:, None, None]
    y, x = y[None, :, None] * scale, x[None, None, :] * scale
    cosine, sine = math.cos(angle), math.sin(angle)
    offsets = (x * cosine - y * sine, x * sine + y * cosine, z)
    halves = [n / 2 for n in reversed(window)]
    places = [offset / half for offset, half in zip(offsets, halves, strict=True)]
    return torch.stack(torch.broadcast_tensors(*places), dim=-1)[None]  # type: ignore[no-untyped-call]


def _shaded(images: Tensor) -> Tensor:
    """Other contrast, brightness, gradation and noise, each for half of the patches."""

    def chosen() -> Tensor:
        return (torch.rand(len(images), images.shape[1], 1, 1, 1) < CHANCE).float()

    shape = (len(images), images.shape[1], 1, 1, 1)
    images = images * (1 + chosen() * torch.empty(shape).uniform_(-0.3, 0.3))
    images = images + chosen() * torch.empty(shape).uniform_(-0.3, 0.3)
    return images + chosen() * 0.1 * torch.randn(images.shape)
