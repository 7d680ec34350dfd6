"""V-Net and Swin-UNETR as MONAI has them, behind our interface; the extra `baselines`.

Both return one tensor in training mode, too.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from phasegen.errors import InputError

VNET_WIDTH = 16
"""Channels of V-Net's finest level."""

HEADS = 12
"""Swin-UNETR's finest level has a multiple of as many channels."""

WINDOW = 7
"""Side of a window of attention in Swin-UNETR, tokens."""


def vnet(channels: int, classes: int, widths: Sequence[int], axes: int = 3) -> nn.Module:
    """V-Net (Milletari, Navab and Ahmadi, 3DV 2016), of 16 to 256 channels whatever `widths` say.

    Sides must be multiples of 16.

    Raises
    ------
    InputError
        Without MONAI, or if 16 is no multiple of the number of channels.
    """
    require("vnet", "monai")
    if VNET_WIDTH % channels:
        raise InputError(
            "vnet", f"cannot take {channels} channels", "Give 1, 2, 4, 8 or 16, or use unet3d"
        )
    from monai.networks.nets.vnet import VNet

    network: nn.Module = VNet(spatial_dims=axes, in_channels=channels, out_channels=classes)
    # 5-point convolutions: one at full resolution, then 1, 2, 3 and 2 on the way down, 2, 2, 1 and
    # 1 on the way up and one at its end; strided convolutions see one pixel of 2 more.
    finest, down, up = 2, (1, 2, 3, 2), (1, 1, 2, 2)
    convolutions = finest + sum(n * 2**i for i, n in enumerate(down, start=1))
    convolutions += sum(n * 2**i for i, n in enumerate(up))
    return _described(network, multiple=16, halo=2 * convolutions + 15)


def swin_unetr(
    channels: int,
    classes: int,
    widths: Sequence[int],
    axes: int = 3,
    *,
    checkpointing: bool = False,
) -> nn.Module:
    """Swin-UNETR (Hatamizadeh et al., BrainLes 2021), with the first of `widths` at its finest.

    That number is rounded up to a multiple of 12, for the heads of attention; every coarser level
    has twice as many. Sides must be multiples of 32; where all are 32, the coarsest level is a
    single pixel, which normalisation makes 0. With `checkpointing` the encoder is computed again in
    the backward pass instead of stored.

    Raises
    ------
    InputError
        Without MONAI or einops, which its network needs.
    """
    require("swin-unetr", "monai", "einops")
    from monai.networks.nets.swin_unetr import SwinUNETR

    network: nn.Module = SwinUNETR(
        in_channels=channels,
        out_channels=classes,
        feature_size=-(-widths[0] // HEADS) * HEADS,
        spatial_dims=axes,
        use_checkpoint=checkpointing,
    )
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _InstanceNorm):
                setattr(parent, name, InstanceNorm())
    # Two blocks of attention on each of four levels, across a whole window each.
    halo = 2 * (WINDOW - 1) * (2 + 4 + 8 + 16)
    return _described(network, multiple=32, halo=halo)


class InstanceNorm(nn.Module):
    """Instance normalisation that takes a single pixel, too, and makes it 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalised features (B, C, [Z,] Y, X)."""
        return torch.instance_norm(x, None, None, None, None, True, 0.0, 1e-5, True)


def require(network: str, *modules: str) -> None:
    """Refuse a network whose modules are absent, by their names.

    Raises
    ------
    InputError
        It names the extra that has them.
    """
    absent = [name for name in modules if find_spec(name) is None]
    if absent:
        raise InputError(
            f"model {network!r}",
            f"needs {' and '.join(absent)}, not installed",
            "Install the extra: pip install 'sim2sem[baselines]'",
        )


def _described(network: nn.Module, multiple: int, halo: int) -> nn.Module:
    """With the attributes of all our networks."""
    network.multiple = multiple  # type: ignore[assignment]
    network.halo = halo  # type: ignore[assignment]
    return network
