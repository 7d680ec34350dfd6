"""What the tests of the commands share: ways to run one, tiny settings, a model of each kind."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from cli import common, cyclegan, phasegen, segtrain

APPS = {"phasegen": phasegen.app, "cyclegan": cyclegan.app, "segtrain": segtrain.app}

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

    sem: Path
    model: Path
    unfinished: Path
    checkpoint: Path


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


@pytest.fixture
def places(pipeline, simulation, real):
    """What the braces of a command line stand for."""
    known = {"sim": simulation, "images": real.images, "masks": real.masks}
    return known | pipeline._asdict()


@pytest.fixture
def command(run, tmp_path, monkeypatch, places):
    """Function that runs a command line in an empty folder: ``command(line) -> Result``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def command(line, **more):
        program, *args = shlex.split(line)
        return run(APPS[program], *(arg.format(**places | more) for arg in args))

    return command


@pytest.fixture
def refused(command, tmp_path):
    """Function that runs a command line as `command` does, which must be refused.

    It says so in one line with a remedy, exits with code 2, and leaves every file and folder as it
    was. The line is returned.
    """

    def refused(line, **more):
        before = snapshot(tmp_path)
        code, _, err = command(line, **more)
        # A task may have said how far it has come.
        *progress, last = err.splitlines()
        assert all(re.match(r"\w+: \d+/\d+ \(\d+ %\)", line) for line in progress)
        assert (code, last[:7]) == (2, "error: ")
        assert re.search(r"\. [A-Z][^.]+\S.*\.$", last), "no remedy"
        assert snapshot(tmp_path) == before
        return last

    return refused
