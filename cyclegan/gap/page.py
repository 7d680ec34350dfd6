"""The page of the domain-gap report: words, patches, charts and tables, nothing from elsewhere."""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cyclegan.gap import svg
from cyclegan.gap.compare import Gap
from cyclegan.gap.features import BINS, STEEPEST
from cyclegan.gap.samples import Sample

Array = NDArray[Any]

SHOWN = 6
"""Example patches of each sample."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #62676e; --line: #dcdfe3; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6e9; --soft: #9aa0a8; --line: #3a3f46; --page: #16181b; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1, h2 { font-weight: 600; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p, li { max-width: 46rem; } .verdict { font-size: 1.1rem; }
.verdict b { display: block; } .soft { color: var(--soft); font-size: .875rem; }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--ink); }
svg .rule { stroke: var(--line); }
.patches { display: grid; grid-template-columns: 9rem repeat(6, 1fr); gap: .4rem; }
.patches span { overflow-wrap: anywhere; font-size: .875rem; align-self: center; }
.patches img { width: 100%; image-rendering: pixelated; border-radius: 3px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem 1.2rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; font-weight: 500; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; list-style: none; padding: 0; }
.legend i { display: inline-block; width: 1.2rem; height: .35rem; margin-right: .5rem;
  vertical-align: middle; print-color-adjust: exact; }
"""


def page(
    samples: Sequence[Sample],
    gaps: Sequence[Gap],
    remarks: Sequence[str],
    maps: Sequence[Array] | None,
    figures: tuple[Sequence[str], Sequence[Sequence[str]]],
) -> str:
    """The whole page; arguments as those of `report.save`, with the table's header and rows."""
    names = [one.pictures.name for one in samples]
    verdicts = "".join(
        f'<p class="verdict"><b>{escape(gap.name)}</b> {escape(gap.verdict)}</p>' for gap in gaps
    )
    notes = "".join(
        f"<h3>{escape(gap.name)}</h3>{''.join(f'<p>{escape(n)}</p>' for n in gap.notes)}"
        for gap in gaps
    )
    shapes = [
        [f"{trait.name}", *_trait(gaps, i)] for i, trait in enumerate(gaps[0].morphology.traits)
    ]
    charts = _charts(samples, names)
    if maps is not None:
        points = [svg.Series(n, m[:, 0], m[:, 1]) for n, m in zip(names, maps, strict=True)]
        charts.append(svg.dots("t-SNE of the texture features", points))
    title = f"Domain gap to {names[0]}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{verdicts}
<h2>Why</h2>
{notes}
{"".join(f'<p class="soft">{escape(remark)}</p>' for remark in remarks)}
<h2>Patches</h2>
{_patches(samples)}
<h2>Distributions</h2>
{svg.legend(names)}
<div class="charts">{"".join(charts)}</div>
<h2>Figures</h2>
{_table(*figures)}
<p class="soft">Errors are over images. "Chance" is the middle 95 % of what a classifier reaches
when the labels of the images are exchanged; 0.5 is the goal. "Real halves" compares half of the
real images with the other half.</p>
<h2>Morphology</h2>
{_table(["median over images", "real", *(g.name for g in gaps)], shapes)}
<p class="soft">Lengths in pixels; of stores they are those of the exact masks, each class at its
mean grey value. An asterisk marks what is off.</p>
<h2>What differs most</h2>
{_telling(gaps)}
</main>
</body>
</html>
"""


def _trait(gaps: Sequence[Gap], index: int) -> list[str]:
    traits = [gap.morphology.traits[index] for gap in gaps]
    found = [f"{traits[0].real:.2f}"]
    return found + [f"{t.synthetic:.2f}{'*' if t.off else ''}" for t in traits]


def _telling(gaps: Sequence[Gap]) -> str:
    rows = []
    for gap in gaps:
        what = "; ".join(f"{name} ({shift:+.1f})" for name, shift in gap.telling)
        rows.append(f"<li>{escape(gap.name)}: {escape(what)}</li>")
    return (
        '<p class="soft">Texture features, with the difference of their means in standard '
        f"deviations of the real patches.</p><ul>{''.join(rows)}</ul>"
    )


def _charts(samples: Sequence[Sample], names: Sequence[str]) -> list[str]:
    def series(curves: Sequence[tuple[Array, Array]]) -> list[svg.Series]:
        return [svg.Series(n, x, y) for n, (x, y) in zip(names, curves, strict=True)]

    measured = [one.statistics for one in samples]
    low, high = (f(np.concatenate([m.entropy for m in measured])) for f in (np.min, np.max))
    plain = (False, False)
    bins = np.linspace(low, high + 1e-9, 25)
    entropies = []
    for m in measured:
        counts, _ = np.histogram(m.entropy, bins)
        entropies.append((np.repeat(bins, 2)[1:-1], np.repeat(counts / counts.sum(), 2)))
    grey = [svg.steps(m.grey.mean(axis=0) * BINS, 1.0) for m in measured]
    slopes = [svg.steps(m.gradient.mean(axis=0) * BINS / STEEPEST, STEEPEST) for m in measured]
    power = [(1 / m.frequency, m.power.mean(axis=0)) for m in measured]
    chords = []
    edges = 2.0 ** np.linspace(0, 10, 25)
    for one in samples:
        lengths = np.concatenate(
            [np.concatenate([d.lengths_dark, d.lengths_bright]) for d in one.described]
        ).astype(float)
        weight, _ = np.histogram(lengths, edges, weights=lengths)
        seen = np.flatnonzero(weight)
        kept = slice(seen[0], seen[-1] + 1) if len(seen) else slice(0, 1)
        at = np.sqrt(edges[:-1] * edges[1:])
        chords.append((at[kept], (weight / max(weight.sum(), 1))[kept]))
    return [
        svg.lines("Entropy of patches", ("bits", "share"), series(entropies), plain),
        svg.lines("Grey values", ("grey value, 0..1", "density"), series(grey), plain),
        svg.lines("Gradients", ("grey value per pixel", "density"), series(slopes), plain),
        svg.lines("Power spectrum", ("wavelength, px", "power"), series(power), (True, True)),
        svg.lines("Chords of both phases", ("length, px", "share"), series(chords), (True, False)),
    ]


def _patches(samples: Sequence[Sample]) -> str:
    cells = []
    for one in samples:
        cells.append(f"<span>{escape(one.pictures.name)}</span>")
        shown = one.pictures.patches
        chosen = np.linspace(0, len(shown) - 1, SHOWN).round().astype(int)
        for column, image in enumerate(chosen.tolist()):
            # Few images show several patches each.
            cells.append(_image(shown[image, column % shown.shape[1]]))
    return f'<div class="patches">{"".join(cells)}</div>'


def _image(patch: Array) -> str:
    png = io.BytesIO()
    Image.fromarray(np.round(patch * 255).astype(np.uint8)).save(png, format="PNG")
    source = base64.b64encode(png.getvalue()).decode()
    return f'<img alt="" src="data:image/png;base64,{source}">'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><th>{escape(row[0])}</th>{''.join(f'<td>{escape(c)}</td>' for c in row[1:])}</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
