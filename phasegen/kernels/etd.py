"""Stages of the exponential integrators, in Fourier space.

A stage works on ``force``, the potential of its fields, from which it takes stabiliser * field in
place: this is the explicit part, which later stages read. Spectra are complex or, of cosine and
sine transforms, real.
"""

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, fastmath=True)
def etd_stage(
    start: Array,
    force: Array,
    fields: Array,
    stabiliser: Array,
    decay: Array,
    drive: Array,
    out: Array,
) -> None:
    """``out = decay * start + drive * (force - stabiliser * fields)``; `force` is changed."""
    for f in range(start.shape[0]):
        for k in range(start.shape[1]):
            force[f, k] -= stabiliser[f] * fields[f, k]
            out[f, k] = decay[f, k] * start[f, k] + drive[f, k] * force[f, k]


@njit(cache=True, fastmath=True)
def etdrk2_end(
    start: Array,
    predicted: Array,
    first: Array,
    force: Array,
    stabiliser: Array,
    correction: Array,
    weight: Array,
    out: Array,
) -> tuple[float, float]:
    """Second stage: ``out = predicted + correction * (explicit part - that of the first stage)``.

    Returns the sums over fields and modes of weight |out - predicted|^2 and of weight
    |out - start|^2: by Parseval's theorem the squared norms of the estimated error and of the
    change.
    """
    error = 0.0
    change = 0.0
    for f in range(start.shape[0]):
        for k in range(start.shape[1]):
            moved = force[f, k] - stabiliser[f] * predicted[f, k] - first[f, k]
            moved *= correction[f, k]
            error += weight[k] * (moved.real * moved.real + moved.imag * moved.imag)
            out[f, k] = predicted[f, k] + moved
            moved = out[f, k] - start[f, k]
            change += weight[k] * (moved.real * moved.real + moved.imag * moved.imag)
    return error, change


@njit(cache=True, fastmath=True)
def etdrk4_third(
    half: Array,
    first: Array,
    force: Array,
    fields: Array,
    stabiliser: Array,
    decay: Array,
    drive: Array,
    out: Array,
) -> None:
    """``out = decay * half + drive * (2 (force - stabiliser * fields) - first)``, `force` changed.

    `half` are the fields of the first estimate at half the step, `first` the explicit part at the
    start.
    """
    for f in range(half.shape[0]):
        for k in range(half.shape[1]):
            force[f, k] -= stabiliser[f] * fields[f, k]
            explicit = 2 * force[f, k] - first[f, k]
            out[f, k] = decay[f, k] * half[f, k] + drive[f, k] * explicit


@njit(cache=True, fastmath=True)
def etdrk4_end(
    start: Array,
    first: Array,
    second: Array,
    third: Array,
    force: Array,
    fields: Array,
    stabiliser: Array,
    decay: Array,
    outer: Array,
    inner: Array,
    last: Array,
    weight: Array,
    out: Array,
) -> tuple[float, float]:
    """``out = decay * start + outer * first + inner * (second + third) + last * fourth``.

    Returns the squared norms of inner * (second - third), the embedded estimate, and of the change.
    """
    error = 0.0
    change = 0.0
    for f in range(start.shape[0]):
        for k in range(start.shape[1]):
            between = inner[f, k] * (second[f, k] - third[f, k])
            error += weight[k] * (between.real * between.real + between.imag * between.imag)
            fourth = force[f, k] - stabiliser[f] * fields[f, k]
            total = decay[f, k] * start[f, k] + outer[f, k] * first[f, k]
            total += inner[f, k] * (second[f, k] + third[f, k]) + last[f, k] * fourth
            out[f, k] = total
            total -= start[f, k]
            change += weight[k] * (total.real * total.real + total.imag * total.imag)
    return error, change


@njit(cache=True, fastmath=True)
def squared_change(start: Array, after: Array, weight: Array) -> float:
    """Squared norm of after - start."""
    change = 0.0
    for f in range(start.shape[0]):
        for k in range(start.shape[1]):
            moved = after[f, k] - start[f, k]
            change += weight[k] * (moved.real * moved.real + moved.imag * moved.imag)
    return change


@njit(cache=True, fastmath=True)
def weighted_power(spectrum: Array, factor: Array, weight: Array) -> float:
    """Sum over fields and modes of factor weight |spectrum|^2."""
    total = 0.0
    for f in range(spectrum.shape[0]):
        for k in range(spectrum.shape[1]):
            value = spectrum[f, k]
            power = value.real * value.real + value.imag * value.imag
            total += weight[k] * factor[f, k] * power
    return total
