"""What the configuration of a training says of how volumes were prepared for it."""

import pytest

from segtrain.config import Training
from segtrain.data.medical import LITS_WINDOW
from segtrain.preparation import Preparation, preparation

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
