"""Stages of the exponential integrators, in Fourier space.

The explicit part of every stage, ``force``, is the spectrum of potential - stabiliser * field.
Spectra are complex or, of cosine and sine transforms, real.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

INVERSE_FACTORIALS = np.array([1 / math.factorial(n) for n in range(21)])


@njit(cache=True)
def evaluate_phi_functions(z: Array, out: Array) -> None:
    """Rows of `out` (4, values): e^z and phi_1, phi_2, phi_3 of every z; see `phi_functions`."""
    for i in range(z.size):
        x = z[i]
        if abs(x) < 1:
            phi3 = 0.0
            for n in range(20, 2, -1):
                phi3 = phi3 * x + INVERSE_FACTORIALS[n]
            phi2 = 0.5 + x * phi3
            phi1 = 1 + x * phi2
            exponential = 1 + x * phi1
        else:
            exponential = math.exp(x)
            phi1 = (exponential - 1) / x
            phi2 = (phi1 - 1) / x
            phi3 = (phi2 - 0.5) / x
        out[0, i], out[1, i], out[2, i], out[3, i] = exponential, phi1, phi2, phi3


@njit(cache=True, fastmath=True)
def subtract_scaled(out: Array, factor: Array, u: Array) -> None:
    """``out -= factor * u``, a factor for every field."""
    for f in range(u.shape[0]):
        for i in range(u.shape[1]):
            out[f, i] -= factor[f] * u[f, i]


@njit(cache=True, fastmath=True)
def etd_stage(
    start: Array,
    force: Array,
    decay: Array,
    drive: Array,
    out: Array,
) -> None:
    """``out = decay * start + drive * force``."""
    for f in range(start.shape[0]):
        for k in range(start.shape[1]):
            out[f, k] = decay[f, k] * start[f, k] + drive[f, k] * force[f, k]


@njit(cache=True, fastmath=True)
def etdrk2_end(
    start: Array,
    predicted: Array,
    first: Array,
    force: Array,
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
            moved = correction[f, k] * (force[f, k] - first[f, k])
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
    decay: Array,
    drive: Array,
    out: Array,
) -> None:
    """``out = decay * half + drive * (2 force - first)``.

    `half` are the fields of the first estimate at half the step, `first` the explicit part at the
    start.
    """
    for f in range(half.shape[0]):
        for k in range(half.shape[1]):
            explicit = 2 * force[f, k] - first[f, k]
            out[f, k] = decay[f, k] * half[f, k] + drive[f, k] * explicit


@njit(cache=True, fastmath=True)
def etdrk4_end(
    start: Array,
    first: Array,
    second: Array,
    third: Array,
    fourth: Array,
    decay: Array,
    outer: Array,
    inner: Array,
    last: Array,
    linear: Array,
    explicit: Array,
    weight: Array,
    out: Array,
) -> tuple[float, float, float]:
    """``out = decay * start + outer * first + inner * (second + third) + last * fourth``.

    Returns the squared norms of inner * (second - third), the embedded estimate, of the change,
    and of linear * start + explicit * first, what the rate at the start would have made.
    """
    error = 0.0
    change = 0.0
    nominal = 0.0
    for f in range(start.shape[0]):
        for k in range(start.shape[1]):
            between = inner[f, k] * (second[f, k] - third[f, k])
            error += weight[k] * (between.real * between.real + between.imag * between.imag)
            total = decay[f, k] * start[f, k] + outer[f, k] * first[f, k]
            total += inner[f, k] * (second[f, k] + third[f, k]) + last[f, k] * fourth[f, k]
            out[f, k] = total
            total -= start[f, k]
            change += weight[k] * (total.real * total.real + total.imag * total.imag)
            total = linear[f, k] * start[f, k] + explicit[f, k] * first[f, k]
            nominal += weight[k] * (total.real * total.real + total.imag * total.imag)
    return error, change, nominal


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
