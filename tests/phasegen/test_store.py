"""A store keeps its contract: exact, lazy, resumable and deterministic."""

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr

from phasegen.errors import InputError
from phasegen.store import digest, open_store, verify
from tests.phasegen.stores import SHAPE, N, edit, make, sample, tree


def test_samples_come_back_exactly(sound: Path) -> None:
    store = open_store(sound)
    assert verify(sound) == []
    assert (store.samples, store.shape, store.kind) == (N, SHAPE, "simulation")
    assert store.classes == ["matrix", "gamma prime"]
    assert store.config["temperature"] == [900.0, 1000.0]
    assert store.parameters[3] == {"fraction": pytest.approx(0.3), "steps": 3}
    assert store.seeds.tolist() == [2**63 + i for i in range(N)]
    assert {"sim2sem", "python", "numpy", "zarr"} <= store.attributes["software"].keys()
    for index in range(N):
        read, expected = store.read(index), sample(index)
        for name, array in expected.items():
            found = getattr(read, name)
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_volume_with_fields_and_without_instances(tmp_path: Path, dtype: str) -> None:
    shape = (5, 14, 16)
    store = make(
        tmp_path / "a.zarr", shape=shape, channels=2, image_dtype=dtype, instances=False, fields=3
    )
    rng = np.random.default_rng(0)
    image = rng.integers(0, np.iinfo(dtype).max, (2, *shape)).astype(dtype)
    field = rng.normal(size=(3, *shape)).astype(np.float16)
    store.write(2, image=image, mask=sample(0, shape)["mask"], field=field)
    read = store.read(2)
    assert read.instance is None
    assert read.image.dtype == dtype
    np.testing.assert_array_equal(read.image, image)
    np.testing.assert_array_equal(store.load("field", 2), field)
    assert store.complete().tolist() == [2]


def test_incomplete_samples_are_listed_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    store = make(path)
    assert store.missing().tolist() == [0, 1, 2, 3]
    for index in (2, 0):
        store.write(index, **sample(index))
    reopened = open_store(path, "r+")
    assert reopened.complete().tolist() == [0, 2]
    assert reopened.missing().tolist() == [1, 3]
    with pytest.raises(InputError, match=r"sample 1 is not complete.*simulate command again"):
        reopened.read(1)
    assert verify(path) == [
        "2 of 4 samples are incomplete: run the same simulate command again",
    ]


def test_state_turns_only_after_the_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(tmp_path / "a.zarr")
    store.write(1, **sample(1))
    real_set = zarr.Array.__setitem__

    def killed(array: Any, key: Any, value: Any) -> None:
        if array.name == "/instance":
            raise KeyboardInterrupt
        real_set(array, key, value)

    monkeypatch.setattr(zarr.Array, "__setitem__", killed)
    for index in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            store.write(index, **sample(index))
    # Neither the new sample nor the one that was being replaced counts as whole.
    assert store.complete().tolist() == []


def test_a_killed_create_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Group, "update_attributes", killed)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
    with pytest.raises(InputError, match="no sim2sem store"):
        open_store(next(tmp_path.iterdir()))
    make(tmp_path / "a.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_same_calls_same_files(sound: Path, tmp_path: Path) -> None:
    twin = make(tmp_path / "twin.zarr")
    for index in reversed(range(N)):
        twin.write(index, **sample(index))
    assert tree(sound) == tree(tmp_path / "twin.zarr")
    assert digest(sound) == digest(tmp_path / "twin.zarr")


def test_every_sample_has_files_of_its_own(sound: Path) -> None:
    for name in ("image", "mask", "instance", "state"):
        assert sorted(path.name for path in (sound / name / "c").iterdir()) == ["0", "1", "2", "3"]
    before = tree(sound)
    twin = sound.with_name("twin.zarr")
    shutil.copytree(sound, twin)
    open_store(twin, "r+").write(3, **sample(0))
    changed = {name for name, content in tree(twin).items() if content != before[name]}
    assert changed
    assert all(name.split("/")[2] == "3" for name in changed)


def test_parallel_writers(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    make(path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: open_store(path, "r+").write(i, **sample(i)), range(N)))
    assert tree(path) == tree(sound)


def test_a_store_travels_to_other_processes(sound: Path, tmp_path: Path) -> None:
    store = pickle.loads(pickle.dumps(open_store(sound)))
    np.testing.assert_array_equal(store.read(2).image, sample(2)["image"])
    blank = sample(1)
    blank["mask"][:], blank["instance"][:] = 0, 0
    writer = pickle.loads(pickle.dumps(make(tmp_path / "a.zarr")))
    writer.write(0, **blank)
    np.testing.assert_array_equal(writer.read(0).mask, 0)


def test_reading_touches_one_sample_only(copy: Path) -> None:
    for name in ("image", "mask", "instance"):
        for other in (0, 1, 3):
            shutil.rmtree(copy / name / "c" / str(other))
    np.testing.assert_array_equal(open_store(copy).read(2).image, sample(2)["image"])


def test_plain_zarr_opens_it(sound: Path) -> None:
    group = zarr.open_group(sound, mode="r")
    assert group.attrs["classes"] == ["matrix", "gamma prime"]
    image: Any = group["image"]
    assert image.metadata.zarr_format == 3
    assert image.chunks == (1, 1, *SHAPE)
    assert [codec.to_dict()["name"] for codec in image.compressors] == ["zstd"]
    np.testing.assert_array_equal(image[1], sample(1)["image"])


def test_url_store() -> None:
    url = "memory://bucket/a.zarr"
    store = make(url)
    store.write(1, **sample(1))
    np.testing.assert_array_equal(open_store(url).read(1).image, sample(1)["image"])
    assert verify(url) == ["3 of 4 samples are incomplete: run the same simulate command again"]
    with pytest.raises(InputError, match="exists already"):
        make(url)
    fsspec.filesystem("memory").rm("/bucket", recursive=True)
    with pytest.raises(InputError, match="memory://bucket"):
        open_store(url)


def test_indices_outside_are_refused(sound: Path) -> None:
    store = open_store(sound)
    for index in (-1, N):
        with pytest.raises(IndexError):
            store.read(index)
        with pytest.raises(IndexError):
            store.write(index, **sample(0))


def test_places_that_cannot_take_a_store_are_refused(sound: Path, tmp_path: Path) -> None:
    before = tree(sound)
    with pytest.raises(InputError, match="exists already"):
        make(sound)
    assert tree(sound) == before
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be created"):
        make(tmp_path / "file" / "a.zarr")


def test_digest_follows_the_content(sound: Path, copy: Path, tmp_path: Path) -> None:
    assert digest(copy) == digest(sound)
    changed = sample(1)
    changed["image"][0, 0, 0] = 0.5
    open_store(copy, "r+").write(1, **changed)
    assert digest(copy) != digest(sound)
    open_store(copy, "r+").write(1, **sample(1))
    assert digest(copy) == digest(sound)
    edit(copy, pixel_size=2.0)
    assert digest(copy) != digest(sound)
