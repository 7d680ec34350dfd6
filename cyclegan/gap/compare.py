"""Domain gap: by what, and how much, synthetic pictures differ from real ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.gap import morphology
from cyclegan.gap.classifier import Separation, classifier_test
from cyclegan.gap.distances import (
    Kernel,
    Shift,
    histogram_distances,
    kernel_distance,
    kolmogorov_smirnov,
    log_spectral,
)
from cyclegan.gap.features import DISTANCES, PROPERTIES, RADII, STEEPEST, octaves
from cyclegan.gap.morphology import CHANCE, Morphology
from cyclegan.gap.pictures import Pictures
from cyclegan.gap.samples import BANK, Sample, part

Array = NDArray[Any]

GOAL = 0.65
"""Accuracy of the classifier up to which style counts as met; 0.5 is chance."""

TELLING = 6
"""Features named as those that differ most."""

SAME_PIXEL = 1.05
"""Ratio of pixel sizes up to which they count as equal."""


@dataclass(frozen=True)
class Gap:
    """Differences of a synthetic sample from a real one.

    Attributes
    ----------
    name : str
    images, patches : int
        Images, and patches of each.
    pixel_size : float or None
        Micrometres.
    entropy : Shift
        Of the patches' entropies; `entropies` are the mean of the real and of the synthetic ones.
    grey, gradient : tuple of float
        Wasserstein and Jensen-Shannon distance of the histograms (`histogram_distances`).
    spectrum : float
        Log-spectral distance, dB; `octaves` has the synthetic excess of each octave.
    texture : dict of str to (float, float)
        Co-occurrence properties by name and distance: means of real and synthetic patches.
    patterns : dict of str to float
        Jensen-Shannon distance of the local binary patterns by radius.
    kernel, classifier : dict
        Kernel distance and classifier test by name of the features.
    telling : list of (str, float)
        Features of `BANK` that differ most: difference of the means, synthetic less real, in
        standard deviations of the real patches.
    morphology : Morphology
    verdict : str
        In a line: what separates the two, by how much, and what to do.
    notes : list of str
        What it all means, in words.
    """

    name: str
    images: int
    patches: int
    pixel_size: float | None
    entropy: Shift
    entropies: tuple[float, float]
    grey: tuple[float, float]
    gradient: tuple[float, float]
    spectrum: float
    octaves: dict[str, float]
    texture: dict[str, tuple[float, float]]
    patterns: dict[str, float]
    kernel: dict[str, Kernel]
    classifier: dict[str, Separation]
    telling: list[tuple[str, float]]
    morphology: Morphology
    verdict: str = ""
    notes: list[str] = field(default_factory=list)


def compare(real: Sample, synthetic: Sample, seed: int = 0) -> Gap:
    """All differences of two samples, and what they mean."""
    a, b = real.statistics, synthetic.statistics
    shape = real.pictures.patches.shape[1]
    bands = octaves(a.frequency)
    spectrum, excess = log_spectral(a.power.mean(axis=0), b.power.mean(axis=0), bands)
    shifts = (synthetic.features[BANK] - real.features[BANK].mean(axis=(0, 1))).mean(axis=(0, 1))
    order = np.argsort(-np.abs(shifts))[:TELLING]
    described = morphology.compare(real.described, synthetic.described, seed)
    found = Gap(
        name=synthetic.pictures.name,
        images=len(synthetic.pictures.images),
        patches=shape,
        pixel_size=synthetic.pictures.pixel_size,
        entropy=kolmogorov_smirnov(
            a.entropy.reshape(-1, shape), b.entropy.reshape(-1, shape), seed
        ),
        entropies=(float(a.entropy.mean()), float(b.entropy.mean())),
        grey=histogram_distances(a.grey.mean(axis=0), b.grey.mean(axis=0), 1.0),
        gradient=histogram_distances(a.gradient.mean(axis=0), b.gradient.mean(axis=0), STEEPEST),
        spectrum=spectrum,
        octaves=excess,
        texture={
            f"{name} at {distance} px": (
                float(a.cooccurrence[:, i, j].mean()),
                float(b.cooccurrence[:, i, j].mean()),
            )
            for i, name in enumerate(PROPERTIES)
            for j, distance in enumerate(DISTANCES)
        },
        patterns={
            f"{radius} px": histogram_distances(
                a.patterns[:, i].mean(axis=0), b.patterns[:, i].mean(axis=0), 1.0
            )[1]
            for i, radius in enumerate(RADII)
        },
        kernel={
            name: kernel_distance(real.features[name], value, seed)
            for name, value in synthetic.features.items()
        },
        classifier={
            name: classifier_test(real.features[name], value, seed)
            for name, value in synthetic.features.items()
        },
        telling=[(real.names[i], float(shifts[i])) for i in order],
        morphology=described,
    )
    words = _verdict(found, real.pictures, synthetic.pictures)
    return replace(found, verdict=words, notes=_words(found, real.pictures))


def halves(real: Sample, seed: int = 0) -> Gap | None:
    """The gap between two halves of the real images, a yardstick; None below 4 images."""
    total = len(real.pictures.images)
    if total < 4 or len(real.described) < 4:
        return None
    rng = np.random.default_rng(seed)
    images, shapes = rng.permutation(total), rng.permutation(len(real.described))
    first, second = (
        part(real, np.sort(some), np.sort(described))
        for some, described in zip(
            np.array_split(images, 2), np.array_split(shapes, 2), strict=True
        )
    )
    return replace(compare(first, second, seed), name="real halves", verdict="", notes=[])


def _separable(gap: Gap) -> dict[str, Separation]:
    """Classifier tests, by name of the features, that know synthetic patches too well."""
    return {
        name: test
        for name, test in gap.classifier.items()
        if test.accuracy > GOAL and test.p <= CHANCE
    }


def _shifted(gap: Gap) -> list[str]:
    """What else tells the two apart, and is not chance: kernel distances and entropies."""
    found = [
        f"KID of {name} features is {kernel.value:.3g} (p = {kernel.p:.2g})"
        for name, kernel in gap.kernel.items()
        if kernel.p <= CHANCE
    ]
    if gap.entropy.p_images <= CHANCE:
        found.append(
            f"entropies of patches differ (KS {gap.entropy.statistic:.2f}, "
            f"p = {gap.entropy.p_images:.2g})"
        )
    return found


def _best(gap: Gap) -> Separation:
    """The classifier test that tells most, of those that are not chance if there are any."""
    tests = _separable(gap) or gap.classifier
    return max(tests.values(), key=lambda test: test.accuracy)


def _too_few(gap: Gap, real: int) -> bool:
    """Whether a difference may be there that so many images cannot prove.

    Exchanges of the images' labels have only so many outcomes. Where these are few, the rarest of
    them is no rarer than `CHANCE`.
    """
    groupings = comb(real + gap.images, real) / (2 if real == gap.images else 1)
    return (
        groupings * CHANCE < 1
        or any(test.accuracy > GOAL for test in gap.classifier.values())
        or bool(gap.morphology.doubtful())
    )


def _verdict(gap: Gap, real: Pictures, synthetic: Pictures) -> str:
    """What to read first: morphology before style, for no translation mends it."""
    shapes, best = gap.morphology, _best(gap)
    if shapes.off:
        return (
            f"Morphology is off: {' and '.join(shapes.reasons())}. Match the recipe to the real "
            f"images (phasegen match {real.path}) and simulate anew; style can be judged then."
        )
    right = f"the classifier is right in {best.accuracy:.0%} of the cases"
    shifted = _shifted(gap)
    if not _separable(gap) and not shifted:
        if not _too_few(gap, len(real.images)):
            return (
                f"Nothing measured here tells it from the real images: {right}, KID and entropies "
                f"are those of chance, sizes are {shapes.size.difference:.2f} times the real ones."
            )
        doubt = "".join(f"; {reason}, which may be chance" for reason in shapes.doubtful())
        return (
            f"Too few images to judge ({len(real.images)} real, {gap.images} synthetic): {right}, "
            f"and chance reaches {best.chance[0]:.2f} to {best.chance[1]:.2f}{doubt}. Give more "
            "images."
        )
    what = f"{right}, and {gap.telling[0][0]} differs most"
    if not _separable(gap):
        # Of few images, or of images of which no single patch gives itself away.
        what = f"{' and '.join(shifted)}, though {right}, which is chance or within the goal"
    if synthetic.parent is None:
        remedy = f"Give it the real style (cyclegan fit --real {real.path})."
    else:
        remedy = "Train on it and score, or translate by another method (cyclegan fit --method)."
    doubtful = shapes.doubtful()
    agree = f"shapes may be ({' and '.join(doubtful)})" if doubtful else "shapes agree"
    return f"Style is off, {agree}: {what}. {remedy}"


def _words(gap: Gap, real: Pictures) -> list[str]:
    """What a gap means: pixel size, morphology, then style."""
    notes = []
    if gap.pixel_size and real.pixel_size:
        ratio = gap.pixel_size / real.pixel_size
        if max(ratio, 1 / ratio) > SAME_PIXEL:
            notes.append(
                f"A pixel of {gap.name} is {gap.pixel_size:.4g} micrometres, one of {real.name} "
                f"{real.pixel_size:.4g}: a structure of one size differs by a factor of "
                f"{ratio:.2f} between the two. Simulate with --pixel-size "
                f"{real.pixel_size:.4g}, or choose the scale by phasegen match {real.path}."
            )
    notes += gap.morphology.verdict(gap.name, str(real.path))
    separable = _separable(gap)
    shifted = [f"Of {gap.name}, {what}." for what in _shifted(gap)]
    if not separable:
        best = _best(gap)
        within = best.accuracy <= GOAL
        notes.append(
            f"A classifier tells patches of {gap.name} from real ones in {best.accuracy:.0%} of "
            f"the cases, which is {'within' if within else 'beyond'} the goal of {GOAL:.0%}; with "
            f"{len(real.images)} real and {gap.images} synthetic images chance reaches "
            f"{best.chance[0]:.0%} to {best.chance[1]:.0%}."
        )
        return notes + shifted
    name, test = max(separable.items(), key=lambda item: item[1].accuracy)
    features = ", ".join(f"{what} ({shift:+.1f} sd)" for what, shift in gap.telling[:3])
    also = "Style cannot be judged apart from it: a" if gap.morphology.off else "Style is off: a"
    notes.append(
        f"{also} classifier tells patches of {gap.name} from real ones in {test.accuracy:.0%} of "
        f"the cases by {name} features (chance: {test.chance[0]:.0%} to {test.chance[1]:.0%}). "
        f"Most differ {features}."
    )
    return notes + shifted


def gains(gaps: Sequence[Gap], pictures: Sequence[Pictures]) -> list[str]:
    """What each translation among some samples has gained over the store it was made from."""
    found = []
    places = [one.path.resolve() for one in pictures]
    for gap, one in zip(gaps, pictures, strict=True):
        if one.parent is None or one.parent.resolve() not in places:
            continue
        before = gaps[places.index(one.parent.resolve())]
        for name in gap.kernel:
            found.append(
                f"From {before.name} to {gap.name}: KID of {name} features "
                f"{before.kernel[name].value:.3f} to {gap.kernel[name].value:.3f}, classifier "
                f"{before.classifier[name].accuracy:.2f} to {gap.classifier[name].accuracy:.2f}."
            )
    return found
