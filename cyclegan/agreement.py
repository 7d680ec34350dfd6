"""What should be known before a translation starts: does the simulation fit the real folder?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cyclegan.gap.morphology import describe_shapes, sizes, wavelength_of
from cyclegan.gap.pictures import SCENE, middle, shape_of
from cyclegan.real import RealFolder
from phasegen.images import spread
from phasegen.store import Store

SEEN = 6
"""Images and samples that are looked at."""

FACTOR = 2.0
"""Ratio of sizes from which to warn; grain and rims alone may make it 1.5."""


def find_disagreements(real: RealFolder, source: Store) -> list[str]:
    """What no translation can repair, in words: sizes of pixels and of structures that differ."""
    found = []
    sizes_known = [file["pixel_size"] for file in real.record["files"] if file["pixel_size"]]
    if sizes_known and source.attributes["unit"] == "micrometer":
        theirs, ours = float(np.median(sizes_known)), float(source.attributes["pixel_size"])
        if max(theirs, ours) > 1.05 * min(theirs, ours):
            found.append(
                f"a pixel of {source.path} is {ours:.4g} um, one of {real.folder} {theirs:.4g}: "
                f"simulate with --pixel-size {theirs:.4g}"
            )
    ratio = size_ratio(real.scenes, source)
    if not 1 / FACTOR < ratio < FACTOR:
        what = f"{ratio:.1f} times" if ratio > 1 else f"1/{1 / ratio:.1f} of"
        found.append(
            f"structures of {source.path} are {what} the size of those in {real.folder}, which no "
            f"translation repairs: phasegen simulate --match {real.folder}"
        )
    return found


def size_ratio(scenes: Sequence[NDArray[np.float32]], source: Store) -> float:
    """Size of the simulated structures over that of the real ones (`gap.morphology`)."""
    real = describe_shapes([middle(scene, SCENE) for scene in spread(scenes, SEEN)])
    size = float(np.median(sizes(real)))
    simulated = []
    for index in spread(source.complete().tolist(), SEEN):
        sample = source.read(index)
        image, mask = sample.grey, sample.mask
        if image.ndim == 3:
            image, mask = image[len(image) // 2], mask[len(mask) // 2]
        simulated.append(shape_of(middle(image, SCENE), middle(mask, SCENE)))
    return float(np.median(sizes(describe_shapes(simulated, wavelength_of(real), size)))) / size
