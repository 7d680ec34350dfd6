"""Make the pictures of README and documentation anew; they are part of the repository.

The micrograph of the first one is of the Super1 benchmark of nasa/pretrained-microscopy-models,
under the MIT licence that stands beside the pictures. All others are simulated.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cli import common
from phasegen.campaign import Simulation, samples
from phasegen.contact_sheet import PALETTE, colour
from phasegen.images import read_mask, read_micrograph
from phasegen.recipes import RECIPES
from phasegen.store import open_store
from segtrain.predict import load_segmenter, segment
from segtrain.report import FALSE, MATCHED, MISSED, overlay, stretch
from segtrain.train import BEST

IMAGES = Path(__file__).parent / "images"
SHOWN, TITLE, GAP = 256, 26, 8
COLOURS = [*PALETTE[:3].tolist(), MATCHED, FALSE, MISSED]
GREYS = [(grey, grey, grey) for grey in (*range(0, 255, 5), 255)]
"""All that a picture holds; noise in more shades would only make the files large."""

LOOKS = {"dual-phase": {"background": 0.3, "contrast": 0.4}}
"""Settings of the microscope where the default is not the usual look: martensite is bright."""

program = common.app("make_images", "Make the pictures of README and documentation.")


@program.command()
def hero(
    run: Annotated[Path, typer.Argument(help="Folder in which the three commands have run.")],
    image: Annotated[Path, typer.Argument(help="Micrograph to segment.")],
    mask: Annotated[Path, typer.Argument(help="Its mask.")],
    index: Annotated[int, typer.Option(help="Simulated sample to show.")] = 0,
) -> None:
    """From exact mask to prediction, side by side: hero.png."""
    simulated, translated = (open_store(run / "data" / f"{name}.zarr") for name in ("sim", "sem"))
    micrograph = read_micrograph(image)
    prediction = segment(load_segmenter(run / "runs" / "segtrain" / BEST), micrograph)
    write(
        IMAGES / "hero.png",
        {
            "exact mask": colour(simulated.load("mask", index)),
            "simulated": stretch(simulated.load("image", index)[0]),
            "translated": stretch(translated.load("image", index)[0]),
            "real": stretch(micrograph.pixels),
            "predicted boundaries": overlay(micrograph.pixels, prediction, read_mask(mask)),
        },
        crop=SHOWN,
    )


@program.command()
def recipes(
    names: Annotated[list[str] | None, typer.Argument(help="Recipes [default: all].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the samples.")] = 1,
    size: Annotated[int, typer.Option(help="Side of the samples, pixels.")] = 2 * SHOWN,
) -> None:
    """Two samples of every recipe: NAME.png."""
    for name in names or RECIPES:
        chosen = {"recipe": name, "shape": size, "microscope": LOOKS.get(name, {})}
        simulation = Simulation.load(samples=2, seed=seed, **chosen).resolve()
        panels: dict[str, NDArray[np.uint8]] = {}
        drawn = zip(simulation.draws(), simulation.seeds().tolist(), strict=True)
        for number, (parameters, own) in enumerate(drawn, 1):
            (arrays,) = samples(simulation, [parameters], own)
            panels[f"{name}, sample {number}"] = stretch(arrays["image"][0])
            panels[f"its mask ({number})"] = colour(arrays["mask"])
        write(IMAGES / f"{name}.png", panels, crop=size)


def write(path: Path, panels: dict[str, NDArray[np.uint8]], crop: int) -> None:
    """Write the corners of pictures side by side with their titles, and print the file's size."""
    width = len(panels) * (SHOWN + GAP) - GAP
    sheet = Image.new("RGB", (width, SHOWN + TITLE), "white")
    for number, (title, panel) in enumerate(panels.items()):
        # Colours are not to be mixed.
        how = Image.Resampling.NEAREST if panel.ndim == 3 else Image.Resampling.BOX
        picture = Image.fromarray(panel).crop((0, 0, crop, crop)).resize((SHOWN, SHOWN), how)
        x = number * (SHOWN + GAP)
        sheet.paste(picture.convert("RGB"), (x, TITLE))
        ImageDraw.Draw(sheet).text((x, 2), title, "black", ImageFont.load_default(16))
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for entry in (*COLOURS, *GREYS) for value in entry])
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path} {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    common.run(program)
