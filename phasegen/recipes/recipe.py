"""What a recipe is, and what it makes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.config import Config
from phasegen.errors import InputError
from phasegen.masks import renumber


@dataclass(frozen=True, eq=False, repr=False)
class Microstructure:
    """A simulated microstructure with its exact labels.

    Attributes
    ----------
    phase : ndarray ([Z,] Y, X), float32
        Fraction of the second phase in every pixel, 0..1, smooth across interfaces.
    mask : ndarray ([Z,] Y, X), uint8
        Class index.
    instance : ndarray ([Z,] Y, X), uint32
        0 for the background, else the number of the particle.
    fields : ndarray (F, [Z,] Y, X), float32
        Order parameters.
    classes : tuple of str
        Names of the classes, background first.
    parameters : dict
        What it was made with.
    """

    phase: NDArray[np.float32]
    mask: NDArray[np.uint8]
    instance: NDArray[np.uint32]
    fields: NDArray[np.float32]
    classes: tuple[str, ...]
    parameters: Mapping[str, float]

    def __repr__(self) -> str:
        counts = np.bincount(self.mask.ravel(), minlength=len(self.classes))
        pairs = zip(counts / self.mask.size, self.classes, strict=True)
        shares = ", ".join(f"{share:.1%} {name}" for share, name in pairs)
        size = " x ".join(map(str, self.mask.shape))
        return f"<Microstructure {size}: {shares}; {self.instance.max()} instances>"

    def section(self, z: int) -> "Microstructure":
        """The plane `z` of a volume, as exact as the volume itself.

        A particle that the plane cuts twice keeps one number; numbers are made consecutive.
        """
        return replace(
            self,
            phase=self.phase[z],
            mask=self.mask[z],
            instance=renumber(self.instance[z]),
            fields=self.fields[:, z],
        )


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
    length : callable
        ``length(parameters)``: what `length_of` names, in grid cells. A user may ask for it in
        micrometres, and `magnification` follows.
    length_of : str
        What the length is of: ``"mean particle diameter"``.
    clock : str
        The parameter that a film of the recipe runs through; empty if there is none that leaves
        the beginning as it is.
    sized_by : str
        The parameter that sets the length, if a box must hold one; empty if it need not.
    """

    name: str
    summary: str
    classes: tuple[str, ...]
    ranges: type[Config]
    fields: int
    grow: Callable[
        [Mapping[str, float], tuple[int, ...], np.random.Generator], tuple[NDArray[Any], ...]
    ]
    length: Callable[[Mapping[str, float]], float]
    length_of: str
    clock: str = "time"
    sized_by: str = ""

    def require_room(self, parameters: Mapping[str, float], shape: tuple[int, ...]) -> None:
        """Refuse a box that is too small for what the recipe makes.

        Raises
        ------
        InputError
            If the recipe's length exceeds the shortest side of `shape`, pixels.
        """
        if not self.sized_by:
            return
        cells, magnification = self.length(parameters), parameters["magnification"]
        if cells * magnification > min(shape):
            raise InputError(
                f"{self.sized_by} = {parameters[self.sized_by]:.3g}",
                f"a {self.length_of} of {cells:.3g} cells, each of {magnification:.3g} pixels, "
                f"does not fit into {min(shape)} pixels",
                f"Simulate {math.ceil(cells * magnification)} pixels or more, "
                f"or lower {self.sized_by} or magnification",
            )
