"""Scores on labelled images and volumes: tables, JSON, CSV and one HTML report with pictures."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.errors import InputError
from phasegen.files import make_folder
from phasegen.images import (
    TIFF,
    list_images,
    pair_masks,
    read_mask,
    read_micrograph,
)
from segtrain.config import CLASSES
from segtrain.data.scans import read_labels
from segtrain.data.source import Source
from segtrain.label_images import write_labels
from segtrain.metrics import (
    Summary,
    confusion,
    evaluate,
    join_overlaps,
    overlaps,
    pooled_overlaps,
    score_overlaps,
    summarise,
)
from segtrain.predict import Segmenter, segment, segment_image
from segtrain.regions import REGIONS

PICTURED, LARGEST = 6, 400
"""Images shown in the report, and the side to which they are cropped."""

Scores = Mapping[str, Mapping[str, float]]
"""Metrics by image name."""

Picture = tuple[str, NDArray[Any], NDArray[Any], NDArray[Any]]
"""Name, image, prediction and truth; of a volume, its middle plane."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a segmenter on a folder.

    Attributes
    ----------
    scores : dict of dict
        Metrics by image name.
    summary : dict of Summary
        Mean over the images with a 95 % bootstrap interval, by metric.
    pictures : list of Picture
        Some of the images, for the report.
    pooled : dict of float
        Scores of all images taken for one, by metric: overlaps and those of instances.
    classes : tuple of str
        What is scored by itself: classes, then regions.
    unit : str
        Of distances.
    """

    scores: Scores
    summary: Mapping[str, Summary]
    pictures: list[Picture]
    pooled: Mapping[str, float] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    unit: str = "px"


def evaluate_folder(
    segmenter: Segmenter,
    images: Path,
    masks: Path,
    tolerance: float,
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Segment every image of a folder and score it against its mask, info bar left out.

    Masks that know no class beyond 1, in all the folder, count as foreground and background.

    Raises
    ------
    InputError
        If images and masks do not fit each other or the model's classes.
    """
    pairs = pair_masks(images, masks)
    shapes = [read_micrograph(image).pixels.shape for image, _ in pairs]
    classes = segmenter.classes
    truths: list[NDArray[Any]]
    if segmenter.target == CLASSES:
        truths = [read_mask(mask, shape) for (_, mask), shape in zip(pairs, shapes, strict=True)]
        classes = known_classes(max(int(truth.max()) for truth in truths), classes, masks)
    else:
        truths = [read_labels(mask, shape) for (_, mask), shape in zip(pairs, shapes, strict=True)]

    def predictions() -> Iterator[Picture]:
        for (image, _), truth in zip(pairs, truths, strict=True):
            micrograph = read_micrograph(image)
            rows = len(micrograph.scene)
            predicted = segment(segmenter, micrograph)[:rows]
            yield image.name, micrograph.scene, predicted, truth[:rows]

    return score(predictions(), classes, segmenter, tolerance, advance)


def evaluate_source(
    segmenter: Segmenter,
    source: Source,
    tolerance: float,
    advance: Callable[[], None] = lambda: None,
    indices: Sequence[int] | None = None,
) -> Evaluation:
    """Segment images or volumes of a source and score them; pixels without weight count as 0.

    Of the classes of `REGIONS` their unions are scored as well. Pixels of another size than those
    of the training are warned of.

    Raises
    ------
    InputError
        If the source has other channels, axes or classes than the model, or no instances for a
        model that finds some.
    """
    path = str(source.record["path"])
    for what in ("channels", "axes"):
        ours, theirs = getattr(segmenter, what), getattr(source, what)
        if ours != theirs:
            raise InputError(
                path, f"has {theirs} {what}, the model {ours}", "Give data of its kind"
            )
    if segmenter.target != CLASSES and not source.instances:
        raise InputError(path, "has no instances, and the model finds some", "Give other data")
    most = 1 if source.instances else len(source.classes) - 1
    classes = known_classes(most, segmenter.classes, Path(path))
    _compare_spacing(segmenter, source)

    def predictions() -> Iterator[Picture]:
        for index in indices if indices is not None else range(source.count):
            sample = source.load(index)
            known = sample.weight > 0
            truth = (
                (sample.mask > 0)
                if source.instances and segmenter.target == CLASSES
                else sample.mask
            )
            predicted = segment_image(segmenter, sample.image)
            yield source.name(index), sample.image[0], predicted * known, truth * known

    regions = REGIONS.get(source.classes, {}) if len(classes) > 2 else {}
    result = score(predictions(), classes, segmenter, tolerance, advance, source.spacing, regions)
    return replace(result, unit=unit_of(source))


def unit_of(source: Source) -> str:
    """Unit of the pixel size of a source."""
    if source.oriented:  # NIfTI, in which sizes are in mm
        return "mm"
    # Sizes that nobody knows are 1, those of thick slices relative to the pixels within.
    return "px" if source.spacing[-1] == 1 else "unit of the pixel size"


def _compare_spacing(segmenter: Segmenter, source: Source) -> None:
    """Warn of pixels of another size than those of the training (1 %), if both are known."""
    ours = segmenter.prepared.spacing[-source.axes :]
    unknown = not ours or (set(source.spacing) == {1.0} and not source.oriented)
    if unknown or np.allclose(ours, source.spacing, rtol=0.01):
        return
    found, trained = (" x ".join(f"{one:.3g}" for one in size) for size in (source.spacing, ours))
    remedy = f"spacing={':'.join(f'{one:.4g}' for one in segmenter.prepared.spacing)}"
    logging.getLogger(__name__).warning(
        "%s has pixels of %s, the training had %s: scores may be poor. %s to --data FORMAT:PATH, "
        "where the format has this option, resamples images and truth; scores are of these then",
        *(source.record["path"], found, trained, f"Adding {remedy}"),
    )


def known_classes(most: int, classes: tuple[str, ...], where: Path) -> tuple[str, ...]:
    """Names of the classes by which masks with values up to `most` are scored.

    Raises
    ------
    InputError
        If the model knows fewer.
    """
    if most >= len(classes):
        raise InputError(
            where,
            f"holds class {most}, the model knows {len(classes)} ({', '.join(classes)})",
            "Give masks with the model's classes, or binary ones",
        )
    return (classes[0], "foreground") if most <= 1 else classes


def score(
    predictions: Iterable[Picture],
    classes: tuple[str, ...],
    segmenter: Segmenter,
    tolerance: float,
    advance: Callable[[], None],
    spacing: Sequence[float] | None = None,
    regions: Mapping[str, Sequence[int]] | None = None,
) -> Evaluation:
    """Score predictions against their truths: classes, or instances and where they are."""
    scores: dict[str, dict[str, float]] = {}
    pictures: list[Picture] = []
    instances = []
    counts = np.zeros((len(classes),) * 2, np.int64)
    for name, image, predicted, truth in predictions:
        found, wanted, row = predicted, truth, {}
        if segmenter.target != CLASSES:
            instances.append(overlaps(predicted, truth))
            row = score_overlaps(instances[-1])
        if len(classes) == 2:
            found, wanted = (part > 0 for part in (predicted, truth))
        found, wanted = found.astype(np.uint8), wanted.astype(np.uint8)
        row |= evaluate(
            found, wanted, classes, tolerance=tolerance, spacing=spacing, regions=regions
        )
        scores[name] = row
        counts += confusion(found, wanted, len(classes))
        if len(pictures) < PICTURED:
            middle = (len(truth) // 2,) if truth.ndim == 3 else ()
            crop = (*middle, slice(LARGEST), slice(LARGEST))
            pictures.append((name, image[crop], found[crop], wanted[crop]))
        advance()
    pooled = score_overlaps(join_overlaps(instances)) if instances else {}
    pooled |= pooled_overlaps(counts, classes, regions)
    names = (*classes, *(regions or {}))
    return Evaluation(scores, summarise(scores), pictures, pooled, names)


def predict_folder(
    segmenter: Segmenter,
    folder: Path,
    out: Path,
    advance: Callable[[], None] = lambda: None,
    overwrite: bool = False,
) -> None:
    """Write a mask for every image of a folder, of the same name and size.

    Class indices have 8 bits, instance numbers 16. TIFF stays TIFF, everything else becomes PNG.
    The info bar is 0.

    Raises
    ------
    InputError
        If an image cannot be read or is of another kind than the model's, two of them would give
        one mask, or, without `overwrite`, a mask is there already; nothing is written then. If 16
        bits cannot number the instances of an image.
    """
    paths = list_images(folder)
    targets = [out / (p.name if p.suffix.lower() in TIFF else f"{p.stem}.png") for p in paths]
    if len(set(targets)) < len(targets):
        raise InputError(folder, "holds images that differ in suffix alone", "Rename them")
    for path, target in zip(paths, targets, strict=True):
        read_micrograph(path)
        if target.exists() and not overwrite:
            raise InputError(target, "exists already", "Choose another --out, or --overwrite")
    make_folder(out)
    for path, target in zip(paths, targets, strict=True):
        write_labels(target, segment(segmenter, read_micrograph(path)))
        advance()
