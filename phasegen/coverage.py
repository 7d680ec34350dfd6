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

DIRECTED = 0.2
"""Elongation from which a picture counts as having a direction."""

HALF = 0.5
"""Share of the real images below which the typical one lies outside the simulated interval."""

FACTOR, DIFFERENCE = 1.4, 0.15
"""How far outside it may lie, lengths and other descriptors: chords of real images are cut by up to
40 %.
"""

LENGTHS = ("period", "wavelength", "chord_dark", "chord_bright", "intercept")
SHAPES = (
    "dark",
    "polarity",
    "unevenness_dark",
    "unevenness_bright",
    "elongation",
    "fourfold",
    "separation",
    "noise",
)

VAGUE, STYLE = ("period", "intercept"), ("separation", "noise")
"""Descriptors that mean little in some structures, and those of grey values, not of structure."""


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
    off : float
        How far the median of the real images lies beyond them: 0 if it does not, else a difference,
        of lengths that of their logarithms.
    """

    name: str
    real: tuple[float, float]
    simulated: tuple[float, float]
    inside: float
    off: float = 0.0

    @property
    def covered(self) -> bool:
        """Whether the simulated interval holds most real images (`MOST`)."""
        return self.inside >= MOST

    @property
    def missed(self) -> bool:
        """Whether the typical real image is far beyond what the recipe has shown."""
        return self.off > (np.log(FACTOR) if self.name in LENGTHS else DIFFERENCE)

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
    middle = float(np.median(theirs))
    off = max(low - middle, middle - high, 0.0)
    if name in LENGTHS:
        off = max(float(np.log(low / middle)), float(np.log(middle / high)), 0.0)
    return Coverage(name, (float(ends[0]), float(ends[1])), (low, high), inside, off)


def mean_direction(described: Sequence[Descriptors]) -> tuple[float, float]:
    """Elongation (0..1) and direction (degrees) that several pictures have in common."""
    doubled = np.deg2rad(2 * values("direction", described))
    mean = (values("elongation", described) * np.exp(1j * doubled)).mean()
    return float(abs(mean)), float(np.rad2deg(np.angle(mean)) / 2 % 180)


def fits(coverage: Sequence[Coverage]) -> bool:
    """Whether no descriptor of the structure is missed."""
    return not any(row.missed for row in coverage if row.name not in VAGUE + STYLE)


def verdict(recipe: str, coverage: Sequence[Coverage]) -> list[str]:
    """Whether the structure fits, and whether the grey values do, with what is off by how much."""
    structure = [row for row in coverage if row.name not in VAGUE + STYLE]
    off = [_against(row) for row in structure if row.missed]
    nearly = [_against(row) for row in structure if row.inside < HALF and not row.missed]
    style = [_against(row) for row in coverage if row.name in STYLE and row.missed]
    said = [
        f"Recipe {recipe} does not fit these images, whatever their style: {'; '.join(off)}."
        if off
        else f"Recipe {recipe} fits the structure of the typical image."
    ]
    if nearly:
        said.append(f"Nearly reached: {'; '.join(nearly)}.")
    if style:
        said.append(
            f"Grey values differ ({'; '.join(style)}): a matter of the microscope's settings or of "
            "a translation."
        )
    return said


def _against(row: Coverage) -> str:
    (low, high), (least, most) = row.real, row.simulated
    return f"{row.name} is {low:.3g} to {high:.3g}, simulated {least:.3g} to {most:.3g}"


def direction_notes(real: Sequence[Descriptors], simulated: Sequence[Descriptors]) -> list[str]:
    """Whether the boundaries of the simulated pictures run as those of the real ones do."""
    ours, theirs = mean_direction(simulated), mean_direction(real)
    if theirs[0] <= DIRECTED:
        return []
    return [
        f"The real boundaries run at {theirs[1]:.0f} degrees (coherence {theirs[0]:.2f}); the "
        + (f"simulated ones at {ours[1]:.0f}." if ours[0] > DIRECTED else "simulated do not.")
    ]
