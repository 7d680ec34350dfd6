"""A sound store, and a copy of it to spoil."""

import shutil
from pathlib import Path

import pytest

from tests.phasegen.stores import filled


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("store") / "a.zarr")


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "copy.zarr")
    return tmp_path / "copy.zarr"
