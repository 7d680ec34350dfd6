"""Scale bars, text and saturated areas are found; noise, rims and clean scenes are left alone."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from cyclegan.marks import clean_rectangles, find_marks, largest_rectangle


def scene(shape=(200, 240), seed=0, contrast=40):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 3)
    return (
        (128 + contrast * field / field.std() + rng.normal(0, 8, shape))
        .clip(0, 255)
        .astype(np.uint8)
    )


def test_a_clean_scene_has_no_marks_though_its_noise_is_clipped():
    grey = scene()
    assert ((grey == 255) | (grey == 0)).mean() > 0.001
    assert not find_marks(grey).any()
    assert clean_rectangles(find_marks(grey), 32) == [(slice(0, 200), slice(0, 240))]


@pytest.mark.parametrize("value", [0, 255])
def test_a_scale_bar_is_found_with_a_margin_and_nothing_far_from_it(value):
    grey = scene()
    grey[180:186, 150:230] = value
    marks = find_marks(grey)
    assert marks[176:190, 146:234].all()
    # Within half its length clipped noise may pass for a letter.
    assert not marks[:132].any()
    assert not marks[:, :102].any()
    assert marks.mean() < 0.08


def labelled(size, value=255, bar=True, hot=False):
    """A scene with the text "5 um", if `bar` above a scale bar; where the text is, and the bar."""
    image = Image.fromarray(scene((256, 256), contrast=15))
    text, frame = Image.new("L", image.size), np.zeros((256, 256), bool)
    font = ImageFont.load_default(size)
    for one, ink in ((image, value), (text, 255)):
        ImageDraw.Draw(one).text((110, 200 - size), "5 um", font=font, fill=ink)
    if bar:
        ImageDraw.Draw(image).rectangle((80, 230, 229, 238), fill=value)
        frame[230:239, 80:230] = True
    if hot:
        image.putpixel((5, 5), 255)
    return image, np.asarray(text) > 128, frame


def through(image, quality):
    """The pixels after a JPEG, or as they are."""
    if quality is None:
        return np.asarray(image)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [None, 95, 75])
@pytest.mark.parametrize(
    ("size", "value", "bar", "hot"),
    [
        (11, 255, True, False),
        (20, 255, True, False),
        (32, 255, True, False),
        (20, 0, True, False),
        (20, 230, True, True),
        (20, 255, False, False),
        (32, 0, False, False),
    ],
)
def test_bars_and_text_are_found_whatever_compression_does(size, value, bar, hot, quality):
    image, text, frame = labelled(size, value, bar, hot)
    marks = find_marks(through(image, quality))
    assert marks[frame].all()
    assert marks[text].mean() > 0.95
    assert not marks[:130].any()
    assert not marks[:, :60].any()


def needles(seed):
    """Thin bright lines here and there, of one length and every direction."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(scene((256, 256), seed, contrast=15))
    for y, x, angle in zip(*rng.uniform(20, 236, (2, 40)), rng.uniform(0, np.pi, 40), strict=True):
        end = (x + 14 * np.cos(angle), y + 14 * np.sin(angle))
        ImageDraw.Draw(image).line((x, y, *end), fill=255, width=2)
    return np.asarray(image)


def discs(_seed):
    """Bright particles in rows."""
    grey = scene((256, 256), contrast=15)
    y, x = np.mgrid[:256, :256]
    grey[(y % 32 - 16) ** 2 + (x % 16 - 8) ** 2 < 20] = 255
    return grey


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("particles", [needles, discs])
def test_particles_are_no_text(particles, sign):
    for seed in range(3):
        assert not find_marks(sign * particles(seed).astype(np.float32)).any()


def test_a_dark_background_is_not_saturated():
    """The least value of a fluorescence image is where there is nothing, not where it clips."""
    y, x = np.mgrid[:128, :128]
    glow = 100 * np.exp(-((y - 64) ** 2 + (x - 64) ** 2) / 300)
    assert not find_marks(np.round(2 + glow).astype(np.uint8)).any()


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
