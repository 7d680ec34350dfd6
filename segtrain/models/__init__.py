"""Networks: one file each, one line here."""

from collections.abc import Callable, Sequence

from torch import nn

from phasegen.errors import InputError
from segtrain.models.es_unet import ESUNet
from segtrain.models.ma_unet import MAUNet
from segtrain.models.monai_baselines import swin_unetr, vnet
from segtrain.models.pde3d_unet import PDE3DUNet
from segtrain.models.pde_unet import PDEUNet
from segtrain.models.unet import UNet
from segtrain.models.unet3d import UNet3D

Build = Callable[..., nn.Module]
"""``(channels, outputs, widths, axes, **options) -> network``.

Options are keyword-only and typed, see `segtrain.models.options`. Networks say what sides of the
input must be multiples of (`multiple`) and how far they see (`halo`, pixels). One with deep
supervision returns a tuple in training, the finest output first.
"""


def planar(network: Callable[[int, int, Sequence[int]], nn.Module]) -> Build:
    """The builder of a network for images alone."""

    def build(channels: int, outputs: int, widths: Sequence[int], axes: int) -> nn.Module:
        if axes != 2:
            raise InputError(
                "--model", "is for images, not volumes", "Choose unet3d, pde3d-unet, ..."
            )
        return network(channels, outputs, widths)

    return build


MODELS: dict[str, Build] = {
    "unet": planar(UNet),
    "pde-unet": planar(PDEUNet),
    "ma-unet": MAUNet,
    "unet3d": UNet3D,
    "pde3d-unet": PDE3DUNet,
    "es-unet": ESUNet,
    "vnet": vnet,
    "swin-unetr": swin_unetr,
}
