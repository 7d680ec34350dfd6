"""Losses by the name a configuration gives them; a new one is one function and one line here."""

from collections.abc import Callable

from torch import Tensor

from segtrain.losses.cahn_hilliard import cahn_hilliard
from segtrain.losses.diffusion import flux_divergence, implicit_deviation
from segtrain.losses.field import absolute_error, squared_error
from segtrain.losses.overlap import cross_entropy_class_dice, cross_entropy_dice
from segtrain.losses.pde import (
    Regularised,
    interface_energy,
    reaction_diffusion,
    total_variation,
)

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""``loss(output, target, weight)`` -> scalar; a weight of None counts every pixel fully."""

LOSSES: dict[str, Loss] = {
    "ce-dice": cross_entropy_dice,
    "ce-class-dice": cross_entropy_class_dice,
    "ce-dice+interface": Regularised(cross_entropy_dice, interface_energy),
    "ce-dice+reaction": Regularised(cross_entropy_dice, reaction_diffusion),
    "ce-dice+variation": Regularised(cross_entropy_dice, total_variation),
    "ce-dice+implicit": Regularised(cross_entropy_dice, implicit_deviation),
    "ce-dice+flux": Regularised(cross_entropy_dice, flux_divergence),
    "ce-dice+cahn-hilliard": Regularised(cross_entropy_dice, cahn_hilliard),
}
"""Losses of classes."""

FIELD_LOSSES: dict[str, Loss] = {"l1": absolute_error, "l2": squared_error}
"""Losses of a field."""
