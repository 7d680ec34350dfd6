"""What the tests of the commands share: a way to run one, tiny settings, a model of each kind."""

from typing import NamedTuple

import pytest

from cli import common, cyclegan, segtrain

FIT = (
    *("--method", "cyclegan", "--steps", 4, "--set", "patch=32", "--set", "batch=1"),
    *("--set", "width=4", "--set", "blocks=1", "--set", "critic_width=4"),
    *("--set", "checkpoint_every=2"),
)
"""A CycleGAN that is learned in a moment."""

TRAIN = (
    *("--synthetic-only", "--steps", 4, "--patch", 32, "--set", "widths=[4,8]"),
    *("--set", "batch=2", "--set", "validation=1", "--set", "validate_every=2"),
    *("--set", "adapt_steps=4"),
)
"""A network that is trained in a moment."""


class Result(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


class Pipeline(NamedTuple):
    """Files of the three stages, one run each."""

    sem: object
    model: object
    unfinished: object
    checkpoint: object


def call(app, *args):
    """Run a command in this process; its exit code."""
    with pytest.raises(SystemExit) as stop:
        common.run(app, list(map(str, args)))
    return stop.value.code


@pytest.fixture
def run(capsys):
    """Function that runs a command in this process: ``run(app, *args) -> Result``."""

    def run(app, *args):
        capsys.readouterr()
        return Result(call(app, *args), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory, simulation, real):
    """A learned translation, the translated store and a network trained on it."""
    folder = tmp_path_factory.mktemp("pipeline")
    sem, runs = folder / "sem.zarr", folder / "runs"
    given = ("--real", real.images, "--sim", simulation, "--out", sem, "--run", runs / "cyclegan")
    assert call(cyclegan.app, "fit", *given, *FIT) == 0
    assert call(segtrain.app, *TRAIN, "--store", sem, "--out", runs / "segtrain") == 0
    return Pipeline(
        sem, runs / "cyclegan/model.pt", runs / "cyclegan/last.pt", runs / "segtrain/best.pt"
    )


def snapshot(folder):
    """Every file below a folder with its content, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
