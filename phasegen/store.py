"""Stores of images with exact masks on disk or object storage: create, read, write, verify.

A sample's `state` turns 1 after its arrays are written, so an interrupted run resumes at what is
missing, and processes that write different samples never touch the same chunk.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.core.array_spec import ArrayConfigLike
from zarr.core.sync import sync

from phasegen import contract
from phasegen.contract import Attributes, Kind
from phasegen.errors import InputError
from phasegen.places import Place, exists, is_url

_SOFTWARE = ("sim2sem", "numpy", "scipy", "numba", "torch", "zarr")
# Zeros are written out too, so that a lost chunk is told from an empty one.
_CONFIG: ArrayConfigLike = {"write_empty_chunks": True}
_COMMAND = {"simulation": "simulate", "translation": "translate"}


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample: image (C, [Z,] Y, X), mask ([Z,] Y, X) and instance of the mask's shape."""

    image: NDArray[Any]
    mask: NDArray[np.uint8]
    instance: NDArray[np.uint32] | None

    @property
    def grey(self) -> NDArray[np.float32]:
        """First channel, in 0..1 whatever its type."""
        whole = 1 if self.image.dtype.kind == "f" else np.iinfo(self.image.dtype).max
        grey: NDArray[np.float32] = self.image[0].astype(np.float32) / np.float32(whole)
        return grey


@dataclass(frozen=True, eq=False)
class Store:
    """An open store; `create` and `open_store` make it, and it may be sent to other processes.

    Attributes
    ----------
    path : str or Path
        The folder, or the URL.
    attributes : Attributes
        A copy of the group's attributes.
    arrays : mapping of str to zarr.Array
        The lazy arrays by name.
    """

    path: Place
    attributes: Attributes
    arrays: Mapping[str, zarr.Array[Any]]

    @property
    def samples(self) -> int:
        """Number of samples N, complete or not."""
        return int(self.arrays["image"].shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape ([Z,] Y, X) of one sample."""
        return tuple(self.arrays["mask"].shape[1:])

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance of pixels along every axis, ([z,] y, x), in the store's unit."""
        side = self.attributes["pixel_size"]
        return (self.attributes.get("z_spacing", side), side, side)[-len(self.shape) :]

    @property
    def classes(self) -> list[str]:
        """Names of the classes; the position is the mask's value."""
        return self.attributes["classes"]

    @property
    def kind(self) -> Kind:
        """Whether the images are simulated or translated."""
        return self.attributes["kind"]

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration of the run."""
        return self.attributes["config"]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """What was drawn for each sample."""
        return self.attributes["parameters"]

    @property
    def seeds(self) -> NDArray[np.uint64]:
        """The samples' seeds, shape (N,)."""
        return self._fetch("seed", slice(None), (0,))

    @property
    def sample_arrays(self) -> list[str]:
        """Names of the arrays that make up a sample."""
        return [name for name in self.arrays if name not in ("seed", "state")]

    def complete(self) -> NDArray[np.intp]:
        """Indices of the samples that are there."""
        return np.flatnonzero(self._states() == 1)

    def missing(self) -> NDArray[np.intp]:
        """Indices of the samples still to be written."""
        return np.flatnonzero(self._states() != 1)

    def load(self, name: str, index: int) -> NDArray[Any]:
        """One sample of one array; nothing else is read.

        Raises
        ------
        IndexError
            If there is no such sample.
        InputError
            If its chunk is missing or damaged.
        """
        self._check(index)
        return self._fetch(name, index, (index, *[0] * (self.arrays[name].ndim - 1)))

    def read(self, index: int) -> Sample:
        """One complete sample.

        Raises
        ------
        IndexError
            If there is no such sample.
        InputError
            If it is not complete, or a chunk is missing or damaged.
        """
        self._check(index)
        if self._states(index) != 1:
            remedy = f"Run the same {_COMMAND[self.kind]} command again"
            raise InputError(self.path, f"sample {index} is not complete", remedy)
        instance = self.load("instance", index) if "instance" in self.arrays else None
        return Sample(self.load("image", index), self.load("mask", index), instance)

    def write(
        self,
        index: int,
        *,
        image: NDArray[Any],
        mask: NDArray[Any],
        instance: NDArray[Any] | None = None,
        field: NDArray[Any] | None = None,
    ) -> None:
        """Write one sample, then mark it complete; safe beside writers of other samples.

        Parameters
        ----------
        index : int
            Which sample; a complete one is replaced.
        image, mask, instance, field : NDArray
            As `phasegen.contract` states, without N. Those that the store has are required.

        Raises
        ------
        IndexError
            If there is no such sample.
        ValueError
            If an array is missing, has another shape or type, or breaks a rule that `verify`
            checks.
        """
        self._check(index)
        given = {"image": image, "mask": mask, "instance": instance, "field": field}
        values = {name: np.asarray(array) for name, array in given.items() if array is not None}
        if values.keys() != set(self.sample_arrays):
            raise ValueError(f"a sample of {self.path} has {self.sample_arrays}")
        for name, array in values.items():
            values[name] = contract.conform(array, self.arrays[name])
        if faults := list(contract.faults(values, len(self.classes))):
            raise ValueError(f"sample {index}: {'; '.join(faults)}")
        state = self.arrays["state"]
        if state[index]:
            state[index] = 0
        for name, array in values.items():
            self.arrays[name][index] = array
        state[index] = 1

    def _check(self, index: int) -> None:
        if not 0 <= index < self.samples:
            raise IndexError(f"no sample {index} among {self.samples}")

    def _states(self, index: int | slice = slice(None)) -> NDArray[np.uint8]:
        with contract.damage(f"{self.path}/state", "it"):
            return np.asarray(self.arrays["state"][index])

    def _fetch(self, name: str, index: int | slice, chunk: tuple[int, ...]) -> NDArray[Any]:
        array = self.arrays[name]
        with contract.damage(f"{self.path}/{name}", "it" if name == "seed" else f"sample {index}"):
            values = np.asarray(array[index])
            # To Zarr a lost chunk is one full of zeros; ours are written out even so.
            file = array.store_path / array.metadata.encode_chunk_key(chunk)
            if not values.any() and not sync(file.exists()):
                raise FileNotFoundError("its chunk is missing")
        return values


def create(
    path: Place,
    *,
    samples: int,
    shape: tuple[int, ...],
    classes: Sequence[str],
    kind: Kind,
    seeds: NDArray[Any],
    config: dict[str, Any],
    parameters: list[dict[str, Any]],
    pixel_size: float = 1.0,
    unit: str = "pixel",
    z_spacing: float | None = None,
    channels: int = 1,
    image_dtype: str = "float32",
    instances: bool = True,
    fields: int = 0,
    parents: Sequence[dict[str, Any]] = (),
) -> Store:
    """Create a store whose samples are all empty, and open it for writing.

    It appears under its name when it is whole. The same call makes the same files, byte by byte.

    Parameters
    ----------
    path : str or Path
        A folder that does not exist, or a URL that fsspec understands.
    samples, channels, fields : int
        N, C and F of the contract; 0 fields means no such array.
    shape : tuple of int
        ([Z,] Y, X).
    classes : sequence of str
        Names of the mask values 0, 1, ...
    kind : {"simulation", "translation"}
        Where the images come from.
    seeds : NDArray, shape (N,)
        One seed per sample.
    config : dict
        The full resolved configuration, as JSON would hold it.
    parameters : list of dict
        What was drawn for each sample; known beforehand, since it follows from the seed.
    pixel_size, unit : float, str
        Side of a pixel.
    z_spacing : float, optional
        Distance of the planes of a volume in that unit, if it is another.
    image_dtype : {"float32", "uint8", "uint16"}
        Sample type of the images.
    instances : bool
        Whether masks fall into numbered particles or grains.
    parents : sequence of dict
        The stores and checkpoints that this one comes from.

    Raises
    ------
    InputError
        If something exists at `path`, or it cannot be written.
    ValueError
        If the arguments contradict each other.
    """
    layout = contract.layout(samples, channels, shape, image_dtype, instances, fields)
    if not samples == len(parameters) == len(seeds) or not 1 <= len(classes) <= 256:
        raise ValueError(
            f"{samples} samples with {len(parameters)} parameters, {len(seeds)} seeds "
            f"and {len(classes)} classes"
        )
    local = not is_url(path)
    if exists(path):
        raise InputError(path, "exists already", "Remove it or choose another name")
    partial = Path(path).with_name(f".{Path(path).name}.partial") if local else str(path)
    try:
        group = zarr.create_group(partial, overwrite=local, zarr_format=3)
    except OSError as error:
        raise InputError(path, f"cannot be created ({error})", "Choose another place") from None
    for name, (size, dtype) in layout.items():
        array = group.create_array(
            name,
            shape=size,
            chunks=contract.chunking(name, size),
            dtype=dtype,
            compressors=ZstdCodec(checksum=True),
            config=_CONFIG,
        )
        if name == "seed":
            array[:] = np.asarray(seeds, dtype=np.uint64)
    attributes = {
        "format": contract.FORMAT,
        "schema": contract.SCHEMA,
        "kind": kind,
        "arrays": list(layout),
        "classes": list(classes),
        "pixel_size": pixel_size,
        **({} if z_spacing is None else {"z_spacing": z_spacing}),
        "unit": unit,
        "config": config,
        "parameters": parameters,
        "parents": list(parents),
        "software": {name: version(name) for name in _SOFTWARE}
        | {"python": platform.python_version()},
    }
    # Last, since they make it a store; where there is no renaming, this is what seals it.
    plain = json.dumps(
        attributes, allow_nan=False, default=lambda value: np.asarray(value).tolist()
    )
    group.update_attributes(json.loads(plain))
    if isinstance(partial, Path):
        os.rename(partial, path)
    return open_store(path, "r+")


def open_store(path: Place, mode: Literal["r", "r+"] = "r") -> Store:
    """Open a store for reading or, with mode "r+", for writing samples.

    Raises
    ------
    InputError
        If there is none, it is newer than this version understands, or its metadata or arrays
        are missing, damaged or not as the contract states.
    """
    if not exists(f"{path}/zarr.json"):
        problem = "is not a store" if exists(path) else "does not exist"
        raise InputError(path, problem, "Give a folder that phasegen or cyclegan has written")
    with contract.damage(path, "the metadata"):
        group = zarr.open_group(path if is_url(path) else Path(path), mode=mode)
        attributes = dict(group.attrs)
    checked = contract.validate(attributes, path)
    arrays: dict[str, zarr.Array[Any]] = {}
    with contract.damage(path, "the metadata"):
        for name in checked["arrays"]:
            array = group[name]
            if not isinstance(array, zarr.Array):
                raise TypeError(f"{name} is no array")
            arrays[name] = array.with_config(_CONFIG)
        if problems := list(contract.structure(checked, arrays)):
            raise ValueError("; ".join(problems))
    return Store(path, checked, arrays)


def verify(path: Place) -> list[str]:
    """Check a store against the contract, sample by sample.

    Returns
    -------
    list of str
        What is wrong, in words; empty if the store is sound and complete. Checked are metadata,
        shapes and types, that every complete sample decodes, images are finite (floats in 0..1),
        mask values have a class, and instances are numbered from 1 without gaps and cover exactly
        the pixels whose class is not 0.
    """
    problems = []
    try:
        store = open_store(path)
        complete, missing, _ = store.complete(), store.missing(), store.seeds
    except InputError as error:
        return [f"{error.source}: {error.problem}"]
    for index in complete.tolist():
        try:
            values = {name: store.load(name, index) for name in store.sample_arrays}
        except InputError as error:
            problems.append(f"{error.source}: {error.problem}")
            continue
        faults = contract.faults(values, len(store.classes))
        problems += [f"sample {index}: {fault}" for fault in faults]
    if len(missing):
        count = f"{len(missing)} of {store.samples} samples are incomplete"
        problems.append(f"{count}: run the same {_COMMAND[store.kind]} command again")
    return problems


def digest(path: Place) -> str:
    """SHA-256 over attributes, seeds and the complete samples, independent of compression.

    Raises
    ------
    InputError
        If the store cannot be opened, or a sample is damaged.
    """
    store = open_store(path)
    complete = store.complete()
    total = hashlib.sha256(json.dumps(store.attributes, sort_keys=True).encode())
    total.update(store.seeds.tobytes() + complete.tobytes())
    for name in store.sample_arrays:
        array = store.arrays[name]
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        for index in complete.tolist():
            total.update(store.load(name, index).tobytes())
    return total.hexdigest()
