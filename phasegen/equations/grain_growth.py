r"""Grain growth: boundaries of a polycrystal that move by mean curvature, as a multi-phase-field.

Every grain :math:`\alpha` has an order parameter, its volume fraction
:math:`\phi_\alpha` in a cell, and :math:`\sum_\alpha \phi_\alpha = 1`. The double-obstacle energy

.. math::
    F = \int \sum_{\alpha < \beta} \frac{4\sigma}{\eta} \left(
        -\frac{\eta^2}{\pi^2} \nabla\phi_\alpha \cdot \nabla\phi_\beta
        + \phi_\alpha \phi_\beta \right), \qquad 0 \le \phi_\alpha \le 1

gives a boundary of the energy :math:`\sigma` and the finite width :math:`\eta`, with the profile
:math:`\phi = (1 - \sin(\pi x / \eta)) / 2` (Steinbach and Pezzolla, Physica D 134, 385 (1999);
Steinbach, Modelling Simul. Mater. Sci. Eng. 17, 073001 (2009)). For equal boundaries the sum over
the pairs is, by :math:`\sum \phi_\alpha = 1`,

.. math::
    F = \frac{4\sigma}{\eta} \int \left[ \frac{\eta^2}{2\pi^2} \sum_\alpha |\nabla\phi_\alpha|^2
        + \frac12 \Big(1 - \sum_\alpha \phi_\alpha^2\Big) \right]

and its gradient flow, in which a boundary moves at :math:`v = M \sigma \kappa` whatever its width,

.. math::
    \partial_t \phi_\alpha = M \sigma \left(
        \nabla^2 \phi_\alpha + \frac{\pi^2}{\eta^2} \phi_\alpha - \lambda \right)

with the multiplier :math:`\lambda` that keeps the sum at 1. Where N grains meet, :math:`\lambda` is
the mean of the first two terms over them, which makes this Steinbach's equation with his mobility
:math:`\mu`: :math:`\frac1N \sum_\beta M (I_\alpha - I_\beta)`. A time step is explicit, followed by
the projection onto the simplex :math:`\phi_\alpha \ge 0, \sum \phi_\alpha = 1`: no choice of N is
needed, and no grain appears where none was near.

Only :math:`M \sigma` sets the pace. With cells of the length h (m), M in m^4/(J s) and sigma in
J/m^2, a time t of the model with mobility = energy = 1 is :math:`t h^2 / (M \sigma)` seconds.

A grain is stored in a bounding box of its own and nowhere else (Vanherpe, Moelans, Blanpain and
Vandewalle, Phys. Rev. E 76, 056702 (2007)), and a step goes only along the boundaries in it. So the
cost follows their area and does not grow with the number of grains; nor is there a limit to the
grains that may meet in a cell.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phasegen.equations import Array
from phasegen.errors import InputError
from phasegen.kernels import grain_boxes as boxes
from phasegen.kernels import grain_growth as kernels
from phasegen.kernels.lanes import LANES
from phasegen.stepping import BlowUpError

WIDTH = 7.0
"""Width of a boundary, cells. The lattice holds it back by about 1.4 / width^2, 2.8 % for this one;
a wider one costs more."""

THINNEST = 5.0
"""Least width, cells: of a thinner boundary the few cells of the profile no longer move evenly."""

MARGIN = 2
"""Cells of a box beyond its grain: a grain gains at most one in a step, and the last stays free."""

SUM_ERROR = 5e-7
"""Error of the sum of the order parameters below which the projection ends, float32."""


@dataclass(frozen=True)
class Grains:
    """The order parameters of a polycrystal, each in its own box.

    Attributes
    ----------
    shape : tuple of int
        Cells of the grid, ([Z,] Y, X).
    periodic : bool
        Periodic, or without flux through the edges.
    names : ndarray (grains,)
        The number by which the start called each grain that is left.
    phi : ndarray
        The patches of all grains one behind the other, float32.
    start, origin, size : ndarray (grains,), (grains, 3), (grains, 3)
        Of the patches; see `phasegen.kernels.grain_growth`.
    """

    shape: tuple[int, ...]
    periodic: bool
    names: NDArray[np.int64]
    phi: Array
    start: Array
    origin: Array
    size: Array

    @property
    def grid(self) -> Array:
        """Cells per axis (Z, Y, X), Z = 1 in 2D."""
        return np.array((1,) * (3 - len(self.shape)) + self.shape)

    @property
    def table(self) -> tuple[Array, Array, Array, Array]:
        """What the kernels need to find the patches."""
        return self.start, self.origin, self.size, self.grid

    @cached_property
    def _gathered(self) -> tuple[Array, Array, Array]:
        cells = math.prod(self.shape)
        volume, squares = np.zeros(len(self.names)), np.zeros(cells, np.float32)
        largest, owner = np.zeros(cells, np.float32), np.zeros(cells, np.int64)
        boxes.gather(self.phi, *self.table, volume, largest, owner, squares)
        return volume, self.names[owner].reshape(self.shape), squares.reshape(self.shape)

    @property
    def volumes(self) -> NDArray[np.float64]:
        """Integral of every order parameter (grains,): area or volume of the grain, in cells."""
        return self._gathered[0]

    @property
    def labels(self) -> NDArray[np.int64]:
        """In every cell the name of the grain that has the largest part of it, ([Z,] Y, X)."""
        return self._gathered[1]

    @property
    def squares(self) -> NDArray[np.float32]:
        """Sum of the squares ([Z,] Y, X): 1 in a grain, 1/2 amid a boundary, 1/3 at a triple."""
        return self._gathered[2]

    def field(self, grain: int) -> NDArray[np.float32]:
        """Order parameter ([Z,] Y, X) of the grain at `grain` in `names`."""
        grid, size = self.grid, self.size[grain]
        frame = np.array([grid[0] > 1, 1, 1], int)
        padded = tuple(size + 2 * frame)
        patch = self.phi[self.start[grain] :][: math.prod(padded)].reshape(padded)
        inner = patch[tuple(slice(f, f + n) for f, n in zip(frame, size, strict=True))]
        whole = np.zeros(grid, np.float32)
        axes = [
            (o + np.arange(n)) % m for o, n, m in zip(self.origin[grain], size, grid, strict=True)
        ]
        whole[np.ix_(*axes)] = inner
        return whole.reshape(self.shape)

    def magnified(self, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Name of the largest grain in every pixel, and by how much it leads the second.

        The lead is 0 on the boundaries, 1 in the grains, and sin(pi x / width) at a distance x from
        the boundary of two.

        Parameters
        ----------
        shape : tuple of int
            Pixels ([Z,] Y, X) of the picture of the periodic grid, linear between the cells.
        """
        pixels = (1,) * (3 - len(shape)) + shape
        phi = self.phi.copy()
        kernels.fill_frames(phi, *self.table, self.periodic)
        largest, second = np.zeros((2, *pixels), np.float32)
        owner = np.zeros(pixels, np.int64)
        boxes.interpolate(phi, *self.table, np.array(pixels), largest, second, owner)
        return self.names[owner].reshape(shape), (largest - second).reshape(shape)


def grains_from_labels(labels: Array, periodic: bool = True) -> Grains:
    """Grains with sharp boundaries, which a few steps make diffuse.

    Parameters
    ----------
    labels : ndarray of int ([Z,] Y, X)
        The grain of every cell: any integers.
    """
    if labels.ndim not in (2, 3):
        raise InputError("grain growth", f"{labels.ndim} axes", "Give labels (Y, X) or (Z, Y, X)")
    names, dense = np.unique(labels, return_inverse=True)
    grid = (1,) * (3 - labels.ndim) + labels.shape
    dense = dense.reshape(grid)
    first, length = boxes.label_extents(dense, len(names), periodic)
    fitting = _boxes(first, length, np.array(grid), periodic)
    order = _neighbours_first(fitting[0])
    grains = _allocate(labels.shape, periodic, names[order], *(box[order] for box in fitting))
    boxes.paint(grains.phi, dense, order, *grains.table[:3])
    return grains


def grains_from_fields(fields: Array, periodic: bool = True) -> Grains:
    """Grains from order parameters (grains, [Z,] Y, X), named 0, 1, ...; their sum must be 1."""
    shape = fields.shape[1:]
    if len(shape) not in (2, 3) or not np.allclose(fields.sum(axis=0), 1, atol=1e-5):
        raise InputError("grain growth", "order parameters do not add up to 1", "Normalise them")
    grid = (1,) * (3 - len(shape)) + shape
    frame = ((0, 0), (int(grid[0] > 1),) * 2, (1, 1), (1, 1))
    padded = np.pad(fields.reshape(-1, *grid).astype(np.float32), frame)
    size = np.tile(np.array(grid), (len(fields), 1))
    whole = _allocate(shape, periodic, np.arange(len(fields)), np.zeros_like(size), size)
    return _fit(replace(whole, phi=padded.ravel()))


def largest_step(axes: int, mobility: float = 1.0, energy: float = 1.0) -> float:
    r"""Time step: 0.8 of the limit of the explicit scheme, :math:`1 / (2 d M \sigma)`."""
    return 0.8 / (2 * axes * mobility * energy)


def evolve(
    grains: Grains, time: float, mobility: float = 1.0, energy: float = 1.0, width: float = WIDTH
) -> Grains:
    r"""Grains after `time`.

    Parameters
    ----------
    grains : Grains
        Not changed.
    time : float
        Duration; `largest_step` divides it.
    mobility, energy : float
        :math:`M` and :math:`\sigma` of all boundaries; grid spacing 1.
    width : float
        :math:`\eta`, cells.

    Raises
    ------
    InputError
        If a parameter is not positive, or the boundary thinner than 5 cells.
    BlowUpError
        If a cell holds no grain or a value that is not finite; the step is named.
    """
    for name, value in {"time": time, "mobility": mobility, "energy": energy}.items():
        if not 0 < value < math.inf:
            raise InputError("grain growth", f"{name} = {value:g} is not positive", "Give another")
    if not width >= THINNEST:
        problem = f"a boundary of {width:.3g} cells is too thin for the grid"
        raise InputError("grain growth", problem, f"Make it {THINNEST:g} or wider")
    axes = len(grains.shape)
    steps = math.ceil(time / largest_step(axes, mobility, energy) - 1e-9)
    dt = time / steps
    tau, curvature = dt * mobility * energy, lattice_curvature(width)
    factors = [
        np.float32(x)
        for x in (1 + tau * (curvature - 2 * axes), tau, tau * curvature / 2, SUM_ERROR)
    ]
    phi, blocks = grains.phi.copy(), None
    for step in range(steps):
        kernels.fill_frames(phi, *grains.table, grains.periodic)
        if blocks is None:
            blocks = kernels.find_blocks(phi, *grains.table, grains.periodic)
            spare = phi.copy()
        sound, spread = kernels.step(phi, spare, *blocks, *factors)
        if not sound:
            at = f"step {step} (t = {step * dt:.6g}) with dt = {dt:.3g}"
            raise BlowUpError(f"a cell without a grain or not finite at {at}")
        phi, spare = spare, phi
        if spread:
            blocks = None
            if boxes.touch(phi, *grains.table, grains.periodic):
                grains = _fit(replace(grains, phi=phi))
                phi = grains.phi
    return _fit(replace(grains, phi=phi))


def lattice_curvature(width: float) -> float:
    r""":math:`\pi^2/\eta^2` on the lattice: :math:`2 (1 - \cos(\pi/\eta))`.

    With it the sine profile is at rest wherever it lies between the cells.
    """
    return 2 * (1 - math.cos(math.pi / width))


def energy_of(grains: Grains, energy: float = 1.0, width: float = WIDTH) -> float:
    """Energy F of all boundaries: sigma times their length or area."""
    phi, curvature = grains.phi.copy(), lattice_curvature(width)
    kernels.fill_frames(phi, *grains.table, grains.periodic)
    start, _, size, grid = grains.table
    coupled = boxes.coupling(phi, start, size, grid, curvature)
    # eta/pi^2 on the lattice: the prefactor that goes with its curvature.
    whole = coupled + math.prod(grains.shape) * curvature / 2
    return float(4 * energy / (width * curvature) * whole)


def _boxes(first: Array, length: Array, grid: Array, periodic: bool) -> tuple[Array, Array]:
    """Origin and size of boxes with `MARGIN` around the cells from `first` on."""
    # Along the rows the box goes on to the ends of blocks, which leaves more.
    margin = np.where(grid > 1, MARGIN, 0)
    low, high = first - margin, first + length + margin
    if periodic:
        around = low // grid * grid
        low, high = low - around, high - around
    else:
        low, high = np.maximum(low, 0), np.minimum(high, grid)
    row = grid[2]
    low[:, 2] = np.minimum(low[:, 2], row - LANES) // LANES * LANES
    beyond = np.where(high[:, 2] > row, row, 0)
    end = -((beyond - high[:, 2]) // LANES) * LANES
    high[:, 2] = beyond + np.where(end > row - LANES, row, end)
    whole = high - low >= grid
    return np.where(whole, 0, low), np.where(whole, grid, high - low)


def _neighbours_first(origin: Array) -> Array:
    """Order in which patches that overlap follow each other: the sums they share stay in cache."""
    return np.lexsort((origin[:, 2], origin[:, 1] // 32, origin[:, 0] // 16))


def _allocate(
    shape: tuple[int, ...], periodic: bool, names: Array, origin: Array, size: Array
) -> Grains:
    if shape[-1] < LANES:
        problem = f"a grid with rows of {shape[-1]} cells"
        raise InputError("grain growth", problem, f"Make them {LANES} or longer")
    padded = size + 2 * np.array([len(shape) == 3, 1, 1])
    end = np.cumsum(padded.prod(axis=1))
    start = np.concatenate([[0], end[:-1]])
    return Grains(shape, periodic, names, np.zeros(end[-1], np.float32), start, origin, size)


def _fit(grains: Grains) -> Grains:
    """The same grains in boxes that fit; those that have vanished are left out."""
    start, origin, size, grid = grains.table
    first, length = boxes.extents(grains.phi, start, size, grid, grains.periodic)
    alive = np.flatnonzero(length.min(axis=1) > 0)
    fitting = _boxes((origin + first)[alive], length[alive], grid, grains.periodic)
    order = _neighbours_first(fitting[0])
    kept = alive[order]
    fitted = _allocate(
        grains.shape, grains.periodic, grains.names[kept], *(box[order] for box in fitting)
    )
    old = (grains.phi, start[kept], origin[kept], size[kept])
    boxes.move(*old, fitted.phi, *fitted.table)
    return fitted
