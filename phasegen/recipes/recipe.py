"""What a recipe is, and what it makes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.config import Config


@dataclass(frozen=True)
class Microstructure:
    """A simulated microstructure with its exact labels.

    Attributes
    ----------
    phase : ndarray (Y, X), float32
        Fraction of the second phase in every pixel, 0..1, smooth across interfaces.
    mask : ndarray (Y, X), uint8
        Class index.
    instance : ndarray (Y, X), uint32
        0 for the background, else the number of the particle.
    fields : ndarray (F, Y, X), float32
        Order parameters.
    classes : tuple of str
        Names of the classes, background first.
    parameters : dict
        What it was made with.
    """

    phase: NDArray[np.float32] = field(repr=False)
    mask: NDArray[np.uint8] = field(repr=False)
    instance: NDArray[np.uint32] = field(repr=False)
    fields: NDArray[np.float32] = field(repr=False)
    classes: tuple[str, ...]
    parameters: Mapping[str, float]


@dataclass(frozen=True)
class Recipe:
    """What `phasegen simulate` needs to know of a microstructure.

    Attributes
    ----------
    name, summary : str
        As the command line shows them.
    classes : tuple of str
        Names of the classes, background first.
    ranges : type
        A `Config` of ranges, from which each sample draws its parameters.
    fields : int
        Number of order parameters that `grow` returns.
    grow : callable
        ``grow(parameters, shape, rng) -> (phase, mask, instance, fields)`` for `shape` ([Z,] Y, X)
        pixels.
    """

    name: str
    summary: str
    classes: tuple[str, ...]
    ranges: type[Config]
    fields: int
    grow: Callable[
        [Mapping[str, float], tuple[int, ...], np.random.Generator], tuple[NDArray[Any], ...]
    ]
