"""Masks for folders of volumes: TIFF stacks, NIfTI files, and Zarr arrays larger than memory."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phasegen.errors import InputError
from phasegen.files import make_folder
from segtrain.config import CLASSES
from segtrain.data.nifti import read_images, write_like
from segtrain.data.scans import read_scan
from segtrain.decode import decode
from segtrain.label_images import numbered, write_labels
from segtrain.predict import Segmenter, segment_planes
from segtrain.preparation import zoomed
from segtrain.stream import predict_volume
from segtrain.volume_files import LAZY, MEDICAL, Job, open_array

WIDEST = 512
"""Largest side, along y and x, of the chunks that are written."""

Advance = Callable[[int, str], object]
"""Called with a number of planes that are done and the name of their volume."""


def predict_volumes(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    advance: Advance = lambda planes, name: None,
    confidence: bool = True,
) -> None:
    """Write a mask for every volume, and a map of confidence for every mask of classes.

    Both have the format, the shape and, of NIfTI, the axes and affine of the volume. Class indices
    have 8 bits, instance numbers 16; of Zarr arrays, which are not held in memory, the field of
    instances is written instead. Confidence is the probability of the predicted class, 0 to 255.

    Parameters
    ----------
    segmenter : Segmenter
        A network for volumes.
    jobs : sequence of Job
        See `plan`.
    advance : callable
        Shows progress, in planes as the network is shown them: ``job.shape[0]`` for every job.
    confidence : bool
        Whether to write maps of confidence.

    Raises
    ------
    InputError
        If a volume is damaged or holds NaN, or a mask cannot be written.
    """
    confidence = confidence and segmenter.target == CLASSES
    for job in jobs:
        for path in (job.target, *([job.confidence] if confidence else [])):
            make_folder(path.parent)

        def done(planes: int, name: str = job.target.name) -> None:
            advance(planes, name)

        (_stream if job.kind == LAZY else _segment)(segmenter, job, confidence, done)
    if segmenter.target != CLASSES and jobs and jobs[0].kind == LAZY:
        logging.getLogger(__name__).warning(
            "%s holds the field that the model predicts, not instances: find these in parts that "
            "fit in memory, with segtrain.decode.decode",
            jobs[0].target.parent,
        )


def _segment(
    segmenter: Segmenter, job: Job, confidence: bool, advance: Callable[[int], object]
) -> None:
    """Segment a volume in memory; one that was resampled gets its mask on its own voxels."""
    medical = job.kind == MEDICAL
    channels = read_images(job.files) if medical else [read_scan(job.files[0])]
    stored = channels[0].shape
    normalised = (segmenter.prepared.normalised(channel) for channel in channels)
    image = np.stack([zoomed(channel, job.shape, 1) for channel in normalised])
    labels: NDArray[Any] = np.zeros(
        job.shape, np.uint8 if segmenter.target == CLASSES else np.float32
    )
    sure = np.zeros(job.shape, np.uint8) if confidence else None
    segment_planes(segmenter, image, labels, sure, advance=advance)
    if segmenter.target != CLASSES:
        labels = numbered(job.target, decode(labels, **asdict(segmenter.decoding)))
    for path, values in ((job.target, labels), (job.confidence, sure)):
        if values is None:
            continue
        if medical:
            write_like(path, zoomed(values, stored, 0), job.files[0])
        else:
            write_labels(path, values)


def _stream(
    segmenter: Segmenter, job: Job, confidence: bool, advance: Callable[[int], object]
) -> None:
    """Segment a volume on disk."""
    source = open_array(job.files[0])
    chosen = segmenter.target == CLASSES
    sides = (max(1, segmenter.window[0] // 2), WIDEST, WIDEST)
    chunks = tuple(min(pair) for pair in zip(job.shape, sides, strict=True))
    with ExitStack() as stack:

        def create(path: Path, dtype: str, **attributes: Any) -> Any:
            partial = stack.enter_context(_written_whole(path))
            return zarr.create_array(
                partial, shape=job.shape, chunks=chunks, dtype=dtype, attributes=attributes
            )

        if chosen:
            out = create(job.target, "u1", classes=list(segmenter.classes))
        else:
            out = create(job.target, "f4", field=segmenter.target)
        sure = create(job.confidence, "u1") if confidence else None
        predict_volume(segmenter, source, out, sure, advance=advance, name=job.files[0])


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """Like `phasegen.files.written_whole`, for a folder."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        yield partial
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        remedy = "Choose a place that you may write to, with space left"
        raise InputError(path, problem, remedy) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
