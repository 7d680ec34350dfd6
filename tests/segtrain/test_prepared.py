"""Volumes that were prepared once are on disk, and patches are cut from there."""

import os

import numpy as np
import pytest
import torch

from phasegen.errors import InputError
from segtrain.data import cases
from segtrain.data.formats import open_format
from segtrain.data.patches import draw
from segtrain.data.prepared import prepared
from segtrain.data.source import Labelled
from tests.segtrain.scans import mask, save
from tests.segtrain.test_readers_medical import tumours


def opened(tmp_path, **options):
    words = ",".join(["", *(f"{name}={value}" for name, value in options.items())])
    return open_format(f"brats:{tmp_path / 'data'},cache={tmp_path / 'cache'}{words}", 4)


@pytest.fixture
def made(monkeypatch):
    """Names of the cases that were prepared."""
    names, load = [], cases._load

    def watched(case, *rest):
        names.append(case.name[-3:])
        return load(case, *rest)

    monkeypatch.setattr(cases, "_load", watched)
    return names


def test_volumes_are_prepared_once_and_are_the_same(tmp_path, made):
    tumours(tmp_path / "data")
    plain = open_format(f"brats:{tmp_path / 'data'}", 4)
    expected = [plain.load(index) for index in range(3)]
    made.clear()
    for _ in range(2):
        kept = opened(tmp_path)
        for index in (0, 1, 2, 0):
            read = kept.load(index)
            for name in ("image", "mask", "weight"):
                ours, theirs = (getattr(one, name) for one in (read, expected[index]))
                np.testing.assert_array_equal(ours, theirs)
                assert ours.dtype == theirs.dtype
    assert made == ["001", "002", "003"]
    batches = [draw(one, range(3), 4, 4, (0,), foreground=0.5) for one in (plain, kept)]
    for ours, theirs in zip(*batches, strict=True):
        assert torch.equal(ours, theirs)


def test_another_preparation_or_file_is_another_volume(tmp_path, made):
    tumours(tmp_path / "data")
    opened(tmp_path).load(1)
    assert opened(tmp_path, spacing="2:1:1").load(1).mask.shape == (2, 6, 6)
    assert opened(tmp_path, middle_slice="true").load(1).mask.shape == (6, 6)
    drawn = tmp_path / "data/MICCAI_Training/BraTS20_Training_002/BraTS20_Training_002_seg.nii"
    changed = mask((0, 1, 2, 4), (6, 6, 5))
    save(drawn, changed)
    os.utime(drawn, ns=(0, 0))
    read = opened(tmp_path).load(1)
    np.testing.assert_array_equal(read.mask == 1, changed[::-1, ::-1].T == 4)
    assert made == ["002"] * 4


def test_weights_are_kept_where_some_are_not_one(tmp_path):
    image, numbers = np.ones((1, 3, 4), np.float32), np.ones((3, 4), np.uint8)
    weight = np.ones((3, 4), np.float32)
    weight[1] = 0
    found = prepared(tmp_path / "a", lambda: Labelled(image, numbers, weight))
    np.testing.assert_array_equal(found.weight, weight)
    # What changes them changes no file.
    found.image[:] = 7
    again = prepared(tmp_path / "a", lambda: None)
    np.testing.assert_array_equal(again.image, image)


def test_what_fails_leaves_nothing(tmp_path):
    def fail():
        raise InputError("a.nii", "cannot be read", "Export it again")

    with pytest.raises(InputError, match=r"a\.nii"):
        prepared(tmp_path / "cache" / "a", fail)
    assert not (tmp_path / "cache").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "image.npy").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"b: cannot be used as a cache .*Remove it"):
        prepared(tmp_path / "b", fail)
