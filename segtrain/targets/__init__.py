"""What a network regresses instead of classes: one scalar field from which every instance follows.

Every target takes labels ([Z,] Y, X) and the pixel size along every axis, and gives a float32 field
of the same shape: each instance normalised to [0, 1], 0 outside. `segtrain.decode` is the way back.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.targets.diffusion import leaky_diffusion_field, neumann_diffusion_field
from segtrain.targets.distance import distance_field
from segtrain.targets.poisson import poisson_field

__all__ = ["TARGETS", "Target"]

Target = Callable[[NDArray[Any], Sequence[float] | None], NDArray[np.float32]]

TARGETS: dict[str, Target] = {
    "poisson": poisson_field,
    "diffusion": leaky_diffusion_field,
    "diffusion-neumann": neumann_diffusion_field,
    "distance": distance_field,
}
