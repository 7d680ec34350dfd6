"""Before a translation starts: sizes of structures and pixels that no style can mend are told."""

import numpy as np
import pytest
import tifffile

from cyclegan.agreement import find_disagreements, size_ratio
from cyclegan.real import read_real
from phasegen import campaign
from phasegen.store import open_store


def simulate(path, magnification, **settings):
    parameters = {"magnification": magnification, "time": 100.0}
    one = campaign.Simulation(
        recipe="spinodal", samples=3, shape=256, seed=5, parameters=parameters, **settings
    )
    for _ in campaign.run(campaign.prepare(path, one), workers=1):
        pass
    return open_store(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of pictures whose pixels are a tenth of a micrometre."""
    path = tmp_path_factory.mktemp("folder")
    store = simulate(path / "hidden.zarr", 2.0)
    for index in range(store.samples):
        grey = (store.read(index).grey * 255).round().astype(np.uint8)
        written = path / f"{index}.tif"
        tifffile.imwrite(written, grey, imagej=True, resolution=(10, 10), metadata={"unit": "um"})
    return read_real(path, 64)


@pytest.mark.parametrize("magnification", [2.0, 3.5])
def test_the_ratio_of_sizes_is_that_of_the_magnifications(tmp_path, folder, magnification):
    store = simulate(tmp_path / "sim.zarr", magnification)
    assert size_ratio(folder.scenes, store) == pytest.approx(magnification / 2, rel=0.25)


def test_structures_of_another_size_are_told_and_the_remedy(tmp_path, folder):
    assert find_disagreements(folder, simulate(tmp_path / "same.zarr", 2.0)) == []
    (said,) = find_disagreements(folder, simulate(tmp_path / "large.zarr", 6.0))
    assert "times the size" in said
    assert f"phasegen simulate --match {folder.folder}" in said


def test_pixels_of_another_size_are_told(tmp_path, folder):
    store = simulate(tmp_path / "sim.zarr", 2.0)
    known = dict(store.attributes, unit="micrometer", pixel_size=0.1)
    object.__setattr__(store, "attributes", known)
    assert find_disagreements(folder, store) == []
    known["pixel_size"] = 0.2
    (said,) = find_disagreements(folder, store)
    assert "is 0.2 um, one of" in said
    assert said.endswith("--pixel-size 0.1")


def test_a_volume_is_looked_at_in_its_middle(tmp_path, folder):
    one = campaign.Simulation(
        recipe="spinodal",
        samples=1,
        shape=(32, 96, 96),
        parameters={"time": 100.0, "magnification": 2},
    )
    for _ in campaign.run(campaign.prepare(tmp_path / "volume.zarr", one), workers=1):
        pass
    assert 0.5 < size_ratio(folder.scenes, open_store(tmp_path / "volume.zarr")) < 2
