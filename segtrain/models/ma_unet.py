"""MA-UNet: a residual U-Net with a Transformer at the bottleneck and attention in the decoder.

As "Single tensor cell segmentation using scalar field representations" (2025, section 2.1.4)
enhances it for the Poisson field: residual blocks with group normalisation and SiLU, spatial
dropout of 0.3, three Transformer layers of eight heads at a bottleneck 1536 wide, dual attention in
the decoder. The paper draws no plan; what it leaves open is ours: the order within a block, the
number of levels, convolutional block attention (channel, then spatial) for "dual attention", and a
depthwise convolution that tells the Transformer what lies beside what.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import gcd

import torch
from torch import Tensor, nn

from phasegen.errors import InputError

WIDTHS = (96, 192, 384, 768, 1536)
"""Channels of every level of the full network."""
ATTENTION_DROPOUT = 0.1
GROUPS, REDUCTION, WINDOW = 8, 8, 7

Layers = tuple[type[nn.Module], type[nn.Module], type[nn.Module], type[nn.Module]]
LAYERS: dict[int, Layers] = {
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.Dropout2d),
    3: (nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.Dropout3d),
}
"""Convolution, its transpose, pooling and spatial dropout by the number of axes."""


class Residual(nn.Module):
    """Two 3x3 convolutions with a shortcut: (B, inputs, ...) to (B, outputs, ...).

    Convolution, group normalisation, SiLU, spatial dropout, convolution, group normalisation; the
    shortcut, a 1x1 convolution where the width changes, is added before the last SiLU.
    """

    def __init__(self, inputs: int, outputs: int, axes: int, dropout: float) -> None:
        super().__init__()
        convolution, _, _, drop = LAYERS[axes]
        self.body = nn.Sequential(
            convolution(inputs, outputs, 3, padding=1, bias=False),
            _norm(outputs),
            nn.SiLU(inplace=True),
            drop(dropout),
            convolution(outputs, outputs, 3, padding=1, bias=False),
            _norm(outputs),
        )
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, bias=False)
        self.last = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Of the size of the input."""
        y: Tensor = self.last(self.body(x) + self.shortcut(x))
        return y


class DualAttention(nn.Module):
    """Channel attention, then spatial attention: which features matter, then where.

    The convolutional block attention module of Woo et al., ECCV 2018, equations 1 to 3: weights in
    (0, 1) from the mean and the maximum over all pixels, then over all channels.
    """

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        convolution = LAYERS[axes][0]
        hidden = max(channels // REDUCTION, 1)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden), nn.SiLU(inplace=True), nn.Linear(hidden, channels)
        )
        self.spatial = convolution(2, 1, WINDOW, padding=WINDOW // 2)

    def forward(self, x: Tensor) -> Tensor:
        """The features, (B, channels, ...), weighted."""
        pixels = x.flatten(2)
        weights = self.channel(pixels.mean(dim=2)) + self.channel(pixels.amax(dim=2))
        x = x * weights.sigmoid().reshape(*x.shape[:2], *(1,) * (x.ndim - 2))
        planes = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        weighted: Tensor = x * self.spatial(planes).sigmoid()
        return weighted


class Transformer(nn.Module):
    """Every pixel of the bottleneck attends to every other.

    Layers normalised first, with a hidden width of four times the channels. A depthwise convolution
    in place of a table of positions (Chu et al., "Conditional positional encodings for vision
    transformers", ICLR 2023) serves images of any size.
    """

    def __init__(self, channels: int, heads: int, layers: int, axes: int) -> None:
        super().__init__()
        self.position = LAYERS[axes][0](channels, channels, 3, padding=1, groups=channels)
        layer = nn.TransformerEncoderLayer(
            channels,
            heads,
            4 * channels,
            ATTENTION_DROPOUT,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(channels), enable_nested_tensor=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, channels, ...) in and out."""
        tokens = (x + self.position(x)).flatten(2).transpose(1, 2)
        seen: Tensor = self.encoder(tokens)
        return seen.transpose(1, 2).reshape(x.shape)


class MAUNet(nn.Module):
    """The enhanced MA-UNet, for images and volumes.

    With one channel, one output and the `WIDTHS` of the full network it has 158,755,573 parameters,
    and takes 273 GFLOP for an image of 256x256; the paper gives neither number.

    Parameters
    ----------
    channels, classes : int
        Channels of the input and of the output; one output regresses a scalar field.
    widths : sequence of int
        Channels of every level, the bottleneck last, which `heads` must divide.
    axes : int
        2 for images, 3 for volumes.
    heads, layers : int
        Of the Transformer.
    dropout : float
        Share of the channels that every residual block drops in training, [0, 1).

    Attributes
    ----------
    multiple : int
        Sides of the input must be multiples of this.
    halo : int
        Radius in pixels of what is seen through convolutions and pooling alone. Attention and group
        normalisation see all of a tile, however large: no halo makes tiles equal to the whole
        image, as it does for the plain U-Net. Tiles that overlap by this much have no seams of the
        convolutions; for the rest, predict in tiles of the size of the training patches, so that
        attention and statistics meet what they know, and blend them.

    Raises
    ------
    InputError
        If the heads do not divide the bottleneck, `axes` is neither 2 nor 3, or an option is out of
        range.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: Sequence[int] = WIDTHS,
        axes: int = 2,
        *,
        heads: int = 8,
        layers: int = 3,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if axes not in LAYERS:
            raise InputError("axes", f"is {axes}", "MA-UNet takes images (2) or volumes (3)")
        if heads < 1 or layers < 1 or not 0 <= dropout < 1:
            problem = f"are heads {heads}, layers {layers}, dropout {dropout}"
            raise InputError("options", problem, "Use 1 or more, 1 or more, and 0 to less than 1")
        if widths[-1] % heads:
            problem = f"end in {widths[-1]}, which {heads} attention heads cannot share"
            raise InputError("widths", problem, f"End them in a multiple of {heads}")
        convolution, transposed, pool, _ = LAYERS[axes]
        steps = list(pairwise(widths))
        up = [(deep, shallow) for shallow, deep in reversed(steps)]
        self.first = Residual(channels, widths[0], axes, dropout)
        self.pool = pool(2)
        self.down = nn.ModuleList(Residual(s, d, axes, dropout) for s, d in steps)
        self.transformer = Transformer(widths[-1], heads, layers, axes)
        self.up = nn.ModuleList(transposed(d, s, 2, stride=2) for d, s in up)
        self.attention = nn.ModuleList(DualAttention(2 * s, axes) for _, s in up)
        self.merge = nn.ModuleList(Residual(2 * s, s, axes, dropout) for _, s in up)
        self.head = convolution(widths[0], classes, 1)
        self.multiple = 2 ** len(steps)
        # The U-Net's 7 m - 5; m for the positions; 3 at each of the m/2, ..., 1 of the decoder.
        self.halo = 11 * self.multiple - 8

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (B, classes, [Z,] Y, X) of images (B, channels, [Z,] Y, X), not squashed."""
        x = self.first(x)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(self.pool(x))
        x = self.transformer(x)
        for up, attention, merge in zip(self.up, self.attention, self.merge, strict=True):
            x = merge(attention(torch.cat([skips.pop(), up(x)], dim=1)))
        output: Tensor = self.head(x)
        return output


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(gcd(GROUPS, channels), channels)
