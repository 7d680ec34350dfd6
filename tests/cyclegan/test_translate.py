"""Whole stores and folders: masks untouched, provenance recorded, interrupted and resumed."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from cyclegan.geometry import Drift, Edges
from cyclegan.model import fit_model, load_model, translate
from cyclegan.settings import Translation
from cyclegan.translate import (
    Geometry,
    GreyScale,
    find_damage,
    measure_change,
    measure_geometry,
    prepare,
    translate_folder,
    translate_store,
)
from phasegen.errors import InputError
from phasegen.images import read_micrograph, write_image
from phasegen.store import create, digest, open_store, verify


@pytest.fixture(scope="module")
def model(tmp_path_factory, simulation, real, silent):
    config = Translation(sim=simulation, real=real.images, device="cpu")
    return load_model(fit_model(config, tmp_path_factory.mktemp("fda"), silent), "cpu")


@pytest.fixture(scope="module")
def translated(tmp_path_factory, model, simulation):
    path = tmp_path_factory.mktemp("translated") / "deep" / "sem.zarr"
    source = open_store(simulation)
    assert list(translate_store(model, source, prepare(model, source, path))) == list(range(6))
    return path


def test_everything_but_the_image_is_that_of_the_simulation(translated, simulation):
    assert verify(translated) == []
    ours, theirs = open_store(translated), open_store(simulation)
    assert ours.kind == "translation"
    assert (ours.classes, ours.parameters) == (theirs.classes, theirs.parameters)
    np.testing.assert_array_equal(ours.seeds, theirs.seeds)
    for index in range(ours.samples):
        found, source = ours.read(index), theirs.read(index)
        np.testing.assert_array_equal(found.mask, source.mask)
        np.testing.assert_array_equal(found.instance, source.instance)
        assert np.abs(found.grey - source.grey).mean() > 0.01


def test_each_image_is_translated_with_its_own_index(translated, model, simulation):
    store, source = open_store(translated), open_store(simulation)
    for index in (0, 4):
        expected = GreyScale.of(model).stored(translate(model, source.read(index).grey, index))
        np.testing.assert_array_equal(store.load("image", index)[0], expected)


def test_parents_are_recorded(translated, model, simulation, real):
    store, translation = open_store(translated).attributes["parents"]
    assert store == {"kind": "store", "path": str(simulation), "digest": digest(simulation)}
    assert translation["method"] == "fda"
    assert translation["real"]["folder"] == str(real.images)
    assert [one["name"] for one in translation["real"]["files"]] == [f"{n}.tif" for n in range(4)]
    assert translation["fingerprint"] == model.record["fingerprint"]
    assert open_store(translated).config == model.config.model_dump(mode="json")


def test_an_interrupted_translation_goes_on_and_equals_the_whole(
    translated, model, simulation, tmp_path
):
    source, path = open_store(simulation), tmp_path / "sem.zarr"
    steps = translate_store(model, source, prepare(model, source, path))
    assert [next(steps), next(steps)] == [0, 1]
    steps.close()
    assert open_store(path).complete().tolist() == [0, 1]
    assert list(translate_store(model, source, prepare(model, source, path))) == [2, 3, 4, 5]
    assert digest(path) == digest(translated)


def test_a_translation_of_something_else_is_not_continued(
    translated, model, simulation, real, silent, tmp_path
):
    config = Translation(sim=simulation, real=real.images, seed=1)
    other = load_model(fit_model(config, tmp_path, silent), "cpu")
    with pytest.raises(InputError, match=r"another store or by another model.*--overwrite"):
        prepare(other, open_store(simulation), translated)
    again = shutil.copytree(translated, tmp_path / "sem.zarr")
    assert prepare(other, open_store(simulation), again, overwrite=True).missing().size == 6


def test_what_is_no_store_is_not_overwritten(model, simulation, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="is not a store"):
        prepare(model, open_store(simulation), tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


def test_an_unfinished_simulation_is_refused(model, simulation, tmp_path):
    path = shutil.copytree(simulation, tmp_path / "sim.zarr")
    open_store(path, "r+").arrays["state"][3] = 0
    with pytest.raises(InputError, match="is unfinished"):
        prepare(model, open_store(path), tmp_path / "sem.zarr")
    assert not (tmp_path / "sem.zarr").exists()


def test_channels_are_refused(blank, model, tmp_path):
    source = open_store(blank(2, (32, 32)))
    with pytest.raises(InputError, match="2 channels"):
        prepare(model, source, tmp_path / "sem.zarr")
    assert not (tmp_path / "sem.zarr").exists()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integer_stores_are_read_on_the_scale_of_floats(model, simulation, tmp_path, dtype):
    source, top = open_store(simulation), np.iinfo(dtype).max
    store = create(
        tmp_path / "sim.zarr",
        samples=1,
        shape=source.shape,
        classes=source.classes,
        kind="simulation",
        seeds=source.seeds[:1],
        config={},
        parameters=source.parameters[:1],
        image_dtype=dtype,
        instances=False,
    )
    sample = source.read(0)
    image = (sample.image * top).round().astype(dtype)
    store.write(0, image=image, mask=sample.mask)
    target = prepare(model, store, tmp_path / "sem.zarr")
    list(translate_store(model, store, target))
    # Not that of the floats: where a frequency is weak, rounding may turn its phase.
    scale, grey = GreyScale.of(model), translate(model, image[0] / np.float32(top), 0)
    np.testing.assert_allclose(target.load("image", 0)[0], scale.native(grey), atol=1)


def test_the_learned_change_is_what_the_generator_adds(model, simulation):
    source = open_store(simulation)
    assert measure_change(model, source) == 0
    brighter = replace(model, generator=Brighter(0.02))
    # Where the image is white already, nothing can be added.
    assert 0.015 < measure_change(brighter, source) <= 0.02 + 1e-6


class Brighter(torch.nn.Module):
    """A generator that adds a constant."""

    halo, multiple = 0, 4

    def in_windows(self):
        """Nothing changes: it looks at single pixels."""

    def __init__(self, grey):
        super().__init__()
        self.grey = grey

    def forward(self, x):
        return x + self.grey


def test_geometry_is_measured_before_and_after(translated, simulation):
    geometry = measure_geometry(open_store(simulation), open_store(translated))
    assert list(geometry) == ["simulated", "translated"]
    for drift, edges in geometry.values():
        assert abs(drift.shift) <= 0.25
        assert drift.median < 1
        assert edges.found > 0.9
    assert find_damage(geometry) == []


SOUND = Geometry(Drift(0.0, 0.25, 1.0), Edges(0.98, 0.1))


@pytest.mark.parametrize(
    ("drift", "edges", "said"),
    [
        (Drift(0.25, 0.5, 1.5), Edges(0.95, 0.15), []),
        (Drift(0.75, 0.75, 1.5), SOUND.edges, ["moved boundaries"]),
        (Drift(-0.75, 0.75, 1.5), SOUND.edges, ["moved boundaries"]),
        (Drift(0.0, 0.5, 2.5), SOUND.edges, ["moved boundaries"]),
        (SOUND.drift, Edges(0.6, 0.1), ["only 60% of the boundaries"]),
        (SOUND.drift, Edges(0.98, 0.4), ["40% of the edges belong to no boundary"]),
    ],
)
def test_what_happens_to_boundaries_is_told(drift, edges, said):
    found = find_damage({"simulated": SOUND, "translated": Geometry(drift, edges)})
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


def test_a_translation_that_smears_is_told(simulation, tmp_path):
    source = open_store(simulation)
    target = open_store(shutil.copytree(simulation, tmp_path / "smeared.zarr"), "r+")
    for index in range(target.samples):
        sample = source.read(index)
        image = ndimage.gaussian_filter(sample.grey, 12)[None]
        target.write(index, image=image, mask=sample.mask, instance=sample.instance)
    assert any(
        "can still be seen" in line for line in find_damage(measure_geometry(source, target))
    )


def native(model, dtype, low, high):
    files = [{"dtype": dtype, "low": low, "high": high}] * 2
    return replace(model, record={**model.record, "real": {"files": files}})


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 60.0, 180.0), ("uint16", 900.0, 3100.0)]
)
def test_grey_values_are_those_of_the_real_images(model, simulation, tmp_path, dtype, low, high):
    source, model = open_store(simulation), native(model, dtype, low, high)
    target = prepare(model, source, tmp_path / "sem.zarr")
    list(translate_store(model, source, target))
    image = target.load("image", 0)[0]
    assert image.dtype == dtype
    margin = 0.25 * (high - low)
    expected = low - margin + (high - low + 2 * margin) * translate(model, source.read(0).grey, 0)
    np.testing.assert_allclose(image, expected.clip(0), atol=0.501)


def test_a_volume_has_one_style_in_all_its_planes(model, blank, simulation, tmp_path):
    planes = np.stack([open_store(simulation).read(0).grey[:64, :64]] * 4)
    source = open_store(blank(1, planes.shape))
    open_store(source.path, "r+").write(0, image=planes[None], mask=np.zeros(planes.shape, "u1"))
    target = prepare(model, source, tmp_path / "sem.zarr")
    assert list(translate_store(model, source, target)) == [0]
    image = target.load("image", 0)[0]
    assert image.shape == planes.shape
    np.testing.assert_array_equal(image, np.stack([image[0]] * 4))
    assert verify(tmp_path / "sem.zarr") == []


@pytest.mark.parametrize(("low", "high"), [(3800.0, 7520.0), (-2.0, -1.5)])
def test_floats_keep_the_range_of_the_real_images_in_files_and_are_shares_in_stores(
    model, simulation, real, tmp_path, low, high
):
    model, source = native(model, "float32", low, high), open_store(simulation)
    target = prepare(model, source, tmp_path / "sem.zarr")
    assert next(translate_store(model, source, target)) == 0
    share = translate(model, source.read(0).grey, 0)
    np.testing.assert_array_equal(target.load("image", 0)[0], share)
    margin = 0.25 * (high - low)
    for path in translate_folder(model, real.images, tmp_path / "out"):
        image = read_micrograph(path)
        assert image.dtype == np.float32
        assert low - margin <= image.pixels.min() < low + 0.2 * (high - low)
        assert high - 0.2 * (high - low) < image.pixels.max() <= high + margin


def with_bar(grey):
    """8-bit pixels with an info bar of 16 rows."""
    bar = np.zeros((16, grey.shape[1]), np.uint8)
    bar[5:11, 8:72:4] = 255
    return np.vstack([(grey / 257).astype(np.uint8), bar])


def test_a_folder_becomes_16_bit_files_of_the_same_names(model, real, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out" / "deep"
    shutil.copytree(real.images, folder)
    grey = read_micrograph(folder / "0.tif").pixels
    write_image(folder / "x.png", with_bar(grey))
    written = list(translate_folder(model, folder, out))
    assert [path.name for path in written] == ["0.tif", "1.tif", "2.tif", "3.tif", "x.tif"]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in written)
    for path in written:
        image = read_micrograph(path)
        assert image.dtype == np.uint16
        assert image.scene.shape == (96, 80)
        assert image.pixels.std() > 1000
    assert image.bar == 16  # so that masks fit as before
    text = image.pixels[96:] == image.pixels[96:].max()
    np.testing.assert_array_equal(text, with_bar(grey)[96:] == 255)


def test_marks_do_not_count_for_the_grey_scale(model, real, tmp_path):
    """As in the style: a saturated area would press all else into a part of the range."""
    pixels = read_micrograph(real.images / "0.tif").pixels.astype(np.uint16)
    burnt = pixels.copy()
    burnt[:30, :30] = 65535
    for name, image in (("plain", pixels), ("burnt", burnt)):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "0.tif", image)
    model = replace(
        model, config=model.config.model_copy(update={"method": "cut", "start": "none"})
    )
    plain, marked = (
        read_micrograph(next(translate_folder(model, tmp_path / name, tmp_path / f"new {name}")))
        for name in ("plain", "burnt")
    )
    rest = np.s_[40:, 40:]
    contrast = np.ptp(marked.pixels[rest]) / np.ptp(plain.pixels[rest])
    assert contrast == pytest.approx(1, abs=0.1)


def test_a_file_more_changes_no_other(model, real, tmp_path):
    """Styles are drawn from names."""
    first = list(translate_folder(model, real.images, tmp_path / "first"))
    more = shutil.copytree(real.images, tmp_path / "more")
    shutil.copy(more / "0.tif", more / "00.tif")
    shutil.copy(more / "0.tif", more / "1a.tif")
    for path in translate_folder(model, more, tmp_path / "second"):
        same = [one for one in first if one.name == path.name]
        assert all(one.read_bytes() == path.read_bytes() for one in same)
    written = {path.read_bytes() for path in (tmp_path / "second").glob("[01]*.tif")}
    assert len(written) > 2  # one image under several names, in several styles


def test_files_that_are_there_are_replaced_only_when_told(model, real, tmp_path):
    (tmp_path / "2.tif").write_text("precious")
    with pytest.raises(InputError, match=r"2\.tif: exists already.*--overwrite"):
        next(translate_folder(model, real.images, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["2.tif"]
    assert len(list(translate_folder(model, real.images, tmp_path, overwrite=True))) == 4
    assert read_micrograph(tmp_path / "2.tif").pixels.shape == (96, 80)


def test_images_of_a_folder_keep_their_boundaries(model, real, tmp_path):
    for path in translate_folder(model, real.images, tmp_path / "out"):
        before, after = (read_micrograph(p).pixels for p in (real.images / path.name, path))
        # Every scene of this folder has the polarity of every other: what is dark stays dark.
        gradients = [np.concatenate([g.ravel() for g in np.gradient(i)]) for i in (before, after)]
        assert np.corrcoef(gradients)[0, 1] > 0.8
