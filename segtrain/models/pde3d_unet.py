"""PDE3D-UNet: a 3D U-Net whose features evolve by a learned partial differential equation."""

from collections.abc import Sequence
from typing import Literal

from phasegen.errors import InputError
from segtrain.models.pde_layer import DEFAULT, Numerics, PDELayer, Scheme, Solver
from segtrain.models.unet3d import Pools, UNet3D, alike

Place = Literal["encoder", "skips", "both"]


class PDE3DUNet(UNet3D):
    """`UNet3D` with PDE layers after the encoder and/or in the skips.

    Ablations (3) and (4) of the paper are its options; (1) and (2) are `UNet3D`, alone and with a
    prior as its loss.

    Parameters
    ----------
    channels, classes, widths, axes, deep, pools, checkpointing
        As of `UNet3D`; what it returns is the same.
    place : str
        Where the layers are: "encoder", between it and the bottleneck, at the bottleneck's
        resolution; "skips"; or "both".
    finest : int
        Skips have a layer from this level on, 0 being the finest and by far the most expensive.
    steps, scheme, solver, sweeps, size, fields
        How all layers are solved, see `Numerics`.

    Raises
    ------
    InputError
        If an option is out of range or of no effect, or no skip is left for a layer.

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
        place: Place = "encoder",
        finest: int = 1,
        steps: int = DEFAULT.steps,
        scheme: Scheme = DEFAULT.scheme,
        solver: Solver = DEFAULT.solver,
        sweeps: int = DEFAULT.sweeps,
        size: int = DEFAULT.size,
        fields: int = DEFAULT.fields,
        deep: bool = True,
        pools: Pools | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(
            channels, classes, widths, axes, deep=deep, pools=pools, checkpointing=checkpointing
        )
        self.numerics = Numerics(steps, scheme, solver, sweeps, size, fields)
        shallow = widths[:-1]
        self.evolved = range(0) if place == "encoder" else range(finest, len(shallow))
        """Levels whose skips have a layer."""
        if place != "encoder" and not (finest >= 0 and self.evolved):
            problem = f"is {finest}, and the skips have the levels 0 to {len(shallow) - 1}"
            raise InputError("options.finest", problem, "Choose one of them, or more widths")
        if place != "skips" and shallow:
            self.waist = PDELayer(shallow[-1], axes, self.numerics)
        for level in self.evolved:
            self.skips[level] = PDELayer(shallow[level], axes, self.numerics)
        self.halo = alike(tuple(self._halo(axis) for axis in range(axes)))

    def _halo(self, axis: int) -> int:
        """The farthest that any path sees: through the bottleneck, or through a skip."""
        scales, reach = [scale[axis] for scale in self.scales], self.numerics.reach
        waist = isinstance(self.waist, PDELayer) * reach * scales[-1]
        paths = [self.radius(axis) + waist]
        for level in self.evolved:
            scale = scales[level]
            paths.append(4 * sum(scales[: level + 1]) + scale - 1 + reach * scale)
        return max(paths)
