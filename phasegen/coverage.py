"""How the descriptors of several pictures compare with those of several others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.descriptors import Descriptors

Array = NDArray[Any]

MOST = 0.8
"""Share of the real images that the simulated ones must hold between them."""

LENGTHS = ("period", "wavelength", "chord_dark", "chord_bright")
SHAPES = ("dark", "polarity", "elongation", "fourfold", "noise")


@dataclass(frozen=True)
class Coverage:
    """How simulated pictures compare with real ones in one descriptor.

    Attributes
    ----------
    name : str
    real : tuple of float
        The 10th and 90th percentile over the real images.
    simulated : tuple of float
        The least and the largest of the last pilots.
    inside : float
        Share of the real images that lie within them.
    """

    name: str
    real: tuple[float, float]
    simulated: tuple[float, float]
    inside: float

    @property
    def covered(self) -> bool:
        """Whether the simulated interval holds most real images (`MOST`)."""
        return self.inside >= MOST

    @property
    def gap(self) -> str:
        """What is missing, in words; empty if the real images are covered."""
        if self.covered:
            return ""
        low, high = self.real[0] < self.simulated[0], self.real[1] > self.simulated[1]
        if low == high:
            return "real ones vary more"
        return "real ones reach lower" if low else "real ones reach higher"


def dark_interval(real: Sequence[Descriptors]) -> tuple[float, float]:
    """Interval for the share of the dark phase in a folder of pictures.

    It spans the median of the lowest to the median of the highest estimates, and at least the
    middle estimates of four images out of five.
    """
    low, middle, high = np.array([d.dark for d in real]).T
    spread = np.quantile(middle, (0.1, 0.9))
    return float(min(np.median(low), spread[0])), float(max(np.median(high), spread[1]))


def values(name: str, described: Sequence[Descriptors]) -> Array:
    """One descriptor of several pictures, (pictures,); of the dark share the middle estimate."""
    found = [getattr(d, name) for d in described]
    return np.array([value[1] for value in found] if name == "dark" else found)


def compare(name: str, real: Sequence[Descriptors], simulated: Sequence[Descriptors]) -> Coverage:
    """How the simulated pictures cover the real ones in one descriptor."""
    ours, theirs = values(name, simulated), values(name, real)
    low, high = float(ours.min()), float(ours.max())
    inside = float(((theirs >= low) & (theirs <= high)).mean())
    ends = np.quantile(theirs, (0.1, 0.9))
    return Coverage(name, (float(ends[0]), float(ends[1])), (low, high), inside)


def mean_direction(described: Sequence[Descriptors]) -> tuple[float, float]:
    """Elongation (0..1) and direction (degrees) that several pictures have in common."""
    doubled = np.deg2rad(2 * values("direction", described))
    mean = (values("elongation", described) * np.exp(1j * doubled)).mean()
    return float(abs(mean)), float(np.rad2deg(np.angle(mean)) / 2 % 180)
