"""Pictures with everything that is measured of them, before any two are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.gap import morphology
from cyclegan.gap.distances import standardised
from cyclegan.gap.features import Statistics, measure
from cyclegan.gap.pictures import Pictures, middle
from cyclegan.gap.responses import Extractor
from phasegen.descriptors import Descriptors
from phasegen.images import spread

Array = NDArray[Any]

BANK = "texture"
"""Name of the features that need no network: all of `features.Statistics.bank`."""

RAW = ("inception",)
"""Features that are compared as they are, as is usual for them."""

DESCRIBED = 24
"""Images of a sample whose shapes are described."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Pictures with all that is measured of them.

    Attributes
    ----------
    pictures : Pictures
    statistics : Statistics
        Of all patches, image by image.
    names : list of str
        Of the features of `BANK`.
    features : dict of str to ndarray (images, patches, F)
        `BANK`, and one entry per network.
    described : list of Descriptors
        Of at most `DESCRIBED` images, evenly spaced.
    """

    pictures: Pictures
    statistics: Statistics
    names: list[str]
    features: dict[str, Array]
    described: list[Descriptors]


def measure_samples(
    pictures: Sequence[Pictures],
    networks: Mapping[str, Extractor],
    advance: Callable[[], object] = lambda: None,
) -> list[Sample]:
    """Measure real pictures, which come first and set the units of the features, and others.

    Shapes are described in scenes of one size: the largest that all images hold.
    """
    side = min(n for one in pictures for shape in one.shapes for n in shape.shape)
    samples: list[Sample] = []
    wavelength: float | None = None
    size: float | None = None
    for one in pictures:
        count, patches = one.patches.shape[:2]
        flat = one.patches.reshape(-1, *one.patches.shape[2:])
        statistics = measure(flat)
        names, bank = statistics.bank()
        features = {BANK: bank} | {name: extract(flat) for name, extract in networks.items()}
        shapes = [middle(shape, side) for shape in spread(one.shapes, DESCRIBED)]
        samples.append(
            Sample(
                pictures=one,
                statistics=statistics,
                names=names,
                features={k: v.reshape(count, patches, -1) for k, v in features.items()},
                described=morphology.describe_shapes(shapes, wavelength, size),
            )
        )
        wavelength = wavelength or morphology.wavelength_of(samples[0].described)
        size = size or float(np.median(morphology.sizes(samples[0].described)))
        advance()
    units = {name: value for name, value in samples[0].features.items() if name not in RAW}
    return [
        replace(
            one,
            features=one.features
            | {name: standardised(unit, one.features[name]) for name, unit in units.items()},
        )
        for one in samples
    ]


def part(sample: Sample, images: Array, described: Array) -> Sample:
    """Some images of a sample, and some of its descriptors."""
    pictures, patches = sample.pictures, sample.pictures.patches.shape[1]
    rows = (images[:, None] * patches + np.arange(patches)).ravel()
    measured = sample.statistics
    per_patch = {
        one.name: getattr(measured, one.name)[rows]
        for one in fields(measured)
        if one.name != "frequency"
    }
    return replace(
        sample,
        pictures=replace(
            pictures,
            images=[pictures.images[i] for i in images],
            patches=pictures.patches[images],
        ),
        statistics=replace(measured, **per_patch),
        features={name: value[images] for name, value in sample.features.items()},
        described=[sample.described[i] for i in described],
    )
