"""The decoding that is chosen is the best there is, and prediction uses it."""

import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage

from phasegen import checkpoint
from phasegen.errors import InputError
from segtrain import tune as module
from segtrain.config import Training
from segtrain.data.instances import from_label_folders
from segtrain.data.source import Labelled, Source
from segtrain.decode import Decoding, decode
from segtrain.metrics import overlaps, panoptic_quality, pool
from segtrain.predict import load_segmenter, segment_image
from segtrain.sources import open_data
from segtrain.train import train
from segtrain.tune import Trial, held_out, tune, write_decoding
from tests.segtrain.cells import discs, field_model, folder

EPSILONS, HEIGHTS = (0.05, 0.3, 0.6), (0.05, 0.2)


@contextmanager
def quiet(*_):
    yield lambda *_: None


def settings(path, **changes):
    tiny = {"widths": (4, 8), "steps": 2, "batch": 2, "patch": 32, "validation": 2}
    return Training(data=(f"folder-instances:{path}",), target="poisson", **(tiny | changes))


@pytest.fixture
def trained(tmp_path):
    """The checkpoint of a run on a folder, both in `tmp_path`."""
    return train(settings(folder(tmp_path / "cells")), tmp_path / "run", quiet)


def test_every_pair_is_scored_as_by_hand_and_the_best_comes_first(tmp_path):
    source = from_label_folders(folder(tmp_path), 16)
    model = field_model(min_size=3, h=0.05)
    trials = tune(model, source, [0, 2], epsilons=EPSILONS, heights=HEIGHTS)
    expected = {}
    for epsilon in EPSILONS:
        for h in HEIGHTS:
            one = Decoding(epsilon, h, min_size=3)
            scores = []
            for index in (0, 2):
                sample = source.load(index)
                found = decode(0.4 * sample.image[0], epsilon=epsilon, h=h, min_size=3)
                scores.append(panoptic_quality(overlaps(found, sample.mask)))
            expected[one] = pool(scores)
    assert {trial.decoding: trial.score for trial in trials} == expected
    values = [trial.score.pq for trial in trials]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 2
    assert values[0] > 0.9


def test_of_equal_trials_the_present_one_wins_then_the_smallest_epsilon_and_h():
    labels, _ = discs((64, 64), 0)
    image = np.where(labels > 0, 2.0, -0.5).astype(np.float32)[None]
    sample = Labelled(image, labels.astype(np.int32), np.ones(labels.shape, np.float32))
    source = Source(("b", "i"), 1, lambda _: sample, {"path": "x"}, instances=True)
    model = field_model(epsilon=0.3, h=0.2)
    trials = tune(model, source, epsilons=(0.3, 0.1), heights=(0.2, 0.1))
    assert [trial.score.pq for trial in trials] == [1.0] * 4
    pairs = [(trial.decoding.epsilon, trial.decoding.h) for trial in trials]
    assert pairs == [(0.3, 0.2), (0.1, 0.1), (0.1, 0.2), (0.3, 0.1)]


@pytest.mark.parametrize("truth", [0, 1])
def test_what_finds_nothing_or_has_nothing_to_find_prefers_no_decoding(truth):
    """Without a true instance a decoding that drops everything would be perfect."""
    labels = np.zeros((64, 64), np.int32)
    labels[:8, :8] = truth
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 40:50, 40:50] = 1.0  # found below 0.4, where no truth is
    sample = Labelled(image, labels, np.ones(labels.shape, np.float32))
    source = Source(("b", "i"), 1, lambda _: sample, {"path": "x"}, instances=True)
    trials = tune(field_model(epsilon=0.2), source, epsilons=(0.1, 0.6), heights=(0.1,))
    assert trials[0].decoding == Decoding(0.2, 0.1)
    assert max(trial.score.pq for trial in trials) == 1 - truth


def test_finding_more_instances_is_worth_coarser_outlines():
    labels, _ = discs((64, 64), 0)
    bright, dim = (np.where(labels % 2 == one, labels, 0) > 0 for one in (1, 0))
    image = np.where(ndimage.binary_dilation(bright), 0.5, -0.5)
    image[bright], image[dim] = 2.0, 0.75  # fields 0.8 and 0.3, around the former 0.2
    sample = Labelled(
        image.astype(np.float32)[None], labels.astype(np.int32), np.ones(labels.shape, np.float32)
    )
    source = Source(("b", "i"), 1, lambda _: sample, {"path": "x"}, instances=True)
    model = field_model(epsilon=0.5)
    first, second = tune(model, source, epsilons=(0.1,), heights=(0.1,))
    assert (first.decoding.epsilon, first.score.rq, second.score.sq) == (0.1, 1, 1)
    assert first.score.sq < 1
    assert second.score.rq < 1


def test_pixels_without_weight_do_not_count():
    labels, _ = discs((64, 64), 0)
    weight = np.ones(labels.shape, np.float32)
    weight[:, 27:] = 0  # between two columns of discs
    shown = np.where(labels > 0, 2.0, -0.5).astype(np.float32)
    shown[:, 27:] = 2 * (np.arange(37) % 2)  # rubbish where nobody knows the truth
    sample = Labelled(shown[None], labels.astype(np.int32), weight)
    source = Source(("b", "i"), 1, lambda _: sample, {"path": "x"}, instances=True)
    (trial,) = tune(field_model(epsilon=0.1), source, epsilons=(0.1,), heights=(0.1,))
    assert trial.score.pq == 1


def test_what_cannot_be_tuned(tmp_path):
    source = from_label_folders(folder(tmp_path), 16)
    with pytest.raises(InputError, match="predicts classes"):
        tune(field_model(target="classes"), source)
    with pytest.raises(InputError, match="has no instances"):
        tune(field_model(), replace(source, instances=False))
    with pytest.raises(InputError, match="1 channels and 2 axes, the model 1 and 3"):
        tune(field_model(3), source)
    with pytest.raises(InputError, match="epsilon: 1"):
        tune(field_model(), source, epsilons=(1.0,))


def test_a_written_decoding_is_used_and_nothing_else_changes(trained):
    before = checkpoint.load(trained, "segtrain")
    write_decoding(trained, Decoding(0.02, 0.3, 4, 7))
    after = checkpoint.load(trained, "segtrain")
    assert after.pop("decoding") == {"epsilon": 0.02, "h": 0.3, "min_size": 4, "max_hole": 7}
    before.pop("decoding")  # what the training has chosen
    weights = before.pop("network"), after.pop("network")
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    assert before == after
    segmenter = load_segmenter(trained)
    assert segmenter.decoding == Decoding(0.02, 0.3, 4, 7)
    model = replace(field_model(), decoding=segmenter.decoding)
    image = np.zeros((1, 32, 32), np.float32)
    image[0, 4:6, 4:6] = 1.0  # 4 pixels
    assert segment_image(model, image).max() == 1
    assert segment_image(replace(model, decoding=Decoding()), image).max() == 0
    assert [one.name for one in trained.parent.glob(".*")] == []


def test_the_images_held_out_are_found_again(trained, tmp_path):
    source, indices = held_out(trained)
    data = open_data(settings(tmp_path / "cells"))
    assert indices == data.validation
    assert not set(indices) & set(data.training)
    assert [source.name(index) for index in indices] == [
        data.truth.name(index) for index in data.validation
    ]
    np.testing.assert_array_equal(source.load(indices[0]).mask, discs((64, 64), indices[0])[0])


def test_data_that_have_changed_are_not_what_was_held_out(trained, tmp_path):
    tifffile.imwrite(tmp_path / "cells/labels/3.tif", discs((64, 64), 9)[0])
    with pytest.raises(InputError, match=r"cells: has changed since the training"):
        held_out(trained)


def test_a_training_without_validation(tmp_path):
    best = train(settings(folder(tmp_path / "cells"), validation=0), tmp_path / "run", quiet)
    with pytest.raises(InputError, match="held no image out"):
        held_out(best)
    classes = settings(tmp_path / "cells").model_copy(update={"target": "classes"})
    best = train(classes, tmp_path / "classes", quiet)
    with pytest.raises(InputError, match="predicts classes"):
        held_out(best)


def test_the_command(trained, tmp_path, monkeypatch, capsys):
    from cli import common, segtrain

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            common.run(segtrain.app, ["tune-decode", "--checkpoint", str(trained), *args])
        return stop.value.code

    before = load_segmenter(trained).decoding
    given = ("--epsilon", "0.01", "--epsilon", "0.2", "--h", "0.05")
    assert call(*given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["epsilon", "h", "PQ", "SQ", "RQ"]
    kept = lines[-2].startswith("the checkpoint keeps its decoding: n")
    assert len(lines) == 5 + kept  # the present one is tried as well
    assert lines[-1] == str(trained)
    chosen = load_segmenter(trained).decoding
    assert kept == (chosen == before)
    assert re.match(rf"{chosen.epsilon:g} +{chosen.h:g} ", lines[1].lstrip())
    best = Trial(Decoding(0.123, 0.321), panoptic_quality(overlaps(*[np.ones((2, 2), int)] * 2)))
    monkeypatch.setattr("cli.tune_decode.tune", lambda *_, **__: [best])
    assert call("--data", f"folder-instances:{tmp_path / 'cells'},part=all") == 0
    assert load_segmenter(trained).decoding == best.decoding
    content = trained.read_bytes()
    assert call("--data", f"folder-instances:{tmp_path / 'cells'},part=all") == 0
    assert "keeps its decoding: no other is better" in capsys.readouterr().out
    assert trained.read_bytes() == content
    assert call("--epsilon", "0", "--data", "folder-instances:nowhere") == 2
    assert "epsilon: 0.0 is out of range" in capsys.readouterr().err
    assert call("--data", "folder-instances:nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_the_grid_holds_what_the_paper_uses():
    assert {0.05, 0.1} <= set(module.EPSILONS)
    assert (min(module.HEIGHTS), max(module.HEIGHTS)) == (0.05, 0.4)
