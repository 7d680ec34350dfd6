"""FIB-SEM: a focused ion beam mills a volume slice by slice, and the SEM photographs each face.

What sets such a stack apart from serial sections: voxels that are longer along z, where a slice is
thicker than a pixel; curtains, stripes along the milling direction y that the ion beam leaves on
several faces in turn; light of lower layers, worst where pores are empty (Prill et al., J. Microsc.
249, 77 (2013)); a brightness and a position that vary from slice to slice. Everything is off unless
it is asked for.

Masks stay exact. A thick slice shows the face that was milled, so every k-th plane of picture, mask
and instances is kept and nothing is averaged. Drift moves the specimen below the beam, and with it
picture and labels alike; by whole pixels, for a mask between pixels would have to be guessed. So
the labels are those of what the picture shows, as if somebody had drawn them into it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from phasegen.config import Config, NotNegative, Positive
from phasegen.masks import renumber
from phasegen.microscope import detect, emit
from phasegen.recipes.recipe import Microstructure

Pixel = TypeVar("Pixel", bound=np.generic)


class FibSem(Config):
    """Ranges of what a FIB-SEM adds to the microscope; grey values in 0..1, lengths in pixels."""

    slice_thickness: int = Field(1, ge=1, description="distance of the milled faces")
    curtaining: NotNegative = Field(
        (0.0, 0.0), description="standard deviation of the curtains, grey value"
    )
    curtain_width: Positive = Field((1.0, 3.0), description="standard deviation across a curtain")
    curtain_slices: NotNegative = Field(
        (2.0, 6.0), description="slices over which a curtain persists, standard deviation"
    )
    shine_through: NotNegative = Field(
        (0.0, 0.0), description="depth from which lower layers shine through, decay length"
    )
    pore_depth: NotNegative = Field(
        (0.0, 0.0), description="what the second phase adds to it, if this is empty pores"
    )
    flicker: NotNegative = Field(
        (0.0, 0.0), description="standard deviation of the slices' brightness, relative"
    )
    drift: NotNegative = Field(
        (0.0, 0.0), description="standard deviation of the step from slice to slice"
    )


def photograph(
    specimen: Microstructure,
    settings: Mapping[str, float],
    thickness: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], Microstructure]:
    """Mill a volume and photograph every face.

    Parameters
    ----------
    specimen : Microstructure
        The volume (Z, Y, X).
    settings : mapping
        One value for each range of `MicroscopeRanges` and of `FibSem`.
    thickness : int
        Planes of the volume from one face to the next.
    rng : numpy.random.Generator
        Noise and illumination are those of `phasegen.microscope.render`; a generator spawned from
        it decides the rest.

    Returns
    -------
    image : ndarray (ceil(Z / thickness), Y, X), float32, 0..1
        The stack.
    seen : Microstructure
        Of the same shape: what the stack shows.
    """
    s, own = settings, rng.spawn(1)[0]
    emitted = np.stack([emit(plane, s) for plane in specimen.phase])
    depth = s["shine_through"] + s["pore_depth"] * np.clip(specimen.phase, 0, 1)
    faces = through(emitted, depth)[::thickness]
    slices, _, columns = faces.shape
    steps = own.normal(0, s["drift"], (slices - 1, 2))
    shifts = np.rint(np.cumsum(steps, axis=0, dtype=float)).astype(int)
    shifts = np.vstack([np.zeros((1, 2), int), shifts])
    gain = own.normal(np.ones(slices), s["flicker"])
    stripes = s["curtaining"] * curtains(slices, columns, s, own)
    lit = gain[:, None, None] * moved(faces, shifts) + stripes[:, None]
    image = np.stack([detect(face, s, rng) for face in lit.astype(np.float32)])
    seen = replace(
        specimen,
        phase=moved(specimen.phase[::thickness], shifts),
        mask=moved(specimen.mask[::thickness], shifts),
        instance=renumber(moved(specimen.instance[::thickness], shifts)),
        fields=np.stack([moved(field[::thickness], shifts) for field in specimen.fields]),
    )
    return image, seen


def through(emitted: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is seen from above of layers that are not quite opaque.

    A voxel of depth d lets :math:`t = e^{-1/d}` of what lies below pass and adds :math:`1 - t` of
    its own grey value:  :math:`I_z = (1 - t_z) g_z + t_z I_{z+1}`. With one depth throughout the
    layer j pixels below has the weight :math:`(1 - t) t^j`. Below the last plane its grey value
    goes on.

    Parameters
    ----------
    emitted, depth : ndarray (Z, Y, X), float32
        Grey value of every voxel, and its decay length in pixels.
    """
    with np.errstate(divide="ignore", over="ignore"):
        passed = np.exp(-1 / depth)
    seen = emitted.copy()
    for z in range(len(seen) - 2, -1, -1):
        seen[z] += passed[z] * (seen[z + 1] - seen[z])
    return seen


def curtains(
    slices: int, columns: int, settings: Mapping[str, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Stripes (slices, columns) of mean 0 and variance 1, the same along all of y."""
    size = (settings["curtain_slices"], settings["curtain_width"])
    noise = rng.standard_normal((slices, columns))
    noise = ndimage.gaussian_filter(noise, size, mode=("reflect", "wrap"))
    stripes: NDArray[np.float64] = (noise - noise.mean()) / noise.std()
    return stripes


def moved(stack: NDArray[Pixel], shifts: NDArray[np.int_]) -> NDArray[Pixel]:
    """Planes (Z, Y, X), each moved round the box by whole numbers (Z, 2) of pixels along y, x."""
    planes = zip(stack, shifts, strict=True)
    return np.stack([np.roll(plane, shift, axis=(0, 1)) for plane, shift in planes])
