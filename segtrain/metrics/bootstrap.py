"""From one row of metrics per image to a mean with its uncertainty, and to a paired comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean of a metric over images and its 95 % bootstrap interval.

    `low` and `high` are NaN for fewer than two images, `mean` is NaN for none; `images` counts the
    images in which the metric is defined.
    """

    mean: float
    low: float
    high: float
    images: int

    def __str__(self) -> str:
        if isnan(self.low):
            return "–" if isnan(self.mean) else f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def summarise(rows: Mapping[str, Mapping[str, float]], *, seed: int = 0) -> dict[str, Summary]:
    """Mean and 95 % interval of every metric over the images of a data set.

    The interval is the percentile bootstrap (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 13) with images as the resampled unit, for the pixels of one image
    are not independent. It says how far the mean would move with other images of the same kind.

    Parameters
    ----------
    rows : mapping of image name to mapping of metric name to value
        As from `evaluate`. A metric that is NaN or missing for an image leaves that image out.
    seed : int
        Seed of the resampling; equal seeds give equal intervals, in whatever order images come.

    Returns
    -------
    dict of metric name to Summary
        In the order in which the metrics first appear.
    """
    return {metric: _summary(_column(rows, metric), seed) for metric in _metrics(rows)}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval of Student's t; NaN for a single value.

    For repetitions such as seeds, which are too few for a bootstrap.
    """
    if len(values) < 2:
        return float(np.mean(values)), nan
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values)
    return float(np.mean(values)), float(half)


@dataclass(frozen=True)
class Comparison:
    """Difference of two models in a metric, over images that both have been scored on.

    Attributes
    ----------
    difference : Summary
        Mean over the images of the second model's value less the first one's, with its interval.
    p : float
        Two-sided p-value of Wilcoxon's signed-rank test: how often ranked differences lean so far
        to one side if either sign is as likely. 1 if there is no difference at all, NaN without
        images. With five images or fewer it cannot fall below 0.05.
    """

    difference: Summary
    p: float

    def __str__(self) -> str:
        return f"{self.difference}, p = {self.p:.2g}"


def compare(
    first: Mapping[str, Mapping[str, float]],
    second: Mapping[str, Mapping[str, float]],
    *,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Compare two models image by image.

    Images differ far more than models do, so that intervals of two means overlap long after every
    single image has told the models apart: what is tested and resampled is the difference.

    Parameters
    ----------
    first, second : mapping of image name to mapping of metric name to value
        As from `evaluate`, of the same images. A metric that is NaN or missing for an image in
        either leaves that image out.
    seed : int
        Seed of the resampling, as for `summarise`.

    Returns
    -------
    dict of metric name to Comparison
        The metrics of both, in the order of `first`. Many metrics are many tests: name the one that
        decides before looking.

    Raises
    ------
    ValueError
        If the two have no image in common.
    """
    images = [name for name in first if name in second]
    if not images:
        raise ValueError(f"no image is in both: {list(first)[:3]}... and {list(second)[:3]}...")
    one, two = ({name: rows[name] for name in images} for rows in (first, second))
    both = [metric for metric in _metrics(one) if metric in _metrics(two)]
    return {metric: _compare(_column(two, metric) - _column(one, metric), seed) for metric in both}


def _compare(differences: NDArray[np.float64], seed: int) -> Comparison:
    valid = differences[~np.isnan(differences)]
    if not valid.size:
        p = nan
    elif not valid.any():
        p = 1.0
    else:
        p = float(stats.wilcoxon(valid).pvalue)
    return Comparison(_summary(differences, seed), p)


def _metrics(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(metric for row in rows.values() for metric in row))


def _column(rows: Mapping[str, Mapping[str, float]], metric: str) -> NDArray[np.float64]:
    return np.array([row.get(metric, nan) for row in rows.values()])


def _summary(values: NDArray[np.float64], seed: int) -> Summary:
    # Sorted, because the resampling draws positions, not images.
    values = np.sort(values[~np.isnan(values)])
    if values.size < 2:
        return Summary(float(values[0]) if values.size else nan, nan, nan, values.size)
    draws = np.random.default_rng(seed).integers(values.size, size=(RESAMPLES, values.size))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail])
    return Summary(float(values.mean()), float(low), float(high), values.size)
