"""Networks: one file each, one line here."""

from collections.abc import Callable, Sequence

from torch import nn

from phasegen.errors import InputError
from segtrain.models.ma_unet import MAUNet
from segtrain.models.pde_unet import PDEUNet
from segtrain.models.unet import UNet

Build = Callable[[int, int, Sequence[int], int], nn.Module]
"""``(channels, outputs, widths, axes) -> network``.

Networks say what sides of the input must be multiples of (`multiple`) and how far they see (`halo`,
pixels). One with deep supervision returns a tuple in training, the finest output first.
"""


def planar(network: Callable[[int, int, Sequence[int]], nn.Module]) -> Build:
    """The builder of a network for images alone."""

    def build(channels: int, outputs: int, widths: Sequence[int], axes: int) -> nn.Module:
        if axes != 2:
            name = network.__name__
            raise InputError(
                f"model {name}", "is for images, not volumes", "Choose another --model"
            )
        return network(channels, outputs, widths)

    return build


MODELS: dict[str, Build] = {
    "unet": planar(UNet),
    "pde-unet": planar(PDEUNet),
    "ma-unet": MAUNet,
}
