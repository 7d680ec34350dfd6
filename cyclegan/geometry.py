"""How far the boundaries that an image shows lie from those of its mask."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

REACH = 6
"""Pixels on either side of the mask's boundary in which the image's edge is looked for."""

SMOOTHING = 1.0
"""Standard deviation of the filter that takes the gradient, pixels."""


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
