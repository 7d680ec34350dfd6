"""What a network costs: parameters and floating-point operations."""

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Cost(NamedTuple):
    """Size of a network and the work of one image.

    Attributes
    ----------
    parameters : int
        Trainable and frozen.
    flops : int
        Operations of one forward pass, a multiplication and an addition being two; only
        convolutions, matrix products and attention count.
    """

    parameters: int
    flops: int

    def __str__(self) -> str:
        return f"{self.parameters:,} parameters, {self.flops / 1e9:.3g} GFLOP"


def describe_network(network: nn.Module, shape: Sequence[int]) -> Cost:
    """Count parameters and operations, without computing anything.

    Parameters
    ----------
    network : nn.Module
        Stays as it is.
    shape : sequence of int
        Shape of the input, (B, C, [Z,] Y, X).

    Returns
    -------
    Cost
        Of the whole batch.
    """
    # Tensors without content, for which there are no fused layers to hide their products.
    shadow = deepcopy(network).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(*shape, device="meta"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, counter.get_total_flops())
