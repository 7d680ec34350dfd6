"""Samples that took long to prepare, on disk as arrays that patches are cut from without reading.

One folder for every sample: ``image.npy``, ``mask.npy``, and ``weight.npy`` where not all are 1.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from phasegen.errors import InputError
from phasegen.files import make_folder
from segtrain.data.source import Labelled


def key(files: Iterable[Path], *settings: object) -> str:
    """What a prepared sample depends on: its files, by path, size and time, and settings."""
    stated = [(str(one.resolve()), one.stat().st_size, one.stat().st_mtime_ns) for one in files]
    return hashlib.sha256(repr((stated, settings)).encode()).hexdigest()[:16]


def prepared(folder: Path, make: Callable[[], Labelled]) -> Labelled:
    """The sample of `folder`, which is made first if it is not there.

    Its arrays are memory maps: what a patch does not need is not read, and the operating system
    keeps what has been read as long as there is memory.

    Raises
    ------
    InputError
        If the folder cannot be written or read.
    """
    try:
        if not folder.exists():
            _write(folder, make())
        # Pages that are written to become private copies; the files stay as they are.
        image, mask = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in ("image", "mask")
        )
        if (folder / "weight.npy").exists():
            weight = np.asarray(np.load(folder / "weight.npy", mmap_mode="c"))
        else:
            weight = np.broadcast_to(np.float32(1), mask.shape)
    except (OSError, ValueError, EOFError) as error:
        problem = " ".join(f"cannot be used as a cache ({error})".split())
        raise InputError(folder, problem, "Remove it, free space, or name another cache") from None
    return Labelled(image, mask, weight)


def _write(folder: Path, sample: Labelled) -> None:
    make_folder(folder.parent)
    # A name of its own: several processes may prepare the same sample at once.
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        np.save(partial / "image.npy", sample.image)
        np.save(partial / "mask.npy", sample.mask)
        if (sample.weight != 1).any():
            np.save(partial / "weight.npy", sample.weight)
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
