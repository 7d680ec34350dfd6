"""A store is honest about damage, and takes nothing that breaks its rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from phasegen.errors import InputError
from phasegen.store import digest, open_store, verify
from tests.phasegen.stores import SHAPE, N, edit, make, sample, tree


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [halve, flip, Path.unlink, lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("chunk", ["image/c/2/0/0/0", "mask/c/2/0/0", "instance/c/2/0/0"])
def test_damaged_chunks_are_reported(
    copy: Path, damage: Callable[[Path], object], chunk: str
) -> None:
    damage(copy / chunk)
    name = chunk.split("/", maxsplit=1)[0]
    with pytest.raises(InputError, match=f"{name}: sample 2 cannot be read"):
        open_store(copy).read(2)
    (problem,) = verify(copy)
    assert problem.startswith(f"{copy}/{name}: sample 2 cannot be read")
    with pytest.raises(InputError, match="sample 2"):
        digest(copy)


@pytest.mark.parametrize("damage", [halve, flip])
@pytest.mark.parametrize("chunk", ["state/c/2", "seed/c/0"])
def test_damaged_bookkeeping_is_reported(
    copy: Path, damage: Callable[[Path], object], chunk: str
) -> None:
    damage(copy / chunk)
    with pytest.raises(InputError, match="cannot be read"):
        digest(copy)
    assert len(verify(copy)) == 1


@pytest.mark.parametrize("damage", [halve, Path.unlink, lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("file", ["zarr.json", "image/zarr.json", "state/zarr.json"])
def test_damaged_metadata_is_reported(
    copy: Path, damage: Callable[[Path], object], file: str
) -> None:
    damage(copy / file)
    with pytest.raises(InputError) as refusal:
        open_store(copy)
    assert refusal.value.source == copy
    assert len(verify(copy)) == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema": 2}, "newer than 1"),
        ({"format": "other"}, "no sim2sem store"),
        ({"kind": "drawing"}, "kind"),
        ({"classes": None}, "classes"),
        ({"parameters": [{}]}, "1 parameters for 4 samples"),
        ({"arrays": ["image", "mask", "state"]}, "seed"),
    ],
)
def test_wrong_attributes_are_refused(copy: Path, changes: dict[str, Any], problem: str) -> None:
    edit(copy, **changes)
    with pytest.raises(InputError, match=problem):
        open_store(copy)
    (found,) = verify(copy)
    assert problem in found


def test_wrong_array_is_refused(copy: Path) -> None:
    group = zarr.open_group(copy)
    group.create_array("mask", shape=(N, 9, 9), chunks=(2, 9, 9), dtype="int16", overwrite=True)
    with pytest.raises(InputError, match=r"mask is int16 \(4, 9, 9\) in chunks of \(2, 9, 9\)"):
        open_store(copy)


@pytest.mark.parametrize("name", ["absent", "file", "empty"])
def test_what_is_no_store_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"does not exist|is not a store"):
        open_store(tmp_path / name)
    assert len(verify(tmp_path / name)) == 1


INVALID: list[tuple[str, Callable[[NDArray[Any]], NDArray[Any]], str]] = [
    ("image", lambda image: image * np.nan, "NaN"),
    ("image", lambda image: image + 1, "leave 0..1"),
    ("image", lambda image: image - 1, "leave 0..1"),
    ("mask", lambda mask: mask * 2, "mask value 2 has no class among 2"),
    ("mask", np.zeros_like, "instances do not cover"),
    ("mask", np.ones_like, "instances do not cover"),
    ("instance", lambda instance: instance * 2, "not numbered 1 to 4"),
    ("instance", lambda instance: instance * 2**31, "without gaps"),
]


@pytest.mark.parametrize(("name", "spoil", "problem"), INVALID)
def test_broken_rules_are_refused_on_writing_and_found_afterwards(
    copy: Path, name: str, spoil: Callable[[NDArray[Any]], NDArray[Any]], problem: str
) -> None:
    spoilt = sample(1)
    spoilt[name] = spoil(spoilt[name])
    before = tree(copy)
    with pytest.raises(ValueError, match=problem):
        open_store(copy, "r+").write(1, **spoilt)
    assert tree(copy) == before
    array = zarr.open_array(copy / name).with_config({"write_empty_chunks": True})
    array[1] = spoilt[name]
    problems = verify(copy)
    assert all(found.startswith("sample 1: ") for found in problems)
    assert any(problem in found for found in problems)


@pytest.mark.parametrize(
    "changes",
    [
        {"image": np.zeros(SHAPE, np.float32)},
        {"image": np.zeros((1, *SHAPE), np.uint8)},
        {"mask": np.zeros(SHAPE, np.float32)},
        {"mask": np.full(SHAPE, 257)},
        {"instance": np.full(SHAPE, -1)},
        {"instance": None},
        {"field": np.zeros((1, *SHAPE), np.float16)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    store = make(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match=r"is no sample of|a sample of"):
        store.write(0, **sample(0) | changes)
    assert store.complete().tolist() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": 5},
        {"samples": 0, "seeds": np.zeros(0, np.uint64), "parameters": []},
        {"seeds": np.zeros(1, np.uint64)},
        {"classes": []},
        {"shape": (24,)},
        {"shape": (24, 0)},
        {"image_dtype": "float64"},
        {"fields": -1},
        {"config": {"x": float("nan")}},
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"samples|sizes|parameters|JSON"):
        make(tmp_path / "a.zarr", **changes)
    assert not (tmp_path / "a.zarr").exists()
