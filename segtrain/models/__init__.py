"""Networks: one file each, one line here."""

from collections.abc import Callable, Sequence

from torch import nn

from segtrain.models.pde_unet import PDEUNet
from segtrain.models.unet import UNet

Build = Callable[[int, int, Sequence[int]], nn.Module]
"""``(channels, classes, widths) -> network``; networks say their `halo` and `multiple`."""

MODELS: dict[str, Build] = {"unet": UNet, "pde-unet": PDEUNet}
