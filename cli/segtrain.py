"""``segtrain``: train segmentation on synthetic or real data, evaluate it, use it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import common, rehearsal
from cli.decoding import Decode, with_decoding
from cli.evaluation import evaluate
from cli.tune_decode import tune_decode
from phasegen import distributed
from phasegen.errors import InputError
from phasegen.images import list_images
from phasegen.store import open_store
from segtrain.adapt import STAGES, TRAINED
from segtrain.adapt import adapt as fit_to
from segtrain.config import CLASSES, Training
from segtrain.evaluate import predict_folder
from segtrain.few_shot import PAGE, learning_curve, means, metric
from segtrain.label_images import predict_ctc
from segtrain.loop import BEST
from segtrain.predict import Segmenter, load_segmenter
from segtrain.targets import TARGETS
from segtrain.train import train
from segtrain.trust import require_kin, trust_folder
from segtrain.volume_files import plan, require_images
from segtrain.volumes import predict_volumes

app = common.app("segtrain", "Train segmentation without hand-drawn labels, and score it.")

STORE, RUN = Path("data/sem.zarr"), Path("runs/segtrain")

Checkpoint = Annotated[Path, typer.Option(help="Checkpoint of the training.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.callback(invoke_without_command=True, no_args_is_help=True)
def train_command(
    context: typer.Context,
    synthetic_only: Annotated[
        bool, typer.Option("--synthetic-only", help="Promise: no drawn mask is read.")
    ] = False,
    store: Annotated[
        Path | None, typer.Option(help=f"Store with exact masks [default: {STORE}].")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Real images, with --masks.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Drawn masks.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="More data: a store, or FORMAT:PATH[,OPTION=VALUE...]; repeatable."),
    ] = None,
    mix: Annotated[str | None, typer.Option(help="Shares of the sources, such as 0.8,0.2.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help=f"What is learned: classes, {', '.join(TARGETS)} [default: classes]."),
    ] = None,
    adapt: Annotated[
        Path | None,
        typer.Option(help="Unlabelled images to adapt to [default: those the store imitates]."),
    ] = None,
    no_adapt: Annotated[bool, typer.Option("--no-adapt", help="Do not adapt.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = RUN,
    steps: Annotated[int | None, typer.Option(help="Training steps [default: 1000].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed [default: 0].")] = None,
    model: Annotated[str | None, typer.Option(help="Network [default: unet].")] = None,
    loss: Annotated[str | None, typer.Option(help="Loss [default: ce-class-dice].")] = None,
    patch: Annotated[
        str | None, typer.Option(help="Side of a patch, or Z,Y,X of a volume's [default: 128].")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint to start from: fine-tuning.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE; repeatable.")] = None,
    few_shot: Annotated[
        str | None,
        typer.Option(help="Learning curve: numbers of labelled images of the last source, 1,2,4."),
    ] = None,
    few_shot_seeds: Annotated[
        int, typer.Option(min=1, help="Runs for each number of them, for an interval.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the training takes; write nothing.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Trace a few steps instead of training.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start afresh.")] = False,
) -> None:
    """Train segmentation without hand-drawn labels, and score it.

    Without a subcommand it trains: on a store of synthetic images, or on --images and --masks.
    An interrupted run goes on when the same command is given again.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    if adapt and no_adapt:
        raise InputError(f"--adapt {adapt}", "contradicts --no-adapt", "Leave out one of them")
    modes = {"--few-shot": few_shot is not None, "--dry-run": dry_run, "--profile": profile}
    chosen = [name for name, given in modes.items() if given]
    if len(chosen) > 1:
        raise InputError(", ".join(chosen), "exclude each other", "Give one of them")
    if few_shot is None and few_shot_seeds > 1:
        problem = "is for a learning curve"
        raise InputError("--few-shot-seeds", problem, "Give --few-shot, or leave it out")
    sides = _numbers(patch, "--patch", int)
    settings = Training.load(
        config,
        set_ or (),
        store=store,
        images=images,
        masks=masks,
        data=data,
        mix=_numbers(mix, "--mix", float),
        target=target,
        start=start,
        synthetic_only=synthetic_only or None,
        adapt=adapt,
        steps=steps,
        seed=seed,
        model=model,
        loss=loss,
        patch=sides[0] if sides and len(sides) == 1 else sides,
        device=device,
    )
    if not (settings.store or settings.images or settings.masks or settings.data):
        settings = settings.model_copy(update={"store": STORE})
    if no_adapt:
        settings = settings.model_copy(update={"adapt": None})
    elif settings.adapt is None and settings.store is not None and settings.target == CLASSES:
        # By the rules of a configuration: a batch of one has no half for self-training.
        given = settings.model_dump() | {"adapt": _imitated(settings.store)}
        settings = Training.load(None, (), **given)
    if dry_run:
        rehearsal.tell(settings)
    elif profile:
        rehearsal.tell_profile(settings, out)
    elif few_shot is not None:
        counts = _numbers(few_shot, "--few-shot", int)
        points = learning_curve(settings, counts, out, common.progress, overwrite, few_shot_seeds)
        if not distributed.rank():
            common.table(("images", f"validation {metric(settings)}"), means(points))
            print(out / PAGE)
    else:
        best = train(settings, out, common.progress, overwrite)
        if not distributed.rank():
            print(best)


@app.command()
def predict(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of images, or of volumes.")
    ],
    checkpoint: Checkpoint = RUN / BEST,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the masks [default: predictions].")
    ] = None,
    format: Annotated[
        str, typer.Option(help="images, or ctc: 01_RES beside the sequence 01, for the challenge.")
    ] = "images",
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Fit the model to these images first, without a label.")
    ] = False,
    trust: Annotated[
        bool | None,
        typer.Option(
            "--trust/--no-trust",
            help="Judge class masks without a label; takes three times as long. "
            "Volumes: maps of confidence alone, at once. [default: trust, of classes]",
        ),
    ] = None,
    witness: Annotated[
        list[Path] | None, typer.Option(help="Another checkpoint to be agreed with; repeatable.")
    ] = None,
    decode: Decode = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace masks.")] = False,
) -> None:
    """Write a class mask, or the instances, of every image, of the same name and size.

    Their values are the numbers 0, 1, 2, ..., which look black in most viewers. Beside class masks
    lie maps of confidence and trust.csv, how far each mask is to be trusted.

    A model of volumes takes a folder of TIFF stacks; of NIfTI files, with channels along a fourth
    axis or as CASE_0000.nii.gz, CASE_0001.nii.gz, whose masks have their affine; or of Zarr arrays
    NAME.zarr, (Z,Y,X) or (C,Z,Y,X), which may be larger than memory. Their maps of confidence hold
    the probability of the predicted class, 0 to 255; there is no trust.csv. In Zarr arrays,
    instances are left as their field.
    """
    segmenter = with_decoding(load_segmenter(checkpoint, device), decode)
    if format not in ("images", "ctc"):
        raise InputError(f"--format {format}", "is unknown", "Choose images or ctc")
    _require_effect(segmenter, format, adapt=adapt, trust=trust, witness=bool(witness))
    witnesses = [load_segmenter(path, device) for path in witness or ()]
    if witnesses:
        require_kin(segmenter, witnesses)
    if format == "ctc":
        with common.progress("predict", len(list_images(folder))) as advance:
            print(predict_ctc(segmenter, folder, out, advance, overwrite))
        return
    out = out or Path("predictions")
    if out.resolve() == folder.resolve():
        raise InputError(out, "is the folder of the images", "Choose another --out")
    if segmenter.axes == 3:
        jobs = plan(segmenter, folder, out, overwrite)
        with common.progress("predict", sum(job.shape[0] for job in jobs)) as advance:
            predict_volumes(segmenter, jobs, advance, trust is not False)
        print(out)
        return
    require_images(folder)
    if adapt:
        segmenter = _adapted(segmenter, folder)
    with common.progress("predict", len(list_images(folder))) as advance:
        predict_folder(segmenter, folder, out, advance, overwrite)
    if trust is not False and segmenter.target == CLASSES:
        with common.progress("trust", len(list_images(folder))) as advance:
            trust_folder(segmenter, folder, out, advance, witnesses)
    print(out)


def _require_effect(
    segmenter: Segmenter, format: str, *, adapt: bool, trust: bool | None, witness: bool
) -> None:
    """Refuse a model that takes no files, and options that would have no effect with it."""
    if segmenter.axes == 2 and segmenter.channels != 1:
        problem = f"takes images of {segmenter.channels} channels, files of a folder have one"
        raise InputError("the model", problem, "Score it with segtrain evaluate --data")
    options = {"--adapt": adapt, "--witness": witness, "--trust": trust}
    if segmenter.target != CLASSES:
        reason, refused = "is for classes, the model predicts a field", list(options)
    elif segmenter.axes == 3:
        reason, refused = "is for images, the model takes volumes", ["--adapt", "--witness"]
    elif trust is False:
        reason, refused = "contradicts --no-trust", ["--witness"]
    else:
        return
    for option in refused:
        if options[option]:
            raise InputError(option, reason, "Leave it out")


def _adapted(segmenter: Segmenter, folder: Path) -> Segmenter:
    """The segmenter fitted to a folder; says what was done to it."""
    with common.progress("adapt", 1 + len(STAGES)) as advance:
        result = fit_to(segmenter, folder, advance)
    before, after = result.strange
    print(f"images are shown {result.segmenter.view} (strangeness {before:.3f}, now {after:.3f})")
    common.table(
        ("stage", "information", "kept"),
        [
            (stage, f"{value:.3f}", "-" if stage == TRAINED else _word(stage in result.kept))
            for stage, value in result.information.items()
        ],
    )
    return result.segmenter


def _numbers(text: str | None, option: str, kind: type[int] | type[float]) -> Any:
    """Numbers with commas between; None stays."""
    if text is None:
        return None
    try:
        values = tuple(kind(word) for word in text.split(","))
    except ValueError:
        remedy = "Give numbers, with commas between"
        raise InputError(option, f"is {text!r}", remedy) from None
    return values


def _word(kept: bool) -> str:
    return "yes" if kept else "no"


def _imitated(store: Path) -> Path | None:
    """The real folder whose style a translated store has, if it is still there."""
    for parent in open_store(store).attributes["parents"]:
        if parent["kind"] == "translation":
            folder = Path(parent["real"]["folder"])
            if folder.is_dir():
                return folder
            print(f"{folder} is gone: no self-training. Name its new place with --adapt.")
    return None


def _refuse_options(context: typer.Context) -> None:
    """Options of the training that stand before a subcommand would have no effect."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name != "DEFAULT":
            raise InputError(
                parameter.opts[0],
                f"is an option of the training, not of {context.invoked_subcommand}",
                "Put the subcommand's own options behind it",
            )


app.command()(evaluate)
app.command()(tune_decode)


def main() -> None:
    """Entry point of the console script."""
    common.run(app)


if __name__ == "__main__":
    main()
