"""The virtual microscope: each effect by itself, against what it is meant to do."""

import numpy as np
import pytest
from scipy import ndimage

from phasegen.errors import InputError
from phasegen.microscope import MicroscopeRanges, render

PERFECT = {
    "background": 0.7,
    "contrast": -0.4,
    "halo": 0.0,
    "halo_width": 4.0,
    "tilt": 0.0,
    "tilt_angle": 0.0,
    "blur": 0.0,
    "dose": 1e9,
    "noise": 0.0,
    "illumination": 0.0,
}


def disc(size=96, radius=24.0):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.clip(radius - np.hypot(y, x) + 0.5, 0, 1).astype(np.float32)


def picture(phase, seed=0, **changes):
    return render(phase, PERFECT | changes, np.random.default_rng(seed))


@pytest.mark.parametrize("contrast", [-0.4, 0.2])
def test_phases_have_their_grey_values(contrast):
    phase = disc()
    image = picture(phase, contrast=contrast)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, 0.7 + contrast * phase, atol=2e-4)


def test_grey_values_stay_in_range_whatever_is_drawn():
    image = picture(disc(), contrast=0.9, noise=0.5, dose=2)
    assert image.min() == 0
    assert image.max() == 1
    assert np.isfinite(image).all()


def test_halo_is_bright_outside_the_particle_and_decays():
    phase = disc()
    gain = picture(phase, halo=0.1) - picture(phase)
    distance = ndimage.distance_transform_edt(phase < 0.5)
    rings = [gain[(distance > a) & (distance <= a + 2)].mean() for a in (1, 5, 9, 13)]
    np.testing.assert_allclose(gain[phase == 1], 0, atol=1e-4)
    assert np.all(np.diff(rings) < 0)
    assert 0.02 < rings[0] <= 0.1
    assert rings[-1] < 0.005


@pytest.mark.parametrize(("angle", "bright"), [(0, (48, 24)), (90, (24, 48)), (180, (48, 71))])
def test_tilt_brightens_the_flank_that_rises_towards_the_detector(angle, bright):
    phase = disc()
    gain = picture(phase, tilt=0.1, tilt_angle=angle) - picture(phase)
    y, x = bright
    assert gain[y, x] > 0.02
    np.testing.assert_allclose(gain[95 - y, 95 - x], -gain[y, x], atol=1e-3)
    assert abs(gain.mean()) < 1e-4


def test_blur_is_that_of_a_gaussian_beam():
    phase = np.zeros((64, 64), np.float32)
    phase[:, 32:] = 1
    profile = picture(phase, blur=2.0, contrast=-0.4)[32, 16:48]
    slope = -np.diff(profile) / 0.4
    x = np.arange(slope.size)
    centre = (slope * x).sum()
    assert slope.sum() == pytest.approx(1, abs=0.01)
    assert centre == pytest.approx(15, abs=0.05)
    # Differences between pixels widen the beam by a pixel's own variance, 1/12, twice.
    assert ((x - centre) ** 2 @ slope) ** 0.5 == pytest.approx(2.0, abs=0.05)


def test_shot_noise_follows_poisson_and_amplifier_noise_adds():
    flat = np.zeros((128, 128), np.float32)
    shot = picture(flat, background=0.5, dose=200)
    assert shot.var() == pytest.approx(0.5 / 200, rel=0.05)
    both = picture(flat, background=0.5, dose=200, noise=0.05)
    assert both.var() == pytest.approx(0.5 / 200 + 0.05**2, rel=0.05)
    assert both.mean() == pytest.approx(0.5, abs=0.005)


def test_illumination_is_a_ramp_about_the_mean():
    flat = np.zeros((64, 80), np.float32)
    image = picture(flat, background=0.5, illumination=0.2)
    y, x = (np.linspace(-0.5, 0.5, n) for n in flat.shape)
    plane = np.stack([np.ones(flat.size), np.repeat(y, 80), np.tile(x, 64)], axis=1)
    (mean, dy, dx), residual, *_ = np.linalg.lstsq(plane, image.ravel())
    assert mean == pytest.approx(0.5, abs=1e-4)
    assert np.hypot(dy, dx) == pytest.approx(0.2, abs=1e-3)
    assert residual[0] / flat.size < 1e-8


def test_the_generator_decides_everything_that_is_random():
    noisy = {"noise": 0.05, "dose": 100, "illumination": 0.1}
    first = picture(disc(), seed=3, **noisy)
    np.testing.assert_array_equal(first, picture(disc(), seed=3, **noisy))
    assert np.abs(first - picture(disc(), seed=4, **noisy)).mean() > 0.01


def test_ranges_are_drawn_within_their_bounds():
    ranges = MicroscopeRanges(dose=500)
    drawn = ranges.draw(np.random.default_rng(0))
    assert set(drawn) == set(MicroscopeRanges.model_fields) == set(PERFECT)
    for name, value in drawn.items():
        low, high = getattr(ranges, name)
        assert low <= value <= high
    assert drawn["dose"] == 500


@pytest.mark.parametrize("setting", ["dose=0", "blur=-1", "halo_width=[-1, 3]", "contrast=[1, 0]"])
def test_impossible_ranges_are_refused(setting):
    with pytest.raises(InputError, match=setting.partition("=")[0]):
        MicroscopeRanges.load(None, [setting])
