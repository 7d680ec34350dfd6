"""ES-UNet: a 3D U-Net with full-scale skips, channel attention and full-scale deep supervision.

Of Park et al., "ES-UNet: efficient 3D medical image segmentation with enhanced skip connections in
3D UNet", BMC Medical Imaging 2025, the architecture alone: neither its augmentation nor its loss.
Skips are those of Huang et al., "UNet 3+", ICASSP 2020, in 3D, with a squeeze and excitation (Hu,
Shen and Sun, CVPR 2018) in every path from the encoder to the decoder. Ours: features are made
narrow before they are enlarged, not after, which is the cheaper order, and what is joined comes out
with the width of its level.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segtrain.models.unet3d import CONVOLUTION, POOL, double, run, single

REDUCTION = 4
"""Channels per channel between squeeze and excitation."""


class ESUNet(nn.Module):
    """Every level of the decoder joins all levels of the encoder above and of the decoder below.

    In training mode it returns a tuple of logits (B, classes, [Z,] Y, X), finest first, one for
    every level, the bottleneck included, each of that level's size; in evaluation mode, or without
    deep supervision, the finest alone. As in `UNet3D` sides may be of any length.

    Parameters
    ----------
    channels, classes : int
        Channels of the input and of the output.
    widths : sequence of int
        Channels of every level, the bottleneck last. Every path into the decoder has the first.
    axes : int
        2 or 3 spatial axes.
    deep : bool
        Deep supervision.
    checkpointing : bool
        Compute blocks again in the backward pass instead of storing what is within them.

    Attributes
    ----------
    multiple : int
        Tiles must start at multiples of this to be pooled alike.
    halo : int
        Radius of what convolutions, pooling and enlarging see, pixels, at most; normalisation and
        attention see the whole patch.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: Sequence[int],
        axes: int = 3,
        *,
        deep: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.deep, self.pool, self.checkpointing = deep, POOL[axes], checkpointing
        self.mode = "bilinear" if axes == 2 else "trilinear"
        self.first = double(channels, widths[0], axes)
        self.down = nn.ModuleList(double(s, d, axes) for s, d in pairwise(widths))
        levels = len(widths)
        self.paths, self.merge = nn.ModuleList(), nn.ModuleList()
        for level in range(levels - 1):
            # From the encoder down to this level, then from the decoder below; the bottleneck is
            # the last of both.
            self.paths.append(
                nn.ModuleList(
                    nn.Sequential(ChannelAttention(width), single(width, widths[0], axes))
                    if source <= level
                    else single(width, widths[0], axes)
                    for source, width in enumerate(widths)
                )
            )
            self.merge.append(single(levels * widths[0], widths[level], axes))
        supervised = levels if deep else 1
        self.heads = nn.ModuleList(CONVOLUTION[axes](w, classes, 1) for w in widths[:supervised])
        self.multiple = 2 ** (levels - 1)
        scales = [2**level for level in range(levels)]
        # 2 convolutions on the way down, pooling, and 2 and an interpolation at every step up.
        self.halo = 2 * sum(scales) + self.multiple - 1 + 3 * sum(scales[:-1]) + self.multiple

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Logits of images (B, channels, [Z,] Y, X), see the class."""
        again = self.checkpointing and self.training
        features = [run(self.first, x, again)]
        for block in self.down:
            features.append(run(block, self.pool(features[-1], 2, ceil_mode=True), again))
        # From the bottleneck up, a level of the encoder gives way to that of the decoder.
        for level in reversed(range(len(self.paths))):
            size = features[level].shape[2:]
            joined = []
            for source, path in enumerate(cast(nn.ModuleList, self.paths[level])):
                if source <= level:
                    window = 2 ** (level - source)
                    y = run(path, self.pool(features[source], window, ceil_mode=True), again)
                else:
                    y = run(path, features[source], again)
                    y = F.interpolate(y, size=size, mode=self.mode)
                joined.append(y)
            features[level] = run(self.merge[level], torch.cat(joined, dim=1), again)
        if not (self.deep and self.training):
            finest: Tensor = self.heads[0](features[0])
            return finest
        return tuple(head(y) for head, y in zip(self.heads, features, strict=True))


class ChannelAttention(nn.Module):
    """Squeeze and excitation: every channel times a share that the means of all of them decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // REDUCTION, 1)
        self.excite = nn.Sequential(
            nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, channels, ...) like x."""
        share: Tensor = self.excite(x.flatten(2).mean(dim=2))
        return x * share.view(*share.shape, *[1] * (x.ndim - 2)).to(x.dtype)
