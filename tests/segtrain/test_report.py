import base64
import io
import re
from html.parser import HTMLParser
from math import nan

import numpy as np
import pytest
from PIL import Image

from phasegen.errors import InputError
from segtrain.metrics import Summary
from segtrain.report import (
    FALSE,
    MATCHED,
    MISSED,
    UNJUDGED,
    figure,
    heading,
    overlay,
    overlay_legend,
    paragraph,
    stretch,
    table,
    write_report,
)

HOSTILE = '<script>alert("1")</script> & Ni-20µm.tif'


class Page(HTMLParser):
    """Collects texts and attributes, and insists that every tag is closed in order."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def values(self, name):
        return [value for attribute, value in self.attributes if attribute == name]


def pictures(block):
    for source in Page(block).values("src"):
        encoded = source.removeprefix("data:image/png;base64,")
        yield np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))))


def square(shape, top, left, side):
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_stretch_spans_the_percentiles():
    ramp = np.linspace(-5.0, 3.0, 1001).reshape(7, 143)
    grey = stretch(ramp)
    assert (grey.min(), grey.max()) == (0, 255)
    assert grey.ravel()[500] in (127, 128)
    assert (np.diff(grey.ravel().astype(int)) >= 0).all()
    outlier = ramp.copy()
    outlier[-1, -1] = 1e9
    assert np.abs(stretch(outlier).astype(int) - grey).max() <= 1


def test_stretch_of_awkward_images():
    assert (stretch(np.full((3, 4), 7, np.uint16)) == 128).all()
    rare = np.zeros((40, 40), dtype=bool)
    rare[3, 3] = True
    np.testing.assert_array_equal(stretch(rare), 255 * rare)
    broken = np.array([[nan, np.inf], [0.0, 1.0]])
    np.testing.assert_array_equal(stretch(broken), [[0, 0], [0, 255]])
    assert (stretch(np.full((2, 2), nan)) == 0).all()


def test_overlay_colours_each_kind_of_boundary():
    shape = (40, 60)
    truth = square(shape, 5, 5, 10) | square(shape, 25, 5, 6)
    prediction = square(shape, 5, 7, 10) | square(shape, 20, 40, 8)
    before = np.random.default_rng(0).normal(size=shape)
    picture = overlay(before, prediction, truth)
    assert picture.shape == (*shape, 3)
    assert picture.dtype == np.uint8
    assert tuple(picture[10, 7]) == MATCHED  # left side, 2 px inside the true one
    assert tuple(picture[20, 44]) == FALSE
    assert tuple(picture[25, 7]) == MISSED
    assert len(set(picture[10, 5])) == 1  # true and found: it is the prediction that is drawn
    assert len(set(picture[24, 44])) == 1  # inside
    assert tuple(overlay(before, prediction, truth, tolerance=1.9)[10, 7]) == FALSE
    assert tuple(overlay(before, prediction, truth, tolerance=1.9)[10, 5]) == MISSED


def test_overlay_without_truth_passes_no_judgement():
    prediction = square((20, 20), 5, 5, 8)
    picture = overlay(np.zeros((20, 20)), prediction)
    coloured = (picture == UNJUDGED).all(axis=-1)
    assert coloured.sum() == 28
    assert not (coloured & ~prediction).any()


def test_overlay_keeps_the_contrast_of_the_image():
    picture = overlay(np.array([[0.0, 1.0, 2.0]]), np.zeros((1, 3), dtype=bool))
    dark, middle, bright = picture[0, :, 0].astype(int)
    assert dark == 0
    assert 2 * middle == pytest.approx(bright, abs=4)


def test_overlay_shapes_must_match():
    image, mask = np.zeros((4, 5)), np.zeros((5, 4), dtype=bool)
    with pytest.raises(ValueError, match=r"image .*\(4, 5\).*prediction .*\(5, 4\)"):
        overlay(image, mask)
    with pytest.raises(ValueError, match=r"prediction .*\(4, 5\).*truth .*\(5, 4\)"):
        overlay(image, mask.T, mask)


def test_the_legend_shows_the_colours_of_the_overlay():
    styles = Page(overlay_legend(1.5)).values("style")
    assert styles == [f"background: rgb{colour}" for colour in (MATCHED, FALSE, MISSED)]
    assert "1.5 px" in overlay_legend(1.5)


def test_figure_holds_its_pictures():
    grey = np.arange(48.0).reshape(6, 8)
    colour = np.random.default_rng(0).integers(256, size=(300, 8, 3), dtype=np.uint8)
    block = figure([("image", grey), (HOSTILE, colour)], "What & why")
    first, second = pictures(block)
    np.testing.assert_array_equal(first, stretch(grey))
    np.testing.assert_array_equal(second, colour)
    page = Page(block)
    assert page.values("alt") == ["image", HOSTILE]
    assert {"image", HOSTILE, "What & why"} <= set(page.texts)
    assert page.values("class").count("sharp") == 1


@pytest.mark.parametrize("array", [np.zeros(5), np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8)])
def test_figure_refuses_what_is_no_picture(array):
    with pytest.raises(ValueError, match="'odd' has shape"):
        figure([("odd", array)], "")


def test_table_formats_its_cells():
    rows = [
        (HOSTILE, 0.12345, nan),
        ("mean", Summary(0.5, 0.4, 0.6, 9), np.float32(0.25)),
        ("images", 9, None),
    ]
    page = Page(table(["image", "IoU", "BF1 <2 px>"], rows, "All"))
    cells = ["0.123", "–", "mean", "0.500 [0.400, 0.600]", "0.250", "images", "9", "None"]
    assert page.texts == ["image", "IoU", "BF1 <2 px>", HOSTILE, *cells, "All"]


def test_table_rows_must_fit_the_header():
    with pytest.raises(ValueError, match="3 cells in a table of 2 columns"):
        table(["a", "b"], [(1, 2, 3)], "")


def test_a_report_stands_alone(tmp_path):
    path = tmp_path / "report.html"
    write_report(
        path,
        HOSTILE,
        [
            heading(f"Section {HOSTILE}"),
            paragraph(f"Text {HOSTILE}"),
            overlay_legend(),
            figure([("image", np.eye(8))], "figure"),
            table(["name", "value"], [("a", 1.0)], "table"),
        ],
    )
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.texts.count(HOSTILE) == 2  # title and headline
    assert {f"Section {HOSTILE}", f"Text {HOSTILE}"} <= set(page.texts)
    assert "script" not in page.tags
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert all(source.startswith("data:") for source in page.values("src"))
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_report_survives_a_file_name_that_is_no_text(tmp_path):
    path = tmp_path / "report.html"
    write_report(path, "report", [paragraph(b"ni\xff.tif".decode("utf-8", "surrogateescape"))])
    assert "<p>ni?.tif</p>" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["absent/report.html", "file/report.html"])
def test_a_report_that_cannot_be_written(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / place, "report", [])


def test_a_failed_report_leaves_nothing_behind(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match=r"report\.html: cannot be written"):
        write_report(tmp_path / "report.html", "report", [])
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
