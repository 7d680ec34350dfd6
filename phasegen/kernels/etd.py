"""Stages of the exponential integrators."""

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, fastmath=True)
def etd_predict(spectrum: Array, potential: Array, decay: Array, drive: Array, out: Array) -> None:
    """First stage: out = decay * spectrum + drive * potential."""
    for f in range(spectrum.shape[0]):
        for k in range(spectrum.shape[1]):
            out[f, k] = decay[f, k] * spectrum[f, k] + drive[f, k] * potential[f, k]


@njit(cache=True, fastmath=True)
def etd_correct(
    predicted: Array,
    spectrum: Array,
    before: Array,
    after: Array,
    correction: Array,
    stabiliser: Array,
    weight: Array,
    out: Array,
) -> tuple[float, float]:
    """Second stage: out = predicted + correction * change of the explicit terms between the stages.

    The explicit terms are the potential less stabiliser * field. Returns the sums over fields and
    modes of weight |out - predicted|^2 and of weight |out - spectrum|^2: by Parseval's theorem the
    squared norms of the difference between the two stages and of the whole step.
    """
    between = 0.0
    whole = 0.0
    for f in range(predicted.shape[0]):
        for k in range(predicted.shape[1]):
            moved = stabiliser[f] * (predicted[f, k] - spectrum[f, k])
            change = correction[f, k] * (after[f, k] - before[f, k] - moved)
            between += weight[k] * (change.real * change.real + change.imag * change.imag)
            out[f, k] = predicted[f, k] + change
            change = out[f, k] - spectrum[f, k]
            whole += weight[k] * (change.real * change.real + change.imag * change.imag)
    return between, whole
