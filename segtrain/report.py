"""One self-contained HTML file with pictures, curves and tables.

A report is a list of blocks, each a piece of HTML that one of these functions returns:
`write_report` puts them on a page. Text given to any of them is escaped. Nothing is fetched from
elsewhere, so that a report can be mailed, archived and opened years later.
"""

import base64
import io
from collections.abc import Sequence
from html import escape
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phasegen.files import written_whole
from segtrain.metrics.boundary import boundary_distances, inner_boundary

# Okabe and Ito, "Color universal design" (2008): told apart with every kind of colour vision.
MATCHED = (86, 180, 233)
"""Predicted boundary near a true one: sky blue."""
FALSE = (213, 94, 0)
"""Predicted boundary far from every true one: vermillion."""
MISSED = (240, 228, 66)
"""True boundary far from every predicted one: yellow."""
UNJUDGED = (204, 121, 167)
"""Predicted boundary where no truth is known: reddish purple."""

# Smaller pictures are shown with square pixels, larger ones interpolated, lest thin lines vanish.
_SHARP_BELOW = 256

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #62676e; --line: #dcdfe3; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6e9; --soft: #9aa0a8; --line: #3a3f46; --page: #16181b; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.25; font-weight: 650; margin: 0 0 1.5rem; }
h2 { font-size: 1.2rem; font-weight: 600; margin: 3rem 0 1rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
h1, h2, figcaption, td, th { overflow-wrap: anywhere; }
p { max-width: 42rem; margin: 0 0 1rem; }
figure { margin: 1.5rem 0 2rem; break-inside: avoid; }
figcaption { color: var(--soft); font-size: .875rem; max-width: 42rem; }
.row { display: grid; gap: 1rem; margin-bottom: .5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
.row > div { max-width: 34rem; }
.row span { display: block; font-size: .875rem; font-weight: 600; margin-bottom: .25rem; }
img { display: block; width: 100%; height: auto; border-radius: 3px; }
img.sharp { image-rendering: pixelated; }
svg { display: block; width: 100%; max-width: 42rem; height: auto; margin-bottom: .5rem; }
.scroll { overflow-x: auto; margin-bottom: .5rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem 1.25rem .35rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
tbody th { font-weight: 500; white-space: normal; min-width: 8rem; }
th:first-child, td:first-child { text-align: left; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; list-style: none; margin: 0 0 1rem;
  padding: 0; font-size: .875rem; }
.legend i { display: inline-block; width: 1.25rem; height: .35rem; margin-right: .5rem;
  border-radius: 2px; vertical-align: middle; print-color-adjust: exact; }
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --page: #fff; }
  main { max-width: none; padding: 0; }
  body { font-size: 10pt; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
}
"""


def stretch(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values 0..255 for display, from an image of any type and range.

    Parameters
    ----------
    image : array
        Any real type, boolean included. Values that are not finite come out black.

    Returns
    -------
    array of uint8
        Linear between the 0.5th and the 99.5th percentile, or between the extremes where these
        percentiles coincide (as in a mask with few pixels); mid-grey for a constant image.
    """
    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(finite, [0.5, 99.5])
    if low == high:
        low, high = finite.min(), finite.max()
    if low == high:
        return np.full(values.shape, 128, np.uint8)
    scaled = np.clip((np.where(np.isfinite(values), values, low) - low) / (high - low), 0, 1)
    grey: NDArray[np.uint8] = np.round(255 * scaled).astype(np.uint8)
    return grey


def overlay(
    image: NDArray[Any],
    prediction: NDArray[Any],
    truth: NDArray[Any] | None = None,
    *,
    tolerance: float = 2.0,
) -> NDArray[np.uint8]:
    """Grey picture with the predicted boundary on it, coloured by whether it is right.

    The colours follow the counts behind Boundary F1: `MATCHED` and `FALSE` pixels make up its
    precision, `MISSED` ones are lacking in its recall.

    Parameters
    ----------
    image : array, shape (Y, X)
        Any real type and range.
    prediction : array of bool, shape (Y, X)
        Predicted mask; in other types, nonzero is foreground.
    truth : array of bool, shape (Y, X), optional
        True mask. Without it the whole predicted boundary is `UNJUDGED`.
    tolerance : float
        Distance in pixels, inclusive, within which boundaries match.

    Returns
    -------
    array of uint8, shape (Y, X, 3)
        RGB.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if image.shape != prediction.shape:
        raise ValueError(
            f"the image has shape {image.shape}, but the prediction has {prediction.shape}"
        )
    # Dimmed, so that the colours stand out from bright phases too.
    picture = np.repeat(stretch(image)[..., np.newaxis] // 4 * 3, 3, axis=-1)
    predicted = inner_boundary(prediction)
    if truth is None:
        picture[predicted] = UNJUDGED
        return picture
    of_prediction, of_truth = boundary_distances(prediction, truth)
    picture[predicted] = np.where(of_prediction[:, np.newaxis] <= tolerance, MATCHED, FALSE)
    missed = inner_boundary(truth)
    missed[missed] = of_truth > tolerance
    picture[missed] = MISSED
    return picture


def overlay_legend(tolerance: float = 2.0) -> str:
    """Block that explains the colours of `overlay` with a truth."""
    entries = (
        (MATCHED, f"predicted boundary within {tolerance:g} px of a true one"),
        (FALSE, "predicted, but not there"),
        (MISSED, "there, but not predicted"),
    )
    items = "".join(
        f'<li><i style="background: rgb{colour}"></i>{text}</li>' for colour, text in entries
    )
    return f'<ul class="legend">{items}</ul>'


def heading(text: str) -> str:
    """Block: the title of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Block: a paragraph of text."""
    return f"<p>{escape(text)}</p>"


def figure(pictures: Sequence[tuple[str, NDArray[Any]]], caption: str) -> str:
    """Block: pictures side by side.

    Parameters
    ----------
    pictures : sequence of (title, array)
        Arrays of shape (Y, X), whose contrast is stretched (see `stretch`), or of shape (Y, X, 3)
        and type uint8, shown as they are.
    caption : str
        What they show.

    Raises
    ------
    ValueError
        If an array is neither.
    """
    cells = "".join(
        f"<div><span>{escape(title)}</span>{_image(title, array)}</div>"
        for title, array in pictures
    )
    return _captioned(f'<div class="row">{cells}</div>', caption)


def table(header: Sequence[str], rows: Sequence[Sequence[object]], caption: str) -> str:
    """Block: a table whose first column names the rows.

    Parameters
    ----------
    header : sequence of str
        Column titles, that of the first column included.
    rows : sequence of sequences
        Cells: a float is shown with three decimals, NaN as a dash, all else by `str`.
    caption : str
        What the table shows.

    Raises
    ------
    ValueError
        If a row has not one cell per column.
    """
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in header)
    body = []
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row of {len(row)} cells in a table of {len(header)} columns")
        name, *values = map(_cell, row)
        cells = "".join(f"<td>{value}</td>" for value in values)
        body.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    markup = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return _captioned(f'<div class="scroll">{markup}</div>', caption)


def write_report(path: Path, title: str, blocks: Sequence[str]) -> None:
    """Write a page; until it is complete, an earlier one of this name stays in place.

    Parameters
    ----------
    path : Path
        The ``.html`` file to write.
    title : str
        Title of the page.
    blocks : sequence of str
        What the other functions of this module return, in reading order.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    content = "\n".join(blocks)
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""
    with written_whole(path) as partial:
        # File names that are no valid text become readable with "?" rather than an error.
        partial.write_text(page, encoding="utf-8", errors="replace")


def _image(title: str, array: NDArray[Any]) -> str:
    if array.ndim == 2:
        array = stretch(array)
    elif array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(
            f"picture {title!r} has shape {array.shape} and type {array.dtype}, "
            "neither (Y, X) nor (Y, X, 3) of uint8"
        )
    png = io.BytesIO()
    Image.fromarray(array).save(png, format="PNG")
    height, width = array.shape[:2]
    sharp = ' class="sharp"' if max(height, width) < _SHARP_BELOW else ""
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    return f'<img{sharp} width="{width}" height="{height}" alt="{escape(title)}" src="{source}">'


def _captioned(content: str, caption: str) -> str:
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{content}{text}</figure>"


def _cell(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return "–" if isnan(value) else f"{value:.3f}"
    return escape(str(value))
