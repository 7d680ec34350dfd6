"""Files and folders that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phasegen.errors import InputError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Write to a temporary name beside `path`, which takes its place when the block has ended.

    Raises
    ------
    InputError
        If the file system refuses.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        if partial.exists():
            partial.unlink()


def make_folder(path: Path) -> None:
    """Create a folder with its parents, if it is not there.

    Raises
    ------
    InputError
        If the file system refuses, or a file is in the way.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(path, "is a file, not a folder", "Choose another folder") from None
    except OSError as error:
        raise _refused(path, error) from None


def _refused(path: Path, error: OSError) -> InputError:
    problem = f"cannot be written ({error.strerror or error})"
    return InputError(path, problem, "Choose a place that you may write to, with space left")
