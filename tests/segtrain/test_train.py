"""The trainer: it learns, keeps its promises, and goes on after an interruption as if nothing was.

The networks here are tiny, so the bar is a threshold on light that is uneven, which they clear.
"""

import shutil
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage.filters import threshold_otsu
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from phasegen import checkpoint
from phasegen.checkpoint import LAST
from phasegen.errors import InputError
from phasegen.images import list_images, read_mask, read_micrograph
from phasegen.store import digest
from segtrain import loop
from segtrain import train as trainer
from segtrain.config import Training
from segtrain.decode import Decoding
from segtrain.loop import BEST
from segtrain.metrics.overlap import iou
from segtrain.predict import load_segmenter, segment
from segtrain.selftrain import pseudo_labels
from segtrain.train import TEACHER, train
from segtrain.validation import Verdict
from tests.segtrain.specimens import FAST, LEARNING, SHORT, plain, read


class Clock:
    """A progress display that counts the steps of every phase, and may stop the run."""

    def __init__(self, stop=None):
        self.stop, self.started, self.done = stop, {}, {}

    @contextmanager
    def __call__(self, phase, total, done):
        self.started[phase] = self.done[phase] = done

        def advance(steps, note=""):
            self.done[phase] += steps
            if self.stop == (phase, self.done[phase]):
                raise KeyboardInterrupt

        yield advance


def mean_iou(path, folder):
    """Mean foreground IoU of a checkpoint on a folder of labelled images."""
    segmenter = load_segmenter(path, "cpu")
    return np.mean(
        [
            iou(segment(segmenter, read_micrograph(image)) > 0, read_mask(mask) > 0)
            for image, mask in zip(*map(list_images, folder), strict=True)
        ]
    )


@pytest.fixture(scope="module")
def learnt(uneven, tmp_path_factory, silent):
    """Folder of a run on images of the same microscope as the real ones."""
    out = tmp_path_factory.mktemp("learnt") / "run"
    settings = Training(store=uneven, synthetic_only=True, **LEARNING)
    assert train(settings, out, silent) == out / BEST
    return out


@pytest.fixture(scope="module")
def adapted(simulation, real, tmp_path_factory, silent):
    """Folder of a run on images of another microscope, adapted to the real ones."""
    out = tmp_path_factory.mktemp("adapted") / "run"
    settings = Training(store=simulation, adapt=real.images, synthetic_only=True, **LEARNING)
    assert train(settings, out, silent) == out / BEST
    return out


@pytest.fixture(scope="module")
def short(simulation, real):
    """Settings of a run of both phases that takes no time."""
    return Training(store=simulation, adapt=real.images, **SHORT)


@pytest.fixture(scope="module")
def uninterrupted(short, tmp_path_factory):
    """Folder of that run, and the steps it took."""
    out, clock = tmp_path_factory.mktemp("uninterrupted") / "run", Clock()
    train(short, out, clock)
    assert clock.done == {"train": 8, "label": 4, "adapt": 6}
    return out


def test_it_learns_what_neither_a_threshold_nor_a_guess_can_know(learnt, real):
    thresholds, guesses = [], []
    for image, mask in zip(*map(list_images, real), strict=True):
        scene, truth = read_micrograph(image).scene, read_mask(mask) > 0
        bright = scene > threshold_otsu(scene)
        thresholds.append(max(iou(bright, truth), iou(~bright, truth)))
        guesses.append(iou(np.ones_like(truth), truth))
    assert mean_iou(learnt / BEST, real) > max(np.mean(thresholds), np.mean(guesses)) + 0.1


def test_files_of_a_run(learnt, uneven, simulation):
    names = {path.name for path in learnt.iterdir() if "tfevents" not in path.name}
    assert names == {"best.pt", "best.safetensors", "config.yaml", "last.pt", "log.jsonl"}
    assert any("tfevents" in path.name for path in learnt.iterdir())
    best = read(learnt, BEST)
    assert best["kind"] == "segtrain"
    assert best["classes"] == ["solute-poor", "solute-rich"]
    assert 0.5 < best["score"] <= 1
    (source,) = best["sources"]
    assert source["digest"] == digest(uneven) != digest(simulation)
    assert (source["labels"], source["path"], source["samples"]) == ("simulated", str(uneven), 8)
    assert Training.load(learnt / "config.yaml").model_dump(mode="json") == best["config"]
    assert best["config"]["synthetic_only"] is True


def test_safetensors_hold_the_best_weights(learnt, adapted):
    for out in (learnt, adapted):
        assert plain(load_file(out / "best.safetensors")) == read(out, BEST)["network"]


def test_self_training_starts_from_the_best_model(short, tmp_path, silent, monkeypatch):
    scores = iter([0.9, 0.1, 0.0])
    monkeypatch.setattr(loop, "validate", lambda *_: Verdict(next(scores), Decoding()))
    settings = short.model_copy(update={"adapt_steps": 1, "adapt_rate": 1e-12})
    train(settings, tmp_path / "a", silent)
    teacher, best = read(tmp_path / "a", TEACHER), read(tmp_path / "a", BEST)
    assert teacher["step"] == 4
    assert len(teacher["sources"]) == 1
    for name, value in teacher["network"].items():
        if "running" not in name and "batches" not in name:
            np.testing.assert_allclose(best["network"][name], value, rtol=0, atol=1e-9)


def test_self_training_learns_from_unlabelled_images_of_another_kind(adapted, real):
    best, teacher = read(adapted, BEST), read(adapted, TEACHER)
    assert [source["labels"] for source in teacher["sources"]] == ["simulated"]
    assert [source["labels"] for source in best["sources"]] == ["simulated", "predicted"]
    assert best["sources"][1]["path"] == str(real.images)
    assert best["sources"][1]["samples"] == 4
    assert best["step"] == 30
    assert mean_iou(adapted / BEST, real) > mean_iou(adapted / TEACHER, real) - 0.01


def test_pseudo_labels_are_sure_predictions(learnt, real, silent):
    teacher = load_segmenter(learnt / BEST, "cpu")
    settings = Training(adapt=real.images, confidence=0.8, **FAST)
    images = list_images(real.images)
    target = pseudo_labels(teacher, images, settings, silent)
    assert (target.count, target.record["labels"]) == (4, "predicted")
    agreement = {0: [], 1: []}
    for index, path in enumerate(images):
        micrograph, sample = read_micrograph(path), target.load(index)
        assert sample.image.std() == pytest.approx(1, abs=1e-3)
        assert np.mean(sample.mask != segment(teacher, micrograph)) < 1e-2
        assert set(np.unique(sample.weight)) == {0, 1}
        right = sample.mask == read_mask(real.masks / f"{path.stem}.png")
        for weight, found in agreement.items():
            found.append(right[sample.weight == weight].mean())
    assert np.mean(agreement[1]) > np.mean(agreement[0]) + 0.1


def test_what_is_drawn_in_either_phase(short, tmp_path, silent, monkeypatch):
    drawn, held_out, draw = [], set(), trainer.draw

    def spy(source, indices, count, *rest, **more):
        drawn.append((source.record["labels"], count, tuple(sorted(indices))))
        return draw(source, indices, count, *rest, **more)

    def validate(run, *_):
        held_out.update(run.data.validation)
        return Verdict(0.5, Decoding())

    monkeypatch.setattr(trainer, "draw", spy)
    monkeypatch.setattr(loop, "validate", validate)
    train(short, tmp_path / "a", silent)
    others = tuple(sorted(set(range(6)) - held_out))
    assert len(others) == 4
    supervised, mixed = drawn[:8], drawn[8:]
    assert set(supervised) == {("simulated", 3, others)}
    # Batches are drawn ahead on several threads, so their order is not that of the steps.
    assert Counter(mixed) == {("simulated", 2, others): 6, ("predicted", 1, (0, 1, 2, 3)): 6}


def test_self_training_learns_from_both_halves_of_its_batches(short, tmp_path, silent, monkeypatch):
    seen, draw = [], trainer.draw

    def marked(source, indices, count, *rest, **more):
        images, target, weight = draw(source, indices, count, *rest, **more)
        return (
            torch.full_like(images, float(source.record["labels"] == "predicted")),
            target,
            weight,
        )

    def fit(run, phase, *rest):
        if phase.name == "adapt":
            seen.append([float(image.mean()) for image in phase.batch(0)[0]])
        plain_fit(run, phase, *rest)

    plain_fit = trainer.fit
    monkeypatch.setattr(trainer, "draw", marked)
    monkeypatch.setattr(trainer, "fit", fit)
    train(short, tmp_path / "a", silent)
    assert seen == [[0, 0, 1]]


def test_every_step_of_both_phases_is_logged_once_even_after_an_interruption(
    short, tmp_path, silent
):
    for stop in (("train", 6), ("adapt", 3)):
        with pytest.raises(KeyboardInterrupt):
            train(short, tmp_path / "a", Clock(stop))
    train(short, tmp_path / "a", silent)
    events = EventAccumulator(str(tmp_path / "a")).Reload()
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert steps["train/loss"] == list(range(1, 9))
    assert steps["adapt/loss"] == list(range(9, 15))
    assert steps["train/validation IoU"] == [4, 8]


def test_a_teacher_of_another_run_is_refused(short, tmp_path, silent):
    with pytest.raises(KeyboardInterrupt):
        train(short, tmp_path / "a", Clock(("train", 6)))
    state = torch.load(tmp_path / "a" / BEST, weights_only=True)
    state["sources"][0]["labels"] = "drawn"
    checkpoint.save(tmp_path / "a" / TEACHER, state.pop("kind"), state)
    with pytest.raises(InputError, match=r"teacher\.pt: is of another run"):
        train(short, tmp_path / "a", silent)
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / TEACHER, tmp_path / "b")
    with pytest.raises(InputError, match=r"b: holds teacher\.pt of another run"):
        train(short, tmp_path / "b", silent)


def test_early_stopping(simulation, tmp_path, monkeypatch):
    scores = iter([0.3, 0.5, 0.5, 0.4])
    monkeypatch.setattr(loop, "validate", lambda *_: Verdict(next(scores), Decoding()))
    settings = Training(store=simulation, **FAST | {"validate_every": 2, "patience": 2})
    clock = Clock()
    train(settings, tmp_path / "a", clock)
    assert clock.done == {"train": 8}
    best = read(tmp_path / "a", BEST)
    assert (best["step"], best["score"]) == (4, 0.5)
    train(settings, tmp_path / "a", again := Clock())
    assert again.done == {}


@pytest.mark.parametrize(
    ("stop", "start"),  # with a checkpoint every 4 steps
    [
        (("train", 2), 0),
        (("train", 6), 4),
        (("label", 3), 0),
        (("adapt", 2), 0),
        (("adapt", 5), 4),
    ],
)
def test_an_interrupted_run_ends_as_the_uninterrupted_one(
    short, uninterrupted, tmp_path, stop, start
):
    out, clock = tmp_path / "run", Clock(stop)
    with pytest.raises(KeyboardInterrupt):
        train(short, out, clock)
    assert (out / LAST).exists() is (stop != ("train", 2))
    torch.rand(7)  # the global generator is elsewhere in another process
    train(short, out, clock := Clock())
    assert clock.started[stop[0]] == start
    for name in (BEST, LAST, TEACHER):
        assert read(out, name) == read(uninterrupted, name)


def test_a_finished_run_is_left_alone(short, uninterrupted):
    def stamps():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in uninterrupted.glob("*.*")}

    before, clock = stamps(), Clock()
    assert train(short, uninterrupted, clock) == uninterrupted / BEST
    assert stamps() == before
    assert clock.done == {}


@pytest.mark.parametrize("change", [{"learning_rate": 1e-5}, {"seed": 1}, {"widths": (4, 4)}])
def test_other_settings_are_refused(short, uninterrupted, silent, change):
    with pytest.raises(
        InputError, match=rf"settings or data \({next(iter(change))}\).*--overwrite"
    ):
        train(short.model_copy(update=change), uninterrupted, silent)


def test_other_data_is_refused(simulation, uneven, real, tmp_path, silent):
    store, folder = tmp_path / "a.zarr", tmp_path / "images"
    shutil.copytree(simulation, store)
    shutil.copytree(real.images, folder)
    settings = Training(store=store, adapt=folder, **SHORT | {"steps": 1, "adapt_steps": 1})
    train(settings, tmp_path / "run", silent)
    shutil.copy(folder / "0.tif", folder / "new.tif")
    with pytest.raises(InputError, match=r"other settings or data \(adapt\)"):
        train(settings, tmp_path / "run", silent)
    (folder / "new.tif").unlink()
    shutil.rmtree(store)
    shutil.copytree(uneven, store)
    with pytest.raises(InputError, match=r"other settings or data \(data\)"):
        train(settings, tmp_path / "run", silent)


def test_a_run_that_diverges_keeps_no_checkpoint(simulation, tmp_path, silent):
    settings = Training(store=simulation, **SHORT | {"learning_rate": 1e30})
    with pytest.raises(InputError, match=r"diverged at step \d+.*learning_rate"):
        train(settings, tmp_path / "a", silent)
    assert list((tmp_path / "a").glob("*.pt")) == []


def test_drawn_masks_are_a_source_like_any_other(real, tmp_path, silent):
    settings = Training(images=real.images, masks=real.masks, classes=("a", "b"), **SHORT)
    train(settings, tmp_path / "run", silent)
    best = read(tmp_path / "run", BEST)
    assert [source["labels"] for source in best["sources"]] == ["drawn"]
    assert best["classes"] == ["a", "b"]


def test_a_run_without_validation_keeps_its_last_state(simulation, tmp_path, silent):
    settings = Training(store=simulation, **SHORT | {"validation": 0, "patience": 1})
    train(settings, tmp_path / "a", silent)
    best, last = read(tmp_path / "a", BEST), read(tmp_path / "a", LAST)
    assert best["step"] == 8
    assert best["network"] == last["network"]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_phases_of_a_few_steps(steps, short, tmp_path):
    settings = short.model_copy(update={"steps": steps, "adapt_steps": steps})
    train(settings, tmp_path / "a", clock := Clock())
    assert clock.done == {"train": steps, "label": 4, "adapt": steps}


def test_starting_afresh(simulation, tmp_path, silent):
    settings = Training(store=simulation, **SHORT | {"steps": 1})
    out = tmp_path / "run"
    train(settings, out, silent)
    before = read(out, BEST)
    # A mistake in the new settings does not cost the earlier run.
    with pytest.raises(InputError, match="held out"):
        train(settings.model_copy(update={"validation": 6}), out, silent, overwrite=True)
    assert read(out, BEST) == before
    train(settings.model_copy(update={"seed": 1}), out, silent, overwrite=True)
    assert read(out, BEST)["config"]["seed"] == 1
    assert read(out, BEST)["network"] != before["network"]
