"""What a learned method asks of its generators, beside fooling the discriminators."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from cyclegan.batches import Batch
from cyclegan.networks import towards_real
from cyclegan.settings import Translation


class Objective(nn.Module, ABC):
    """A module whose parameters are those that the generators' optimiser trains.

    Attributes
    ----------
    domains : tuple of str
        Domains with a discriminator of their own: ``real``, and ``sim`` where a method goes back.
    to_real : Generator
        The generator that is kept.
    """

    domains: tuple[str, ...] = ("real",)

    def __init__(self, config: Translation) -> None:
        super().__init__()
        self.config = config
        self.to_real = towards_real(config)

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Fakes (B, 1, P, P) of every domain, and weighted terms of the generators' loss."""

    def figures(self, batch: Batch) -> dict[str, float]:
        """What else is to be watched, by name."""
        return {}
