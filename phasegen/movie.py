"""Film of a recipe: one microstructure, as it comes to be.

A recipe makes a microstructure, not its history. But the same seed takes the same course, so the
microstructure of a shorter time is a frame of the longer run: a film is the recipe grown again and
again, to later and later times. It costs about half as many runs as it has frames; in return every
frame has exact labels, and any other parameter can be filmed, too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from phasegen import campaign, contact_sheet
from phasegen.config import Config, Shape
from phasegen.errors import InputError
from phasegen.files import make_folder, written_whole
from phasegen.images import write_image
from phasegen.recipes import find

SECONDS = 0.12
"""Time that a frame of an animation is shown; the last one stays ten times as long."""


class Film(Config):
    """Everything that `phasegen movie` needs to know: no microscope, and no store."""

    recipe: str = Field(description="name of the microstructure")
    shape: Shape = Field((256, 256), description="pixels: the side of a square, Y,X or Z,Y,X")
    seed: int = Field(0, ge=0, description="of the microstructure")
    over: str | None = Field(None, description="the parameter that runs through its range")
    count: int = Field(24, ge=2, description="number of frames")
    parameters: dict[str, Any] = Field({}, description="ranges of the recipe")

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The pictures, as the function of that name makes them."""
        return frames(self.recipe, self.shape, self.seed, self.over, self.count, **self.parameters)


def frames(
    recipe: str,
    shape: int | tuple[int, ...] = 256,
    seed: int = 0,
    over: str | None = None,
    count: int = 24,
    **ranges: Any,
) -> Iterator[NDArray[np.uint8]]:
    """Pictures (Y, X, 3): the phase in grey above the mask in colours, frame by frame.

    Parameters
    ----------
    recipe, shape, seed, **ranges
        As `phasegen.simulate` takes them.
    over : str, optional
        The parameter that runs through its range; by default the recipe's clock.
    count : int
        Number of frames. They are spaced evenly in the logarithm, for coarsening slows down, but
        evenly if the range begins at zero.

    Raises
    ------
    InputError
        If recipe or parameters do not fit, or `over` is none of them, or a fixed value.
    """
    chosen = find(recipe)
    over = over or chosen.clock
    bounds = chosen.ranges.load(**ranges).ranges()
    if not over:
        problem = f"{recipe} has no parameter that changes one specimen as time does"
        raise InputError("--over", problem, f"Choose one of {', '.join(bounds)} all the same")
    if over not in bounds:
        problem = f"{recipe} has no parameter {over!r} to film"
        raise InputError("--over", problem, f"Choose one of {', '.join(bounds)}")
    low, high = bounds[over]
    if low == high:
        problem = f"{over} = {low:g} is no range to film"
        raise InputError("--over", problem, f"Set parameters.{over}=[first, last]")
    # What is not filmed must be the same in all frames.
    fixed = chosen.ranges.load(**ranges).draw(np.random.default_rng(seed))
    spaced = np.geomspace if low > 0 else np.linspace
    for value in spaced(low, high, count):
        grown = campaign.simulate(recipe, shape, seed, **fixed | {over: float(value)})
        yield contact_sheet.picture((255 * grown.phase).astype(np.uint8), grown.mask)


def write(path: Path, pictures: Iterator[NDArray[np.uint8]]) -> None:
    """Write a film: an animated GIF, or numbered PNG files if `path` is a folder's.

    Raises
    ------
    InputError
        If `path` is neither, or the file system refuses.
    """
    if path.suffix not in ("", ".gif"):
        raise InputError(path, "is no film", "Name a .gif, or a folder for PNG files")
    if not path.suffix:
        make_folder(path)
        for number, picture in enumerate(pictures):
            write_image(path / f"{number:03d}.png", picture)
        return
    make_folder(path.parent)
    plain = Image.Dither.NONE
    first, *rest = (Image.fromarray(picture).quantize(dither=plain) for picture in pictures)
    shown = [round(1000 * SECONDS)] * len(rest) + [round(10000 * SECONDS)]
    with written_whole(path) as partial:
        first.save(
            partial, "GIF", save_all=True, append_images=rest, duration=shown, loop=0, disposal=2
        )
