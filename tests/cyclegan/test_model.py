"""Fitted translations: what they hold, that they come back the same, and what they refuse."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from cyclegan.model import MODEL, PLANES, _started, fit_model, load_model, translate
from cyclegan.networks import towards_real
from cyclegan.real import read_real
from cyclegan.settings import FULL, Translation, find_unused
from phasegen import checkpoint
from phasegen.errors import InputError
from phasegen.store import open_store

TINY = {"width": 4, "blocks": 1, "critic_width": 4, "batch": 1, "steps": 3, "checkpoint_every": 2}


def settings(simulation, real, **changes):
    given = {"sim": simulation, "real": real.images, "patch": 32, "device": "cpu"}
    return Translation(**given | changes)


@pytest.fixture(scope="module")
def fda(tmp_path_factory, simulation, real, silent):
    return fit_model(settings(simulation, real), tmp_path_factory.mktemp("fda"), silent)


@pytest.fixture(scope="module")
def learned(tmp_path_factory, simulation, real, silent):
    config = settings(simulation, real, method="cyclegan", **TINY)
    return fit_model(config, tmp_path_factory.mktemp("cyclegan"), silent)


def test_a_model_holds_the_scenes_and_says_where_they_come_from(fda, real):
    model = load_model(fda, "cpu")
    found = read_real(real.images, 32)
    assert model.generator is None
    for style, scene in zip(model.styles, found.scenes, strict=True):
        np.testing.assert_array_equal(style, scene)
    assert model.record["method"] == "fda"
    assert model.record["real"] == found.record
    assert len(model.record["fingerprint"]) == 64


def test_the_fingerprint_is_that_of_the_content(fda, learned, simulation, real, silent, tmp_path):
    again = fit_model(settings(simulation, real), tmp_path / "same", silent)
    assert load_model(again).record == load_model(fda).record
    other = fit_model(settings(simulation, real, seed=1), tmp_path / "other", silent)
    prints = {load_model(path).record["fingerprint"] for path in (fda, learned, other)}
    assert len(prints) == 3


def test_the_record_of_a_learned_method_says_how_the_fit_went(learned, fda):
    fit = load_model(learned, "cpu").record["fit"]
    assert fit["step"] == 3
    assert {"change", "diversity", "hidden", "p95", "critic"} <= fit["figures"].keys()
    assert "change by" in fit["warnings"]["identity"]  # nothing is learned in three steps
    assert "fit" not in load_model(fda).record


def test_histogram_matching_gives_the_grey_levels_of_a_scene_in_the_same_order(
    simulation, real, silent, tmp_path
):
    config = settings(simulation, real, method="histogram")
    model = load_model(fit_model(config, tmp_path, silent), "cpu")
    assert model.generator is None
    image = open_store(simulation).load("image", 0)[0]
    levels = np.linspace(0, 1, 101)
    targets = [np.quantile(style, levels) for style in model.styles]
    found = set()
    for seed in range(24):
        result = translate(model, image, seed)
        distance = [np.abs(np.quantile(result, levels) - target).max() for target in targets]
        assert min(distance) < 0.01
        found.add(int(np.argmin(distance)))
        order = np.argsort(image.ravel())
        assert (np.diff(result.ravel()[order]) >= 0).all()
    assert found == set(range(len(targets)))
    np.testing.assert_array_equal(translate(model, image, 3), translate(model, image, 3))


@pytest.mark.parametrize("start", ["fda", "histogram", "none"])
def test_a_learned_method_starts_from_what_it_is_told_to(learned, simulation, real, start):
    """A generator that changes nothing leaves what it starts from."""
    model = load_model(learned, "cpu")
    torch.nn.init.zeros_(model.generator.last.weight)
    torch.nn.init.zeros_(model.generator.last.bias)
    image = open_store(simulation).load("image", 0)[0]
    config = settings(simulation, real, method="cut", start=start)
    result = translate(replace(model, config=config), image, 3)
    if start == "none":
        expected = np.clip(image, 0, 1)
    else:
        plain = settings(simulation, real, method=start)
        expected = translate(replace(model, config=plain, generator=None), image, 3)
        assert np.abs(expected - image).mean() > 0.01
    # Bfloat16, where the processor has it, is not asked to add a change of none.
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_every_learned_method_gives_a_model(simulation, real, silent, tmp_path):
    config = settings(simulation, real, method="cut", start="histogram", noise=1.0, **TINY)
    model = load_model(fit_model(config, tmp_path, silent), "cpu")
    torch.nn.init.normal_(model.generator.last.weight, std=0.3)
    image = open_store(simulation).load("image", 0)[0]
    one, again, other = (translate(model, image, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).mean() > 0.001
    assert model.record["method"] == "cut"


def test_translation_is_the_exchange_with_a_random_scene(fda, simulation):
    """Every scene turns up, always at a size within the band, and nothing else is done."""
    model = load_model(fda, "cpu")
    image = open_store(simulation).load("image", 0)[0, :80, :80]
    results = [translate(model, image, seed) for seed in range(24)]
    for result in results:
        assert result.shape == image.shape
        assert result.dtype == np.float32
        assert 0 <= result.min() <= result.max() <= 1
    means = np.unique([result.mean().round(3) for result in results])
    assert len(means) > 3
    np.testing.assert_array_equal(translate(model, image, 5), results[5])
    # Above the band the spectrum is that of the image, but for what was clipped.
    high = np.abs(np.fft.fftfreq(80)) > model.config.band[1]
    spectra = [np.fft.fft2(one)[high][:, high] for one in (image, results[0])]
    np.testing.assert_allclose(spectra[1], spectra[0], atol=0.02 * np.abs(spectra[0]).max())


def test_a_band_of_zero_leaves_everything_but_the_mean(simulation, real, silent, tmp_path):
    model = load_model(fit_model(settings(simulation, real, band=0), tmp_path, silent))
    image = open_store(simulation).load("image", 0)[0]
    change = translate(model, image, 0) - image
    assert np.ptp(change[(image > 0.2) & (image < 0.8)]) < 1e-5


def test_the_style_is_that_of_the_real_folder(fda, simulation, real):
    """Uneven light, which the simulation lacks, is there after the translation."""
    store, model = open_store(simulation), load_model(fda, "cpu")
    low = [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)]

    def unevenness(images):
        return np.mean([[np.abs(np.fft.fft2(i)[k]) / i.size for k in low] for i in images])

    images = [store.load("image", index)[0] for index in range(store.samples)]
    before = unevenness(images)
    after = unevenness([translate(model, image, n) for n, image in enumerate(images)])
    target = unevenness([np.asarray(style) for style in model.styles])
    assert target > 1.5 * before
    assert abs(after - target) < 0.4 * abs(before - target)


def test_flattened_style_has_no_uneven_light(simulation, real, silent, tmp_path):
    config = settings(simulation, real, flatten=2)
    model = load_model(fit_model(config, tmp_path / "flat", silent), "cpu")
    plain = load_model(fit_model(settings(simulation, real), tmp_path / "plain", silent), "cpu")
    assert model.record["real"]["flatten"] == 2
    assert plain.record["real"]["flatten"] == 0
    image = open_store(simulation).load("image", 0)[0]

    def tilt(one):
        return max(abs(np.polyfit(np.arange(96), one.mean(axis), 1)[0]) for axis in (0, 1))

    tilts = [np.mean([tilt(translate(m, image, n)) for n in range(8)]) for m in (plain, model)]
    assert tilts[1] < 0.6 * tilts[0]


def test_the_learned_part_comes_after_the_exchange(learned, fda, simulation):
    model, plain = load_model(learned, "cpu"), load_model(fda, "cpu")
    image = open_store(simulation).load("image", 0)[0]
    last = model.generator.last
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 0.5)
    before, after = translate(plain, image, 3), translate(model, image, 3)
    free = (before > 0) & (before < 1) & (after < 1)
    shift = model.config.bound * np.tanh(0.5)
    np.testing.assert_allclose((after - before)[free], shift, atol=1e-3)
    # The generator has never seen a negative: polarity is the last thing to change.
    flipped = replace(model, config=model.config.model_copy(update={"flip": 1.0}))
    np.testing.assert_array_equal(translate(flipped, image, 3), 1 - after)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_tiles_of_the_generator_leave_no_seam(learned, monkeypatch, noise):
    model = load_model(learned, "cpu")
    torch.manual_seed(0)
    config = model.config.model_copy(update={"noise": noise})
    model = replace(model, config=config, generator=towards_real(config).eval())
    for parameter in model.generator.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    image = np.random.default_rng(0).random((150, 130)).astype(np.float32)
    whole = translate(model, image, 0)
    monkeypatch.setattr("cyclegan.model.TILE", 40)
    tiled = translate(model, image, 0)
    assert np.abs(whole - image).max() > 0.05
    np.testing.assert_allclose(tiled, whole, atol=1e-3)


def test_a_learned_model_comes_back_the_same(learned):
    first, second = load_model(learned), load_model(learned)
    weights = checkpoint.load(learned, "cyclegan")["generator"]
    for name, tensor in first.generator.state_dict().items():
        assert torch.equal(tensor, second.generator.state_dict()[name])
        assert torch.equal(tensor, weights[name])
    kept = checkpoint.load(learned.parent / checkpoint.LAST, "cyclegan")["kept"]
    assert all(torch.equal(weights[name], kept[name]) for name in weights)
    assert not first.generator.training


@pytest.mark.parametrize("method", ["fda", "cyclegan"])
def test_a_finished_fit_is_not_repeated(fda, learned, simulation, real, method):
    path = {"fda": fda, "cyclegan": learned}[method]
    extra = {"method": method} | (TINY if method == "cyclegan" else {})
    before = path.stat().st_mtime_ns

    def progress(*_):
        raise AssertionError("trained again")

    assert fit_model(settings(simulation, real, **extra), path.parent, progress) == path
    assert path.stat().st_mtime_ns == before


def test_other_settings_or_images_are_another_run(fda, simulation, real, silent, tmp_path):
    with pytest.raises(InputError, match=r"other settings or data \(seed\)"):
        fit_model(settings(simulation, real, seed=1), fda.parent, silent)
    for part in ("images", "run"):
        source = real.images if part == "images" else fda.parent
        shutil.copytree(source, tmp_path / part)
    (tmp_path / "images" / "0.tif").unlink()
    moved = real._replace(images=tmp_path / "images")
    with pytest.raises(InputError, match=r"other settings or data \(real, real\)"):
        fit_model(settings(simulation, moved), tmp_path / "run", silent)


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_model_of_another_run_is_not_taken_for_the_finished_one(
    fda, simulation, real, silent, tmp_path, overwrite
):
    config = settings(simulation, real, seed=1)
    path = fit_model(config, tmp_path, silent)
    shutil.copy(fda, path)
    if overwrite:
        fit_model(config, tmp_path, silent, overwrite=True)
        assert load_model(path).config == config
        return
    with pytest.raises(InputError, match=r"model\.pt: is the model of another run.*--overwrite"):
        fit_model(config, tmp_path, silent)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content["config"].update(width=8), "size mismatch"),
        (lambda content: content["config"].update(blocks=2), "Missing key"),
        (lambda content: content["config"].update(depth=2), "Translation depth Extra inputs"),
        (lambda content: content.pop("record"), "record"),
    ],
)
def test_a_model_of_another_version_is_refused(learned, tmp_path, change, says):
    content = checkpoint.load(learned, "cyclegan")
    change(content)
    path = tmp_path / "old.pt"
    torch.save(content, path)
    with pytest.raises(InputError, match=rf"old\.pt: does not fit .*{says}.*fit again"):
        load_model(path)


def test_an_unfinished_fit_is_no_model(learned):
    with pytest.raises(InputError, match=r"last\.pt: is an unfinished fit.*model\.pt"):
        load_model(learned.with_name(checkpoint.LAST))


def test_patches_must_fit_the_samples(simulation, real, silent, tmp_path):
    config = settings(simulation, real, method="cyclegan", patch=128)
    said = r"samples of \(96, 96\) pixels, smaller than the patches of 128\. .*patch=96"
    with pytest.raises(InputError, match=rf"sim\.zarr: has {said}"):
        fit_model(config, tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()
    full = config.model_copy(update=FULL)
    with pytest.raises(InputError, match=r"the patches of 256 of --size full\. .*patch=96"):
        fit_model(full, tmp_path / "run", silent)
    # The exchange takes no patches.
    fit_model(settings(simulation, real, patch=128), tmp_path / "run", silent)


def test_channels_are_refused(blank, real, silent, tmp_path):
    with pytest.raises(InputError, match="2 channels"):
        fit_model(settings(blank(2, (32, 32)), real), tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()


def test_a_generator_learns_from_planes_of_a_volume(blank, real, silent, tmp_path):
    source = open_store(blank(1, (32, 48, 48)))
    config = settings(source.path, real)
    pairs = _started(config, source, read_real(real.images, 32).scenes)
    assert [image.shape for image, _ in pairs] == [(48, 48)] * PLANES
    model = load_model(fit_model(config, tmp_path / "run", silent), "cpu")
    # The planes are what `translate` makes of them with the sample's seed: one style for all.
    np.testing.assert_array_equal(
        np.clip(pairs[1][0], 0, 1), translate(model, source.read(0).grey[4], 0)
    )


@pytest.mark.parametrize("last", [2, 3])
def test_what_to_do_on_drift_may_change_on_the_way(
    learned, simulation, real, silent, tmp_path, last
):
    """A run that drift has stopped goes on when it is told to, to the same weights."""
    stopped = settings(simulation, real, method="cyclegan", **TINY)
    told = stopped.model_copy(update={"on_drift": "warn"})

    def stop(record, config, _out):
        if record["step"] == last and config.on_drift == "stop":
            raise InputError("run", "has moved boundaries", "Go on")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cyclegan.watch.require_in_place", stop)
        for _ in range(2):
            with pytest.raises(InputError, match="has moved boundaries"):
                fit_model(stopped, tmp_path, silent)
            assert checkpoint.load(tmp_path / checkpoint.LAST, "cyclegan")["step"] == last
        fit_model(told, tmp_path, silent)
    model, whole = (load_model(path, "cpu") for path in (tmp_path / MODEL, learned))
    for name, tensor in whole.generator.state_dict().items():
        assert torch.equal(model.generator.state_dict()[name], tensor)
    assert model.config == told
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["on_drift"] == "warn"
    # Nor is it another run once it has ended, whatever is asked for then.
    assert fit_model(stopped, tmp_path, None) == tmp_path / MODEL
    with pytest.raises(InputError, match=r"other settings or data \(bound\)"):
        fit_model(told.model_copy(update={"bound": 0.2}), tmp_path, silent)


SOME = [
    *("real", "sim", "method", "seed", "device", "flatten", "relief", "flip", "band", "mix"),
    *("extrapolate", "start", "patch", "steps", "bound", "cycle", "contrast", "geometry", "noise"),
    *("ema", "geometry_weight", "diversity"),
]


@pytest.mark.parametrize(
    ("changes", "unused"),
    [
        (
            {"method": "fda"},
            "start patch steps bound cycle contrast geometry noise ema geometry_weight diversity",
        ),
        (
            {"method": "histogram"},
            "band mix extrapolate start patch steps bound cycle contrast geometry noise ema "
            "geometry_weight diversity",
        ),
        ({"method": "cyclegan"}, "contrast diversity"),
        ({"method": "cut", "noise": 1.0}, "cycle"),
        (
            {"method": "cut", "start": "none", "geometry": "none"},
            "band mix extrapolate cycle geometry_weight diversity",
        ),
    ],
)
def test_settings_that_change_nothing_are_known(changes, unused):
    found = find_unused(Translation(real="sem", **changes), SOME)
    assert sorted(found) == sorted(unused.split())
    if "band" in found:
        assert found["band"] == "fda, and cyclegan and cut with start = fda"


def test_every_setting_of_a_method_that_learns_nothing_changes_its_pictures(
    simulation, real, silent, tmp_path
):
    """What is not called unused has an effect, and what is has none."""
    image = open_store(simulation).load("image", 0)[0]
    others = {"band": 0.2, "mix": 1.0, "extrapolate": 3.0, "flatten": 2, "relief": 1.0, "flip": 1.0}
    others |= {"seed": 1, "patch": 64, "steps": 5, "bound": 0.1, "noise": 1.0, "ema": 0.5}
    for method in ("fda", "histogram"):
        plain = settings(simulation, real, method=method)

        def picture(config, name, method=method):
            path = fit_model(config, tmp_path / method / name, silent)
            return translate(load_model(path, "cpu"), image, 0)

        expected = picture(plain, "plain")
        for name, value in others.items():
            config = settings(simulation, real, method=method, **{name: value})
            same = np.array_equal(picture(config, name), expected)
            assert same == (name in find_unused(config, [name])), (method, name)


def test_an_unfinished_store_is_refused(simulation, real, silent, tmp_path):
    shutil.copytree(simulation, tmp_path / "sim.zarr")
    open_store(tmp_path / "sim.zarr", "r+").arrays["state"][2] = 0
    with pytest.raises(InputError, match=r"is unfinished.*simulate command again"):
        fit_model(settings(tmp_path / "sim.zarr", real), tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()
