r"""Solidification of an undercooled pure melt: the thin-interface phase-field model.

.. math::
    \tau_0 a^2 \partial_t \phi = [\phi - \lambda u (1 - \phi^2)](1 - \phi^2)
        + \nabla \cdot \frac{\partial}{\partial \nabla\phi} \frac{W_0^2 a^2 |\nabla\phi|^2}{2},
    \qquad
    \partial_t u = D \nabla^2 u + \tfrac12 \partial_t \phi

with :math:`\phi = 1` in the solid and -1 in the melt, the temperature :math:`u = (T - T_m) c_p/L`
and the cubic anisotropy :math:`a = 1 - 3\epsilon + 4\epsilon \sum_i n_i^4`, which in the plane is
:math:`1 + \epsilon \cos 4(\theta - \theta_0)`. Lengths are in :math:`W_0`, times in
:math:`\tau_0`. The coupling :math:`\lambda = D \tau_0 / 0.6267 W_0^2` makes the kinetics of the
interface vanish, so that :math:`u = -d_0 \kappa` there with :math:`d_0 = 0.8839 W_0/\lambda`. The
same equations describe an alloy whose solute diffuses alike in both phases at one temperature: u is
then the dimensionless supersaturation, counted negative.

The equation of the order parameter is not variational for anisotropic kinetics; the enthalpy
:math:`\int u - \phi/2` is conserved.

References
----------
Karma and Rappel, Phys. Rev. E 57, 4323 (1998); PFHub benchmark 3: Jokisaari et al., Comput. Mater.
Sci. 149, 336 (2018).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.equations import THINNEST
from phasegen.errors import InputError
from phasegen.kernels.solidification import advance
from phasegen.nucleation import stamp_nuclei
from phasegen.stepping import BlowUpError

Array = NDArray[Any]

SAFETY = 0.8
"""Time step as a fraction of the largest stable one."""


@dataclass(frozen=True)
class Solidification:
    r"""Parameters of the model and of its grid.

    Parameters
    ----------
    diffusivity : float
        D, in :math:`W_0^2/\tau_0`.
    anisotropy : float
        :math:`\epsilon`, the anisotropy of the interface energy: below 1/15, where orientations
        begin to be missing.
    spacing : float
        Grid spacing, in :math:`W_0`.
    noise : float
        Standard deviation of a white noise on the order parameter in the interface, per square
        root of time and of volume; it makes side branches.
    periodic : bool
        Periodic boundaries, or no flux through them (a symmetric quarter of a crystal).

    Raises
    ------
    InputError
        If a parameter is out of its range, or the interface thinner than 3 cells.
    """

    diffusivity: float = 2.0
    anisotropy: float = 0.05
    spacing: float = 0.8
    noise: float = 0.0
    periodic: bool = True

    def __post_init__(self) -> None:
        for name in ("diffusivity", "spacing"):
            if not getattr(self, name) > 0:
                problem = f"{name} = {getattr(self, name):g} is not positive"
                raise InputError("solidification", problem, "Give a positive one")
        if not 0 <= self.anisotropy < 1 / 15:
            problem = f"anisotropy = {self.anisotropy:g} leaves orientations out"
            raise InputError("solidification", problem, "Choose one from 0 to below 1/15")
        if not self.noise >= 0:
            problem = f"noise = {self.noise:g} is negative"
            raise InputError("solidification", problem, "Give 0 or more")
        width = 2 * math.sqrt(2) * math.atanh(0.8)
        if width < THINNEST * self.spacing:
            raise InputError(
                "solidification",
                f"an interface of {width / self.spacing:.3g} cells (10-90 %) is too thin",
                f"Choose a spacing up to {width / THINNEST:.3g}",
            )

    @property
    def coupling(self) -> float:
        r""":math:`\lambda` at which the kinetics of the interface vanish."""
        return self.diffusivity / 0.6267

    @property
    def capillary_length(self) -> float:
        """:math:`d_0` in :math:`W_0`."""
        return 0.8839 / self.coupling

    def largest_step(self, dimensions: int) -> float:
        """Largest stable time step of the explicit scheme."""
        stiffest = 1 + 16 * self.anisotropy / (1 - self.anisotropy)
        return self.spacing**2 / (2 * dimensions * max(self.diffusivity, stiffest))


@dataclass(frozen=True)
class Melt:
    """A melt with the crystals in it.

    Attributes
    ----------
    phase, temperature : ndarray ([Z,] Y, X)
        The order parameter, -1 in the melt and 1 in the solid, and u.
    grain : ndarray ([Z,] Y, X), int32
        Index of the crystal that a cell belongs to, or, in the melt, would join.
    orientation : ndarray (grains, 2) or (grains, 3, 3)
        Cosine and sine of four times the angle of every crystal, or the matrix whose rows are its
        axes.
    """

    phase: Array
    temperature: Array
    grain: NDArray[np.int32]
    orientation: Array


def random_orientations(number: int, dimensions: int, rng: np.random.Generator) -> Array:
    """Uniform orientations of cubic crystals, as `Melt` keeps them."""
    if dimensions == 2:
        angle = rng.uniform(0, 2 * np.pi, number)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # A uniform point of the unit sphere in four dimensions is a uniform rotation.
    w, x, y, z = (q := rng.standard_normal((4, number))) / np.sqrt((q * q).sum(axis=0))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def undercooled(shape: tuple[int, ...], undercooling: float, dtype: str = "float32") -> Melt:
    """A melt without crystals, ([Z,] Y, X) cells, at u = -`undercooling`."""
    phase, temperature = np.full(shape, -1, dtype), np.full(shape, -undercooling, dtype)
    axes = (0, 2) if len(shape) == 2 else (0, 3, 3)
    return Melt(phase, temperature, np.zeros(shape, np.int32), np.empty(axes))


def add_crystals(
    model: Solidification, melt: Melt, sites: Array, radius: float, orientation: Array
) -> Melt:
    """The melt with spherical crystals of the given radius (cells) and orientations put in.

    Only their order parameter changes, so the enthalpy rises by their latent heat.
    """
    order, grain = (melt.phase + 1) / 2, melt.grain.copy()
    numbers = len(melt.orientation) + np.arange(len(sites))
    radii = np.full(len(sites), radius)
    stamp_nuclei(order, grain, sites, radii, numbers, math.sqrt(2) / model.spacing)
    orientation = np.concatenate([melt.orientation, orientation])
    return Melt(2 * order - 1, melt.temperature, grain, orientation)


def solidify(model: Solidification, melt: Melt, time: float, rng: np.random.Generator) -> Melt:
    """What becomes of a melt after a time, by explicit steps of equal size.

    Raises
    ------
    BlowUpError
        If a field stops being finite.
    """
    dimensions, dtype = melt.phase.ndim, melt.phase.dtype
    steps = math.ceil(time / (SAFETY * model.largest_step(dimensions)))
    dt = time / max(steps, 1)
    # Uniform random numbers, which are the cheapest: a variance of 1/12 each.
    noise = model.noise * math.sqrt(12 * dt / model.spacing**dimensions)
    squared = model.spacing**-2
    phase = np.array([dt, squared, model.coupling, model.anisotropy, noise], dtype)
    # Rounded so that the shares add up to one exactly: else the enthalpy would drift in float32.
    digits = 2.0 ** (np.finfo(dtype).nmant - 3)
    passed = round(model.diffusivity * dt * squared * digits) / digits
    heat = np.array([1 - 2 * dimensions * passed, passed, 0.5], dtype)
    phi, u, grain = (np.pad(a, 1) for a in (melt.phase, melt.temperature, melt.grain))
    frame = melt.orientation.astype(dtype)
    spare = np.empty((2, *phi.shape), dtype)
    advance(phi, u, grain, frame, spare, phase, heat, model.periodic, steps, rng)
    inside = (slice(1, -1),) * dimensions
    if not (np.isfinite(phi[inside]).all() and np.isfinite(u[inside]).all()):
        raise BlowUpError(f"fields not finite after {steps} steps of dt = {dt:.3g}")
    return Melt(phi[inside].copy(), u[inside].copy(), grain[inside].copy(), melt.orientation)
