"""Volumes, and sections through them that are samples of their own."""

import numpy as np
import pytest

from phasegen import campaign
from phasegen.errors import InputError
from phasegen.recipes import find
from phasegen.store import digest, open_store, verify

CUT = campaign.Simulation(
    recipe="spinodal",
    samples=5,
    shape=(32, 40, 48),
    slice=3,
    seed=3,
    parameters={"magnification": 2.0, "time": [60, 90], "composition": 0.4},
)


def complete(path, settings=CUT, workers=1):
    return sorted(campaign.run(campaign.prepare(path, settings), workers))


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    path = tmp_path_factory.mktemp("sections") / "a.zarr"
    assert complete(path) == [0, 1, 2, 3, 4]
    return path


def test_a_volume_is_photographed_section_by_section(tmp_path):
    complete(tmp_path / "a.zarr", CUT.model_copy(update={"samples": 1, "slice": 0}))
    assert verify(tmp_path / "a.zarr") == []
    store = open_store(tmp_path / "a.zarr")
    sample, drawn = store.read(0), store.parameters[0]
    assert (sample.image.shape, sample.mask.shape) == ((1, 32, 40, 48), (32, 40, 48))
    for image, mask in zip(sample.image[0], sample.mask, strict=True):
        assert np.corrcoef(image.ravel(), mask.ravel())[0, 1] * np.sign(drawn["contrast"]) > 0.6


def test_sections_are_those_of_the_volume(cut):
    assert verify(cut) == []
    store = open_store(cut)
    assert (store.samples, store.shape) == (5, (40, 48))
    assert [d["section"] for d in store.parameters] == [0, 10, 21, 0, 10]
    assert len(set(store.seeds.tolist())) == 2
    for first in (0, 3):
        drawn = store.parameters[first]
        rng = np.random.default_rng(int(store.seeds[first]))
        phase, mask, instance, _ = find("spinodal").grow(drawn, CUT.shape, rng)
        for index in range(first, min(first + 3, 5)):
            z = store.parameters[index]["section"]
            sample = store.read(index)
            np.testing.assert_array_equal(sample.mask, mask[z])
            np.testing.assert_array_equal(sample.mask, phase[z] > 0.5)
            # The numbers differ, the particles do not.
            pairs = set(zip(instance[z].ravel(), sample.instance.ravel(), strict=True))
            assert len(pairs) == len(np.unique(instance[z])) == len(np.unique(sample.instance))


def test_sections_of_a_volume_share_the_recipe_and_not_the_microscope(cut):
    drawn = open_store(cut).parameters
    assert {d["time"] for d in drawn[:3]} == {drawn[0]["time"]} != {drawn[3]["time"]}
    assert len({d["blur"] for d in drawn}) == 5


def test_a_volume_that_was_cut_short_is_made_again(cut, tmp_path):
    first = campaign.run(campaign.prepare(tmp_path / "a.zarr", CUT), workers=1)
    assert next(first) == 0
    first.close()
    assert complete(tmp_path / "a.zarr") == [1, 2, 3, 4]
    assert digest(tmp_path / "a.zarr") == digest(cut)


def test_two_workers_cut_the_same_sections(cut, tmp_path):
    complete(tmp_path / "a.zarr", workers=2)
    assert digest(tmp_path / "a.zarr") == digest(cut)


@pytest.mark.parametrize("name", ["gamma-prime", "precipitates", "porous"])
def test_a_section_of_any_recipe_is_the_section_of_its_volume(name):
    volume = campaign.simulate(name, shape=(36, 36, 36), seed=1, magnification=1)
    section = volume.section(11)
    assert section.fields.shape == (find(name).fields, 36, 36)
    np.testing.assert_array_equal(section.mask, volume.mask[11])
    np.testing.assert_array_equal(section.instance > 0, volume.instance[11] > 0)
    assert section.instance.max() == len(np.unique(section.instance[section.instance > 0]))


@pytest.mark.parametrize("shape", [64, (32, 64, 64)])
def test_more_sections_than_planes_are_refused(shape):
    with pytest.raises(InputError, match="33 sections need a volume at least as deep"):
        campaign.Simulation.load(shape=shape, slice=33)
