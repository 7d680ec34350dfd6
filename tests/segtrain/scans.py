"""NIfTI files of random voxels."""

import nibabel
import numpy as np

RNG = np.random.default_rng(0)
SHAPE = (7, 6, 5)
"""Voxels along x, y, z."""

RAS, LPS = np.diag([1.0, 1.0, 1.0, 1.0]), np.diag([-1.0, -1.0, 1.0, 1.0])


def save(path, array, affine=RAS, kind=nibabel.Nifti1Image):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(kind(array, affine), path)
    return array


def voxels(shape=SHAPE):
    return RNG.integers(0, 1000, shape).astype(np.int16)


def mask(values=(0, 1, 2), shape=SHAPE):
    """Every one of the values occurs."""
    drawn = RNG.choice(values, shape).astype(np.uint8)
    drawn.flat[: len(values)] = values
    return drawn
