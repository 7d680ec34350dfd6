"""3D U-Net with instance normalisation and deep supervision, in 2D as well."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOL = {2: F.max_pool2d, 3: F.max_pool3d}


class UNet3D(nn.Module):
    """U-Net of double 3x3x3 convolutions, instance normalisation and ReLU.

    Sides that pooling does not divide are rounded up there and cropped again on the way up, so
    every size that leaves the bottleneck more than one pixel will do.

    In training mode it returns a tuple of logits (B, classes, [Z,] Y, X), finest first, one for
    every level of the decoder, each of that level's size; in evaluation mode, or without deep
    supervision, the finest alone.

    Parameters
    ----------
    channels, classes : int
        Channels of the input and of the output.
    widths : sequence of int
        Channels of every level, the bottleneck last.
    axes : int
        2 or 3 spatial axes.
    deep : bool
        Deep supervision, if there is more than one level of the decoder.
    pools : sequence of tuple of int, optional
        How much each pooling shrinks each axis, such as ``((1, 2, 2), (2, 2, 2))`` where voxels are
        long in z; 2 by default.

    Attributes
    ----------
    multiple : int or tuple of int
        Tiles must start at multiples of this to be pooled alike; a number for every axis if they
        differ.
    halo : int or tuple of int
        Radius of what convolutions and pooling see, pixels. Instance normalisation sees the whole
        patch, so tiles agree only as well as their means and variances do.
    checkpointing : bool
        Compute the blocks again in the backward pass instead of storing what is within them.

    References
    ----------
    Çiçek et al., "3D U-Net", MICCAI 2016; instance normalisation and deep supervision as in Isensee
    et al., "nnU-Net", Nature Methods 2021.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: Sequence[int],
        axes: int = 3,
        *,
        deep: bool = True,
        pools: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        super().__init__()
        levels = list(pairwise(widths))
        self.pools = list(pools or [(2,) * axes] * len(levels))
        self.deep, self.pool, self.checkpointing = deep, POOL[axes], False
        self.first = double(channels, widths[0], axes)
        self.down = nn.ModuleList(double(s, d, axes) for s, d in levels)
        self.up = nn.ModuleList(
            TRANSPOSED[axes](d, s, pool, stride=pool)  # type: ignore[arg-type]
            for (s, d), pool in zip(reversed(levels), reversed(self.pools), strict=True)
        )
        self.merge = nn.ModuleList(double(2 * s, s, axes) for s, _ in reversed(levels))
        supervised = max(1, len(levels)) if deep else 1
        self.heads = nn.ModuleList(CONVOLUTION[axes](w, classes, 1) for w in widths[:supervised])
        # What a subclass puts into the skips and before the bottleneck.
        self.skips = nn.ModuleList(nn.Identity() for _ in levels)
        self.waist: nn.Module = nn.Identity()

        self.scales = [
            tuple(prod(pool[axis] for pool in self.pools[:level]) for axis in range(axes))
            for level in range(len(widths))
        ]
        """Pixels of the image to a pixel of each level, along each axis."""
        self.multiple = alike(self.scales[-1])
        self.halo = alike(tuple(self.radius(axis) for axis in range(axes)))

    def radius(self, axis: int) -> int:
        """Radius of convolutions and pooling through the bottleneck along an axis, pixels."""
        scales = [scale[axis] for scale in self.scales]
        return 4 * sum(scales) - 2 * scales[-1] + scales[-1] - 1

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Logits of images (B, channels, [Z,] Y, X), see the class."""
        x = self._run(self.first, x)
        skips = []
        for n, (block, pool, skip) in enumerate(
            zip(self.down, self.pools, self.skips, strict=True), start=1
        ):
            skips.append(skip(x))
            x = self.pool(x, pool, ceil_mode=True)
            x = self._run(block, self.waist(x) if n == len(self.down) else x)
        decoded = [] if self.down else [x]
        for up, merge in zip(self.up, self.merge, strict=True):
            skip = skips.pop()
            whole = (..., *(slice(n) for n in skip.shape[2:]))
            x = self._run(merge, torch.cat([skip, up(x)[whole]], dim=1))
            decoded.append(x)
        if not (self.deep and self.training):
            finest: Tensor = self.heads[0](decoded[-1])
            return finest
        return tuple(head(y) for head, y in zip(self.heads, reversed(decoded), strict=True))

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        if self.checkpointing and self.training:
            again: Tensor = checkpoint(block, x, use_reentrant=False)
            return again
        once: Tensor = block(x)
        return once


def double(inputs: int, outputs: int, axes: int) -> nn.Sequential:
    """Two convolutions, each with instance normalisation and ReLU."""
    return nn.Sequential(*single(inputs, outputs, axes), *single(outputs, outputs, axes))


def single(inputs: int, outputs: int, axes: int) -> nn.Sequential:
    """A convolution of 3 points along each axis, instance normalisation and ReLU."""
    return nn.Sequential(
        CONVOLUTION[axes](inputs, outputs, 3, padding=1, bias=False),
        # Instance normalisation: a group for every channel, which channels-last order stays in.
        nn.GroupNorm(outputs, outputs),
        nn.ReLU(inplace=True),
    )


def alike(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """The one value of all axes, or the values."""
    return values[0] if len(set(values)) == 1 else values
