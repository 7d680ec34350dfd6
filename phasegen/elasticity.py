r"""Coherent elastic misfit of two cubic phases with periodic boundaries, in Fourier space.

Where the lattices of matrix and particle stay in registry, the strain that would make each phase
free of stress, :math:`\epsilon^0 x(r)` with the phase fraction :math:`x` (Vegard's law), costs
elastic energy. With homogeneous elastic constants mechanical equilibrium is solved mode by mode
and leaves the energy :math:`\tfrac12 \sum_{k \ne 0} B(n)\,|x_k|^2`, :math:`n = k/|k|`, in which
only the direction of a wave counts. It is quadratic in :math:`x`, so an integrator takes it
exactly, as a part of the linear symbol. The mean strain relaxes (no mean stress but the applied
one), so k = 0 costs nothing.

References
----------
Khachaturyan, Theory of Structural Transformations in Solids (Wiley 1983), chapter 8. Applied
stress, to first order in the difference of the elastic constants: Li and Chen, Acta Mater. 47, 247
(1999); Hu and Chen, Acta Mater. 49, 1879 (2001).
"""

import math
from dataclasses import dataclass

import numpy as np

from phasegen.equations import Array
from phasegen.errors import InputError


@dataclass(frozen=True)
class Cubic:
    """Elastic constants of a cubic crystal, any unit of stress.

    Parameters
    ----------
    c11, c12, c44 : float
        In Voigt notation, along the cube axes.

    Raises
    ------
    InputError
        If the crystal is not stable: Born's criteria, Born and Huang, Dynamical Theory of Crystal
        Lattices (1954), section 11.
    """

    c11: float
    c12: float
    c44: float

    def __post_init__(self) -> None:
        criteria = {
            "C44": self.c44,
            "C11 - C12": self.c11 - self.c12,
            "C11 + 2 C12": self.c11 + 2 * self.c12,
        }
        for name, value in criteria.items():
            if not 0 < value < math.inf:
                kind = "finite" if value > 0 else "positive"
                raise InputError(
                    f"elastic constants ({self.c11:g}, {self.c12:g}, {self.c44:g})",
                    f"the crystal is not stable: {name} = {value:g} is not {kind}",
                    "Give C11, C12 and C44 in this order, and in the same unit",
                )

    @property
    def voigt(self) -> Array:
        """Normal stresses per normal strains along the cube axes, (3, 3)."""
        return self.c12 + (self.c11 - self.c12) * np.eye(3)


@dataclass(frozen=True)
class Misfit:
    r"""Misfit of coherent cubic particles in a cubic matrix under a stress along the cube axes.

    Only the mean of the two phases' elastic constants, C, enters at no load. Under a load the
    stiffer phase strains less, which to first order in the difference :math:`\Delta C` acts like a
    further misfit: :math:`\epsilon^* = \delta I - S\,\Delta C\,S\,\sigma`, :math:`S = C^{-1}`.
    Being tetragonal, it makes particles merge into plates (rafts). Their normals lie along a
    uniaxial stress (N-type) where stress x misfit x :math:`\Delta(C_{11} - C_{12})` is negative,
    and across it (P-type) where it is positive.

    Parameters
    ----------
    strain : float
        :math:`\delta = (a_p - a_m)/a_m`, relative difference of the lattice parameters.
    matrix, precipitate : Cubic
        Elastic constants of the two phases.
    stress : tuple of float
        Applied stress along the cube axes nearest to the axes z, y, x of the image, in the unit of
        the elastic constants; tension is positive.
    angle : float
        Angle from the x axis of the image to a cube axis, degrees, anticlockwise on the screen
        (y points down). The z axis is a cube axis.
    scale : float
        Energy density in the units of the simulation per unit of the elastic constants, at least 0.

    Raises
    ------
    InputError
        If a number is not finite, the scale negative, or the stress not one number for each axis.
    """

    strain: float
    matrix: Cubic
    precipitate: Cubic
    stress: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angle: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if len(self.stress) != 3:
            problem = f"stress = {self.stress} has {len(self.stress)} components"
            raise InputError("misfit", problem, "Give three, along the cube axes z, y, x")
        values = {"strain": self.strain, "angle": self.angle, "scale": self.scale}
        values |= {f"stress along {axis}": s for axis, s in zip("zyx", self.stress, strict=True)}
        for name, value in values.items():
            if not math.isfinite(value):
                raise InputError("misfit", f"{name} = {value:g} is not finite", "Give a number")
        if self.scale < 0:
            problem = f"scale = {self.scale:g} is negative"
            raise InputError("misfit", problem, "Give a positive number, or 0 for no misfit energy")

    @property
    def constants(self) -> Cubic:
        """Mean elastic constants of the two phases."""
        m, p = self.matrix, self.precipitate
        return Cubic((m.c11 + p.c11) / 2, (m.c12 + p.c12) / 2, (m.c44 + p.c44) / 2)

    @property
    def eigenstrain(self) -> Array:
        """Effective misfit strain along the cube axes z, y, x, (3,)."""
        compliance = np.linalg.inv(self.constants.voigt)
        difference = self.precipitate.voigt - self.matrix.voigt
        strain: Array = self.strain - compliance @ difference @ compliance @ np.array(self.stress)
        return strain

    def kernel(self, k: Array) -> Array:
        """Elastic energy B of the modes per squared amplitude of the phase fraction.

        Parameters
        ----------
        k : ndarray (axes, modes)
            Wave vectors, the axes as in the image: (y, x), for plane strain in a section along
            (001), or (z, y, x).

        Returns
        -------
        ndarray (modes,)
            Never negative; zero for k = 0.
        """
        turn = np.deg2rad(self.angle)
        y, x = k[-2:]
        z = k[0] if len(k) == 3 else np.zeros_like(x)
        along = np.cos(turn) * x - np.sin(turn) * y
        across = np.cos(turn) * y + np.sin(turn) * x
        normal = np.stack([z, across, along])
        length = np.sqrt((normal**2).sum(axis=0))
        normal /= np.where(length > 0, length, 1)
        energy: Array = self.scale * direction_energy(self.constants, self.eigenstrain, normal)
        return np.where(length > 0, energy, 0)


def direction_energy(constants: Cubic, eigenstrain: Array, normal: Array) -> Array:
    r"""Khachaturyan's :math:`B(n) = \sigma^0 : \epsilon^0 - n\sigma^0\,\Omega(n)\,\sigma^0 n`.

    Here :math:`\sigma^0 = C \epsilon^0` and :math:`\Omega^{-1}_{ik} = C_{ijkl} n_j n_l`.

    Parameters
    ----------
    constants : Cubic
    eigenstrain : ndarray (3,)
        Stress-free strain along the cube axes; no shear.
    normal : ndarray (3, directions)
        Unit vectors, components along the cube axes.

    Returns
    -------
    ndarray (directions,)
        Twice the elastic energy density of a thin plate of this normal, in the unit of the
        constants.
    """
    stress = constants.voigt @ eigenstrain
    n = normal.T
    excess = constants.c11 - constants.c12 - 2 * constants.c44
    acoustic = (constants.c12 + constants.c44) * n[:, :, None] * n[:, None, :]
    acoustic += (constants.c44 + excess * n**2)[:, :, None] * np.eye(3)
    # A direction of zero length (k = 0) carries no force; any regular matrix serves.
    force = stress * n
    displacement = np.linalg.solve(acoustic, force[:, :, None])[:, :, 0]
    energy: Array = stress @ eigenstrain - (force * displacement).sum(axis=1)
    return energy
