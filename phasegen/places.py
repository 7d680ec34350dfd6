"""Where a store lies: a folder on disk, or a URL of object storage that fsspec understands."""

import shutil
from pathlib import Path
from typing import Any

import fsspec

from phasegen.errors import InputError

Place = str | Path
"""A folder, or a URL such as ``s3://bucket/name.zarr``."""


def is_url(place: Place) -> bool:
    """Whether a place is on object storage rather than on disk."""
    return "://" in str(place)


def exists(place: Place) -> bool:
    """Whether there is anything at a place.

    Raises
    ------
    InputError
        If the storage cannot be reached, or the package for it is missing.
    """
    if not is_url(place):
        return Path(place).exists()
    files, path = _storage(place)
    try:
        return bool(files.exists(path))
    except Exception as error:
        raise unreachable(place, error) from None


def remove(place: Place) -> None:
    """Remove a store.

    Raises
    ------
    InputError
        If the storage refuses.
    """
    if not is_url(place):
        shutil.rmtree(place)
        return
    files, path = _storage(place)
    try:
        files.rm(path, recursive=True)
    except Exception as error:
        raise unreachable(place, error) from None


def unreachable(place: Place, error: Exception) -> InputError:
    """The error of a storage that does not answer as it should, or whose package is missing."""
    if isinstance(error, ImportError):
        problem = f"needs a package that is not there ({error})"
        return InputError(place, problem, "For s3:// it comes with pip install 'sim2sem[s3]'")
    said = " ".join(str(error).split()) or type(error).__name__
    remedy = "Check the address, and the key and endpoint in the environment"
    return InputError(place, f"cannot be reached ({said})", remedy)


def _storage(place: Place) -> tuple[Any, str]:
    try:
        files, path = fsspec.core.url_to_fs(str(place))
    except (ImportError, ValueError) as error:
        raise unreachable(place, error) from None
    return files, path
