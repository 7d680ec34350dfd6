"""Generator, discriminator and the small segmenter that watches the boundaries."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from cyclegan.settings import Translation


class Generator(nn.Module):
    """ResNet generator that adds a bounded change to its input.

    The change starts at zero and never exceeds `bound`, so that the network decorates a picture
    whose boundaries are in place rather than drawing one. It has no normalisation layers: these
    would take statistics per tile, and tiles would show.

    Parameters
    ----------
    width, blocks : int
        Channels at full resolution (doubled at half, and again at a quarter), residual blocks.
    bound : float
        Largest change of a grey value.
    inputs : int
        Channels of the input; the first is the image, others say how to decorate it.

    Attributes
    ----------
    channels : list of int
        Channels of what `encode` returns.
    halo : int
        Radius of the receptive field, pixels.

    References
    ----------
    Zhu, Park, Isola and Efros, ICCV 2017; zero-initialised residual branches after Zhang, Dauphin
    and Ma, ICLR 2019.
    """

    multiple = 4

    def __init__(self, width: int, blocks: int, bound: float, inputs: int = 1) -> None:
        super().__init__()
        self.bound = bound
        # The last 3: an enlarged pixel comes from one that lies up to so far away.
        self.halo = 3 + 1 + 2 + 8 * blocks + 2 + 1 + 3 + 3
        self.inside = nn.Sequential(
            nn.Conv2d(inputs, width, 7, padding=3, padding_mode="reflect"),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            *(_Residual(4 * width) for _ in range(blocks)),
            # Upsampling before a convolution leaves no checkerboard.
            nn.Upsample(scale_factor=2),
            nn.Conv2d(4 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.last = nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect")
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        # After the three convolutions, half of the blocks, and all of them.
        self.taps = (2, 4, 6, 6 + (blocks + 1) // 2, 6 + blocks)[: 5 if blocks > 1 else 4]
        self.channels = [width, 2 * width, *[4 * width] * (len(self.taps) - 2)]

    def forward(self, x: Tensor) -> Tensor:
        """Translated image (B, 1, Y, X) of an input (B, C, Y, X); sides must be multiples of 4."""
        return self.decode(x, self.inside[: self.taps[-1]](x))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of the input from fine to coarse; the last ones are what `decode` takes."""
        features = []
        for start, stop in pairwise((0, *self.taps)):
            x = self.inside[start:stop](x)
            features.append(x)
        return features

    def decode(self, x: Tensor, code: Tensor) -> Tensor:
        """Translated image (B, 1, Y, X), given the input and the last of its features."""
        change: Tensor = self.bound * torch.tanh(self.last(self.inside[self.taps[-1] :](code)))
        return x[:, :1] + change

    def in_windows(self) -> None:
        """From now on take windows whose outermost `halo` pixels of the result are thrown away.

        What lies beyond their borders is of no account then, and to mirror it, in every channel at
        full resolution, a waste of time.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = "zeros"


def towards_real(config: Translation) -> Generator:
    """The generator that is kept, with a channel of noise where the settings ask for one."""
    inputs = 2 if config.noise else 1
    return Generator(config.width, config.blocks, config.bound, inputs)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(nn.functional.relu(self.first(x)))
        return x + change


def discriminator(width: int) -> nn.Sequential:
    """PatchGAN that scores a patch, (B, 1, Y, X) -> (B, 1, 1, 1), by the mean over fields of 26 px.

    Grain, noise and rims live at this scale; a larger field would judge the shapes, which the
    translation must not change. One such field says too little by itself: asked to tell it from a
    real one, the network stays at chance, where the mean of a patch gives it away.

    References
    ----------
    Isola, Zhu, Zhou and Efros, CVPR 2017, section 3.2.2.
    """
    return nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.InstanceNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1),
        nn.InstanceNorm2d(4 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4 * width, 1, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
    )


def segmenter(classes: int, width: int = 16) -> nn.Sequential:
    """Small dilated network (B, 1, Y, X) -> logits (B, classes, Y, X) at full resolution.

    It normalises by groups within a patch: statistics of a batch would depend on how the batch is
    shared among processes.
    """
    layers: list[nn.Module] = []
    for inputs, dilation in ((1, 1), (width, 2), (width, 4), (width, 8), (width, 1)):
        layers += [
            nn.Conv2d(inputs, width, 3, padding=dilation, dilation=dilation),
            nn.GroupNorm(4, width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Conv2d(width, classes, 1))
