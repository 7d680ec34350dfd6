"""``phasegen match``: settings for a campaign that resembles a folder of micrographs."""

from pathlib import Path
from typing import Annotated

import typer

from cli import common
from phasegen import calibrate, match_report
from phasegen.recipes import find


def resemble(folder: Path, recipe: str, seed: int, out: Path) -> None:
    """Match a recipe to a folder, print how well it fits, and write the settings to `out`.

    Raises
    ------
    InputError
        If the recipe is unknown, or the folder holds an image that cannot be used.
    """
    find(recipe)
    scenes = calibrate.read_folder(folder)
    total = len(scenes) + sum(calibrate.ROUNDS)
    with common.progress(f"match {recipe}", total) as advance:
        found = calibrate.match(scenes, recipe, seed, advance)
    written = match_report.save(out, found)
    common.table(
        ("descriptor", "real (10-90 %)", "simulated", "real inside", ""), match_report.table(found)
    )
    for note in found.notes:
        print(note)
    print(", ".join(map(str, written)))


def match(
    folder: Annotated[Path, typer.Argument(metavar="SEM", help="Folder of unlabelled images.")],
    recipe: Annotated[str, typer.Option(help="See `phasegen list`.")] = "gamma-prime",
    out: Annotated[
        Path, typer.Option(help="YAML to write; a .json and a .png take its name.")
    ] = Path("match.yaml"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the pilots and of the campaign.")] = 0,
) -> None:
    """Choose a recipe's ranges so that its pictures resemble those of a folder.

    No label is read. `phasegen simulate --config match.yaml` takes what it writes.
    """
    resemble(folder, recipe, seed, out)
