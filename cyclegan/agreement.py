"""What should be known before a translation starts: does the simulation fit the real folder?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cyclegan.gap import morphology
from cyclegan.gap.compare import SAME_PIXEL
from cyclegan.gap.morphology import Morphology
from cyclegan.gap.pictures import SCENE, middle, shape_of
from cyclegan.real import RealFolder
from phasegen.images import spread
from phasegen.store import Store

REAL, SIMULATED = 6, 10
"""Scenes and samples that are looked at. Beside two real scenes, fewer samples would prove nothing:
exchanges of their labels have too few outcomes."""


def find_disagreements(real: RealFolder, source: Store) -> list[str]:
    """What no translation can repair, in words: sizes of pixels, and what `gap` calls morphology.

    Bounds and measure are those of `cyclegan gap`, so that both say the same of one folder.
    """
    found = []
    sizes_known = [file["pixel_size"] for file in real.record["files"] if file["pixel_size"]]
    if sizes_known and source.attributes["unit"] == "micrometer":
        theirs, ours = float(np.median(sizes_known)), float(source.attributes["pixel_size"])
        if max(theirs, ours) > SAME_PIXEL * min(theirs, ours):
            found.append(
                f"a pixel of {source.path} is {ours:.4g} um, one of {real.folder} {theirs:.4g}: "
                f"simulate with --pixel-size {theirs:.4g}, or choose the scale by phasegen match "
                f"{real.folder}"
            )
    shapes = compare_shapes(real.scenes, source)
    reasons = shapes.reasons()
    reasons += [f"{reason} (of few images: it may be chance)" for reason in shapes.doubtful()]
    if reasons:
        also = ". Grain and rims make real structures look smaller" if shapes.size.large else ""
        found.append(
            f"{source.path} differs from {real.folder} in what no translation repairs: "
            f"{' and '.join(reasons)}{also}. Match the recipe by phasegen match {real.folder} and "
            "simulate anew"
        )
    return found


def compare_shapes(scenes: Sequence[NDArray[np.float32]], source: Store) -> Morphology:
    """Morphology of the simulated structures, by their exact masks, beside that of the scenes."""
    theirs = [middle(scene, SCENE) for scene in spread(scenes, REAL)]
    ours = []
    for index in spread(source.complete().tolist(), SIMULATED):
        sample = source.read(index)
        image, mask = sample.grey, sample.mask
        if image.ndim == 3:
            image, mask = image[len(image) // 2], mask[len(mask) // 2]
        ours.append(shape_of(middle(image, SCENE), middle(mask, SCENE)))
    # Of one size, as a larger picture holds longer chords.
    side = min(n for picture in (*theirs, *ours) for n in picture.shape)
    real = morphology.describe_shapes([middle(picture, side) for picture in theirs])
    simulated = morphology.describe_shapes(
        [middle(picture, side) for picture in ours],
        morphology.wavelength_of(real),
        float(np.median(morphology.sizes(real))),
    )
    return morphology.compare(real, simulated)
