"""From one row of metrics per image to a mean with its uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

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
    metrics = dict.fromkeys(metric for row in rows.values() for metric in row)
    return {
        metric: _summary(np.array([row.get(metric, nan) for row in rows.values()]), seed)
        for metric in metrics
    }


def _summary(values: NDArray[np.float64], seed: int) -> Summary:
    # Sorted, because the resampling draws positions, not images.
    values = np.sort(values[~np.isnan(values)])
    if values.size < 2:
        return Summary(float(values[0]) if values.size else nan, nan, nan, values.size)
    draws = np.random.default_rng(seed).integers(values.size, size=(RESAMPLES, values.size))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail])
    return Summary(float(values.mean()), float(low), float(high), values.size)
