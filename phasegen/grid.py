"""Regular grids and the transforms that diagonalise the Laplacian on them."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import fft

from phasegen.equations import Array, require_positive
from phasegen.errors import InputError

Boundary = Literal["periodic", "no-flux", "zero"]


@dataclass(frozen=True)
class Grid:
    """A grid of cubic cells, the fields given at their centres.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis, (Y, X) or (Z, Y, X).
    dtype : str
        ``"float32"`` or ``"float64"``.
    spacing : float
        Side of a cell, in the length unit of the equation.
    boundary : str or tuple of str
        For all axes or for each: ``"periodic"`` (Fourier transform), ``"no-flux"`` (mirror on the
        faces of the box: cosine transform) or ``"zero"`` (the fields vanish on them: sine
        transform).

    Raises
    ------
    InputError
        If the spacing is not positive, there are no cells, or the precision or a boundary is none
        of these.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    spacing: float = 1.0
    boundary: Boundary | tuple[Boundary, ...] = "periodic"

    def __post_init__(self) -> None:
        require_positive("grid", {"spacing": self.spacing})
        if not self.shape or min(self.shape) < 1:
            problem = f"the shape {self.shape} holds no cells"
            raise InputError("grid", problem, "Give at least one cell per axis")
        if self.dtype not in ("float32", "float64"):
            problem = f"the precision {self.dtype!r} is unknown"
            raise InputError("grid", problem, "Give 'float32' or 'float64'")
        known = ("periodic", "no-flux", "zero")
        if len(self.boundaries) != len(self.shape) or not set(self.boundaries) <= set(known):
            remedy = f"Give one of {', '.join(known)}, for all axes or for each"
            raise InputError("grid", f"the boundary {self.boundary!r} is unknown", remedy)

    @cached_property
    def boundaries(self) -> tuple[Boundary, ...]:
        """The boundary of every axis."""
        each = self.boundary
        return each if isinstance(each, tuple) else (each,) * len(self.shape)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)

    @property
    def cell(self) -> float:
        """Area or volume of a cell."""
        return self.spacing ** len(self.shape)

    @cached_property
    def spectral_shape(self) -> tuple[int, ...]:
        """Modes per axis: a real field needs half of the last periodic axis."""
        shape = list(self.shape)
        if periodic := self._axes("periodic"):
            shape[periodic[-1] - 1] = shape[periodic[-1] - 1] // 2 + 1
        return tuple(shape)

    def _axes(self, boundary: str) -> tuple[int, ...]:
        """Array axes of that boundary; axis 0 are the fields."""
        return tuple(axis + 1 for axis, b in enumerate(self.boundaries) if b == boundary)

    def forward(self, u: Array) -> Array:
        """Spectrum (fields, modes) of real fields (fields, cells)."""
        spectrum = u.reshape(-1, *self.shape)
        if axes := self._axes("no-flux"):
            spectrum = fft.dctn(spectrum, axes=axes, norm="ortho")
        if axes := self._axes("zero"):
            spectrum = fft.dstn(spectrum, axes=axes, norm="ortho")
        if axes := self._axes("periodic"):
            # Two transforms, the second in place, take less memory and time than one `rfftn`.
            spectrum = fft.rfft(spectrum, axis=axes[-1])
            if axes[:-1]:
                spectrum = fft.fftn(spectrum, axes=axes[:-1], overwrite_x=True)
        return spectrum.reshape(u.shape[0], -1)

    def backward(self, spectrum: Array, overwrite: bool = False) -> Array:
        """Real fields (fields, cells) of a spectrum (fields, modes), used up if `overwrite`."""
        u = spectrum.reshape(-1, *self.spectral_shape)
        if axes := self._axes("periodic"):
            if axes[:-1]:
                u = fft.ifftn(u, axes=axes[:-1], overwrite_x=overwrite)
            u = fft.irfft(u, n=self.shape[axes[-1] - 1], axis=axes[-1])
        if axes := self._axes("zero"):
            u = fft.idstn(u, axes=axes, norm="ortho")
        if axes := self._axes("no-flux"):
            u = fft.idctn(u, axes=axes, norm="ortho")
        return u.reshape(spectrum.shape[0], -1)

    def derivative(self, spectrum: Array, axis: int) -> Array:
        """Derivative along a periodic or no-flux axis, in every cell, (fields, cells)."""
        if self.boundaries[axis] == "periodic":
            return self.backward(1j * self._odd_k(axis) * spectrum)
        # cos(kx) becomes -k sin(kx), and the sine transform has no mode 0.
        return self._sines(axis).backward(self._shift(-self._odd_k(axis) * spectrum, axis, -1))

    def divergence(self, flux: list[Array]) -> Array:
        """Spectrum of the divergence of a flux, its components (fields, cells) along each axis.

        No flux crosses a no-flux boundary.
        """
        total: Array = np.zeros(())
        for axis, component in enumerate(flux):
            if self.boundaries[axis] == "periodic":
                total = total + 1j * self._odd_k(axis) * self.forward(component)
            else:
                sines = self._shift(self._sines(axis).forward(component), axis, 1)
                total = total + self._odd_k(axis) * sines
        return total

    def _odd_k(self, axis: int) -> Array:
        """Wave numbers along an axis; 0 where k and -k are the same mode of a periodic axis."""
        k = self.k[axis]
        nyquist = np.pi / self.spacing * (1 - 1e-9)
        return np.where(np.abs(k) < nyquist, k, 0.0).astype(self.dtype)

    def _sines(self, axis: int) -> "Grid":
        """The grid of the derivative along a no-flux axis."""
        if self.boundaries[axis] == "zero":
            problem = "a derivative needs periodic or no-flux boundaries"
            raise InputError("grid", problem, "Choose one of these, or a constant mobility")
        each = list(self.boundaries)
        each[axis] = "zero"
        return replace(self, boundary=tuple(each))

    def _shift(self, spectrum: Array, axis: int, modes: int) -> Array:
        shaped = spectrum.reshape(-1, *self.spectral_shape)
        return np.roll(shaped, modes, axis=axis + 1).reshape(spectrum.shape)

    @cached_property
    def k(self) -> Array:
        """Wave vector of every mode, (axes, modes), float64."""
        return np.stack([axis.ravel() for axis in np.meshgrid(*self._wave_numbers, indexing="ij")])

    @cached_property
    def k2(self) -> Array:
        """Squared wave number of every mode, (modes,), float64."""
        total = np.zeros(())
        for axis in self._wave_numbers:
            total = total[..., None] + axis**2
        return total.ravel()

    @cached_property
    def _wave_numbers(self) -> list[Array]:
        numbers = []
        for cells, modes, boundary in zip(
            self.shape, self.spectral_shape, self.boundaries, strict=True
        ):
            if boundary == "periodic":
                turns = np.fft.fftfreq(cells) if modes == cells else np.fft.rfftfreq(cells)
            else:
                turns = (np.arange(cells) + (boundary == "zero")) / (2 * cells)
            numbers.append(2 * np.pi / self.spacing * turns)
        return numbers

    @cached_property
    def shells(self) -> tuple[Array, Array]:
        """Distinct squared wave numbers, and for every mode the index of its own.

        Isotropic coefficients depend on nothing else, and there are several times fewer shells
        than modes.
        """
        values, index = np.unique(self.k2, return_inverse=True)
        return values, index

    @cached_property
    def weight(self) -> Array:
        """Parseval weight of every mode, (modes,), so that sums over modes are means over cells."""
        weight = np.full(self.spectral_shape, 1.0 / math.prod(self.shape))
        if periodic := self._axes("periodic"):
            cells, modes = (s[periodic[-1] - 1] for s in (self.shape, self.spectral_shape))
            last = np.full(modes, 2.0)
            last[0] = 1.0
            if cells % 2 == 0:
                last[-1] = 1.0
            weight *= last.reshape(
                [-1 if a == periodic[-1] else 1 for a in range(1, weight.ndim + 1)]
            )
            weight /= math.prod(self.shape[axis - 1] for axis in periodic)
        return weight.ravel()
