"""U-Net: encoder and decoder of double convolutions joined by skips."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """The plain 2D U-Net.

    Double 3x3 convolutions with bias and batch normalisation, max pooling, transposed convolutions
    for upsampling, a 1x1 head.

    Parameters
    ----------
    channels, classes : int
        Channels of the input and of the output.
    widths : sequence of int
        Channels of every level, the bottleneck last.

    References
    ----------
    Ronneberger, Fischer and Brox, MICCAI 2015; batch normalisation and padding as is now common.
    """

    def __init__(self, channels: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        levels = list(pairwise(widths))
        self.first = _double(channels, widths[0])
        self.down = nn.ModuleList(_double(shallow, deep) for shallow, deep in levels)
        self.up = nn.ModuleList(nn.ConvTranspose2d(d, s, 2, stride=2) for s, d in reversed(levels))
        self.merge = nn.ModuleList(_double(2 * s, s) for s, _ in reversed(levels))
        self.head = nn.Conv2d(widths[0], classes, 1)
        self.multiple = 2 ** len(levels)
        """Sides of the input must be multiples of this."""
        self.halo = 7 * self.multiple - 5
        """Receptive-field radius, pixels: 6 m - 4 for convolutions, m - 1 for pooling windows."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes, Y, X) of images (B, channels, Y, X)."""
        x = self.first(x)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(nn.functional.max_pool2d(x, 2))
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
