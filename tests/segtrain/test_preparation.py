"""Volumes to be segmented are prepared as those of the training were."""

import nibabel
import numpy as np
import pytest

from segtrain.config import Training
from segtrain.data.formats import open_format
from segtrain.data.medical import LITS_WINDOW, brats, lits, msd, nnunet
from segtrain.preparation import Preparation, preparation
from segtrain.volume_files import plan
from segtrain.volumes import predict_volumes
from tests.segtrain.scans import mask, save, voxels
from tests.segtrain.test_predict_volumes import Bright, model
from tests.segtrain.test_readers_medical import tumours
from tests.segtrain.test_readers_nnunet import mixed_spacings, raw

ONES, THICK = (1.0, 1.0, 1.0), (2.0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("settings", "spacing", "expected"),
    [
        ({"store": "sim.zarr"}, ONES, Preparation()),
        ({"data": ["msd:task,part=train"]}, ONES, Preparation(spacing=ONES)),
        ({"data": ["nnunet:task"]}, THICK, Preparation(spacing=THICK)),
        (
            {"data": ["nnunet:task,part=train,spacing=2:0.5:0.5"]},
            THICK,
            Preparation(spacing=THICK, resampled=True),
        ),
        ({"data": ["lits:task"]}, THICK, Preparation(LITS_WINDOW, spacing=THICK)),
        ({"data": ["brats:task"]}, ONES, Preparation(nonzero=True, spacing=ONES)),
        # Where a source of another kind comes first, that of the size is another one.
        ({"store": "sim.zarr", "data": ["msd:task"]}, ONES, Preparation()),
        (
            {"store": "sim.zarr", "data": ["msd:task,spacing=2:0.5:0.5"]},
            ONES,
            Preparation(spacing=THICK, resampled=True),
        ),
        ({"data": ["brats:task", "msd:task"]}, ONES, Preparation(spacing=ONES)),
        ({"data": ["s3://bucket/sim.zarr"]}, ONES, Preparation()),
        # A size that stacks state, or are said to have: they are never resampled.
        ({"data": ["folder-instances:nuclei"]}, ONES, Preparation()),
        (
            {"data": ["folder-instances:nuclei,spacing=2:0.5:0.5"]},
            THICK,
            Preparation(spacing=THICK),
        ),
    ],
)
def test_the_preparation_is_that_of_the_training(settings, spacing, expected):
    assert preparation(Training(**settings), spacing) == expected


class Recorder(Bright):
    """Remembers what it is shown, in one window larger than the volume."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x[0].numpy())
        return super().forward(x)


def livers(path):
    for number in range(2):
        save(path / f"volume-{number}.nii", 3 * voxels() - 1000)
        save(path / f"segmentation-{number}.nii", mask())


@pytest.mark.parametrize(
    ("make", "layout", "options"),
    [
        (lambda path: raw(path, {"background": 0, "a": 1, "b": 2}), nnunet, ""),
        (mixed_spacings, msd, ",spacing=1.5:0.8:1"),
        (tumours, brats, ""),
        (livers, lits, ""),
    ],
)
def test_the_network_is_shown_what_it_was_in_training(tmp_path, make, layout, options):
    make(tmp_path / "data")
    text = f"{layout.__name__}:{tmp_path / 'data'}{options}"
    source, network = open_format(text, 8), Recorder()
    cases = layout(tmp_path / "data").cases
    (tmp_path / "in").mkdir()
    for case in cases:
        for channel, path in enumerate(case.images):
            ending = path.name[path.name.index(".nii") :]
            (tmp_path / f"in/{case.name}_{channel:04d}{ending}").symlink_to(path)
    segmenter = model(
        source.channels,
        network,
        window=(16, 16, 16),
        prepared=preparation(Training(data=[text]), source.spacing),
    )
    predict_volumes(segmenter, plan(segmenter, tmp_path / "in", tmp_path / "out"))
    assert len(network.seen) == len(cases) == source.count
    for index, (case, seen) in enumerate(zip(cases, network.seen, strict=True)):
        wanted = source.load(index).image
        z, y, x = wanted.shape[1:]
        np.testing.assert_array_equal(seen[:, :z, :y, :x], wanted)
        (out,) = (tmp_path / "out").glob(f"{case.name}.nii*")
        assert nibabel.load(out).shape == nibabel.load(case.images[0]).shape
