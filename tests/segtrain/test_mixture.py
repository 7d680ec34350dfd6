"""Mixtures: every source has its share of the patches, and the last one is what counts."""

from dataclasses import replace

import numpy as np
import pytest

from phasegen.errors import InputError
from segtrain import sources
from segtrain.data.patches import draw
from segtrain.sources import open_data
from segtrain.targets import TARGETS
from segtrain.train import train
from tests.segtrain.specimens import read, serve, settings, source


def coded(count, value):
    """A source whose weights tell that a patch is from it."""
    plain = source((16, 16), count, path=f"source {value}")

    def load(index):
        return replace(plain.load(index), weight=np.full((16, 16), value, np.float32))

    return replace(plain, load=load)


def shares(data, patches=400):
    """Share of the patches by the code of their source."""
    _, _, weights = draw(data.source, data.training, patches, 8, (0,), shares=data.shares)
    found, counts = np.unique(weights[:, 0, 0].numpy(), return_counts=True)
    return dict(zip(found.tolist(), (counts / patches).tolist(), strict=True))


@pytest.mark.parametrize("mix", [(0.8, 0.2), (8, 2)])
def test_patches_come_from_every_source_in_its_share(monkeypatch, mix):
    # By the number of images it would be 2 : 6.
    serve(monkeypatch, coded(2, 1.0), coded(7, 2.0))
    found = shares(open_data(settings(mix=mix)))
    deviation = np.sqrt(0.8 * 0.2 / 400)
    assert found[1.0] == pytest.approx(0.8, abs=4 * deviation)


def test_without_shares_every_image_has_the_same_chance(monkeypatch):
    serve(monkeypatch, coded(2, 1.0), coded(7, 2.0))
    data = open_data(settings())
    assert data.shares is None
    assert shares(data)[1.0] == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 400))


def test_a_source_without_a_share_is_not_drawn(monkeypatch):
    serve(monkeypatch, coded(3, 1.0), coded(3, 2.0), coded(3, 3.0))
    found = shares(open_data(settings(mix=(1, 0, 1))))
    assert found.keys() == {1.0, 3.0}


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    "mix", [(-1, 2), (0, 0), (NAN, 1), (1, NAN), (INFINITE, 1), (1, -INFINITE), (1e308, 1e308)]
)
def test_shares_that_are_none(monkeypatch, mix):
    serve(monkeypatch, coded(3, 1.0), coded(3, 2.0))
    with pytest.raises(InputError, match=r"--mix: .* are no shares"):
        open_data(settings(mix=mix))


def test_images_of_the_last_source_are_held_out_and_the_first_shots_of_it_used(monkeypatch):
    serve(monkeypatch, coded(3, 1.0), coded(6, 2.0))
    held = {}
    for shots in (0, 1, 3):
        data = open_data(settings(validation=2, shots=shots))
        assert data.training[:3] == [0, 1, 2]
        assert len(data.training) == 3 + (shots or 4)
        assert set(data.validation) < set(range(3, 9))
        assert not set(data.validation) & set(data.training)
        held[shots] = data
    # So that scores of few and of many shots compare.
    assert held[0].validation == held[1].validation == held[3].validation
    assert held[3].training == held[0].training[:6]
    assert held[1].training == held[0].training[:4]
    mixed = open_data(settings(validation=2, shots=1, mix=(0.5, 0.5)))
    assert mixed.shares == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_fields_follow_the_pixel_size_of_their_own_source(monkeypatch):
    square = source((24, 30), instances=True)
    flat = replace(source((24, 30), instances=True, seed=1), spacing=(3.0, 1.0))
    serve(monkeypatch, square, flat)
    data = open_data(settings(target="distance"))
    for place, one in ((1, square), (4, flat)):
        mask = one.load(1).mask
        expected = TARGETS["distance"](mask, one.spacing)
        np.testing.assert_array_equal(data.source.load(place).mask, expected)
    other = TARGETS["distance"](flat.load(1).mask, (1.0, 1.0))
    assert not np.array_equal(data.source.load(4).mask, other)


def test_instances_are_classes_unless_a_field_is_asked_for(monkeypatch):
    serve(monkeypatch, source(instances=True), source())
    data = open_data(settings())
    assert set(np.unique(data.source.load(0).mask)) == {0, 1}
    with pytest.raises(InputError, match="balls: has classes, and the target poisson needs"):
        open_data(settings(target="poisson"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"channels": 2}, "has 2 channels, balls 1"),
        ({"classes": ("a", "b", "c")}, "has 3 classes, balls 2"),
        ({"shape": (20, 20, 20)}, "has 3 axes, balls 2"),
    ],
)
def test_sources_that_do_not_go_together(monkeypatch, other, message):
    serve(monkeypatch, source(), source(**other))
    with pytest.raises(InputError, match=message):
        open_data(settings())


def test_a_run_records_all_its_sources(simulation, uneven, tmp_path, silent):
    mixed = settings(store=simulation, data=(str(uneven),), mix=(0.7, 0.3), patch=32, steps=1)
    train(mixed, tmp_path / "a", silent)
    found = read(tmp_path / "a")["sources"]
    assert [one["path"] for one in found] == [str(simulation), str(uneven)]


def test_a_store_elsewhere_is_no_format(monkeypatch):
    monkeypatch.setattr(sources, "from_store", lambda path, *_: str(path))
    monkeypatch.setattr(sources, "open_format", lambda text, _: f"format {text}")
    assert sources.open_source("s3://bucket/a.zarr", 32, False) == "s3://bucket/a.zarr"
    assert sources.open_source("folder:few", 32, False) == "format folder:few"


@pytest.mark.parametrize("text", [r"C:\data\a.zarr", "c:/data/a.zarr", "run:2.zarr"])
def test_a_colon_in_a_path_names_no_format(monkeypatch, tmp_path, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run:2.zarr").mkdir()
    monkeypatch.setattr(sources, "from_store", lambda path, *_: str(path))
    assert sources.open_source(text, 32, False) == text
