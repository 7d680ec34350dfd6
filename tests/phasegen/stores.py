"""Small stores that the tests of the data contract share."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasegen.store import Store, create

SHAPE = (24, 20)
N = 4


def make(path: str | Path, **changes: Any) -> Store:
    seeds = np.arange(N, dtype=np.uint64) + np.uint64(2**63)
    options: dict[str, Any] = {
        "samples": N,
        "shape": SHAPE,
        "classes": ["matrix", "gamma prime"],
        "kind": "simulation",
        "seeds": seeds,
        "config": {"recipe": "ni_superalloy", "temperature": [900.0, 1000.0]},
        "parameters": [{"fraction": np.float64(0.1) * i, "steps": np.int64(i)} for i in range(N)],
    }
    return create(path, **options | changes)


def sample(index: int, shape: tuple[int, ...] = SHAPE) -> dict[str, NDArray[Any]]:
    """Two particles, the second higher for higher indices."""
    rng = np.random.default_rng(index)
    instance = np.zeros(shape, dtype=np.uint32)
    instance[..., 2:6, 3:9] = 1
    instance[..., 10 : 12 + index, 3:9] = 2
    return {
        "image": rng.random((1, *shape), dtype=np.float32),
        "mask": (instance > 0).astype(np.uint8),
        "instance": instance,
    }


def filled(path: Path) -> Path:
    store = make(path)
    for index in range(N):
        store.write(index, **sample(index))
    return path


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def edit(path: Path, **changes: Any) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"] |= changes
    (path / "zarr.json").write_text(json.dumps(metadata))
