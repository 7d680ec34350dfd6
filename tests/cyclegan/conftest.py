"""Stores that the translation refuses."""

import numpy as np
import pytest

from phasegen.store import create


@pytest.fixture
def blank(tmp_path):
    """Function that writes a store without boundaries: ``blank(channels, shape) -> Path``."""

    def blank(channels, shape):
        path = tmp_path / "blank.zarr"
        store = create(
            path,
            samples=1,
            channels=channels,
            shape=shape,
            classes=["matrix", "particle"],
            kind="simulation",
            seeds=[0],
            config={},
            parameters=[{}],
            instances=False,
        )
        image = np.random.default_rng(0).random((channels, *shape), np.float32)
        store.write(0, image=image, mask=np.zeros(shape, np.uint8))
        return path

    return blank
