"""Morphology apart from style: lengths, shares and directions that no change of grey values moves.

A translation may change how a boundary looks, not where it is. What differs here must be simulated
anew, and the verdict says so and by how much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from cyclegan.gap.distances import kolmogorov_smirnov
from phasegen import spectra
from phasegen.coverage import dark_interval, values
from phasegen.descriptors import Descriptors, chords, describe, mean_chords, without_specks

Array = NDArray[Any]

LENGTHS = ("wavelength", "period", "chord_dark", "chord_bright")
SHAPES = ("dark", "polarity", "elongation", "fourfold")

SMOOTHING, SPECK = 1 / 6, 1 / 2
"""Parts of the real wavelength that make the standard deviation of the smoothing and the side of
the smallest piece of a phase. Grain and rims of real pictures cut chords; with twice the smoothing
of `descriptors` they do so less."""

ROUNDS = 4
"""Rounds in which the smoothing of a synthetic sample follows its size."""

SMALLEST, LARGEST = 1 / 1.3, 1.4
"""Ratios of sizes, synthetic over real, beyond which morphology is off: what is left of grain and
rims makes real chords too short, so that the ratio errs upwards."""

APART = {"dark": 0.1, "elongation": 0.2, "fourfold": 0.2}
"""Difference of medians from which morphology is off."""

UNDECIDED = 0.3
"""Polarity below which neither phase is called the matrix."""

CHANCE = 0.05
"""p up to which a difference counts as one."""


@dataclass(frozen=True)
class Trait:
    """One descriptor of two samples.

    Attributes
    ----------
    name : str
    real, synthetic : float
        Medians over images; lengths in pixels.
    difference : float
        Ratio of lengths, synthetic over real; of all else the difference.
    p : float
        Of the Kolmogorov-Smirnov statistic under exchange of images.
    large, off : bool
        Whether the difference matters; whether it also is not chance.
    """

    name: str
    real: float
    synthetic: float
    difference: float
    p: float
    large: bool
    off: bool

    def reason(self) -> str:
        """The difference in a few words; empty if other traits say it."""
        if self.name == "size":
            return f"structures are {self.difference:.2f} times the real size"
        words = {
            "dark": "the share of the dark phase is {:.0%}, not {:.0%}",
            "elongation": "the elongation is {:.2f}, not {:.2f}",
            "fourfold": "the alignment to two axes is {:.2f}, not {:.2f}",
        }
        return words[self.name].format(self.synthetic, self.real) if self.name in words else ""


@dataclass(frozen=True)
class Morphology:
    """How the shapes of two samples compare.

    Attributes
    ----------
    size : Trait
        Sum of the mean chords of both phases, pixels: the one number for the scale of a picture,
        which hardly depends on the phases' shares.
    traits : list of Trait
        All descriptors.
    inverted : bool
        Whether dark and bright were exchanged in the synthetic sample, as the other phase is
        enclosed there.
    """

    size: Trait
    traits: list[Trait]
    inverted: bool

    @property
    def off(self) -> bool:
        """Whether morphology differs, whatever style does."""
        return self.inverted or self.size.off or any(trait.off for trait in self.traits)

    def reasons(self) -> list[str]:
        """What is off, in a few words each."""
        found = ["the contrast is reversed"] if self.inverted else []
        return found + [t.reason() for t in (self.size, *self.traits) if t.off and t.reason()]

    def doubtful(self) -> list[str]:
        """What differs, but may be chance with so few images, in a few words each."""
        traits = (self.size, *self.traits)
        return [t.reason() for t in traits if t.large and not t.off and t.reason()]

    def verdict(self, name: str, real: str) -> list[str]:
        """What is off in words, and what to do; empty if nothing is."""
        found = []
        if self.inverted:
            dark = next(t for t in self.traits if t.name == "polarity").real < 0
            ours, theirs = ("dark", "bright") if dark else ("bright", "dark")
            found.append(
                f"Particles are {ours} in {real} and {theirs} in {name}: the contrast is reversed."
            )
        if self.size.off:
            factor = self.size.difference
            word = f"{factor:.2f} times" if factor > 1 else f"1/{1 / factor:.2f} of"
            found.append(
                f"Structures of {name} are {word} the size of the real ones "
                f"(period of the chords {self.size.synthetic:.1f} against {self.size.real:.1f} px)."
            )
        words = {
            "dark": "the dark phase takes {:.0%} of the area, in real images {:.0%}",
            "elongation": "boundaries keep to one direction with a coherence of {:.2f}, in real "
            "images {:.2f}",
            "fourfold": "boundaries keep to two axes with a strength of {:.2f}, in real images "
            "{:.2f}",
        }
        for trait in self.traits:
            if trait.off and trait.name in words:
                text = words[trait.name].format(trait.synthetic, trait.real)
                found.append(f"In {name} {text}.")
        if found:
            found.append(
                "This is morphology, which no translation repairs: match the recipe to the real "
                f"images (phasegen match {real}) and simulate anew."
            )
        return found


def describe_shapes(
    pictures: Sequence[Array], wavelength: float | None = None, size: float | None = None
) -> list[Descriptors]:
    """Descriptors of pictures; chords after a smoothing that is the same for all of them.

    A smoothing that follows each picture would measure the one with more grain more finely.

    Parameters
    ----------
    pictures : sequence of ndarray (Y, X)
    wavelength : float, optional
        Of the real sample, pixels; the smoothing is a part of it. Without it, these pictures are
        the real ones, and it is `wavelength_of` them.
    size : float, optional
        Of the real sample (`Morphology.size`), pixels. With it the smoothing grows with the size
        of these pictures, so that a magnified sample is larger by its magnification.
    """
    described = [describe(picture) for picture in pictures]
    wavelength = wavelength or wavelength_of(described)
    factor = 1.0
    for _ in range(ROUNDS):
        pairs = zip(described, pictures, strict=True)
        described = [_chords(one, picture, factor * wavelength) for one, picture in pairs]
        if size is None:
            break
        factor = float(np.clip(np.median(sizes(described)) / size, 1 / 8, 8))
    return described


def wavelength_of(described: Sequence[Descriptors]) -> float:
    """Median of the wavelengths, pixels."""
    return float(np.median(values("wavelength", described)))


def sizes(described: Sequence[Descriptors]) -> Array:
    """Sum of the mean chords of both phases for each picture, pixels."""
    return values("chord_dark", described) + values("chord_bright", described)


def _chords(found: Descriptors, picture: Array, wavelength: float) -> Descriptors:
    smooth = ndimage.gaussian_filter(
        spectra.flatten(picture), SMOOTHING * wavelength, mode="nearest"
    )
    dark = without_specks(smooth < threshold_otsu(smooth), (SPECK * wavelength) ** 2)
    mean = mean_chords(dark)
    return replace(
        found,
        chord_dark=mean[0],
        chord_bright=mean[1],
        lengths_dark=chords(dark),
        lengths_bright=chords(~dark),
    )


def compare(
    real: Sequence[Descriptors], synthetic: Sequence[Descriptors], seed: int = 0
) -> Morphology:
    """Compare the shapes in two samples of pictures of one size, from `describe_shapes`."""
    polarity = [float(np.median(values("polarity", one))) for one in (real, synthetic)]
    inverted = polarity[0] * polarity[1] < 0 and min(map(abs, polarity)) > UNDECIDED
    ours = [one.inverted() for one in synthetic] if inverted else list(synthetic)
    low, high = dark_interval(real)

    def trait(name: str, x: Array, y: Array) -> Trait:
        a, b = float(np.median(x)), float(np.median(y))
        is_length = name in ("size", *LENGTHS)
        p = kolmogorov_smirnov(x[:, None], y[:, None], seed).p_images
        if is_length:
            difference = b / a
            # Of the single lengths one follows from the others or from the share.
            large = name == "size" and not SMALLEST <= difference <= LARGEST
        else:
            difference = b - a
            large = abs(difference) > APART.get(name, np.inf)
            large = large and not (name == "dark" and low <= b <= high)
        return Trait(name, a, b, difference, p, bool(large), bool(large and p <= CHANCE))

    return Morphology(
        size=trait("size", sizes(real), sizes(ours)),
        traits=[trait(n, values(n, real), values(n, ours)) for n in LENGTHS + SHAPES],
        inverted=inverted,
    )
