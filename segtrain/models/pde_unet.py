"""PDE-UNet: a U-Net behind a trainable cable equation.

After Veziryan, "PDE-UNet: A Modified UNet Architecture Applied to Medical Image Segmentation",
2025. The paper gives one step of the equation (eq. 2) and the number of parameters (Table 1), but
not how many steps there are nor what they share. The arrangement here is ours; with 4 channels it
matches that number: 16 steps x 4 channels x 4 constants = 256.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segtrain.models.precision import unmixed
from segtrain.models.unet import UNet

LENGTH, LEAK = 4.0, 0.125
"""Start: Φ = Ψ = 4 as the diffusion lengths, τ = 1/8 as the leak."""


class Constants(NamedTuple):
    """Constants of the cable equation, each of shape (steps or 1, channels or 1)."""

    tau: Tensor
    phi: Tensor
    psi: Tensor
    source: Tensor


class CableBlock(nn.Module):
    r"""Steps of the cable equation on every channel by itself, plus the image (skip connection).

    Forward Euler in time and second differences in space (Veziryan 2025, eq. 1 and 2):

    .. math::

        u^{t+1} = (1 - \tau) u^t + \frac{\delta_x^2 u^t}{\Phi^2} + \frac{\delta_y^2 u^t}{\Psi^2}
                  + \rho I

    from :math:`u^0 = I`, the image. Nothing flows through its borders. The source
    :math:`\rho I` is the term :math:`r_m I_{ext}` of eq. 1, which eq. 2 leaves out; it starts at
    ρ = τ, where a constant image stays as it is. The skip connection adds the image: to concatenate
    it would take more parameters than the paper's network has.

    The constants obey the bound by construction, whatever the parameters: with the shares
    :math:`s = \mathrm{softmax}(\theta, 0)` of four,

    .. math:: 1/\Phi^2 = s_1 / 2, \quad 1/\Psi^2 = s_2 / 2, \quad \tau = s_0 \text{ or } 2 s_0

    so that τ + 2/Φ² + 2/Ψ² < 1 (`monotone`: no weight of the stencil is negative, and u stays
    within the range of the image but for the source) or τ + 4/Φ² + 4/Ψ² < 2 (otherwise: no wave
    grows, but it may change its sign with every step). The form of this constraint is ours.

    Parameters
    ----------
    channels : int
        Channels of the image.
    steps : int
        Steps of the equation, which is also how many pixels far the block sees.
    monotone : bool
        Which of the bounds holds.
    share_steps, share_channels : bool
        One set of constants for all steps, for all channels.
    """

    start: Tensor

    def __init__(
        self,
        channels: int,
        steps: int = 16,
        *,
        monotone: bool = True,
        share_steps: bool = False,
        share_channels: bool = False,
    ) -> None:
        super().__init__()
        self.steps = steps
        self.leak = 1.0 if monotone else 2.0
        sets = (1 if share_steps else steps, 1 if share_channels else channels)
        self.shares = nn.Parameter(torch.zeros(3, *sets))
        """Logits of the shares of τ, 1/Φ² and 1/Ψ² less their start, to which decay pulls."""
        self.source = nn.Parameter(torch.full(sets, LEAK))
        used = torch.tensor([LEAK / self.leak, 2 / LENGTH**2, 2 / LENGTH**2])
        self.register_buffer("start", (used / (1 - used.sum())).log(), persistent=False)

    def constants(self) -> Constants:
        """The constants in use, source weight ρ included."""
        tau, across, down, _ = self._shares()
        return Constants(self.leak * tau, (across / 2).rsqrt(), (down / 2).rsqrt(), self.source)

    def forward(self, image: Tensor) -> Tensor:
        """Image plus membrane potential, (B, channels, Y, X) like the image."""
        channels = image.shape[1]
        tau, across, down, rest = self._shares()
        # 1 - τ - 2/Φ² - 2/Ψ², written so that no rounding makes it negative where τ is the share.
        centre, none = rest + (1 - self.leak) * tau, torch.zeros_like(tau)
        weights = [none, down / 2, none, across / 2, centre, across / 2, none, down / 2, none]
        stencils = torch.stack(weights, dim=-1).expand(self.steps, channels, 9)
        sources = self.source.expand(self.steps, channels)[..., None, None]
        u = image
        # Sixteen steps in half precision would add up their rounding.
        with unmixed(image.device):
            for stencil, source in zip(stencils, sources, strict=True):
                # A copy of the outermost pixels: no difference, so no flow, across the border.
                padded = F.pad(u, (1, 1, 1, 1), mode="replicate")
                conducted = F.conv2d(padded, stencil.view(channels, 1, 3, 3), groups=channels)
                u = torch.addcmul(conducted, source, image)
        return image + u

    def _shares(self) -> Tensor:
        """Shares of τ, 1/Φ², 1/Ψ² and of the rest: (4, steps or 1, channels or 1), sum 1."""
        logits = self.shares + self.start[:, None, None]
        return F.pad(logits, (0, 0, 0, 0, 0, 1)).softmax(dim=0)


class PDEUNet(nn.Module):
    """The plain U-Net behind a `CableBlock` of the defaults.

    Parameters
    ----------
    channels, classes : int
        Channels of the input and of the output.
    widths : sequence of int
        Channels of every level, the bottleneck last.
    cable : CableBlock, optional
        Another block for as many channels.

    References
    ----------
    Veziryan 2025, Fig. 3 and Table 1: 256 parameters more than the U-Net with 4 channels.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: Sequence[int],
        cable: CableBlock | None = None,
    ) -> None:
        super().__init__()
        self.cable = cable or CableBlock(channels)
        self.unet = UNet(channels, classes, widths)
        self.multiple = self.unet.multiple
        """Sides of the input must be multiples of this."""
        self.halo = self.unet.halo + self.cable.steps
        """Receptive-field radius, pixels: the U-Net's, and one for each step of the equation."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes, Y, X) of images (B, channels, Y, X)."""
        logits: Tensor = self.unet(self.cable(x))
        return logits
