"""Killed at any moment and started again, every command ends as if nothing had happened.

Once by SIGKILL to real processes at random moments of their work; once in this process, where the
command dies in turn at every write to the disk, so that no moment between two writes is left out.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from cli import cyclegan, phasegen, segtrain
from phasegen.store import digest, open_store, verify
from tests.cli.conftest import FIT, TRAIN, call, snapshot

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

PATIENCE = 120
"""Seconds within which anything that is waited for must have happened."""

SIMULATE = (
    *("spinodal", "--n", 16, "--size", 64, "--out", "sim.zarr"),
    *("--set", "parameters.magnification=1", "--set", "parameters.time=[400, 500]"),
)

needs_sigkill = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


def start(program, args, log):
    """Start a command as a shell would, in a group of its own; stderr goes to the file `log`."""
    code = f"from cli.{program} import main; main()"
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            cwd=log.parent,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )


def content(path):
    """What changes with every write of a file, or of a new chunk into a folder."""
    if path.is_dir():
        return {name for name in os.listdir(path) if name.isdecimal()}
    return path.stat().st_mtime_ns if path.exists() else set()


def killed(program, args, log, word, path, writes, rng):
    """Kill a command after its log says `word` and `path` changed `writes` times, and a moment.

    Returns whether it was still at work.
    """

    process, deadline = start(program, args, log), time.monotonic() + PATIENCE
    while word not in log.read_text() and process.poll() is None:
        assert time.monotonic() < deadline, f"no sign of {word!r}"
        time.sleep(0.005)
    seen = content(path)
    while writes and process.poll() is None:
        assert time.monotonic() < deadline, f"{path} stays as it is"
        time.sleep(0.001)
        if (now := content(path)) != seen:
            seen, writes = now, writes - 1
    time.sleep(rng.uniform(0, 0.05))
    process.kill()
    # Workers hold the pipe open too: it ends when the last of them has gone.
    try:
        process.communicate(timeout=PATIENCE)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def interrupted(program, args, folder, moments, rng):
    """Run a command to its end through kills at the given moments; the logs of its runs."""
    logs = [folder / f"log{number}" for number in range(len(moments) + 1)]
    hits = [
        killed(program, args, log, *moment, rng) for log, moment in zip(logs, moments, strict=False)
    ]
    assert hits[0], "was too fast to be killed"
    with start(program, args, logs[-1]) as last:
        last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, logs[-1].read_text()
    texts = [log.read_text() for log in logs]
    assert all("Traceback" not in text for text in texts)
    return texts


def first_step(log):
    return int(re.match(r"[\w -]+: (\d+)/", log)[1])


def equal(ours, theirs):
    """Whether two checkpoints hold the same, tensors bit for bit."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    return torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs


def same_run(ours, theirs):
    """Assert that two folders hold the same run, but for its TensorBoard events."""
    found, expected = ({path.name for path in one.iterdir()} for one in (ours, theirs))
    files = {name for name in found if "tfevents" not in name}
    assert files == {name for name in expected if "tfevents" not in name}
    for name in files:
        one, other = ours / name, theirs / name
        if name.endswith(".pt"):
            assert equal(torch.load(one), torch.load(other)), f"{name} differs"
        else:
            assert one.read_bytes() == other.read_bytes(), f"{name} differs"


@pytest.fixture(scope="module")
def brief(tmp_path_factory, simulation, real):
    """As `whole`, in fewer steps, for commands that die often."""
    folder = tmp_path_factory.mktemp("brief")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call(cyclegan.app, *fit(simulation, real, 4)) == 0
        assert call(segtrain.app, *train(folder / "sem.zarr", 4)) == 0
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, simulation, real):
    """A folder in which every command ran once, undisturbed, one process each."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call(phasegen.app, "simulate", *SIMULATE, "--workers", 1) == 0
        assert call(cyclegan.app, *fit(simulation, real)) == 0
        assert call(segtrain.app, *train(folder / "sem.zarr")) == 0
    return folder


def fit(simulation, real, steps=16):
    given = ("--real", real.images, "--sim", simulation, "--out", "sem.zarr", "--run", "fit")
    return "fit", *given, *FIT, "--steps", steps


def train(store, steps=12):
    length = ("--steps", steps, "--set", f"adapt_steps={steps}")
    return *TRAIN, "--store", store, "--out", "train", *length


@needs_sigkill
def test_simulate_by_two_workers(whole, tmp_path, rng):
    written = tmp_path / "sim.zarr/state/c"
    moments = [("simulate", written, int(rng.integers(1, 6))) for _ in range(2)]
    args = ("simulate", *SIMULATE, "--workers", 2)
    texts = interrupted("phasegen", args, tmp_path, moments, rng)
    assert first_step(texts[0]) == 0 < first_step(texts[1]) <= first_step(texts[2])
    assert verify(tmp_path / "sim.zarr") == []
    assert digest(tmp_path / "sim.zarr") == digest(whole / "sim.zarr")


@needs_sigkill
def test_fit_and_translate(whole, tmp_path, simulation, real, rng):
    last, written = tmp_path / "fit/last.pt", tmp_path / "sem.zarr/state/c"
    moments = [
        ("fit: ", last, int(rng.integers(1, 3))),
        ("fit: ", last, int(rng.integers(0, 3))),
        ("translate: ", written, int(rng.integers(0, 3))),
    ]
    texts = interrupted("cyclegan", fit(simulation, real), tmp_path, moments, rng)
    assert first_step(texts[0]) == 0 < first_step(texts[1])
    same_run(tmp_path / "fit", whole / "fit")
    assert digest(tmp_path / "sem.zarr") == digest(whole / "sem.zarr")


@needs_sigkill
def test_train_and_adapt(whole, tmp_path, rng):
    last = tmp_path / "train/last.pt"
    moments = [
        ("train: ", last, int(rng.integers(1, 3))),
        ("label: ", last, 0),
        ("adapt: ", last, int(rng.integers(1, 3))),
    ]
    texts = interrupted("segtrain", train(whole / "sem.zarr"), tmp_path, moments, rng)
    assert first_step(texts[0]) == 0 < first_step(texts[1])
    same_run(tmp_path / "train", whole / "train")


class Death(BaseException):
    """What a process does not survive."""


@pytest.fixture
def mortal(monkeypatch):
    """Function that runs a command, which dies before it renames its `count`-th file."""
    rename = os.replace

    def mortal(app, args, count):
        left = count

        def replace(*names, **options):
            nonlocal left
            if not left:
                raise Death
            left -= 1
            rename(*names, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            try:
                assert call(app, *args) == 0
            except Death:
                return True
        return False

    return mortal


def test_death_at_every_write_of_a_fit(mortal, tmp_path, monkeypatch, brief, simulation, real):
    args, count = (*fit(simulation, real, 4), "--no-translate"), 0
    monkeypatch.chdir(tmp_path)
    while mortal(cyclegan.app, (*args, "--overwrite"), count):
        assert call(cyclegan.app, *args) == 0
        same_run(tmp_path / "fit", brief / "fit")
        count += 1
    assert count == 4  # settings, two checkpoints, the model


def test_death_at_every_write_of_a_training(mortal, tmp_path, monkeypatch, brief):
    args, count = train(brief / "sem.zarr", 4), 0
    monkeypatch.chdir(tmp_path)
    while mortal(segtrain.app, (*args, "--overwrite"), count):
        assert call(segtrain.app, *args) == 0
        same_run(tmp_path / "train", brief / "train")
        count += 1
    assert count > 8


@pytest.mark.parametrize("count", np.random.default_rng(0).integers(0, 32, 4).tolist())
def test_death_at_a_write_of_a_translation(mortal, tmp_path, monkeypatch, brief, simulation, count):
    args = ("translate", simulation, "--model", brief / "fit/model.pt", "--out", "sem.zarr")
    monkeypatch.chdir(tmp_path)
    assert mortal(cyclegan.app, args, count)
    assert call(cyclegan.app, *args) == 0
    assert digest("sem.zarr") == digest(brief / "sem.zarr")


@pytest.fixture
def finished(whole, simulation, real):
    """The commands that made `whole`."""
    return [
        (phasegen.app, ("simulate", *SIMULATE)),
        (cyclegan.app, fit(simulation, real)),
        (segtrain.app, train(whole / "sem.zarr")),
    ]


def test_a_finished_command_changes_nothing(run, whole, monkeypatch, finished):
    monkeypatch.chdir(whole)
    before = snapshot(whole)
    for app, args in finished:
        code, out, _ = run(app, *args)
        assert code == 0
        assert out
    assert snapshot(whole) == before


@pytest.mark.parametrize(
    ("which", "change", "says"),
    [
        (0, ("--seed", 1), "sim.zarr: was simulated with other settings (seed). Choose another"),
        (0, ("--n", 17), "sim.zarr: was simulated with other settings (samples)"),
        (0, ("--set", "microscope.blur=1"), "sim.zarr: was simulated with other settings (micro"),
        (1, ("--seed", 1), "sem.zarr: was translated with other settings. Choose another --out"),
        (1, ("--seed", 1, "--no-translate"), "fit: holds a run with other settings or data (seed)"),
        (1, ("--method", "cut", "--no-translate"), "fit: holds a run with other settings or data"),
        (2, ("--seed", 1), "train: holds a run with other settings or data (seed). Choose another"),
        (2, ("--no-adapt",), "train: holds a run with other settings or data (adapt"),
    ],
)
def test_other_settings_are_refused(run, whole, monkeypatch, finished, which, change, says):
    monkeypatch.chdir(whole)
    before = snapshot(whole)
    app, args = finished[which]
    code, out, err = run(app, *args, *change)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {says}")
    assert snapshot(whole) == before


def test_a_run_does_not_go_on_with_other_data(run, whole, tmp_path, monkeypatch, real):
    monkeypatch.chdir(tmp_path)
    other = ("simulate", "spinodal", "--n", 6, "--size", 64, "--set", "parameters.time=200")
    assert run(phasegen.app, *other, "--out", "other.zarr", "--workers", 1).code == 0
    given = ("--sim", "other.zarr", "--real", real.images, "--run", whole / "fit", *FIT)
    assert "with other settings or data (sim" in run(cyclegan.app, "fit", *given).err
    model = ("--model", whole / "fit/model.pt", "--out", whole / "sem.zarr")
    said = run(cyclegan.app, "translate", "other.zarr", *model).err
    assert "was translated from another store or by another model. Choose another --out" in said
    assert open_store(whole / "sem.zarr").samples == 6
