"""Where the real data is; tests that need it skip, saying why, when it is absent."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("SIM2SEM_DATA", Path(__file__).parents[2] / "shared" / "data"))


def real(name: str) -> Path:
    """Folder of one real data set, or skip the calling test."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set SIM2SEM_DATA to the folder that holds {name}")
    return folder
