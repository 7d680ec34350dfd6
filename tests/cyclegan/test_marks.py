"""Scale bars, text and saturated areas are found; noise, rims and clean scenes are left alone."""

import numpy as np
import pytest
from scipy import ndimage

from cyclegan.marks import clean_rectangles, find_marks, largest_rectangle


def scene(shape=(200, 240), seed=0):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 3)
    return (128 + 40 * field / field.std() + rng.normal(0, 8, shape)).clip(0, 255).astype(np.uint8)


def test_a_clean_scene_has_no_marks_though_its_noise_is_clipped():
    grey = scene()
    assert ((grey == 255) | (grey == 0)).mean() > 0.001
    assert not find_marks(grey).any()
    assert clean_rectangles(find_marks(grey), 32) == [(slice(0, 200), slice(0, 240))]


@pytest.mark.parametrize("value", [0, 255])
def test_a_scale_bar_is_found_with_a_margin_and_nothing_else(value):
    grey = scene()
    grey[180:186, 150:230] = value
    marks = find_marks(grey)
    assert marks[176:190, 146:234].all()
    assert not marks[:165].any()
    assert not marks[:, :135].any()


def test_a_charged_area_is_saturated():
    grey = scene().astype(np.uint16) * 200
    y, x = np.mgrid[:200, :240]
    grey[np.hypot(y - 60, x - 60) < 20] = 65535
    assert find_marks(grey)[60, 60]


def test_rectangles_hold_no_mark_do_not_overlap_and_cover_most():
    grey = scene()
    grey[180:186, 150:230] = 255
    marks = find_marks(grey)
    found = clean_rectangles(marks, 32)
    count = np.zeros(grey.shape, int)
    for rectangle in found:
        count[rectangle] += 1
        assert not marks[rectangle].any()
        assert min(count[rectangle].shape) >= 32
    assert count.max() == 1
    assert count.mean() > 0.8


def test_marks_all_over_leave_no_rectangle():
    marks = np.zeros((256, 256), bool)
    marks[::40, :], marks[:, ::40] = True, True
    assert clean_rectangles(marks, 16) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_rectangle_is_that_of_an_exhaustive_search(seed):
    free = np.random.default_rng(seed).random((9, 11)) < 0.75
    top, bottom, left, right = largest_rectangle(free)
    assert free[top:bottom, left:right].all()
    best = max(
        (b - t) * (r - lo)
        for t in range(9)
        for b in range(t + 1, 10)
        for lo in range(11)
        for r in range(lo + 1, 12)
        if free[t:b, lo:r].all()
    )
    assert (bottom - top) * (right - left) == best
