"""Make the pictures of README and documentation anew; they are part of the repository.

The micrograph of the first one is of the Super1 benchmark of nasa/pretrained-microscopy-models,
under the MIT licence that stands beside the pictures. All others are simulated.
"""

import csv
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cli import common
from phasegen.campaign import Simulation, samples
from phasegen.contact_sheet import PALETTE, colour
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.images import read_mask, read_micrograph
from phasegen.recipes import RECIPES
from phasegen.stepping import energy
from phasegen.stepping import run as integrate
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


@program.command()
def bm1a(
    data: Annotated[Path, typer.Argument(help="Folder `pfhub` with uploads and reference.")],
    cells: Annotated[int, typer.Option(help="Cells a side.")] = 128,
) -> None:
    """Free energy of PFHub benchmark 1a among the uploads of other codes: bm1a.png.

    Needs matplotlib, which nothing else here does.
    """
    from matplotlib.figure import Figure

    reference = _curves(data / "bm1a_reference_spectral.csv")["spectral_ETDRK4_N256_cell"]
    # The points are cell centres, as in the reference: the initial condition is not periodic.
    h = 200 / cells
    x, y = np.meshgrid(*2 * [(np.arange(cells) + 0.5) * h])
    cos = np.cos
    waves = cos(0.105 * x) * cos(0.11 * y) + (cos(0.13 * x) * cos(0.087 * y)) ** 2
    u = 0.5 + 0.01 * (waves + cos(0.025 * x - 0.15 * y) * cos(0.07 * x - 0.02 * y))[None]
    flow = cahn_hilliard(mobility=5, gradient=2, barrier=5, low=0.3, high=0.7, spacing=h)
    times = [time for time, _ in reference if time <= 1e4]
    found = [energy(flow, u, spacing=h)]
    for before, after in pairwise(times):
        first = min(1.0, (after - before) / 20)
        u = integrate(flow, u, after - before, dt=first, tolerance=5e-5, spacing=h)
        found.append(energy(flow, u, spacing=h))
        print(f"t = {after:g}: {found[-1]:.2f}, {found[-1] / dict(reference)[after] - 1:+.2%}")

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for code, points in _curves(data / "bm1a_free_energy.csv").items():
        axes.plot(*zip(*points, strict=True), lw=1, alpha=0.8, label=code)
    axes.plot(*zip(*reference, strict=True), "k--", lw=1.2, label="reference, 256 x 256")
    axes.plot(times, found, "ko", ms=4, label=f"phasegen, {cells} x {cells}")
    axes.set(
        xscale="log", xlim=(1, 1.2e4), ylim=(0, 330), xlabel="time", ylabel="total free energy"
    )
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(IMAGES / "bm1a.png", dpi=110, metadata={"Software": None})


def _curves(table: Path) -> dict[str, list[tuple[float, float]]]:
    """Time and total free energy, by code."""
    curves: dict[str, list[tuple[float, float]]] = {}
    with table.open() as file:
        for row in csv.DictReader(file):
            point = float(row["time"]), float(row["total_free_energy"])
            curves.setdefault(row["code"], []).append(point)
    return curves


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
