"""Two-sample test by a classifier: can patches of one sample be told from those of another?"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclegan.gap.distances import permuted

Array = NDArray[Any]

PERMUTATIONS = 99
"""Random exchanges of the labels of the images, for what chance reaches."""

FOLDS = 5
"""Parts of the images that are left out in turn."""

RIDGE = 0.1
"""Weight of the penalty beside features of unit variance."""

COMPONENTS = 64
"""Most principal components that the classifier sees."""


class Separation(NamedTuple):
    """Two-sample classifier test.

    Attributes
    ----------
    accuracy, error : float
        Mean of the shares of both sides' patches that are told rightly, of images that the
        classifier has not seen, and its standard error over images.
    chance : tuple of float
        The middle 95 % of what it reaches when the labels of the images are exchanged.
    p : float
        Share of these exchanges that reach as much.
    """

    accuracy: float
    error: float
    chance: tuple[float, float]
    p: float


def classifier_test(x: Array, y: Array, seed: int = 0) -> Separation:
    """How well a linear classifier tells patches x (images, patches, F) from y.

    The classifier is Fisher's discriminant with a ridge penalty and its threshold midway between
    the means of the two sides, so that unequal numbers of images do not matter. All patches of an
    image are in the same part of the cross-validation.

    References
    ----------
    Lopez-Paz and Oquab, ICLR 2017, section 3: the classifier two-sample test.
    """
    values = np.concatenate([x, y])
    values = values - values.mean(axis=(0, 1))
    if values.shape[2] > COMPONENTS:
        flat = values.reshape(-1, values.shape[2])
        _, vectors = np.linalg.eigh(flat.T @ flat)
        values = values @ vectors[:, -COMPONENTS:]
    rng = np.random.default_rng(seed)

    def right(side: Array) -> Array:
        """Share of each image's patches that are told rightly."""
        parts = np.empty(len(side), int)
        for one in (True, False):
            # Each part has its share of both sides.
            count = int((side == one).sum())
            parts[side == one] = rng.permutation(np.arange(count) % min(FOLDS, count))
        found = np.empty(len(side))
        for part in range(parts.max() + 1):
            test = parts == part
            found[test] = _told(values[~test], side[~test], values[test], side[test])
        return found

    def accuracy(side: Array) -> float:
        share = right(side)
        return float((share[side].mean() + share[~side].mean()) / 2)

    truth = np.arange(len(values)) < len(x)
    share = right(truth)
    reached = [share[truth], share[~truth]]
    error = np.sqrt(sum(float(np.var(one, ddof=1)) / len(one) for one in reached)) / 2
    mean = float(np.mean([one.mean() for one in reached]))
    # The real labels take part with the accuracy that is reported.
    null = permuted(accuracy, len(x), len(y), seed, PERMUTATIONS)
    p = (1 + (null >= mean - 1e-12).sum()) / (1 + len(null))
    low, high = np.quantile(null, (0.025, 0.975))
    return Separation(mean, float(error), (float(low), float(high)), float(p))


def _told(train: Array, side: Array, test: Array, truth: Array) -> Array:
    """Share of the patches (images, patches, F) of each test image that are told rightly."""
    features = train.shape[2]
    ours, theirs = train[side].reshape(-1, features), train[~side].reshape(-1, features)
    means = ours.mean(axis=0), theirs.mean(axis=0)
    within = (np.cov(ours.T, bias=True) + np.cov(theirs.T, bias=True)).reshape(features, features)
    penalty = RIDGE * max(float(np.trace(within)) / features, 1e-12) * np.eye(features)
    direction = np.linalg.solve(within / 2 + penalty, means[0] - means[1])
    score = (test - (means[0] + means[1]) / 2) @ direction
    return np.asarray(np.mean((score > 0) == truth[:, None], axis=1))
