"""Descriptors of pictures with a known answer, and of real micrographs against their masks."""

import json

import numpy as np
import pytest
from scipy import ndimage

from phasegen import spectra
from phasegen.coverage import dark_interval, mean_direction
from phasegen.descriptors import (
    chords,
    connectivity,
    describe,
    mean_chords,
    mean_intercept,
    separation,
    unevenness,
    without_specks,
)
from phasegen.images import read_mask, read_micrograph
from tests.data import real

RADIUS, SIDE = 9.0, 384


def grid(side=SIDE):
    return np.mgrid[:side, :side].astype(float)


def stripes(period, degrees, side=SIDE):
    """A wave whose crests run at an angle from the x axis towards y."""
    y, x = grid(side)
    angle = np.deg2rad(degrees)
    return np.sin(2 * np.pi * (np.cos(angle) * y - np.sin(angle) * x) / period)


def disks(radius=RADIUS, share=0.25, side=SIDE, seed=0):
    """Share of each pixel in disks at random places that do not touch, and its exact mean."""
    rng = np.random.default_rng(seed)
    y, x = grid(side)
    centres = []
    wanted = share * side * side / (np.pi * radius * radius)
    while len(centres) < wanted:
        centre = rng.uniform(0, side, 2)
        apart = np.abs(np.array(centres).reshape(-1, 2) - centre)
        apart = np.minimum(apart, side - apart)
        if not len(centres) or np.hypot(*apart.T).min() > 2 * radius + 4:
            centres.append(centre)
    phase = np.zeros((side, side))
    for cy, cx in centres:
        dy, dx = (np.minimum(abs(v - c), side - abs(v - c)) for v, c in ((y, cy), (x, cx)))
        phase = np.maximum(phase, np.clip(radius + 0.5 - np.hypot(dy, dx), 0, 1))
    return phase


def cuboids(degrees, spacing=32, side=SIDE):
    """Squares of half the spacing on a jittered square lattice, turned."""
    rng = np.random.default_rng(0)
    big = np.zeros((2 * side, 2 * side))
    for cy in range(spacing // 2, 2 * side - spacing, spacing):
        for cx in range(spacing // 2, 2 * side - spacing, spacing):
            dy, dx = rng.integers(-4, 5, 2)
            big[cy + dy : cy + dy + spacing // 2, cx + dx : cx + dx + spacing // 2] = 1
    turned = ndimage.rotate(big, -degrees, reshape=False, order=1)
    return turned[side // 2 : side // 2 + side, side // 2 : side // 2 + side]


DISKS = disks()


@pytest.mark.parametrize("period", [8, 21.5, 60])
@pytest.mark.parametrize("degrees", [0, 37, 120])
def test_stripes_have_their_period_and_direction(period, degrees):
    found = describe(stripes(period, degrees))
    assert found.period == pytest.approx(period, rel=0.05)
    assert found.wavelength == pytest.approx(period, rel=0.05)
    assert found.elongation > 0.97
    assert abs((found.direction - degrees + 90) % 180 - 90) < 2
    assert abs(found.polarity) < 0.2


def test_disks_have_their_chords_share_and_polarity():
    found = describe(-DISKS)
    share = DISKS.mean()
    # A disk's chords, seen along one direction, average to pi r / 2; the rest follows from shares.
    assert found.chord_dark == pytest.approx(np.pi * RADIUS / 2, rel=0.05)
    assert found.chord_bright == pytest.approx(np.pi * RADIUS / 2 * (1 - share) / share, rel=0.05)
    assert found.dark[0] < share < found.dark[2]
    assert found.dark[2] - found.dark[0] < 0.2
    assert found.dark[1] == pytest.approx(share, abs=0.02)
    assert found.polarity < -0.9
    assert found.elongation < 0.1
    assert found.fourfold < 0.1


def test_inverting_the_picture_inverts_the_descriptors():
    dark, bright = describe(-DISKS), describe(DISKS)
    assert bright.polarity > 0.9
    turned = bright.inverted()
    for name in ("chord_dark", "chord_bright", "polarity", "period", "wavelength"):
        assert getattr(turned, name) == pytest.approx(getattr(dark, name), rel=0.02)
    assert turned.dark == pytest.approx(dark.dark, abs=0.03)
    assert turned.unevenness_dark == pytest.approx(dark.unevenness_dark, rel=0.02)
    assert np.sort(turned.lengths_dark).mean() == pytest.approx(dark.lengths_dark.mean(), rel=0.02)


def test_noise_and_uneven_light_change_little():
    clean = describe(-DISKS)
    rng = np.random.default_rng(1)
    y, x = grid() / SIDE - 0.5
    spoilt = describe(3 - DISKS + 1.5 * x - y + 2 * x * y + 0.25 * rng.standard_normal(y.shape))
    assert spoilt.noise == pytest.approx(0.25, rel=0.15)
    assert spoilt.polarity < -0.9
    assert spoilt.dark[0] < DISKS.mean() < spoilt.dark[2]
    for name in ("wavelength", "chord_dark", "chord_bright"):
        assert getattr(spoilt, name) == pytest.approx(getattr(clean, name), rel=0.15)


def test_an_inclusion_and_the_unit_of_grey_change_little():
    clean = describe(-DISKS)
    spot = -DISKS.copy()
    spot[100:140, 100:140] = 30
    found = describe(10000 + 500 * spot)
    assert found.polarity < -0.9
    assert found.dark[1] == pytest.approx(clean.dark[1], abs=0.02)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_lengths_follow_the_magnification(factor):
    rng = np.random.default_rng(2)
    picture = -DISKS + 0.05 * rng.standard_normal(DISKS.shape)
    one, other = describe(picture), describe(ndimage.zoom(picture, factor, order=1))
    for name in ("period", "wavelength", "chord_dark", "chord_bright"):
        assert getattr(other, name) == pytest.approx(factor * getattr(one, name), rel=0.08)
    assert other.dark[1] == pytest.approx(one.dark[1], abs=0.02)


@pytest.mark.parametrize("degrees", [0, 20, 65])
def test_cuboids_have_two_axes(degrees):
    found = describe(-cuboids(degrees))
    assert found.fourfold > 0.3
    assert abs((found.axis - degrees + 45) % 90 - 45) < 3
    assert found.elongation < 0.1


def test_flat_noise_has_its_level():
    noise = 7 * np.random.default_rng(0).standard_normal((256, 256))
    assert spectra.noise_level(noise) == pytest.approx(7, rel=0.03)
    frequency, power = spectra.radial_average(*spectra.power_spectrum(spectra.flatten(noise)))
    assert spectra.noise_floor(frequency, power) == pytest.approx(49, rel=0.05)


def test_uneven_light_of_second_order_is_taken_out_whole():
    y, x = grid(64)
    assert np.abs(spectra.flatten(5 + y - 3 * x + 0.1 * x * y + 0.2 * y * y)).max() < 1e-9


def test_chords_of_a_line():
    mask = np.array([[True, False, True, True, False, True, True, True, False, True]])
    assert sorted(chords(mask)) == [2, 3]
    assert sorted(chords(~mask)) == [1, 1, 1]
    checks = np.indices((60, 60)).sum(axis=0) // 10 % 2 > 0
    assert mean_chords(checks) == pytest.approx((10, 10), rel=0.1)


def test_intercepts_of_a_square_mesh_do_not_see_the_grey_of_its_grains():
    y, x = grid(200)
    lines = np.minimum(y % 20, x % 20) < 2
    greys = np.random.default_rng(0).uniform(0.5, 1.0, (10, 10))
    grains = greys[(y // 20).astype(int), (x // 20).astype(int)]
    for dark, scene in ((True, np.where(lines, 0, grains)), (False, np.where(lines, 1.5, grains))):
        # Two pixels of twenty are line, and a tenth of the rows and columns lie in one.
        assert mean_intercept(scene, 20, dark) == pytest.approx(18, rel=0.1)


def test_two_greys_and_one():
    rng = np.random.default_rng(0)
    assert separation((DISKS > 0.5).astype(float)) == pytest.approx(1)
    assert separation(rng.standard_normal((300, 300))) == pytest.approx(2 / np.pi, rel=0.01)


def test_unevenness_of_chords():
    assert unevenness(np.full(9, 12), 40) == 0
    assert unevenness(np.array([]), 40) == 0
    # Specks, shorter than an eighth of the wavelength, do not count.
    assert unevenness(np.array([10, 40, 1]), 40) == pytest.approx(np.log(2))


def test_pieces_and_specks():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 2:12], mask[15:18, 15:18] = True, True
    assert connectivity(mask) == pytest.approx((100**2 + 9**2) / 109**2)
    assert connectivity(mask[:2]) == 0
    mask[5, 5] = False
    cleaned = without_specks(mask, 10)
    assert cleaned.sum() == 100
    assert cleaned[5, 5]


def test_directions_are_averaged_around_the_circle():
    turned = [describe(stripes(16, degrees, 128)) for degrees in (176, 2, 8)]
    coherence, direction = mean_direction(turned)
    assert coherence > 0.9
    assert abs((direction - 2 + 90) % 180 - 90) < 1


@pytest.fixture(scope="module")
def superalloy():
    """Descriptors of the training images of the nickel superalloy, and their true masks."""
    folder = real("nickel_superalloy")
    names = json.loads((folder / "splits.json").read_text())["train"]
    described = [describe(read_micrograph(folder / "images" / f"{n}.png").scene) for n in names]
    return described, [read_mask(folder / "masks" / f"{n}.png") > 0 for n in names]


def test_superalloy(superalloy):
    described, masks = superalloy
    shares = [mask.mean() for mask in masks]
    low, high = dark_interval(described)
    assert low < min(shares) < max(shares) < high
    assert high - low < 0.3
    inside = [d.dark[0] < share < d.dark[2] for d, share in zip(described, shares, strict=True)]
    assert np.mean(inside) >= 0.8
    assert all(d.polarity < -0.5 for d in described)
    # Rims and faint particles that are not drawn make measured chords shorter, by up to 40 %.
    for index, name in enumerate(("chord_dark", "chord_bright")):
        true = np.median([mean_chords(mask)[index] for mask in masks])
        assert 0.6 < np.median([getattr(d, name) for d in described]) / true < 1.1


def test_nuclei():
    folder = real("nuclei_2d")
    paths = sorted((folder / "images").iterdir())[::30]
    described = [describe(read_micrograph(path).scene) for path in paths]
    masks = [read_mask(folder / "labels" / path.name) > 0 for path in paths]
    assert np.mean([d.polarity > 0.5 for d in described]) > 0.9
    errors = [d.dark[1] - (1 - m.mean()) for d, m in zip(described, masks, strict=True)]
    assert np.median(np.abs(errors)) < 0.03
    ratios = [d.chord_bright / mean_chords(m)[0] for d, m in zip(described, masks, strict=True)]
    assert 0.8 < np.median(ratios) < 1.35


def test_steel_has_bright_particles():
    folder = real("uhcs_steel")
    described = [
        describe(read_micrograph(p).scene) for p in sorted((folder / "images").iterdir())[::4]
    ]
    assert all(d.polarity > 0.5 for d in described)
