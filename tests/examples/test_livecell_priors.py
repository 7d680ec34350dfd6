"""Priors on live cells: only the prior differs between runs of a seed, and the table says how."""

import csv
import sys

import numpy as np
import pytest
from scipy import stats

from examples import livecell_priors
from examples.livecell_priors import HEADER, NONE, PRIORS, configuration, interval, rows
from phasegen.errors import InputError
from segtrain.losses import LOSSES
from segtrain.predict import load_segmenter
from tests.segtrain.test_readers_livecell import annotation, data_set


@pytest.fixture
def data(tmp_path):
    cells = [annotation(image, (5, 5, 12), (25, 20, 10)) for image in (0, 1)]
    names = {0: "MCF7_Phase_A7_1.tif", 1: "BT474_Phase_A7_1.tif"}
    data_set(tmp_path / "cells", cells, names)
    data_set(tmp_path / "cells", cells[:1], {0: "A172_Phase_A7_1.tif"}, part="test")
    return tmp_path / "cells"


def test_every_prior_is_trained_and_scored_on_the_unseen_type(data, tmp_path, monkeypatch, capsys):
    options = "--shots 1,2 --seeds 0 --priors none,flux --steps 1 --batch 2 --widths 2,4 --patch 32"
    arguments = ["livecell_priors.py", str(data), str(tmp_path / "work"), *options.split()]
    monkeypatch.setattr(sys, "argv", arguments)
    livecell_priors.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:3] == list(HEADER[:3])
    assert [line.split()[:3] for line in printed[1:5]] == [
        [shots, prior, "1"] for shots in "12" for prior in ("none", "flux")
    ]
    with (tmp_path / "work" / "scores.csv").open(newline="") as file:
        scores = list(csv.DictReader(file))
    assert [(row["prior"], row["shots"]) for row in scores] == [
        ("none", "1"), ("flux", "1"), ("none", "2"), ("flux", "2")
    ]  # fmt: skip
    assert all(0 <= float(row["dice"]) <= 1 for row in scores)
    assert "A172" in (tmp_path / "work" / "report.html").read_text()
    (record,) = load_segmenter(tmp_path / "work" / "flux-2-0" / "best.pt").sources
    assert (record["samples"], record["labels"]) == (2, "drawn")
    before = (tmp_path / "work" / "flux-2-0" / "best.pt").stat().st_mtime_ns
    livecell_priors.main()
    assert (tmp_path / "work" / "flux-2-0" / "best.pt").stat().st_mtime_ns == before
    assert capsys.readouterr().out.splitlines() == printed
    for change in (["--steps", "2"], ["--widths", "4,8"], ["--weight", "0.5"]):
        monkeypatch.setattr(sys, "argv", [*arguments, *change])
        with pytest.raises(InputError, match="none-1-0"):
            livecell_priors.main()


def test_runs_of_a_seed_differ_in_the_prior_alone(tmp_path):
    known = [name for name in LOSSES if name.partition("+")[0] == "ce-dice"]
    assert len(PRIORS) == len(known)
    configs = [configuration(tmp_path, (prior, 4, 7), steps=9) for prior in PRIORS]
    assert sorted(config.criterion for config in configs) == sorted(known)
    first, *others = (config.model_copy(update={"loss": None}) for config in configs)
    assert all(other == first for other in others)
    assert (configs[0].shots, configs[0].seed, configs[0].validate_every) == (4, 7, 9)


def test_intervals_are_those_of_a_t_test():
    values = [0.5, 0.7, 0.6, 0.9]
    mean, half = interval(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert np.isnan(interval([0.5])[1])


def test_gains_are_paired_by_seed():
    """Seeds differ by far more than the prior does, which always gains 0.01."""
    scores = {}
    for seed, dice in enumerate((0.5, 0.7, 0.9)):
        scores[NONE, 2, seed] = dict.fromkeys(livecell_priors.METRICS, dice)
        scores["flux", 2, seed] = dict.fromkeys(livecell_priors.METRICS, dice + 0.01)
    none, flux = rows(scores)
    assert none[:3] + none[-1:] == ("2", "none", "3", "")
    assert none[3] == "0.700 ± 0.497"
    assert flux[-1] == "+0.010 ± 0.000"
