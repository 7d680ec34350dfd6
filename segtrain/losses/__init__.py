"""Losses by the name a configuration gives them; a new one is one function and one line here."""

from collections.abc import Callable

from torch import Tensor

from segtrain.losses.overlap import cross_entropy_dice

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""``loss(output, target, weight)`` -> scalar; a weight of None counts every pixel fully."""

LOSSES: dict[str, Loss] = {"ce-dice": cross_entropy_dice}
