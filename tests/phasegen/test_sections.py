"""Volumes, and sections through them that are samples of their own."""

import numpy as np
import pytest

from phasegen import campaign
from phasegen.errors import InputError
from phasegen.microscope import MicroscopeRanges
from phasegen.recipes import RECIPES, find
from phasegen.store import digest, open_store, verify

CUT = campaign.Simulation(
    recipe="spinodal",
    samples=5,
    shape=(32, 40, 48),
    slice=3,
    seed=3,
    parameters={"magnification": 2.0, "time": [60, 90], "composition": 0.4},
)


SLOW = {"gamma-prime"}

MANY = {
    "grains": {"grain_size": 14, "growth": 1.3, "groove": 2},
    "dual-phase": {"grain_size": 14, "island_size": 7, "groove": 2, "martensite": 0.2},
    "precipitates": {"nuclei": 9, "diameter": 9},
    "gamma-prime": {"cluster": 8, "nucleus_radius": 4, "nucleus_spacing": 8, "ageing_time": 4},
    "gamma-prime-rafted": {"spacing": 12, "ageing_time": 10, "creep_time": 0},
}
"""Small particles, so that a tiny volume holds several."""


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


def same_particles(a, b):
    """Whether two label images have the same background and the same parts, numbers aside."""
    first, second = {0: 0}, {0: 0}
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    return all(first.setdefault(i, j) == j and second.setdefault(j, i) == i for i, j in pairs)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in RECIPES]
)
def test_a_section_of_any_recipe_is_the_section_of_its_volume(name):
    """The volume is grown by the recipe alone, and cut here by plain indexing."""
    shape, seed = (32, 36, 40), 1
    recipe = find(name)
    given = {"magnification": 1.6} | MANY.get(name, {})
    drawn = recipe.ranges.load(**given).draw(np.random.default_rng(seed))
    drawn |= MicroscopeRanges().draw(np.random.default_rng(seed))
    _, mask, instance, fields = recipe.grow(drawn, shape, np.random.default_rng(seed))
    z = int(mask.std(axis=(1, 2))[1:].argmax()) + 1  # a plane with something in it
    settings = campaign.Simulation(recipe=name, shape=shape, slice=32, keep_fields=True)
    cut = [drawn | {"section": section} for section in (0, z)]
    sample = campaign.samples(settings, cut, seed)[1]

    assert (fields.shape, np.ptp(mask[z])) == ((recipe.fields, *shape), np.ptp(mask))
    np.testing.assert_array_equal(sample["mask"], mask[z])
    np.testing.assert_array_equal(sample["field"], fields[:, z].astype(np.float16))
    assert same_particles(sample["instance"], instance[z])
    numbers = np.unique(sample["instance"])
    np.testing.assert_array_equal(numbers[numbers > 0], 1 + np.arange(sample["instance"].max()))


def test_particles_are_compared_whatever_their_numbers():
    a = np.array([[1, 1, 0], [2, 0, 3]])
    assert same_particles(a, np.array([[7, 7, 0], [9, 0, 4]]))
    for other in ([[7, 7, 0], [7, 0, 4]], [[7, 8, 0], [9, 0, 4]], [[7, 7, 5], [9, 0, 4]]):
        assert not same_particles(a, np.array(other))


@pytest.mark.parametrize("shape", [64, (32, 64, 64)])
def test_more_sections_than_planes_are_refused(shape):
    with pytest.raises(InputError, match="33 sections need a volume at least as deep"):
        campaign.Simulation.load(shape=shape, slice=33)
