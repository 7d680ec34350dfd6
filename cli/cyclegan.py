"""``cyclegan``: give simulated images the look of an unlabelled folder, boundaries in place."""

import json
from math import isnan
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import common
from cli.gap import gap
from cyclegan.model import fit_model, load_model
from cyclegan.settings import FULL, METHODS, Translation, find_unused
from cyclegan.translate import (
    find_damage,
    measure_change,
    measure_geometry,
    prepare,
    translate_folder,
    translate_store,
)
from phasegen import distributed
from phasegen.errors import InputError
from phasegen.files import written_whole
from phasegen.store import open_store

app = common.app(
    "cyclegan", "Translate simulated images into the style of real ones, boundaries in place."
)

FORMS = ("+.2f", ".2f", ".2f", ".0%", ".0%")
"""Of shift, median and 95th percentile of the drift, boundaries found and edges invented."""

LEAST_CHANGE = 1 / 255
"""A level of an 8-bit image: a generator that changes less adds nothing."""

SIM, SEM, RUN = Path("data/sim.zarr"), Path("data/sem.zarr"), Path("runs/cyclegan")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start afresh.")]


@app.command()
def fit(
    real: Annotated[
        Path | None,
        typer.Option(help="Folder of unlabelled real images; replaces that of --config."),
    ] = None,
    sim: Annotated[Path | None, typer.Option(help=f"Store to start from [default: {SIM}].")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="fda, histogram (no training), cyclegan or cut [default: fda]."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Store to write.")] = SEM,
    run: Annotated[Path, typer.Option(help="Folder for the model and its logs.")] = RUN,
    size: Annotated[
        Literal["cpu", "full"], typer.Option(help="Networks: for a laptop, or for a GPU.")
    ] = "cpu",
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed [default: 0].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    translate: Annotated[bool, typer.Option(help="Translate the store afterwards.")] = True,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE; repeatable.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Learn the style of a folder, then translate the simulated store into it.

    An interrupted run goes on when the same command is given again.
    """
    given = {"sim": sim, "method": method, "steps": steps, "seed": seed, "device": device}
    settings = Translation.load(config, set_ or (), real=real, **given)
    if size == "full" and not METHODS[settings.method]:
        remedy = "Leave it out, or choose --method cyclegan or cut"
        raise InputError("--size full", f"is for networks, and {settings.method} has none", remedy)
    typed = {name: f"--{name}" for name, value in given.items() if value is not None}
    typed |= {key.partition("=")[0].strip(): f"--set {key}" for key in set_ or ()}
    _refuse_unused(settings, typed, config)
    if size == "full":
        preset = {key: FULL[key] for key in FULL.keys() - settings.model_fields_set}
        settings = settings.model_copy(update=preset)
    if translate and out.exists():
        # Now, and not after the training.
        made = open_store(out).config
        same = settings.model_dump(mode="json") | {"on_drift": made.get("on_drift")}
        if made != same and not overwrite:
            raise InputError(
                out,
                "was translated with other settings",
                "Choose another --out and --run, or start afresh with --overwrite",
            )
    path = fit_model(settings, run, common.progress, overwrite)
    if distributed.rank():
        return  # the first process prints and translates
    print(f"model: {path}")
    if translate:
        _translate(path, settings.sim, out, settings.device, overwrite)


@app.command("translate")
def translate_command(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Store, or folder of images.")],
    out: Annotated[Path, typer.Option(help="Store or folder to write.")],
    model: Annotated[Path, typer.Option(help="Model of `cyclegan fit`.")] = RUN / "model.pt",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Translate any store, or any folder of images, with a fitted model."""
    if source.suffix == ".zarr" or (source / "zarr.json").is_file():
        _translate(model, source, out, device, overwrite)
        return
    fitted = load_model(model, device)
    for path in translate_folder(fitted, source, out, overwrite):
        print(path)


def _refuse_unused(settings: Translation, typed: dict[str, str], file: Path | None) -> None:
    """Refuse what changes nothing with this method: who sets it expects that it does.

    A file may hold every setting, as that of a run does; there only what is not the default counts.
    """
    fields = Translation.model_fields
    filed = {
        name: f"{file}: {name}"
        for name in settings.model_fields_set - typed.keys()
        if getattr(settings, name) != fields[name].default
    }
    places = filed | typed
    for name, users in find_unused(settings, sorted(places)).items():
        raise InputError(
            places[name],
            f"has no effect with method {settings.method}; it is used by {users}",
            "Leave it out, or choose what uses it",
        )


def _translate(model: Path, source: Path, out: Path, device: str, overwrite: bool) -> None:
    fitted, simulated = load_model(model, device), open_store(source)
    if out.resolve() == source.resolve():
        raise InputError(out, "is the store to translate", "Choose another --out")
    target = prepare(fitted, simulated, out, overwrite)
    done = len(target.complete())
    with common.progress("translate", target.samples, done) as advance:
        for _ in translate_store(fitted, simulated, target):
            advance()
    geometry = measure_geometry(simulated, target)
    common.table(
        ("boundaries", "shift px", "median px", "95 % px", "seen", "edges of none"),
        [
            (name, *(_cell(x, form) for x, form in zip((*drift, *edges), FORMS, strict=True)))
            for name, (drift, edges) in geometry.items()
        ],
    )
    # JSON has no NaN, which is the drift where there is no boundary.
    kept = {
        name: {
            key: None if isnan(value) else value
            for part in parts
            for key, value in part._asdict().items()
        }
        for name, parts in geometry.items()
    }
    # No other store may have the file: "a.1" and "a.2" differ in what looks like a suffix.
    report = out.with_name(f"{out.name.removesuffix('.zarr')}.geometry.json")
    with written_whole(report) as partial:
        partial.write_text(json.dumps(kept, indent=1, allow_nan=False))
    for warning in find_damage(geometry):
        print(f"warning: {warning}")
    if fitted.generator is not None:
        change = measure_change(fitted, simulated)
        print(f"the generator changes grey values by {change:.4f} on average (0..1)")
        if change < LEAST_CHANGE:
            print("warning: the generator has learned nothing: more --steps, or --set cycle=1")
    print(f"{target.samples} translated samples in {out}")


def _cell(value: float, form: str) -> str:
    return "-" if isnan(value) else f"{value:{form}}"


app.command()(gap)


def main() -> None:
    """Entry point of the console script."""
    common.run(app)


if __name__ == "__main__":
    main()
