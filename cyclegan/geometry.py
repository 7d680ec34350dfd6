"""How far the boundaries that an image shows lie from those of its mask."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries

REACH = 6
"""Pixels on either side of the mask's boundary in which the image's edge is looked for."""

SMOOTHING, EDGE_SMOOTHING = 1.0, 1.5
"""Standard deviation of the filters that take the gradient, for drift and for edges, pixels."""


NEAR = 2
"""Distance in pixels within which edge and boundary are the same."""

FAINT = 0.5
"""Slope of an edge that counts, as a share of the median slope on the mask's boundaries."""


class Drift(NamedTuple):
    """Distance between mask boundary and image edge along the boundary's normal, in pixels.

    Attributes
    ----------
    shift : float
        Median of the signed distance, positive towards the background: a systematic shift, as a
        rim drawn beside the boundary makes.
    median, p95 : float
        Median and 95th percentile of the distance, regardless of its sign.
    """

    shift: float
    median: float
    p95: float


class Edges(NamedTuple):
    """How image edges and mask boundaries answer each other.

    Attributes
    ----------
    found : float
        Share of the mask's boundary with an image edge within `NEAR` pixels.
    invented : float
        Share of the image's edges with no boundary within twice that distance: hallucinations.
        Rims and grain have edges of their own, so the simulation's figure is the yardstick.
    """

    found: float
    invented: float


def boundary_drift(pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> Drift:
    """Drift over (image, mask) pairs; a mask's foreground is all that is not 0.

    At every boundary pixel the image's steepest grey-value change along the normal is looked for
    within `REACH` pixels.
    """
    shifts = [_shifts(image, mask > 0) for image, mask in pairs]
    every = np.concatenate(shifts) if shifts else np.empty(0)
    if not every.size:
        return Drift(float("nan"), float("nan"), float("nan"))
    distance = np.abs(every)
    return Drift(
        float(np.median(every)), float(np.median(distance)), float(np.percentile(distance, 95))
    )


def has_drifted(before: Drift, after: Drift) -> bool:
    """Whether boundaries have moved: by half a pixel in the median, or by one at the tail."""
    return abs(after.shift - before.shift) > 0.5 or after.p95 > before.p95 + 1


def edge_agreement(pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> Edges:
    """Edges against boundaries over (image, mask) pairs; every class border is a boundary.

    An edge is a ridge of the gradient (Canny, IEEE PAMI 8, 679 (1986), sigma 1.5 px) that is at
    least `FAINT` times as steep as the image's typical boundary, so that contrast and brightness
    do not count. NaN where there is no boundary.
    """
    lines = found = edges = invented = 0
    for image, mask in pairs:
        boundary = find_boundaries(mask, mode="inner")
        if not boundary.any():
            continue
        grey = image.astype(np.float64)
        slope = ndimage.gaussian_gradient_magnitude(grey, EDGE_SMOOTHING, mode="nearest")
        # The steepest nearby: a gradient peaks between the pixels of the boundary.
        typical = float(np.median(ndimage.maximum_filter(slope, 3)[boundary]))
        ridges = _ridges(grey, slope) & (slope >= FAINT * typical) & (slope > 0)
        lines += int(boundary.sum())
        found += int(_within(ridges, NEAR)[boundary].sum())
        edges += int(ridges.sum())
        invented += int((ridges & ~_within(boundary, 2 * NEAR)).sum())
    if not lines:
        return Edges(float("nan"), float("nan"))
    return Edges(found / lines, invented / max(edges, 1))


def _ridges(grey: NDArray[np.float64], slope: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels at which the gradient is largest along its own direction."""
    steep = [
        ndimage.gaussian_filter(grey, EDGE_SMOOTHING, order=order, mode="nearest") / (slope + 1e-12)
        for order in ((1, 0), (0, 1))
    ]
    grid = np.indices(grey.shape)
    ahead, behind = (
        ndimage.map_coordinates(
            slope, [g + s * d for g, d in zip(grid, steep, strict=True)], order=1, mode="nearest"
        )
        for s in (1, -1)
    )
    ridges: NDArray[np.bool_] = (slope > ahead) & (slope >= behind)
    return ridges


def _within(pixels: NDArray[np.bool_], distance: float) -> NDArray[np.bool_]:
    if not pixels.any():
        return pixels
    near: NDArray[np.bool_] = ndimage.distance_transform_edt(~pixels) <= distance
    return near


def _shifts(image: NDArray[Any], foreground: NDArray[np.bool_]) -> NDArray[np.float64]:
    signed = ndimage.distance_transform_edt(foreground) - ndimage.distance_transform_edt(
        ~foreground
    )
    # The boundary lies between pixels: half a pixel outside the outermost foreground pixel.
    outermost = foreground & ~ndimage.binary_erosion(foreground, border_value=1)
    points = np.argwhere(outermost)
    if not len(points):
        return np.empty(0)
    normal = -np.stack([ndimage.gaussian_filter(signed, 2.0, order=o) for o in ((1, 0), (0, 1))])
    direction = normal[:, outermost].T
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    slope = np.stack(
        [
            ndimage.gaussian_filter(image.astype(np.float64), SMOOTHING, order=o)
            for o in ((1, 0), (0, 1))
        ]
    )
    offsets = np.arange(-REACH, REACH + 0.25, 0.25)
    places = points[:, None] + (offsets[:, None] + 0.5) * direction[:, None]
    coordinates = places.reshape(-1, 2).T
    # Cubic, for a linear interpolant is steepest all the way between two pixels.
    along = sum(
        ndimage.map_coordinates(s, coordinates, order=3, mode="nearest").reshape(len(points), -1)
        * direction[:, axis : axis + 1]
        for axis, s in enumerate(slope)
    )
    inside = np.all((points >= REACH + 1) & (points < np.array(image.shape) - REACH - 1), axis=1)
    found: NDArray[np.float64] = offsets[np.abs(along[inside]).argmax(axis=1)]
    return found
