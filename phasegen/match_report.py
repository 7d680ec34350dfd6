"""What a match leaves behind: settings under a table of how well they fit, JSON, a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from phasegen.calibrate import Match
from phasegen.coverage import fits, values
from phasegen.descriptors import Descriptors
from phasegen.files import make_folder, written_whole
from phasegen.images import grey_range, normalise, spread, write_image

Array = NDArray[Any]
Curve = tuple[Array, Array]

REAL, SIMULATED = (213, 94, 0), (0, 114, 178)
"""Vermillion and blue of Okabe and Ito, told apart with every kind of colour vision."""

INK, SOFT, RULE, PAPER = (28, 30, 33), (98, 103, 110), (220, 223, 227), (255, 255, 255)

PATCHES, PATCH, GAP = 6, 240, 8
CHART, HEIGHT, MARGIN = 356, 200, 36
"""Sizes in pixels: of patches, and of charts with room for their labels."""

BINS = 24
"""Bins of a histogram of chords."""


def table(match: Match) -> list[tuple[str, str, str, str, str]]:
    """Descriptor, real and simulated interval, share of real images inside, verdict."""
    return [
        (
            row.name,
            f"{row.real[0]:.3g} - {row.real[1]:.3g}",
            f"{row.simulated[0]:.3g} - {row.simulated[1]:.3g}",
            f"{row.inside:.0%}",
            "covered" if row.covered else row.gap,
        )
        for row in match.coverage
    ]


def save(path: Path, match: Match) -> list[Path]:
    """Write the settings, a summary as JSON and a picture that compares the distributions.

    Parameters
    ----------
    path : Path
        Of the settings, YAML; the others take its name with ``.json`` and ``.png``.

    Returns
    -------
    list of Path
        The three files.

    Raises
    ------
    InputError
        If the file system refuses.
    """
    make_folder(path.parent)
    summary = {
        "recipe": match.simulation.recipe,
        "images": len(match.real),
        "fits": fits(match.coverage),
        "share_of_dark_phase": match.share,
        "descriptors": {
            row.name: {
                "real": row.real,
                "simulated": row.simulated,
                "inside": row.inside,
                "covered": row.covered,
            }
            for row in match.coverage
        },
        "notes": match.notes,
    }
    low, high = match.share
    header = [
        f"{match.simulation.recipe} matched to {len(match.real)} real images, lengths in pixels:",
        f"{'':18}{'real (10-90 %)':20}{'simulated':20}inside",
        *(f"{a:18}{b:20}{c:20}{d:>5}  {e}" for a, b, c, d, e in table(match)),
        f"The dark phase takes {low:.0%} to {high:.0%} of the real images.",
        *match.notes,
    ]
    config = yaml.safe_dump(match.simulation.model_dump(mode="json"), sort_keys=False)
    with written_whole(path) as partial:
        partial.write_text("".join(f"# {line}".rstrip() + "\n" for line in header) + config)
    beside = path.with_suffix(".json"), path.with_suffix(".png")
    with written_whole(beside[0]) as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n")
    write_image(beside[1], picture(match))
    return [path, *beside]


def picture(match: Match) -> NDArray[np.uint8]:
    """Patches of real and simulated pictures, and charts of their distributions: (Y, X, 3)."""
    width = max(PATCHES * (PATCH + GAP), 4 * (CHART + GAP)) + GAP
    strips = [("real", REAL, match.scenes), ("simulated", SIMULATED, match.images)]
    height = len(strips) * (PATCH + 28 + GAP) + HEIGHT + 2 * MARGIN + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    side = _shown(match)
    top = GAP
    for title, ink, pictures in strips:
        draw.text((GAP, top), title, ink, _font(18))
        top += 28
        for column, grey in enumerate(spread(pictures, PATCHES)):
            sheet.paste(_patch(grey, side), (GAP + column * (PATCH + GAP), top))
        top += PATCH + GAP
    charts = [
        ("power spectrum", "wavelength, px", _spectra),
        ("chords, dark phase", "length, px", lambda d: _chords(d, "lengths_dark")),
        ("chords, bright phase", "length, px", lambda d: _chords(d, "lengths_bright")),
    ]
    for column, (title, axis, curve) in enumerate(charts):
        curves = [(REAL, curve(match.real)), (SIMULATED, curve(match.simulated))]
        _chart(draw, (GAP + column * (CHART + GAP), top), title, axis, curves)
    _shares(draw, (GAP + 3 * (CHART + GAP), top), match)
    found: NDArray[np.uint8] = np.asarray(sheet)
    return found


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _shown(match: Match) -> int:
    """Side of the patches, the same in all pictures, so that sizes compare."""
    sides = [side for shown in (*match.scenes, *match.images) for side in shown.shape]
    return int(min(sides))


def _patch(grey: Array, side: int) -> Image.Image:
    y, x = ((n - side) // 2 for n in grey.shape)
    scaled = normalise(grey[y : y + side, x : x + side].astype(np.float32), *grey_range(grey))
    levels = np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return Image.fromarray(levels).resize((PATCH, PATCH), Image.Resampling.LANCZOS)


def _spectra(described: Sequence[Descriptors]) -> Curve:
    """Mean over the pictures of power per octave, against wavelength."""
    wavelengths = 2.0 ** np.linspace(1.5, np.log2(max(d.shape[0] for d in described) / 2), 80)
    rows = []
    for d in described:
        energy = np.interp(1 / wavelengths, d.frequency, d.frequency**2 * d.power, np.nan, np.nan)
        rows.append(energy / np.nansum(energy))
    known = ~np.isnan(rows).all(axis=0)
    return wavelengths[known], np.nanmean(np.array(rows)[:, known], axis=0)


def _chords(described: Sequence[Descriptors], name: str) -> Curve:
    """Share of the phase's length that lies in chords of a length, per octave."""
    lengths = np.concatenate([getattr(d, name) for d in described]).astype(float)
    edges = 2.0 ** np.linspace(0, 10, BINS + 1)
    weight, _ = np.histogram(lengths, edges, weights=lengths)
    return np.sqrt(edges[:-1] * edges[1:]), weight / max(weight.sum(), 1)


def _frame(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], title: str, axis: str
) -> tuple[int, int, int, int]:
    """Title, base line and label of a chart; the box that its curves fill."""
    left, top = corner
    draw.text((left, top), title, INK, _font(16))
    box = left + 4, top + MARGIN, left + CHART - 8, top + MARGIN + HEIGHT - 24
    draw.line((box[0], box[3], box[2], box[3]), RULE, 1)
    draw.text(((box[0] + box[2]) // 2, box[3] + 22), axis, SOFT, _font(13), anchor="mt")
    return box


def _chart(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    title: str,
    axis: str,
    curves: Sequence[tuple[tuple[int, int, int], Curve]],
) -> None:
    """Curves over a logarithmic axis of lengths."""
    box = _frame(draw, corner, title, axis)
    highest = max(float(np.max(y)) for _, (_, y) in curves) or 1.0
    # Where any curve rises above a hundredth of the peak.
    shown = np.concatenate([x[y > highest / 100] for _, (x, y) in curves])
    if not len(shown):
        return
    low, high = np.log2(shown.min()), np.log2(shown.max())

    def place(x: Array) -> Array:
        along: Array = box[0] + (np.log2(x) - low) / max(high - low, 1e-6) * (box[2] - box[0])
        return along

    for power in range(int(np.ceil(low)), int(np.floor(high)) + 1):
        at = float(place(np.array(2.0**power)))
        draw.line((at, box[1], at, box[3]), RULE, 1)
        draw.text((at, box[3] + 4), f"{2**power}", SOFT, _font(13), anchor="mt")
    for ink, (x, y) in curves:
        kept = (np.log2(x) >= low - 1e-9) & (np.log2(x) <= high + 1e-9)
        heights = box[3] - y[kept] / highest * (box[3] - box[1])
        points = zip(place(x[kept]).tolist(), heights.tolist(), strict=True)
        draw.line([(float(a), float(b)) for a, b in points], ink, 3, joint="curve")


def _shares(draw: ImageDraw.ImageDraw, corner: tuple[int, int], match: Match) -> None:
    """Share of the dark phase: a dot for every picture, a bar for the interval of the real ones."""
    box = _frame(draw, corner, "share of the dark phase", "")
    for tick in range(0, 101, 25):
        at = box[0] + 12 + tick / 100 * (box[2] - box[0] - 24)
        draw.line((at, box[1], at, box[3]), RULE, 1)
        draw.text((at, box[3] + 4), f"{tick} %", SOFT, _font(13), anchor="mt")
    middle = (box[1] + box[3]) / 2
    rows = [
        ("real", REAL, match.real, middle - 36),
        ("simulated", SIMULATED, match.simulated, middle + 36),
    ]
    for title, ink, described, level in rows:
        draw.text((box[0], level - 34), title, ink, _font(14))
        for share in values("dark", described).tolist():
            at = box[0] + 12 + share * (box[2] - box[0] - 24)
            draw.ellipse((at - 4, level - 4, at + 4, level + 4), outline=ink, width=2)
    ends = [box[0] + 12 + share * (box[2] - box[0] - 24) for share in match.share]
    draw.line((ends[0], middle - 24, ends[1], middle - 24), REAL, 3)
