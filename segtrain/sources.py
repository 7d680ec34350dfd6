"""The labelled data of a training: what is read, in which mixture, and what is held out."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PureWindowsPath

import numpy as np

from phasegen.errors import InputError
from phasegen.places import is_url
from segtrain.config import CLASSES, Training
from segtrain.data.formats import open_format
from segtrain.data.readers import from_folders, from_store
from segtrain.data.source import Source, as_classes, join, with_field
from segtrain.targets import TARGETS


@dataclass(frozen=True, eq=False)
class Data:
    """The sources of a training as one.

    Attributes
    ----------
    source : Source
        All images, with what the network is to learn as their masks.
    truth : Source
        The same with classes or instances as their masks, to score predictions by.
    training, validation : list of int
        Images to learn from, and those held out.
    shares : list of float or None
        Chance of every training image; equal if None.
    records : list of dict
        Where the data come from, one for each source.
    counts : list of int
        Training images of each source.
    """

    source: Source
    truth: Source
    training: list[int]
    validation: list[int]
    shares: list[float] | None
    records: list[dict[str, object]]
    counts: list[int]

    def portions(self) -> list[float]:
        """Share of every source in the patches."""
        shares = self.shares or [1 / len(self.training)] * len(self.training)
        ends = np.cumsum([0, *self.counts])
        return [sum(shares[a:b]) for a, b in pairwise(ends.tolist())]


def open_data(config: Training) -> Data:
    """Read the sources of a configuration, and divide them into training and validation.

    Images for validation are those of the last source, for that is what the others prepare for.

    Raises
    ------
    InputError
        If there are no data, a drawn mask under `synthetic_only`, sources that do not go together,
        too few images, or none of what the target needs.
    """
    sources = open_sources(config)
    suited = [_suited(source, config) for source in sources]
    truth = source = join(suited)
    if config.target != CLASSES:
        # Each by its own pixel size.
        source = join([with_field(one, TARGETS[config.target]) for one in suited])
    last = sources[-1]
    order = np.random.default_rng(config.seed).permutation(last.count).tolist()
    used = order[config.validation :]
    if config.shots > len(used) or not used:
        wanted = f"{config.shots} are asked for" if used else "none is left"
        problem = f"has {last.count} images: {config.validation} are held out, {wanted}"
        remedy = "Give more images or --set validation=0"
        raise InputError(str(last.record["path"]), problem, remedy)
    before = truth.count - last.count
    used = used[: config.shots] if config.shots else used
    counts = [*(one.count for one in sources[:-1]), len(used)]
    training = [*range(before), *(before + index for index in used)]
    return Data(
        source,
        truth,
        training,
        [before + index for index in order[: config.validation]],
        _shares(config.mix, counts),
        [one.record for one in sources],
        counts,
    )


def open_sources(config: Training) -> list[Source]:
    """The sources of a configuration in the order store, image folder, others.

    Raises
    ------
    InputError
        See `open_data`.
    """
    drawn = config.masks or config.images
    if config.synthetic_only and drawn:
        raise InputError(
            drawn,
            "holds drawn masks, which --synthetic-only refuses",
            "Leave out --images and --masks, or --synthetic-only",
        )
    if (config.images is None) != (config.masks is None):
        raise InputError("training", "needs both --images and --masks, or a store", "Give both")
    instances, found = config.target != CLASSES, []
    if config.store:
        found.append(from_store(config.store, config.patch, instances))
    if config.images and config.masks:
        found.append(from_folders(config.images, config.masks, config.patch, config.classes))
    found += [open_source(text, config.patch, instances) for text in config.data]
    if not found:
        raise InputError("training", "has no data", "Give --store, --images and --masks, or --data")
    for source in found:
        if config.synthetic_only and source.record["labels"] != "simulated":
            problem = "holds drawn labels, which --synthetic-only refuses"
            raise InputError(str(source.record["path"]), problem, "Leave out one of them")
    if config.mix and len(config.mix) != len(found):
        problem = f"names {len(config.mix)} shares for {len(found)} sources"
        raise InputError("--mix", problem, "Give one share for each source")
    return found


def open_source(
    text: str, patch: int | tuple[int, ...], instances: bool, axes: int | None = None
) -> Source:
    """The data that a store's path or ``FORMAT:PATH[,OPTION=VALUE...]`` names.

    Raises
    ------
    InputError
        As the format's reader does.
    """
    sides = (patch,) * axes if axes and isinstance(patch, int) else patch
    # Of a store elsewhere, s3://..., or on a drive, C:..., the colon is no format's.
    drive = PureWindowsPath(text).drive or Path(text).exists()
    if ":" in text and not is_url(text) and not drive:
        return open_format(text, sides)
    return from_store(text, sides, instances)


def _suited(source: Source, config: Training) -> Source:
    if config.target == CLASSES:
        return as_classes(source) if source.instances else source
    if not source.instances:
        problem = f"has classes, and the target {config.target} needs instances"
        raise InputError(str(source.record["path"]), problem, "Train on --target classes")
    return replace(source, classes=(source.classes[0], "instance"))


def _shares(mix: tuple[float, ...], counts: list[int]) -> list[float] | None:
    """Chance of every image such that each source has its share of the patches."""
    if not mix:
        return None
    if min(mix) < 0 or not 0 < sum(mix) < math.inf:  # the sum is NaN if a share is
        raise InputError("--mix", f"{mix} are no shares", "Give numbers from 0, not all of them 0")
    each = [share / sum(mix) / count for share, count in zip(mix, counts, strict=True)]
    return np.repeat(each, counts).tolist()
