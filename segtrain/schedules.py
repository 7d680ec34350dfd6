"""Courses of the learning rate: share of its peak by share of the steps done."""

import math
from collections.abc import Callable

LEAST = 0.02
"""Share of the peak at which the warm-up starts."""


def cosine(progress: float) -> float:
    """Half a wave (Loshchilov and Hutter, SGDR, 2017)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def polynomial(progress: float) -> float:
    """``(1 - progress)^0.9``, as nnU-Net takes it (Isensee et al., 2021)."""
    return math.pow(1 - progress, 0.9)


def constant(_progress: float) -> float:
    """The peak, to the end."""
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": cosine,
    "one-cycle": cosine,
    "polynomial": polynomial,
    "constant": constant,
}
"""``schedule(progress)`` with both 0..1; cosine after a warm-up is known as one-cycle as well."""


def rate(name: str, progress: float, warm_up: float = 0.2, final: float = 0.0) -> float:
    """Share of the peak learning rate after the share `progress` of the steps.

    It rises in proportion over `warm_up`, then falls as the schedule has it to the share `final`.
    """
    rise = progress / warm_up if warm_up else 1.0
    fall = max(0.0, progress - warm_up) / (1 - warm_up)
    course = final + (1 - final) * SCHEDULES[name](min(fall, 1.0))
    return max(LEAST, min(1.0, rise)) * course
