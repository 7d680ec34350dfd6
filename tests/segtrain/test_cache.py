"""What is kept in memory: at most the budget, of all sources together, the latest first."""

import gc
import threading

import numpy as np
import pytest

from phasegen.images import write_image
from segtrain.data import cache
from segtrain.data.cache import Cache
from segtrain.data.readers import from_folders, from_store
from segtrain.data.source import with_field
from tests.segtrain.specimens import source


def counting(cache, sizes):
    """A function that makes arrays of these bytes, and what it was asked for."""
    asked = []

    def make(index):
        asked.append(index)
        return np.full(sizes[index], index, np.uint8)

    return cache.cached(make), asked


def test_the_latest_that_fit_are_kept():
    kept = Cache(100)
    get, asked = counting(kept, [40, 40, 30, 10])
    for index in (0, 1, 0, 2, 0, 1, 3):
        assert (get(index) == index).all()
    assert asked == [0, 1, 2, 1, 3]  # 2 has replaced 1, and 1 has replaced 2
    assert kept.bytes == 90


def test_what_is_larger_than_the_budget_is_kept_alone():
    kept = Cache(100)
    get, asked = counting(kept, [500, 40])
    for index in (1, 0, 0, 0, 1):
        get(index)
    assert (asked, kept.bytes) == ([1, 0, 1], 40)


def test_all_sources_share_one_budget_until_they_end():
    kept = Cache(100)
    (first, asked), (second, others) = (counting(kept, [60, 30]) for _ in range(2))
    for get in (first, second, first):
        get(0)
    assert (asked, others, kept.bytes) == ([0, 0], [0], 60)
    second(1)
    del first, get
    gc.collect()
    assert kept.bytes == 30


def test_threads_may_share_it():
    kept = Cache(1000)
    get, _ = counting(kept, [150] * 20)

    def use(seed):
        for index in np.random.default_rng(seed).integers(0, 20, 2000):
            assert get(index)[0] == index

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.bytes == sum(one.nbytes for one in kept._items.values()) == 900


@pytest.fixture
def small(monkeypatch):
    """The cache of the process with a budget of a few images."""
    gc.collect()
    monkeypatch.setattr(cache.CACHE, "budget", 300_000)
    return cache.CACHE


def test_a_small_image_first_does_not_tell_the_size_of_all(tmp_path, small):
    for one in ("images", "masks"):
        (tmp_path / one).mkdir()
    rng = np.random.default_rng(0)
    for number, side in enumerate((40, 120, 120, 120, 120)):
        image = rng.integers(0, 255, (side, side), np.uint8)
        write_image(tmp_path / "images" / f"{number}.png", image)
        write_image(tmp_path / "masks" / f"{number}.png", image // 200)
    folder = from_folders(tmp_path / "images", tmp_path / "masks", 32)
    for index in range(5):
        folder.load(index)
    assert 9 * 120**2 <= small.bytes <= 300_000


def test_stores_and_fields_are_bounded_too(simulation, small):
    images = from_store(simulation, 32)  # 6 of 96 x 96 pixels, 9 bytes each
    for index in range(6):
        images.load(index)
    assert small.bytes <= 300_000
    fields = with_field(source((96, 96), 9, instances=True), lambda mask, _: mask.astype("f4"))
    for index in range(9):
        fields.load(index)
    assert small.bytes <= 300_000


def test_places_are_looked_for_once(small):
    given = source((40, 40), 2)
    assert given.places(1) is given.places(1)
    assert not np.array_equal(given.places(0), given.places(1))
