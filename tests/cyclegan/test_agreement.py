"""Before a translation starts: sizes of structures and pixels that no style can mend are told."""

import numpy as np
import pytest
import tifffile

from cyclegan.agreement import compare_shapes, find_disagreements
from cyclegan.gap import morphology
from cyclegan.real import read_real
from phasegen import campaign
from phasegen.images import write_image
from phasegen.store import create, open_store


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
    ratio = compare_shapes(folder.scenes, store).size.difference
    assert ratio == pytest.approx(magnification / 2, rel=0.25)


def test_structures_of_another_size_are_told_and_the_remedy(tmp_path, folder):
    assert find_disagreements(folder, simulate(tmp_path / "same.zarr", 2.0)) == []
    (said,) = find_disagreements(folder, simulate(tmp_path / "large.zarr", 6.0))
    assert "times the real size" in said
    assert f"phasegen match {folder.folder}" in said


def test_what_gap_calls_off_is_told_from_the_same_bound(tmp_path, folder):
    # A magnification of 1.5 lies between the bound of `gap`, 1.4, and twice the size.
    store = simulate(tmp_path / "larger.zarr", 3.0)
    assert morphology.LARGEST < compare_shapes(folder.scenes, store).size.difference < 2
    (said,) = find_disagreements(folder, store)
    assert "structures are 1." in said


def test_a_reversed_contrast_is_told(tmp_path):
    """Discs on a store's images and on their negatives."""
    y, x = np.mgrid[:160, :160]
    masks = [((y + i) % 32 - 16) ** 2 + ((x + 3 * i) % 32 - 16) ** 2 < 81 for i in range(6)]
    store = create(
        tmp_path / "discs.zarr",
        samples=6,
        shape=(160, 160),
        classes=["matrix", "particle"],
        kind="simulation",
        seeds=list(range(6)),
        config={},
        parameters=[{}] * 6,
        instances=False,
    )
    for index, mask in enumerate(masks):
        noise = np.random.default_rng(index).normal(0, 0.03, mask.shape)
        grey = (0.35 + 0.3 * mask + noise).astype(np.float32)
        store.write(index, image=grey[None], mask=mask.astype(np.uint8))
        for name, one in (("like", grey), ("negative", 1 - grey)):
            (tmp_path / name).mkdir(exist_ok=True)
            write_image(tmp_path / name / f"{index}.png", (255 * one).round().astype(np.uint8))
    store = open_store(tmp_path / "discs.zarr")
    assert find_disagreements(read_real(tmp_path / "like", 64), store) == []
    (said,) = find_disagreements(read_real(tmp_path / "negative", 64), store)
    assert "the contrast is reversed" in said
    assert "times the" not in said
    assert f"phasegen match {tmp_path / 'negative'}" in said


def test_pixels_of_another_size_are_told(tmp_path, folder):
    store = simulate(tmp_path / "sim.zarr", 2.0)
    known = dict(store.attributes, unit="micrometer", pixel_size=0.1)
    object.__setattr__(store, "attributes", known)
    assert find_disagreements(folder, store) == []
    known["pixel_size"] = 0.2
    (said,) = find_disagreements(folder, store)
    assert "is 0.2 um, one of" in said
    assert f"--pixel-size 0.1, or choose the scale by phasegen match {folder.folder}" in said


def test_a_volume_is_looked_at_in_its_middle(tmp_path, folder):
    one = campaign.Simulation(
        recipe="spinodal",
        samples=1,
        shape=(32, 96, 96),
        parameters={"time": 100.0, "magnification": 2},
    )
    for _ in campaign.run(campaign.prepare(tmp_path / "volume.zarr", one), workers=1):
        pass
    found = compare_shapes(folder.scenes, open_store(tmp_path / "volume.zarr"))
    assert 0.5 < found.size.difference < 2
