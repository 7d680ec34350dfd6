"""BraTS and LiTS, from files as they are published to the scores of a network in 3D."""

import numpy as np
import pytest

from segtrain.evaluate import evaluate_source
from segtrain.predict import load_segmenter
from segtrain.sources import open_source
from segtrain.train import train
from tests.segtrain.scans import RNG, save
from tests.segtrain.specimens import read, settings
from tests.segtrain.test_readers_medical import tumours

SHAPE = (18, 20, 12)
"""Voxels along x, y, z."""


def livers(path):
    """CT in Hounsfield units with a liver and a tumour within, in two batches as published."""
    for number in range(3):
        batch = path / f"Training Batch {1 + number // 2}"
        drawn = np.zeros(SHAPE, np.uint8)
        drawn[4:14, 5:15, 3:9] = 1
        drawn[8:11, 8:11, 5:7] = 2
        image = RNG.normal(0, 20, SHAPE) + np.array([-300, 100, 40])[drawn]
        save(batch / f"volume-{number}.nii", image.astype(np.int16))
        save(batch / f"segmentation-{number}.nii", drawn)


LAYOUTS = {
    "brats 2020": ("brats", lambda path: tumours(path, 2020, 3, SHAPE), 4, 4),
    "brats 2023": ("brats", lambda path: tumours(path, 2023, 3, SHAPE), 4, 4),
    "lits": ("lits", livers, 1, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cache", [False, True])
def test_tumours_are_learned_and_scored_in_three_dimensions(tmp_path, silent, layout, cache):
    name, make, channels, classes = LAYOUTS[layout]
    make(tmp_path / "data")
    data = f"{name}:{tmp_path / 'data'}" + f",cache={tmp_path / 'cache'}" * cache
    config = settings(data=(data,), steps=2, foreground=0.5, model="unet3d", patch=(8, 16, 16))
    best = train(config, tmp_path / "run", silent)
    known = read(best.parent)
    assert (known["channels"], len(known["classes"])) == (channels, classes)
    assert known["spacing"] == [1, 1, 1]
    volumes = open_source(data, config.patch, False)
    found = evaluate_source(load_segmenter(best, "cpu"), volumes, 2.0)
    assert sorted(found.scores) == sorted(volumes.names)
    assert all(0 <= row["dice"] <= 1 for row in found.scores.values())
    assert len(list((tmp_path / "cache").glob("*/image.npy"))) == 3 * cache
