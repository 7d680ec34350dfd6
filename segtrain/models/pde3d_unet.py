"""PDE3D-UNet: a 3D U-Net whose features evolve by a learned partial differential equation."""

from collections.abc import Sequence
from dataclasses import dataclass

from segtrain.models.pde_layer import DEFAULT, Numerics, PDELayer
from segtrain.models.unet3d import UNet3D, alike


@dataclass(frozen=True)
class Design:
    """Where PDE layers are and how they are solved: ablations (3) and (4) of the paper.

    Attributes
    ----------
    encoder : bool
        A layer between the encoder and the bottleneck, at the bottleneck's resolution.
    skips : int, optional
        A layer in every skip from this level on, 0 being the finest and by far the most expensive.
        With neither it is the backbone.
    numerics : Numerics
        Steps, scheme and solver of all layers.
    """

    encoder: bool = True
    skips: int | None = None
    numerics: Numerics = DEFAULT


DESIGNS = {
    "pde3d-unet": Design(),
    "pde3d-unet-skips": Design(encoder=False, skips=0, numerics=Numerics(fields=8)),
    "pde3d-unet-both": Design(skips=1),
    "pde3d-unet-k1": Design(numerics=Numerics(steps=1)),
    "pde3d-unet-k5": Design(numerics=Numerics(steps=5)),
    "pde3d-unet-explicit": Design(numerics=Numerics(scheme="explicit")),
    "pde3d-unet-crank-nicolson": Design(numerics=Numerics(scheme="crank-nicolson")),
    "pde3d-unet-split": Design(numerics=Numerics(scheme="split")),
    "pde3d-unet-gauss-seidel": Design(numerics=Numerics(solver="gauss-seidel")),
}
"""The default and its ablations by name; the backbone is `UNet3D`."""


class PDE3DUNet(UNet3D):
    """`UNet3D` with PDE layers after the encoder and/or in the skips.

    Parameters
    ----------
    channels, classes, widths, axes, deep, pools
        As of `UNet3D`; what it returns is the same.
    design : Design
        Where the layers are, and how they are solved.

    References
    ----------
    Gajbhiye, "Numerical methods and convolutional neural networks for 3D medical image
    segmentation", sections II.A (encoder, PDE layers, bottleneck, decoder and skips) and II.E.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: Sequence[int],
        axes: int = 3,
        *,
        design: Design | None = None,
        deep: bool = True,
        pools: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        super().__init__(channels, classes, widths, axes, deep=deep, pools=pools)
        self.design = design or Design()
        shallow = widths[:-1]
        if self.design.encoder and shallow:
            self.waist = PDELayer(shallow[-1], axes, self.design.numerics)
        self.evolved = (
            range(len(shallow))[self.design.skips :] if self.design.skips is not None else range(0)
        )
        """Levels whose skips have a layer."""
        for level in self.evolved:
            self.skips[level] = PDELayer(shallow[level], axes, self.design.numerics)
        self.halo = alike(tuple(self._halo(axis) for axis in range(axes)))

    def _halo(self, axis: int) -> int:
        """The farthest that any path sees: through the bottleneck, or through a skip."""
        scales = [scale[axis] for scale in self.scales]
        reach = self.design.numerics.reach
        waist = self.design.encoder * (len(scales) > 1) * reach * scales[-1]
        paths = [self.radius(axis) + waist]
        for level in self.evolved:
            scale = scales[level]
            paths.append(4 * sum(scales[: level + 1]) + scale - 1 + reach * scale)
        return max(paths)
