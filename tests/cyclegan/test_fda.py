"""Fourier exchange: phases are ours, low-frequency amplitudes those of the style."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cyclegan.fda import cut, exchange
from cyclegan.geometry import boundary_drift


def noise(shape, seed):
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.random(shape), 1.0).astype(np.float32)


def low(shape, band):
    """Frequencies within the exchanged block, on the grid of `numpy.fft.fft2`."""
    y, x = (np.abs(np.fft.fftfreq(n)) <= band for n in shape)
    return y[:, None] & x


shapes = st.tuples(st.integers(8, 33), st.integers(8, 33))


@settings(max_examples=30, deadline=None)
@given(shapes, st.floats(0, 0.45), st.integers(0, 1000))
def test_amplitudes_are_exchanged_in_the_band_and_phases_nowhere(shape, band, seed):
    image, style = noise(shape, seed), noise(shape, seed + 1)
    before, theirs = np.fft.fft2(image), np.fft.fft2(style)
    after = np.fft.fft2(exchange(image, [(style, 1.0)], band))
    block, scale = low(shape, band), np.abs(before).max() * 1e-5
    np.testing.assert_allclose(np.abs(after)[block], np.abs(theirs)[block], atol=scale)
    np.testing.assert_allclose(np.abs(after)[~block], np.abs(before)[~block], atol=scale)
    # The phase of a faint mode is at the mercy of rounding.
    clear = np.minimum(np.abs(before), np.abs(after)) > 100 * scale
    phase = np.angle(after * before.conj())[clear]
    np.testing.assert_allclose(phase, 0, atol=0.01)


@given(shapes, st.floats(0, 0.5))
def test_exchange_with_itself_changes_nothing(shape, band):
    image = noise(shape, 0)
    np.testing.assert_allclose(exchange(image, [(image, 1.0)], band), image, atol=1e-6)


@given(shapes)
def test_a_band_of_zero_exchanges_the_mean_alone(shape):
    image, style = noise(shape, 0), noise(shape, 1) + np.float32(0.3)
    expected = image - image.mean() + style.mean()
    np.testing.assert_allclose(exchange(image, [(style, 1.0)], 0.0), expected, atol=1e-6)


def test_the_mean_stays_positive_and_absent_modes_stay_absent():
    flat, style = np.full((16, 16), 0.2, np.float32), noise((16, 16), 0)
    np.testing.assert_allclose(exchange(flat, [(style, 1.0)], 0.3), style.mean(), atol=1e-6)


def test_boundaries_stay_where_they_are():
    y, x = np.mgrid[:128, :128]
    mask = np.hypot(y - 60, x - 66) < 35
    image = ndimage.gaussian_filter(np.where(mask, 0.3, 0.7), 1.0).astype(np.float32)
    style = noise((128, 128), 5) * 0.5 + np.linspace(0, 0.5, 128, dtype=np.float32)
    drift = boundary_drift([(exchange(image, [(style, 1.0)], 0.03), mask)])
    assert abs(drift.shift) < 0.3
    assert drift.median < 0.5


def test_output_is_single_precision():
    assert exchange(noise((8, 9), 0), [(noise((8, 9), 1), 1.0)], 0.1).dtype == np.float32


@pytest.mark.parametrize("shape", [(5, 7), (12, 7), (30, 40)])
def test_crops_come_from_the_scene_or_its_mirror(shape):
    scene = np.arange(12 * 9, dtype=np.float32).reshape(12, 9)
    rng = np.random.default_rng(0)
    seen = np.zeros(scene.size, bool)
    for _ in range(50):
        crop = cut(scene, shape, rng)
        assert crop.shape == shape
        assert np.isin(crop, scene).all()
        seen[crop.astype(int).ravel()] = True
        within = [slice(min(a, b)) for a, b in zip(shape, scene.shape, strict=True)]
        # Neighbours in the crop are neighbours in the scene: 9 apart down, 1 apart across.
        part = crop[tuple(within)]
        assert (np.abs(np.diff(part, axis=0)) == 9).all()
        assert (np.abs(np.diff(part, axis=1)) == 1).all()
    assert seen.all()
