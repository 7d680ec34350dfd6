"""3D U-Net with instance normalisation and deep supervision, in 2D as well."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from phasegen.errors import InputError

Pools = tuple[tuple[int, ...], ...]
"""How much each pooling, the finest first, shrinks each axis."""

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
    pools : tuple of tuple of int, optional
        How much each pooling shrinks each axis, such as ``((1, 2, 2), (2, 2, 2))`` where voxels are
        long in z; 2 by default.
    checkpointing : bool
        Compute the blocks again in the backward pass instead of storing what is within them.

    Attributes
    ----------
    multiple : int or tuple of int
        Tiles must start at multiples of this to be pooled alike; a number for every axis if they
        differ.
    halo : int or tuple of int
        Radius of what convolutions and pooling see, pixels. Instance normalisation sees the whole
        patch, so tiles agree only as well as their means and variances do.

    Raises
    ------
    InputError
        If the pools do not fit the levels and axes.

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
        pools: Pools | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        levels = list(pairwise(widths))
        self.pools = _suited(pools, len(levels), axes)
        self.deep, self.pool, self.checkpointing = deep, POOL[axes], checkpointing
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
            skips.append(self._run(skip, x))
            x = self.pool(x, pool, ceil_mode=True)
            x = self._run(block, self._run(self.waist, x) if n == len(self.down) else x)
        decoded = [] if self.down else [x]
        for up, merge in zip(self.up, self.merge, strict=True):
            beside = skips.pop()
            whole = (..., *(slice(n) for n in beside.shape[2:]))
            x = self._run(merge, torch.cat([beside, up(x)[whole]], dim=1))
            decoded.append(x)
        if not (self.deep and self.training):
            finest: Tensor = self.heads[0](decoded[-1])
            return finest
        return tuple(head(y) for head, y in zip(self.heads, reversed(decoded), strict=True))

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        return run(block, x, self.checkpointing and self.training)


def run(block: nn.Module, x: Tensor, again: bool) -> Tensor:
    """What a block makes of x; `again` in the backward pass, without a store of what is within."""
    result: Tensor = checkpoint(block, x, use_reentrant=False) if again else block(x)
    return result


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


def _suited(pools: Pools | None, count: int, axes: int) -> Pools:
    """Pools of the network, 2 along every axis if none are given."""
    if pools is None:
        return ((2,) * axes,) * count
    if axes == 2:
        raise InputError("options.pools", "are given for images", "Leave them out")
    if len(pools) != count or any(len(pool) != axes or min(pool) < 1 for pool in pools):
        problem = f"are {[list(pool) for pool in pools]}"
        remedy = f"Give {count} times {axes} numbers from 1, such as [1,2,2] for the finest"
        raise InputError("options.pools", problem, remedy)
    return tuple(tuple(pool) for pool in pools)
