"""The gap of whole samples: nothing for the same, style for style, morphology for morphology."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cyclegan.gap import classifier, distances, morphology
from cyclegan.gap.compare import _verdict, compare, gains, halves
from cyclegan.gap.embedding import embed
from cyclegan.gap.pictures import read_pictures
from cyclegan.gap.samples import measure_samples, part
from phasegen.errors import InputError
from phasegen.images import write_image
from phasegen.store import create, open_store

SIDE, PATCH = 160, 64


def structure(seed, period):
    """A random two-phase structure of one period, as a decomposed mixture has."""
    noise = np.random.default_rng(seed).normal(size=(2 * SIDE, 2 * SIDE))
    wide = period / 5
    fine, coarse = (ndimage.gaussian_filter(noise, s, mode="wrap") for s in (wide, 1.2 * wide))
    band = (fine - coarse)[:SIDE, :SIDE]
    return band > np.quantile(band, 0.6)


def picture(mask, seed, contrast=100.0, noise=8.0):
    rng = np.random.default_rng((9, seed))
    grey = ndimage.gaussian_filter(mask.astype(float), 0.8) * contrast
    return np.clip(90 + grey + rng.normal(0, noise, mask.shape), 0, 255).astype(np.uint8)


def folder(path, seeds, period=16.0, change=lambda grey: grey, **style):
    path.mkdir()
    for seed in seeds:
        grey = change(picture(structure(seed, period), seed, **style))
        write_image(path / f"{seed:03d}.png", grey.astype(np.uint8))
    return path


def fill(path, seeds, period=16.0, **style):
    store = create(
        path,
        samples=len(seeds),
        shape=(SIDE, SIDE),
        classes=["matrix", "particle"],
        kind="simulation",
        seeds=list(seeds),
        config={},
        parameters=[{}] * len(seeds),
        instances=False,
        pixel_size=0.02,
        unit="micrometer",
    )
    for index, seed in enumerate(seeds):
        mask = structure(seed, period)
        image = picture(mask, seed, **style).astype(np.float32)[None] / 255
        store.write(index, image=image, mask=mask.astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    """Gaps of several samples to one folder, by name, the real sample, and the loud one."""
    place = tmp_path_factory.mktemp("gap")
    real = folder(place / "real", range(6))
    others = [
        folder(place / "same", range(20, 26)),
        folder(place / "faint", range(30, 36), contrast=60, noise=2.0),
        folder(place / "gamma", range(40, 46), change=lambda g: 255 * (g / 255) ** 2.5),
        folder(place / "negative", range(50, 56), change=lambda g: 255 - g),
        fill(place / "store.zarr", range(60, 66)),
        fill(place / "large.zarr", range(70, 76), period=24.0),
        fill(place / "loud.zarr", range(80, 86), noise=40.0),
    ]
    pictures = [read_pictures(path, PATCH, 4) for path in (real, *others)]
    first, *rest = measure_samples(pictures, {})
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(classifier, "PERMUTATIONS", 39)
        fewer.setattr(distances, "PERMUTATIONS", 99)
        return {one.pictures.name: compare(first, one) for one in rest}, first, rest[-1]


def test_another_folder_of_the_same_kind_has_no_gap(gaps):
    gap = gaps[0]["same"]
    kernel, test = gap.kernel["texture"], gap.classifier["texture"]
    assert abs(kernel.value) < 3 * kernel.error
    assert test.p > 0.05
    assert not gap.morphology.off
    assert gap.entropy.p_images > 0.05
    assert gap.spectrum < 1
    assert "chance" in gap.notes[0]


@pytest.mark.parametrize("name", ["faint", "gamma", "loud.zarr"])
def test_style_is_no_morphology(gaps, name):
    gap = gaps[0][name]
    assert not gap.morphology.off
    assert gap.classifier["texture"].accuracy > 0.9
    assert gap.kernel["texture"].value > 5 * gap.kernel["texture"].error
    assert gap.notes[0].startswith("Style is off:")
    assert any(note.startswith(f"Of {name}, KID of texture features is") for note in gap.notes)


@pytest.mark.parametrize(
    ("name", "begins", "ends"),
    [
        ("same", "Nothing measured here tells it", "times the real ones."),
        ("faint", "Style is off, shapes agree: the classifier is right in 1", "real)."),
        ("loud.zarr", "Style is off, shapes agree: the classifier is right in 1", "real)."),
        ("large.zarr", "Morphology is off: structures are 1.", "style can be judged then."),
    ],
)
def test_the_verdict_says_what_separates_and_what_to_do(gaps, name, begins, ends):
    gap, real = gaps[0][name], gaps[1].pictures.path
    assert gap.verdict.startswith(begins)
    assert gap.verdict.endswith(ends)
    remedies = {"Morphology": f"phasegen match {real}", "Style is o": f"cyclegan fit --real {real}"}
    assert remedies.get(begins[:10], "tells") in gap.verdict
    if name == "loud.zarr":
        # A translated one has a style already.
        made = replace(gaps[1].pictures, parent=real)
        assert "another method" in _verdict(gap, gaps[1].pictures, made)


@pytest.mark.parametrize(
    ("real", "synthetic", "begins"),
    [
        (2, 2, "Too few images to judge (2 real, 2 synthetic): the classifier is right in"),
        (6, 6, "Style is off, shapes agree: the classifier is right in"),
    ],
)
def test_few_images_that_prove_nothing_are_no_all_clear(gaps, real, synthetic, begins):
    a, b = (
        part(one, np.arange(n), np.arange(n)) for one, n in ((gaps[1], real), (gaps[2], synthetic))
    )
    gap = compare(a, b)
    test = gap.classifier["texture"]
    assert test.accuracy > 0.9
    assert gap.verdict.startswith(begins)
    if real == 2:
        # Of 2 and 2 images, a third of all exchanges leaves the samples as they are.
        assert min(test.p, gap.kernel["texture"].p, gap.entropy.p_images) > 0.05
        assert f"chance reaches {test.chance[0]:.2f} to {test.chance[1]:.2f}" in gap.verdict
        assert "chance reaches" in gap.notes[0]


def quiet(gap, accuracy=0.55, kernel=0.5, entropy=0.5, images=6, large=False):
    """The gap with other outcomes of its tests."""
    test = gap.classifier["texture"]._replace(accuracy=accuracy, p=0.3, chance=(0.2, 0.9))
    size = replace(gap.morphology.size, difference=2.0, large=large, off=False)
    return replace(
        gap,
        images=images,
        classifier={"texture": test},
        kernel={"texture": gap.kernel["texture"]._replace(p=kernel)},
        entropy=gap.entropy._replace(p_images=entropy),
        morphology=replace(gap.morphology, size=size),
    )


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, "Nothing measured here"),
        ({"accuracy": 0.98}, "Too few images to judge (6 real, 6 synthetic): the classifier is ri"),
        ({"kernel": 0.01}, "Style is off, shapes agree: KID of texture features is "),
        ({"entropy": 0.01}, "Style is off, shapes agree: entropies of patches differ (KS "),
        ({"accuracy": 0.98, "kernel": 0.01}, "Style is off, shapes agree: KID of texture"),
        ({"large": True}, "Too few images to judge"),
        ({"large": True, "kernel": 0.01}, "Style is off, shapes may be (structures are 2.00 times"),
    ],
)
def test_nothing_is_said_only_where_every_measure_is_quiet(gaps, changes, begins):
    pictures = gaps[1].pictures
    assert _verdict(quiet(gaps[0]["same"], **changes), pictures, pictures).startswith(begins)


@pytest.mark.parametrize(("real", "synthetic"), [(2, 4), (3, 3), (1, 18)])
def test_where_no_exchange_is_rare_enough_nothing_can_be_cleared(gaps, real, synthetic):
    pictures = replace(gaps[1].pictures, images=["a"] * real)
    same = quiet(gaps[0]["same"], images=synthetic)
    assert _verdict(same, pictures, pictures).startswith("Too few images to judge")
    more = quiet(gaps[0]["same"], images=synthetic + 2)
    assert not _verdict(more, pictures, pictures).startswith("Too few")


def test_a_magnified_store_is_off_by_its_magnification(gaps):
    gap = gaps[0]["large.zarr"]
    assert gap.morphology.size.off
    assert gap.morphology.size.difference == pytest.approx(1.5, abs=0.15)
    text = " ".join(gap.notes)
    assert f"are {gap.morphology.size.difference:.2f} times the size" in text
    assert "phasegen match" in text
    assert not gaps[0]["store.zarr"].morphology.off
    assert gaps[0]["store.zarr"].morphology.size.difference == pytest.approx(1, abs=0.12)


def test_reversed_contrast_is_told_and_sizes_still_compare(gaps):
    gap = gaps[0]["negative"]
    # The structure is 0.6 dark: bright particles, if any phase is enclosed.
    assert gap.morphology.size.difference == pytest.approx(1, abs=0.15)
    assert not gap.morphology.size.off
    assert gap.classifier["texture"].accuracy > 0.9


def test_particles_of_the_other_grey_value_are_inverted():
    y, x = np.mgrid[:SIDE, :SIDE]
    discs = [
        ((y + dy) % 32 - 16) ** 2 + ((x + dx) % 32 - 16) ** 2 < 81
        for dy, dx in ((0, 0), (5, 9), (11, 3), (7, 7), (1, 13), (3, 3))
    ]
    bright = morphology.describe_shapes([disc.astype(float) for disc in discs], 20.0)
    dark = morphology.describe_shapes([1.0 - disc for disc in discs], 20.0)
    found = morphology.compare(bright, dark)
    assert found.inverted
    assert found.size.difference == pytest.approx(1, rel=0.01)
    said = found.verdict("b", "a")
    assert said[0] == "Particles are bright in a and dark in b: the contrast is reversed."
    assert "phasegen match a" in said[-1]
    assert found.reasons() == ["the contrast is reversed"]
    assert morphology.compare(bright, bright).verdict("b", "a") == []


def test_halves_of_the_real_images_are_a_yardstick(gaps):
    found = halves(gaps[1])
    assert found.images == 3
    assert found.kernel["texture"].value < gaps[0]["loud.zarr"].kernel["texture"].value / 5
    few = replace(gaps[1], pictures=replace(gaps[1].pictures, images=["a", "b", "c"]))
    assert halves(few) is None


def test_pixel_sizes_that_disagree_are_told(gaps):
    real = replace(gaps[1], pictures=replace(gaps[1].pictures, pixel_size=0.01))
    other = replace(gaps[1], pictures=replace(gaps[1].pictures, name="b", pixel_size=0.02))
    assert "by a factor of 2.00" in compare(real, other).notes[0]
    other = replace(gaps[1], pictures=replace(gaps[1].pictures, name="b", pixel_size=0.0101))
    assert "micrometres" not in " ".join(compare(real, other).notes)


def test_a_translation_stands_beside_what_it_was_made_from(gaps):
    pictures = gaps[1].pictures
    before, after = gaps[0]["loud.zarr"], gaps[0]["store.zarr"]
    made = replace(pictures, path=pictures.path / "b", parent=pictures.path)
    (said,) = gains([before, after], [pictures, made])
    assert said.startswith("From loud.zarr to store.zarr: KID of texture features")
    assert gains([before], [made]) == []


def test_patches_are_drawn_reproducibly_and_alike(tmp_path):
    path = folder(tmp_path / "a", range(3))
    one, again, other = (read_pictures(path, PATCH, 5, seed) for seed in (0, 0, 1))
    assert one.patches.shape == (3, 5, PATCH, PATCH)
    np.testing.assert_array_equal(one.patches, again.patches)
    assert (one.patches != other.patches).any()
    assert one.patches.min() >= 0
    assert one.patches.max() <= 1


def test_info_bars_are_left_out_and_eight_bits_leave_no_comb(tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    for seed in range(2):
        grey = picture(structure(seed, 16.0), seed, contrast=30, noise=3.0)
        bar = np.zeros((24, SIDE), np.uint8)
        bar[8:16, 8:120:4] = 255
        write_image(path / f"{seed}.png", np.vstack([grey, bar]))
    found = read_pictures(path, PATCH, 8)
    assert all(scene.shape == (SIDE, SIDE) for scene in found.scenes)
    counts, _ = np.histogram(found.patches[0], 200, (0.3, 0.6))
    assert (counts > 0).mean() > 0.95


def test_a_store_knows_its_pixels_and_shows_its_masks(tmp_path):
    found = read_pictures(fill(tmp_path / "a.zarr", range(2)), PATCH, 2)
    assert found.pixel_size == 0.02
    assert all(len(np.unique(shape)) == 2 for shape in found.shapes)


def test_a_store_of_several_channels_is_refused(tmp_path):
    store = create(
        tmp_path / "two.zarr",
        samples=2,
        channels=2,
        shape=(SIDE, SIDE),
        classes=["matrix", "particle"],
        kind="simulation",
        seeds=[0, 1],
        config={},
        parameters=[{}] * 2,
        instances=False,
    )
    for index in range(2):
        mask = structure(index, 16.0)
        image = np.stack([picture(mask, index), picture(mask, index + 9)]) / np.float32(255)
        store.write(index, image=image, mask=mask.astype(np.uint8))
    with pytest.raises(InputError, match=r"two\.zarr: holds images of 2 channels\. Give a store"):
        read_pictures(tmp_path / "two.zarr", PATCH, 2)


def test_bad_input(tmp_path):
    one = folder(tmp_path / "one", range(1))
    with pytest.raises(InputError, match=r"holds 1 image\. Give at least two"):
        read_pictures(one, PATCH, 2)
    two = folder(tmp_path / "two", range(2))
    with pytest.raises(InputError, match="smaller than the patch size of 512"):
        read_pictures(two, 512, 2)
    store = fill(tmp_path / "a.zarr", range(3))
    with pytest.raises(InputError, match="samples of 160 x 160 pixels, smaller than the patch"):
        read_pictures(store, 512, 2)
    open_store(store, "r+").arrays["state"][1] = 0
    with pytest.raises(InputError, match="is unfinished"):
        read_pictures(store, PATCH, 2)
    blank = fill(tmp_path / "blank.zarr", range(2))
    shape = (SIDE, SIDE)
    open_store(blank, "r+").write(
        1, image=np.full((1, *shape), 0.5, np.float32), mask=np.zeros(shape, np.uint8)
    )
    with pytest.raises(InputError, match=r"blank\.zarr: sample 1: shows nothing"):
        read_pictures(blank, PATCH, 2)


def test_a_map_keeps_clusters_apart_and_is_reproducible():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    clusters = [rng.normal(shift, 1, (6, 4, 5)) for shift in (0, 30)]
    a, b = embed(clusters)
    assert a.shape == b.shape == (24, 2)
    apart = np.linalg.norm(a[:, None] - b[None], axis=2).min()
    assert apart > np.linalg.norm(a[:, None] - a[None], axis=2).max() / 4
    np.testing.assert_array_equal(embed(clusters)[0], a)


def test_without_scikit_learn_there_is_no_map(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert embed([np.zeros((2, 2, 2))]) is None
