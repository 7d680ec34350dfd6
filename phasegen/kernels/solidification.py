"""Explicit steps of the thin-interface model of solidification, on arrays with a rim of ghosts.

The anisotropic term is the Hessian of :math:`a(n)^2 |g|^2 / 2` with respect to the gradient g,
contracted with the second derivatives: one pass, no fluxes at the faces. It is computed only where
the order parameter is not at rest, in the interface. Laplacians are those that are isotropic to
leading order (9 and 19 points), so that the grid adds little to the anisotropy of the crystal.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

REST = 1e-4
"""1 - phi^2 below which a cell, if its neighbours are alike, is bulk solid or melt: left as it is.
"""

FLAT = 1e-10
"""Squared gradient below which an interface has no direction."""


@njit(cache=True, inline="always")
def _react(p: float, u: float, coupling: float) -> float:
    """Rate of the double well, tilted by the undercooling."""
    rest = 1 - p * p
    return (p - coupling * u * rest) * rest


@njit(cache=True, fastmath=True)
def _phase_2d(
    phi: Array,
    u: Array,
    grain: Array,
    frame: Array,
    out: Array,
    scalars: Array,
    rng: np.random.Generator,
) -> None:
    dt, squared, coupling, strength, noise = scalars
    for y in range(1, phi.shape[0] - 1):
        for x in range(1, phi.shape[1] - 1):
            p = phi[y, x]
            north, south, west, east = phi[y - 1, x], phi[y + 1, x], phi[y, x - 1], phi[y, x + 1]
            least = max(1 - p * p, 1 - north * north, 1 - south * south)
            if max(least, 1 - west * west, 1 - east * east) < REST:
                out[y, x] = p
                continue
            if p < 0:
                best = p
                if north > best:
                    best, grain[y, x] = north, grain[y - 1, x]
                if south > best:
                    best, grain[y, x] = south, grain[y + 1, x]
                if west > best:
                    best, grain[y, x] = west, grain[y, x - 1]
                if east > best:
                    grain[y, x] = grain[y, x + 1]
            nw, ne = phi[y - 1, x - 1], phi[y - 1, x + 1]
            sw, se = phi[y + 1, x - 1], phi[y + 1, x + 1]
            curvature = (4 * (north + south + west + east) + nw + ne + sw + se - 20 * p) / 6
            inertia = 1.0
            gx, gy = (east - west) / 2, (south - north) / 2
            g2 = gx * gx + gy * gy
            if g2 > FLAT:
                c2, s2 = (gx * gx - gy * gy) / g2, 2 * gx * gy / g2
                c4, s4 = c2 * c2 - s2 * s2, 2 * c2 * s2
                turn = frame[grain[y, x]]
                cosine, sine = c4 * turn[0] + s4 * turn[1], s4 * turn[0] - c4 * turn[1]
                # a and its derivatives with respect to the angle of the normal.
                a = 1 + strength * cosine
                slope, bend = -4 * strength * sine, -16 * strength * cosine
                hxx, hyy = east + west - 2 * p, north + south - 2 * p
                hxy = (se - sw - ne + nw) / 4
                mixed = s2 * (hyy - hxx) / 2 + c2 * hxy
                along = (hxx + hyy - c2 * (hxx - hyy)) / 2 - s2 * hxy
                inertia = a * a
                curvature = inertia * curvature + 2 * a * slope * mixed
                curvature += (slope * slope + a * bend) * along
            change = dt * (_react(p, u[y, x], coupling) + squared * curvature) / inertia
            if noise > 0:
                change += noise * (1 - p * p) * (rng.random() - 0.5)
            out[y, x] = p + change


@njit(cache=True, fastmath=True)
def _phase_3d(
    phi: Array,
    u: Array,
    grain: Array,
    frame: Array,
    out: Array,
    scalars: Array,
    rng: np.random.Generator,
) -> None:
    dt, squared, coupling, strength, noise = scalars
    g, n, b, h = np.empty(3), np.empty(3), np.empty(3), np.empty((3, 3))
    for z in range(1, phi.shape[0] - 1):
        for y in range(1, phi.shape[1] - 1):
            for x in range(1, phi.shape[2] - 1):
                p = phi[z, y, x]
                down, up = phi[z - 1, y, x], phi[z + 1, y, x]
                north, south = phi[z, y - 1, x], phi[z, y + 1, x]
                west, east = phi[z, y, x - 1], phi[z, y, x + 1]
                least = max(1 - p * p, 1 - north * north, 1 - south * south, 1 - down * down)
                if max(least, 1 - up * up, 1 - west * west, 1 - east * east) < REST:
                    out[z, y, x] = p
                    continue
                if p < 0:
                    best = p
                    if down > best:
                        best, grain[z, y, x] = down, grain[z - 1, y, x]
                    if up > best:
                        best, grain[z, y, x] = up, grain[z + 1, y, x]
                    if north > best:
                        best, grain[z, y, x] = north, grain[z, y - 1, x]
                    if south > best:
                        best, grain[z, y, x] = south, grain[z, y + 1, x]
                    if west > best:
                        best, grain[z, y, x] = west, grain[z, y, x - 1]
                    if east > best:
                        grain[z, y, x] = grain[z, y, x + 1]
                zy = phi[z - 1, y - 1, x], phi[z + 1, y + 1, x], phi[z - 1, y + 1, x]
                zx = phi[z - 1, y, x - 1], phi[z + 1, y, x + 1], phi[z - 1, y, x + 1]
                yx = phi[z, y - 1, x - 1], phi[z, y + 1, x + 1], phi[z, y - 1, x + 1]
                zy3, zx3, yx3 = phi[z + 1, y - 1, x], phi[z + 1, y, x - 1], phi[z, y + 1, x - 1]
                edges = zy[0] + zy[1] + zy[2] + zy3 + zx[0] + zx[1] + zx[2] + zx3
                edges += yx[0] + yx[1] + yx[2] + yx3
                faces = down + up + north + south + west + east
                curvature = (2 * faces + edges - 24 * p) / 6
                inertia = 1.0
                g[0], g[1], g[2] = (up - down) / 2, (south - north) / 2, (east - west) / 2
                g2 = g[0] * g[0] + g[1] * g[1] + g[2] * g[2]
                if g2 > FLAT:
                    h[0, 0], h[1, 1], h[2, 2] = down + up, north + south, west + east
                    h[0, 1] = h[1, 0] = (zy[0] + zy[1] - zy[2] - zy3) / 4
                    h[0, 2] = h[2, 0] = (zx[0] + zx[1] - zx[2] - zx3) / 4
                    h[1, 2] = h[2, 1] = (yx[0] + yx[1] - yx[2] - yx3) / 4
                    for i in range(3):
                        h[i, i] -= 2 * p
                    inertia, curvature = _cubic(
                        g, h, g2, frame[grain[z, y, x]], strength, curvature, n, b
                    )
                change = dt * (_react(p, u[z, y, x], coupling) + squared * curvature) / inertia
                if noise > 0:
                    change += noise * (1 - p * p) * (rng.random() - 0.5)
                out[z, y, x] = p + change


@njit(cache=True, fastmath=True, inline="always")
def _cubic(
    g: Array,
    h: Array,
    g2: float,
    turn: Array,
    strength: float,
    laplacian: float,
    n: Array,
    b: Array,
) -> tuple[float, float]:
    """a^2, and the Hessian of a(n)^2 g^2 / 2 contracted with h; n and b are room for vectors.

    a = 1 - 3 eps + 4 eps sum n_i^4 along the axes of the crystal, the rows of `turn`.
    """
    fourth, length = 0.0, np.sqrt(g2)
    for i in range(3):
        n[i] = (turn[i, 0] * g[0] + turn[i, 1] * g[1] + turn[i, 2] * g[2]) / length
        fourth += n[i] * n[i] * n[i] * n[i]
    a = 1 - 3 * strength + 4 * strength * fourth
    # b is |g| da/dg, in the frame of the crystal.
    for i in range(3):
        b[i] = 16 * strength * n[i] * (n[i] * n[i] - fourth)
    nn = nb = bb = axes = cubes = trace = 0.0
    for i in range(3):
        trace += h[i, i]
        for j in range(3):
            turned = 0.0
            for k in range(3):
                for m in range(3):
                    turned += turn[i, k] * h[k, m] * turn[j, m]
            nn += n[i] * n[j] * turned
            nb += n[i] * b[j] * turned
            bb += b[i] * b[j] * turned
            cubes += n[i] * n[i] * n[i] * n[j] * turned
            if i == j:
                axes += n[i] * n[i] * turned
    bend = 3 * axes - fourth * trace + 6 * fourth * nn - 8 * cubes
    return a * a, a * a * laplacian + 4 * a * nb + bb + 16 * strength * a * bend


@njit(cache=True, fastmath=True)
def _heat_2d(
    u: Array, phi: Array, new_phi: Array, out: Array, kept: float, passed: float, latent: float
) -> None:
    for y in range(1, u.shape[0] - 1):
        for x in range(1, u.shape[1] - 1):
            faces = u[y - 1, x] + u[y + 1, x] + u[y, x - 1] + u[y, x + 1]
            freed = latent * (new_phi[y, x] - phi[y, x])
            out[y, x] = kept * u[y, x] + passed * faces + freed


@njit(cache=True, fastmath=True)
def _heat_3d(
    u: Array, phi: Array, new_phi: Array, out: Array, kept: float, passed: float, latent: float
) -> None:
    for z in range(1, u.shape[0] - 1):
        for y in range(1, u.shape[1] - 1):
            for x in range(1, u.shape[2] - 1):
                faces = u[z - 1, y, x] + u[z + 1, y, x] + u[z, y - 1, x]
                faces += u[z, y + 1, x] + u[z, y, x - 1] + u[z, y, x + 1]
                freed = latent * (new_phi[z, y, x] - phi[z, y, x])
                out[z, y, x] = kept * u[z, y, x] + passed * faces + freed


@njit(cache=True)
def fill_ghosts(field: Array, periodic: bool) -> None:
    """Set the rim to the opposite side, or to its mirror image: no flux through the faces."""
    before, after = 1, field.size
    for n in field.shape:
        after //= n
        planes = field.reshape((before, n, after))
        planes[:, 0] = planes[:, n - 2 if periodic else 1]
        planes[:, n - 1] = planes[:, 1 if periodic else n - 2]
        before *= n


@njit(cache=True)
def advance(
    phi: Array,
    u: Array,
    grain: Array,
    frame: Array,
    spare: Array,
    phase: Array,
    heat: Array,
    periodic: bool,
    steps: int,
    rng: np.random.Generator,
) -> None:
    """Take `steps` steps in place.

    ``phi``, ``u`` and ``grain`` have the rim; ``spare`` is room for one more each of phi and u.
    ``frame[g]`` is the orientation of grain g: in the plane cos and sin of four times its angle, in
    space its matrix. ``phase`` holds dt, 1 / dx^2, the coupling, the anisotropy and the amplitude
    of the noise; ``heat`` the shares of a cell, of each neighbour and of the latent heat in u.
    A liquid cell belongs to the grain that its most solid neighbour belongs to.
    """
    a, b, c, d = phi, spare[0], u, spare[1]
    for _ in range(steps):
        fill_ghosts(a, periodic)
        fill_ghosts(c, periodic)
        fill_ghosts(grain, periodic)
        if phi.ndim == 2:
            _phase_2d(a, c, grain, frame, b, phase, rng)
            _heat_2d(c, a, b, d, heat[0], heat[1], heat[2])
        else:
            _phase_3d(a, c, grain, frame, b, phase, rng)
            _heat_3d(c, a, b, d, heat[0], heat[1], heat[2])
        a, b, c, d = b, a, d, c
    if steps % 2:
        phi[:] = spare[0]
        u[:] = spare[1]
