"""The data contract: what the arrays and attributes of a store are, and when a sample is valid.

A store is one Zarr v3 group of N samples.

======== ====================== ====================== ===========================================
array    shape                  dtype                  meaning
======== ====================== ====================== ===========================================
image    (N, C, [Z,] Y, X)      float32, uint8, uint16 what the microscope sees; floats in 0..1
mask     (N, [Z,] Y, X)         uint8                  class index; names in the attributes
instance (N, [Z,] Y, X)         uint32                 0 background, else 1, 2, ...; optional
field    (N, F, [Z,] Y, X)      float16                order parameters; optional
seed     (N,)                   uint64                 the sample's seed
state    (N,)                   uint8                  0 empty, 1 complete
======== ====================== ====================== ===========================================
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NotRequired

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from phasegen.errors import InputError

FORMAT, SCHEMA = "sim2sem", 1
IMAGE_TYPES = ("float32", "uint8", "uint16")
Kind = Literal["simulation", "translation"]


class Attributes(TypedDict):
    """Attributes of the group; everything needed to make the store again.

    `pixel_size` is the side of a pixel; `z_spacing` the distance of the planes of a volume, in the
    same unit, and there only where it is another.
    """

    format: Literal["sim2sem"]
    schema: int
    kind: Kind
    arrays: list[str]
    classes: list[str]
    pixel_size: float
    z_spacing: NotRequired[float]
    unit: str
    config: dict[str, Any]
    parameters: list[dict[str, Any]]
    parents: list[dict[str, Any]]
    software: dict[str, str]


_ATTRIBUTES = TypeAdapter(Attributes)


def validate(attributes: Mapping[str, Any], source: str | Path) -> Attributes:
    """The attributes of the group at `source`, checked.

    Raises
    ------
    InputError
        If they are not those of a store, or of one that this version understands.
    """
    if attributes.get("format") != FORMAT:
        problem = "is a Zarr group but no sim2sem store"
        raise InputError(source, problem, "Give one that phasegen or cyclegan has written")
    schema = attributes.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise InputError(source, f"uses schema {schema}, newer than {SCHEMA}", "Update sim2sem")
    try:
        return _ATTRIBUTES.validate_python(attributes)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        problem = f"has a damaged attribute {key!r} ({first['msg']})"
        raise InputError(source, problem, "Restore it or create the store again") from None


def layout(
    samples: int,
    channels: int,
    shape: tuple[int, ...],
    image_dtype: str,
    instances: bool,
    fields: int,
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of every array, by name: the table at the head of this module."""
    if image_dtype not in IMAGE_TYPES or len(shape) not in (2, 3):
        raise ValueError(f"{image_dtype} samples of shape {shape} are outside the contract")
    arrays = {
        "image": ((samples, channels, *shape), image_dtype),
        "mask": ((samples, *shape), "uint8"),
        "instance": ((samples, *shape), "uint32"),
        "field": ((samples, fields, *shape), "float16"),
        "seed": ((samples,), "uint64"),
        "state": ((samples,), "uint8"),
    }
    if min(samples, channels, *shape) < 1 or fields < 0:
        raise ValueError(f"sizes are not positive: {arrays['image'][0]}, {fields} fields")
    absent = {"instance": not instances, "field": not fields}
    return {name: entry for name, entry in arrays.items() if not absent.get(name)}


def chunking(name: str, size: tuple[int, ...]) -> tuple[int, ...]:
    """Chunk shape: one sample, but all seeds together, for they are written once, at the start."""
    return size if name == "seed" else (1, *size[1:])


def structure(attributes: Attributes, arrays: Mapping[str, zarr.Array[Any]]) -> Iterator[str]:
    """What keeps arrays and attributes from being a store."""
    samples, channels, *shape = arrays["image"].shape
    fields = arrays["field"].shape[1] if "field" in arrays else 0
    dtype = str(arrays["image"].dtype)
    instances = "instance" in arrays
    expected = layout(samples, channels, tuple(shape), dtype, instances, fields)
    for name, (size, dtype) in expected.items():
        found, chunks = arrays[name], chunking(name, size)
        if found.shape != size or found.dtype != dtype or found.chunks != chunks:
            yield (
                f"{name} is {found.dtype} {found.shape} in chunks of {found.chunks}, "
                f"not {dtype} {size} in chunks of {chunks}"
            )
    if len(attributes["parameters"]) != samples:
        yield f"{len(attributes['parameters'])} parameters for {samples} samples"


def faults(values: Mapping[str, NDArray[Any]], classes: int) -> Iterator[str]:
    """What breaks the rules among the arrays of one sample."""
    image, mask = values["image"], values["mask"]
    if image.dtype.kind == "f":
        if not np.isfinite(image).all():
            yield "image holds NaN or infinity"
        elif image.min() < 0 or image.max() > 1:
            yield f"image values from {image.min():g} to {image.max():g} leave 0..1"
    if mask.max() >= classes:
        yield f"mask value {mask.max()} has no class among {classes}"
    if "field" in values and not np.isfinite(values["field"]).all():
        yield "field holds NaN or infinity"
    if "instance" in values:
        instance = values["instance"]
        if ((instance > 0) != (mask > 0)).any():
            yield "instances do not cover exactly the pixels whose class is not 0"
        count = int(instance.max())
        # More instances than pixels cannot be consecutive, and need not be counted.
        if count > instance.size or not np.bincount(instance.ravel())[1:].all():
            yield f"instances are not numbered 1 to {count} without gaps"


def conform(array: NDArray[Any], target: zarr.Array[Any]) -> NDArray[Any]:
    """One sample's `array` in the type of `target`.

    Raises
    ------
    ValueError
        If its shape differs, or its type or range would change what the values mean.
    """
    kind, dtype = array.dtype.kind, target.dtype
    fits = array.shape == target.shape[1:] and kind in ("f" if dtype.kind == "f" else "bui")
    if not fits or (
        dtype.kind == "u" and not 0 <= array.min() <= array.max() <= np.iinfo(dtype).max
    ):
        raise ValueError(
            f"an array of {array.dtype} {array.shape} is no sample of {target.name}, "
            f"which holds {dtype} {target.shape[1:]}"
        )
    return array.astype(dtype)


@contextmanager
def damage(source: str | Path, what: str) -> Iterator[None]:
    """Turn what Zarr and its codecs raise on damaged metadata and chunks into one error."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        problem = f"{what} cannot be read ({' '.join(str(error).split())})"
        raise InputError(source, problem, "Restore it or create the store again") from None
