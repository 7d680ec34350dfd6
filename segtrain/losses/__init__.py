"""Losses by the name a configuration gives them; a new one is one function and one line here."""

from collections.abc import Callable

from torch import Tensor

from segtrain.losses.cahn_hilliard import cahn_hilliard
from segtrain.losses.diffusion import flux_divergence, implicit_deviation, regularisation
from segtrain.losses.field import absolute_error, squared_error
from segtrain.losses.overlap import cross_entropy_class_dice, cross_entropy_dice
from segtrain.losses.pde import (
    Prior,
    Regularised,
    interface_energy,
    reaction_diffusion,
    total_variation,
)

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""``loss(output, target, weight)`` -> scalar; a weight of None counts every pixel fully."""

OF_CLASSES: dict[str, Loss] = {
    "ce-dice": cross_entropy_dice,
    "ce-class-dice": cross_entropy_class_dice,
}

PRIORS: dict[str, Prior] = {
    "interface": interface_energy,
    "reaction": reaction_diffusion,
    "variation": total_variation,
    "implicit": implicit_deviation,
    "flux": flux_divergence,
    "implicit+flux+variation": regularisation,
    "cahn-hilliard": cahn_hilliard,
}

LOSSES = OF_CLASSES | {
    f"{name}+{prior}": Regularised(OF_CLASSES[name], PRIORS[prior])
    for name in OF_CLASSES
    for prior in PRIORS
}
"""Losses of classes: alone, and with each of the priors."""

FIELD_LOSSES: dict[str, Loss] = {"l1": absolute_error, "l2": squared_error}
"""Losses of a field."""
