"""``phasegen``: simulate microstructures with exact masks."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from cli import common
from cli.match import match, resemble
from phasegen import campaign, contact_sheet, movie, store
from phasegen.errors import InputError
from phasegen.estimate import estimate
from phasegen.places import exists, is_url, remove
from phasegen.pools import processors
from phasegen.recipes import RECIPES

app = common.app("phasegen", "Simulate microstructures whose every pixel is known.")


@app.command()
def simulate(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="See `phasegen list`.")
    ] = None,
    out: Annotated[
        str, typer.Option(help="Store to create or go on with: a folder, or s3://bucket/name.zarr.")
    ] = "data/sim.zarr",
    n: Annotated[int | None, typer.Option(help="Number of samples [default: 48].")] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            "--size", "--shape", help="Side in pixels, or Y,X, or Z,Y,X of a volume [default: 512]."
        ),
    ] = None,
    slice_: Annotated[
        int | None, typer.Option("--slice", help="Sections of each volume that become samples.")
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Side of a pixel, micrometres.")] = None,
    length: Annotated[
        float | None,
        typer.Option(help="The recipe's length (see `list`), micrometres; sets magnification."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the campaign [default: 0].")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one per processor.")] = 0,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler to use instead.")
    ] = None,
    keep_fields: Annotated[
        bool | None, typer.Option("--keep-fields", help="Store the order parameters too.")
    ] = None,
    match_: Annotated[
        Path | None,
        typer.Option("--match", help="Folder of unlabelled images to resemble, as by `match`."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="parameters.KEY=VALUE, or microscope., fib_sem.; repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start afresh.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell samples, time, memory and disk.")
    ] = False,
) -> None:
    """Simulate samples of RECIPE (default: gamma-prime) into a store.

    An interrupted run goes on when the same command is given again.
    """
    if match_ is not None:
        if config is not None:
            raise InputError("--match", "is given besides --config", "Give one of both")
        config = Path("match.yaml") if is_url(out) else Path(out).with_suffix(".match.yaml")
        resemble(match_, recipe or "gamma-prime", seed or 0, config)
    settings = campaign.Simulation.load(
        config,
        set_ or (),
        recipe=recipe,
        samples=n,
        shape=shape,
        slice=slice_,
        pixel_size=pixel_size,
        length=length,
        seed=seed,
        keep_fields=keep_fields,
    ).resolve()
    campaign.require_room(settings)
    if dry_run:
        _tell(settings, workers)
        return
    if overwrite and exists(out):
        store.open_store(out)  # refuses to delete what is no store
        remove(out)
    target = campaign.prepare(out, settings)
    done = len(target.complete())
    with common.progress(f"simulate {settings.recipe}", target.samples, done) as advance:
        for _ in campaign.run(target, workers, scheduler):
            advance()
    print(f"{target.samples} samples of {settings.recipe} in {out}")


def _count(picture: NDArray[np.uint8], advance: common.Advance) -> NDArray[np.uint8]:
    advance()
    return picture


def _tell(settings: campaign.Simulation, workers: int) -> None:
    """Print what a campaign will take, from a probe of one small simulation."""
    expected = estimate(settings)
    workers = min(workers or processors(), expected.volumes)
    shape = " x ".join(map(str, settings.sample_shape))
    print(f"samples  {expected.samples} of {shape} pixels from {expected.volumes} simulations")
    print(f"time     about {common.clock(expected.seconds / workers)} on {workers} processors")
    print(f"memory   about {expected.memory / 1e9:.2g} GB per worker")
    print(f"disk     about {expected.disk / 1e9:.2g} GB")


@app.command("list")
def list_recipes() -> None:
    """List the recipes and the ranges of their parameters."""
    for recipe in RECIPES.values():
        print(f"{recipe.name}: {recipe.summary} (classes: {', '.join(recipe.classes)})")
        print(f"--length: {recipe.length_of}")
        common.table(
            ("--set parameters.", "low", "high", "meaning"),
            [
                (name, f"{field.default[0]:g}", f"{field.default[1]:g}", field.description or "")
                for name, field in recipe.ranges.model_fields.items()
            ],
        )


@app.command()
def show(
    path: Annotated[str, typer.Argument(metavar="STORE", help="Store to look at.")],
    out: Annotated[Path | None, typer.Option(help="PNG to write [default: STORE.png].")] = None,
    n: Annotated[int, typer.Option(min=1, help="Samples to show.")] = 8,
) -> None:
    """Write a contact sheet: images above their masks."""
    beside = Path(path) if not is_url(path) else Path(path.rstrip("/").rpartition("/")[2])
    target = out or beside.with_suffix(".png")
    contact_sheet.write(target, store.open_store(path), n)
    print(target)


@app.command("movie")
def film(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="See `phasegen list`.")],
    out: Annotated[
        Path | None, typer.Option(help="GIF, or a folder for PNG files [default: RECIPE.gif].")
    ] = None,
    shape: Annotated[
        str, typer.Option("--size", "--shape", help="Side in pixels, or Y,X, or Z,Y,X.")
    ] = "256",
    over: Annotated[
        str | None, typer.Option(help="Parameter that runs through its range [default: time].")
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="Number of frames.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="parameters.KEY=VALUE; repeatable.")
    ] = None,
) -> None:
    """Film RECIPE: the microstructure of one seed at later and later times."""
    given = {"recipe": recipe, "shape": shape, "seed": seed, "over": over, "count": frames}
    settings = movie.Film.load(None, set_ or (), **given)
    target = out or Path(f"{settings.recipe}.gif")
    with common.progress(f"film {settings.recipe}", settings.count) as advance:
        movie.write(target, (_count(picture, advance) for picture in settings.frames()))
    print(target)


@app.command()
def verify(
    path: Annotated[str, typer.Argument(metavar="STORE", help="Store to check.")],
) -> None:
    """Check a store against the data contract."""
    problems = store.verify(path)
    for problem in problems[:20]:
        print(problem)
    if problems:
        raise InputError(path, f"has {len(problems)} problems", "See the lines above")
    print(f"{path}: sound, {store.open_store(path).samples} samples")


app.command()(match)


def main() -> None:
    """Entry point of the console script."""
    common.run(app)
