"""What the trainer learns from: standardised images, and patches whose masks stay exact."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from phasegen import campaign
from phasegen.errors import InputError
from phasegen.images import find_info_bar, read_mask, read_micrograph, write_image
from phasegen.store import create, digest, open_store
from segtrain.data.formats import open_format
from segtrain.data.patches import draw
from segtrain.data.readers import from_folders, from_store
from segtrain.data.source import Labelled, Source, standardise
from segtrain.decode import decode
from segtrain.metrics.instance import overlaps, panoptic_quality
from segtrain.targets.poisson import poisson_field

PATCH = 32


def blobs(shape, seed=0):
    """Random regions of about 10 pixels, True on half of the image."""
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4) > 0


def source_of(image, mask, weight):
    sample = Labelled(
        image.astype(np.float32)[None], mask.astype(np.uint8), weight.astype(np.float32)
    )
    return Source(("a", "b", "c"), 1, lambda _: sample, {})


def with_bar(scene, rows=16):
    """The scene above an info bar with strokes of writing."""
    bar = np.zeros((rows, scene.shape[1]), scene.dtype)
    bar[5:-4, 4:-4:5] = scene.max()
    return np.vstack([scene, bar])


@given(st.floats(0.01, 1e4), st.floats(-100, 100))
def test_standardised_pixels_do_not_know_gain_and_offset(gain, offset):
    pixels = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    result = standardise(np.float32(gain) * (pixels + np.float32(offset)))
    assert result.dtype == np.float32
    assert result.mean() == pytest.approx(0, abs=1e-4)
    assert result.std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(result, standardise(pixels), atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_standardise_by_hand(dtype):
    result = standardise(np.array([[1, 3], [3, 1]], dtype))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[-1, 1], [1, -1]])


def test_an_even_image_is_standardised_to_zeros():
    np.testing.assert_array_equal(standardise(np.full((4, 4), 200, np.uint8)), np.zeros((4, 4)))


def test_a_store_as_a_source(simulation):
    source, store = from_store(simulation, PATCH), open_store(simulation)
    assert (source.count, source.classes) == (6, ("solute-poor", "solute-rich"))
    for index in range(source.count):
        read, sample = source.load(index), store.read(index)
        np.testing.assert_array_equal(read.image[0], standardise(sample.image[0]))
        np.testing.assert_array_equal(read.mask, sample.mask)
        assert (read.weight == 1).all()
        assert read.weight.shape == read.mask.shape
    structure = source.record.pop("structure")
    masks = [source.load(index).mask for index in range(source.count)]
    assert structure["shares"][1] == pytest.approx(np.mean(masks))
    assert abs(structure["polarity"]) < 0.5  # neither phase encloses the other
    assert source.record == {
        "labels": "simulated",
        "path": str(simulation),
        "kind": "simulation",
        "samples": 6,
        "digest": digest(simulation),
        "parents": [],
    }


def test_an_instance_that_the_frame_divides_is_as_many_as_one_sees(tmp_path):
    settings = campaign.Simulation(recipe="grains", samples=1, shape=96)
    list(campaign.run(campaign.prepare(tmp_path / "a.zarr", settings), workers=1))
    stored = open_store(tmp_path / "a.zarr").read(0).instance
    read = from_store(tmp_path / "a.zarr", PATCH, instances=True).load(0).mask
    np.testing.assert_array_equal(read > 0, stored > 0)
    pieces = [ndimage.label(read == number)[1] for number in range(1, read.max() + 1)]
    assert pieces == [1] * read.max()
    numbers = {(a, b) for a, b in zip(read.ravel(), stored.ravel(), strict=True)}
    assert len(numbers - {(0, 0)}) == read.max() > len(np.unique(stored)) - 1
    whole = decode(poisson_field(read, None), epsilon=0.005, h=0.05)
    assert panoptic_quality(overlaps(whole, read)).pq > 0.97


def test_an_unfinished_store_is_refused(tmp_path):
    settings = campaign.Simulation(recipe="spinodal", samples=2, shape=64)
    campaign.prepare(tmp_path / "a.zarr", settings)
    with pytest.raises(InputError, match=r"a\.zarr: is unfinished: 0 of 2 samples"):
        from_store(tmp_path / "a.zarr", PATCH)


def test_a_store_must_hold_a_patch(simulation):
    assert from_store(simulation, 96).count == 6
    with pytest.raises(InputError, match=r"images of 96 x 96 pixels.*Use --patch 96 or less"):
        from_store(simulation, 97)


def test_folders_as_a_source(real):
    source = from_folders(*real, PATCH)
    assert (source.count, source.classes) == (4, ("background", "class 1"))
    for index in range(source.count):
        read = source.load(index)
        scene = read_micrograph(real.images / f"{index}.tif").scene
        np.testing.assert_array_equal(read.image[0], standardise(scene))
        np.testing.assert_array_equal(read.mask, read_mask(real.masks / f"{index}.png"))
        assert (read.weight == 1).all()
    assert source.record["labels"] == "drawn"
    assert (source.record["path"], source.record["masks"]) == tuple(map(str, real))
    assert source.record["samples"] == 4


def test_the_digest_of_drawn_masks_is_that_of_their_content(real, tmp_path):
    shutil.copytree(real.images, tmp_path / "images")
    shutil.copytree(real.masks, tmp_path / "masks")
    copied = from_folders(tmp_path / "images", tmp_path / "masks", PATCH)
    assert copied.record["digest"] == from_folders(*real, PATCH).record["digest"]
    mask = read_mask(real.masks / "0.png")
    write_image(tmp_path / "masks" / "0.png", 1 - mask)
    redrawn = from_folders(tmp_path / "images", tmp_path / "masks", PATCH)
    assert redrawn.record["digest"] != copied.record["digest"]


def test_mask_values_that_are_no_class_numbers(tmp_path):
    for one in ("images", "masks"):
        (tmp_path / one).mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    write_image(tmp_path / "images" / "a.png", noise)
    write_image(tmp_path / "masks" / "a.png", (noise // 100 * 127).astype(np.uint8))
    folders = (tmp_path / "images", tmp_path / "masks")
    with pytest.raises(InputError, match=r"holds the values 0, 127, 254, some between.*classes="):
        from_folders(*folders, PATCH)
    assert len(from_folders(*folders, PATCH, tuple(map(str, range(255)))).classes) == 255


@pytest.mark.parametrize(("channels", "shape"), [(2, (64, 64)), (1, (32, 64, 64))])
def test_volumes_and_channels_are_sources_too(tmp_path, channels, shape):
    store = create(
        tmp_path / "a.zarr",
        samples=1,
        shape=shape,
        classes=("matrix", "particle"),
        kind="simulation",
        seeds=np.zeros(1, np.uint64),
        config={},
        parameters=[{}],
        channels=channels,
    )
    mask = np.zeros(shape, np.uint8)
    store.write(0, image=np.zeros((channels, *shape), np.float32), mask=mask, instance=mask)
    source = from_store(tmp_path / "a.zarr", PATCH)
    assert (source.channels, source.axes) == (channels, len(shape))
    sides = (PATCH,) * source.axes
    images, targets, weights = draw(source, [0], 2, sides, (0,))
    assert (images.shape, targets.shape) == ((2, channels, *sides), (2, *sides))
    assert weights.shape == targets.shape
    with pytest.raises(InputError, match=rf"has {len(shape)} axes, the patch 1"):
        from_store(tmp_path / "a.zarr", (PATCH,))


@pytest.mark.parametrize(("thickness", "expected"), [(None, (1, 1, 1)), (20.0, (4, 1, 1))])
def test_thick_slices_of_a_store_are_longer_pixels(tmp_path, thickness, expected):
    store = create(
        tmp_path / "a.zarr",
        samples=1,
        shape=(32, 64, 64),
        classes=("matrix", "particle"),
        kind="simulation",
        seeds=np.zeros(1, np.uint64),
        config={},
        parameters=[{}],
        pixel_size=5.0,
        z_spacing=thickness,
    )
    mask = np.zeros((32, 64, 64), np.uint8)
    store.write(0, image=np.zeros((1, *mask.shape), np.float32), mask=mask, instance=mask)
    assert from_store(tmp_path / "a.zarr", PATCH).spacing == expected


def test_names_of_the_mask_values(real):
    assert from_folders(*real, PATCH, ("matrix", "oxide", "pore")).classes[1:] == ("oxide", "pore")
    with pytest.raises(InputError, match=r"masks: holds class 1 of 1 .*Name 2 classes"):
        from_folders(*real, PATCH, ("matrix",))


def test_names_count_up_to_the_largest_value_of_the_folder(tmp_path):
    for one in ("images", "masks"):
        (tmp_path / one).mkdir()
    for number, largest in enumerate((3, 1)):
        noise = np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)
        write_image(tmp_path / "images" / f"{number}.png", noise)
        mask = (np.arange(1600) % (largest + 1)).astype(np.uint8).reshape(40, 40)
        write_image(tmp_path / "masks" / f"{number}.png", mask)
    source = from_folders(tmp_path / "images", tmp_path / "masks", PATCH)
    assert source.classes == ("background", "class 1", "class 2", "class 3")


def test_the_info_bar_is_no_training_data(tmp_path):
    for one in ("images", "masks"):
        (tmp_path / one).mkdir()
    scene = np.random.default_rng(0).integers(50, 200, (96, 80), np.uint8)
    image = with_bar(scene)
    assert find_info_bar(image.astype(np.float32)) == 16
    mask = blobs(image.shape).astype(np.uint8)
    write_image(tmp_path / "images" / "a.png", image)
    write_image(tmp_path / "masks" / "a.png", mask)
    read = from_folders(tmp_path / "images", tmp_path / "masks", PATCH).load(0)
    np.testing.assert_allclose(read.image[0], standardise(scene), atol=1e-6)
    np.testing.assert_array_equal(read.mask, mask[:96])
    with pytest.raises(InputError, match=r"a\.png: is 96 x 80 pixels.*smaller than the patch"):
        from_folders(tmp_path / "images", tmp_path / "masks", 81)


def test_a_batch_is_a_function_of_seed_and_step(simulation):
    source = from_store(simulation, PATCH)
    batch = draw(source, range(6), 3, PATCH, (5, 7))
    torch.rand(10)  # whatever else has used the global generator
    again = draw(source, range(6), 3, PATCH, (5, 7))
    assert [part.shape for part in batch] == [(3, 1, 32, 32), (3, 32, 32), (3, 32, 32)]
    assert [part.dtype for part in batch] == [torch.float32, torch.int64, torch.float32]
    for part, other in zip(batch, again, strict=True):
        assert torch.equal(part, other)
    for seed in ((5, 8), (6, 7), (7, 5)):
        assert not torch.equal(batch[0], draw(source, range(6), 3, PATCH, seed)[0])


def test_only_the_given_images_are_drawn():
    def load(index):
        image, mask, weight = (np.full((64, 64), index, dtype) for dtype in ("f4", "u1", "f4"))
        return Labelled(image[None], mask, weight)

    source = Source(("a",), 5, load, {})
    _, masks, weights = draw(source, [1, 3], 32, 16, (0,))
    assert masks.unique().tolist() == [1, 3]
    assert weights.unique().tolist() == [1, 3]


def test_masks_and_weights_move_with_the_image_and_stay_exact():
    # Interpolation between the classes 0 and 2 would give a 1.
    truth = blobs((96, 96))
    source = source_of(2.0 * truth - 1, 2 * truth, truth)
    images, masks, weights = draw(source, [0], 48, PATCH, (0, 0))
    assert masks.unique().tolist() == [0, 2]
    assert torch.equal(weights, masks / 2)
    signs, patches = (masks - 1).float(), images[:, 0]
    offsets = [(dy, dx) for dy in (-2, -1, 0, 1, 2) for dx in (-2, -1, 0, 1, 2)]
    agreement = {
        shift: float((patches.roll(shift, (1, 2)) * signs)[:, 2:-2, 2:-2].mean())
        for shift in offsets
    }
    assert max(agreement, key=agreement.get) == (0, 0)
    single = [np.corrcoef(p.ravel(), s.ravel())[0, 1] for p, s in zip(patches, signs, strict=True)]
    assert min(single) > 0.8


def test_augmentation_turns_scales_and_changes_grey_values():
    image = np.tile(np.sin(np.arange(96) * 2 * np.pi / 8), (96, 1))  # waves along x, 8 pixels long
    source = source_of(image, np.zeros((96, 96)), np.ones((96, 96)))
    images = draw(source, [0], 64, PATCH, (0, 0))[0][:, 0].numpy()
    spectra = np.abs(np.fft.fft2(images * np.hanning(PATCH)[:, None] * np.hanning(PATCH)))
    y, x = np.divmod(spectra[:, :, : PATCH // 2].reshape(64, -1).argmax(axis=1), PATCH // 2)
    y = np.where(y < PATCH // 2, y, y - PATCH)
    frequency = np.hypot(x, y) / PATCH
    assert (np.abs(y) > x).sum() > 8  # turned by more than 45 degrees
    assert frequency.min() < 1 / 9
    assert frequency.max() > 1 / 7
    assert frequency.min() > 1 / 8 / 1.5
    assert frequency.max() < 1.5 / 8
    assert images.std(axis=(1, 2)).std() > 0.05  # contrast


@pytest.mark.parametrize("shape", [(33, 33), (20, 96), (5, 7)])
def test_small_images_are_mirrored_to_the_size_of_a_patch(shape):
    source = source_of(np.full(shape, 5.0), np.full(shape, 2), np.full(shape, 0.5))
    images, masks, weights = draw(source, [0], 16, PATCH, (0, 0))
    assert images.shape == (16, 1, PATCH, PATCH)
    assert (masks == 2).all()
    assert (weights == 0.5).all()
    assert images.min() > 2  # nothing was filled with zeros


def test_a_folder_of_images_and_masks_by_name(real):
    assert real.images.parent == real.masks.parent
    text = f"folder:{real.images.parent},classes=matrix:oxide"
    source = open_format(text, PATCH)
    assert (source.classes, source.count, source.instances) == (("matrix", "oxide"), 4, False)
    np.testing.assert_array_equal(source.load(1).mask, from_folders(*real, PATCH).load(1).mask)
