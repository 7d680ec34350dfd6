r"""Convolution kernels with prescribed moments: differential operators by construction.

A kernel q of n points along each of d axes, centred at 0, acts on a smooth field as

.. math::

    \sum_k q_k u(x + k) \approx \sum_\alpha m_\alpha \partial^\alpha u(x), \quad
    m_\alpha = \sum_k q_k \prod_i \frac{k_i^{\alpha_i}}{\alpha_i!}, \quad \alpha_i < n

(Long, Lu, Ma and Dong, "PDE-Net", ICML 2018, section 2.2: the moment matrix). There are as many
moments as entries, and they determine the kernel. So it is moments that are learned here, not
entries: those of order 0, 1 and 2 are the coefficients of the operator, at every step of training,
and the others are free.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

ANGLES = 4097
"""Wave numbers in [0, π] at which the symbols of one axis are compared."""


class Basis(NamedTuple):
    """Kernels with one moment of 1 and all others 0, flattened: each of shape (count, size**axes).

    `second` has the order of `torch.tril_indices`, and twice the moment for i != k, so that it
    takes a symmetric matrix A to the kernel of ``Σ A_ik ∂_i ∂_k``. `even` and `odd` are the free
    ones, by their order. With P the Fourier symbol of the kernel for -Δ, that of an `even` one
    is at most `even_bound` times P in size, that of one of `first` and `odd` together at most
    `odd_bound` times the root of P.
    """

    first: Tensor
    second: Tensor
    even: Tensor
    odd: Tensor
    even_bound: Tensor
    odd_bound: Tensor


def moments(kernel: Tensor) -> dict[tuple[int, ...], Tensor]:
    """Moments of every channel's kernel.

    Parameters
    ----------
    kernel : Tensor, shape (C, n, n) or (C, n, n, n)

    Returns
    -------
    dict
        Tensors (C,) in float64 by the exponents α = ([α_z,] α_y, α_x).
    """
    size, axes = kernel.shape[-1], kernel.ndim - 1
    powers, result = torch.linalg.inv(_dual(size)), kernel.double()
    for _ in range(axes):  # the axis contracted goes to the end, so each has its turn
        result = torch.tensordot(result, powers, dims=([1], [0]))
    flat = result.flatten(1).unbind(dim=1)
    return dict(zip(product(range(size), repeat=axes), flat, strict=True))


@cache
def basis(axes: int, size: int) -> Basis:
    """The kernels of `size` 3 or 5 along each of 2 or 3 axes, in float64."""
    dual = _dual(size)
    symbols = _symbols(dual)

    def bound(alpha: tuple[int, ...]) -> float:
        """Largest |symbol| / P for an even order, / √P for an odd one."""
        parity = sum(alpha) % 2
        scale = (-symbols[2, 1:]).pow(0.5 if parity else 1.0)
        largest = [float(symbols[exponent].abs().max()) for exponent in alpha]
        found = []
        for axis, exponent in enumerate(alpha):
            # The factor that vanishes as P or √P of its axis does; the others are bounded.
            if exponent % 2 if parity else exponent >= 2:
                others = torch.tensor(largest[:axis] + largest[axis + 1 :]).prod()
                found.append(float((symbols[exponent, 1:].abs() / scale).max() * others))
        return min(found)

    orders = sorted(product(range(size), repeat=axes), key=sum)
    unit = torch.eye(axes, dtype=torch.int64)
    first = [tuple(row) for row in unit.tolist()]
    pairs = [tuple((unit[i] + unit[k]).tolist()) for i in range(axes) for k in range(i + 1)]
    twice = torch.tensor([1.0 if 2 in pair else 2.0 for pair in pairs], dtype=torch.float64)
    even = [alpha for alpha in orders if sum(alpha) > 2 and sum(alpha) % 2 == 0]
    odd = [alpha for alpha in orders if sum(alpha) > 2 and sum(alpha) % 2]
    return Basis(
        _kernels(dual, first),
        _kernels(dual, pairs) * twice[:, None],
        _kernels(dual, even),
        _kernels(dual, odd),
        torch.tensor([bound(alpha) for alpha in even], dtype=torch.float64),
        torch.tensor([bound(alpha) for alpha in first + odd], dtype=torch.float64),
    )


def within(free: Tensor, bounds: Tensor, budget: Tensor) -> Tensor:
    """Values whose sizes times their `bounds` add up to less than `budget`, whatever `free` is.

    Parameters
    ----------
    free : Tensor, shape (C, n)
        Any numbers; where they are small, they come back times the budget.
    bounds : Tensor, shape (n,)
        Positive.
    budget : Tensor, shape (C, 1)
        Positive.
    """
    return budget * free / (1 + (bounds * free.abs()).sum(dim=1, keepdim=True))


def _dual(size: int) -> Tensor:
    """One-dimensional kernels (size, size): row m has the moment m of 1 and all others 0."""
    powers = torch.arange(size, dtype=torch.float64)
    points = powers - size // 2
    inverse: Tensor = torch.linalg.inv(points[:, None] ** powers / (powers + 1).lgamma().exp())
    return inverse


def _kernels(dual: Tensor, exponents: list[tuple[int, ...]]) -> Tensor:
    """Products of one-dimensional kernels, flattened: (len(exponents), size**axes)."""
    rows = []
    for alpha in exponents:
        row = torch.ones(1, dtype=dual.dtype)
        for exponent in alpha:
            row = torch.kron(row, dual[exponent])
        rows.append(row)
    return torch.stack(rows)


def _symbols(dual: Tensor) -> Tensor:
    """Fourier symbols (size, ANGLES) of the rows: real for even rows, over i for odd ones."""
    angles = torch.linspace(0, torch.pi, ANGLES, dtype=dual.dtype)
    waves = (torch.arange(len(dual)) - len(dual) // 2)[:, None] * angles
    even = torch.arange(len(dual))[:, None] % 2 == 0
    return torch.where(even, dual @ waves.cos(), dual @ waves.sin())
