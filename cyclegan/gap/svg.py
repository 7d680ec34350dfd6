"""Charts as SVG, to stand inside an HTML page."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito (2008), told apart with every kind of colour vision; the first is the real one."""

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 260, 52, 40, 26


class Series(NamedTuple):
    """Points of one sample."""

    name: str
    x: Array
    y: Array


def colour(index: int) -> str:
    """Colour of the sample of this number."""
    return COLOURS[index] if index == 0 else COLOURS[1 + (index - 1) % (len(COLOURS) - 1)]


def legend(names: Sequence[str]) -> str:
    """List that tells which colour is which sample."""
    items = "".join(
        f'<li><i style="background:{colour(i)}"></i>{escape(name)}</li>'
        for i, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def lines(
    title: str, axes: tuple[str, str], series: Sequence[Series], log: tuple[bool, bool]
) -> str:
    """Curves; an axis may be logarithmic."""
    frame = _Frame(series, log)
    curves = []
    for i, one in enumerate(series):
        x, y = frame.place(one)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        curves.append(
            f'<polyline fill="none" stroke="{colour(i)}" stroke-width="2" points="{points}"/>'
        )
    return frame.draw(title, axes, "".join(curves))


def dots(title: str, series: Sequence[Series]) -> str:
    """Points without axes, those of the first series on top."""
    frame = _Frame(series, (False, False))
    marks = []
    for i, one in reversed(list(enumerate(series))):
        x, y = frame.place(one)
        circles = "".join(
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in zip(x, y, strict=True)
        )
        marks.append(f'<g fill="{colour(i)}" fill-opacity="0.7">{circles}</g>')
    return frame.draw(title, ("", ""), "".join(marks))


def steps(histogram: Array, top: float) -> tuple[Array, Array]:
    """Outline of a histogram of bins between 0 and `top`."""
    edges = np.linspace(0, top, len(histogram) + 1)
    return np.repeat(edges, 2)[1:-1], np.repeat(histogram, 2)


class _Frame:
    """Scales of a chart that holds all series."""

    def __init__(self, series: Sequence[Series], log: tuple[bool, bool]) -> None:
        self.log = log
        self.ends = []
        for axis in (0, 1):
            values = np.concatenate([np.asarray(one[axis + 1], float) for one in series])
            values = np.log10(values[values > 0]) if log[axis] else values
            low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
            self.ends.append((low, high if high > low else low + 1))

    def place(self, one: Series) -> tuple[Array, Array]:
        """Points of a series in the units of the picture."""
        return self._along(np.asarray(one.x, float), 0), self._along(np.asarray(one.y, float), 1)

    def _along(self, values: Array, axis: int) -> Array:
        low, high = self.ends[axis]
        scaled = np.log10(np.maximum(values, 10.0**low)) if self.log[axis] else values
        share = (scaled - low) / (high - low)
        if axis == 0:
            return np.asarray(LEFT + share * (WIDTH - LEFT - 12))
        return np.asarray(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP))

    def _ticks(self, axis: int) -> Array:
        low, high = self.ends[axis]
        if not self.log[axis]:
            step = 10.0 ** np.floor(np.log10((high - low) / 2))
            step *= 1 if (high - low) / step < 5 else 2 if (high - low) / step < 10 else 5
            return np.asarray(np.arange(np.ceil(low / step), high / step + 1e-9) * step)
        if axis == 0:  # lengths
            powers = np.arange(np.ceil(low / np.log10(2)), np.floor(high / np.log10(2)) + 1)
            return np.asarray(2.0**powers)
        return np.asarray(10.0 ** np.arange(np.ceil(low), np.floor(high) + 1))

    def draw(self, title: str, axes: tuple[str, str], content: str) -> str:
        """The whole picture; without names of the axes these stay away."""
        parts = [f'<text x="{LEFT}" y="15" font-weight="600">{escape(title)}</text>']
        base = HEIGHT - BOTTOM
        for value in self._ticks(0) if axes[0] else ():
            at = float(self._along(np.array(value), 0))
            parts.append(f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{base}"/>')
            parts.append(f'<text x="{at:.1f}" y="{base + 15}" {_MIDDLE}>{value:g}</text>')
        for value in self._ticks(1) if axes[1] else ():
            at = float(self._along(np.array(value), 1))
            parts.append(
                f'<line class="rule" x1="{LEFT}" x2="{WIDTH - 12}" y1="{at:.1f}" y2="{at:.1f}"/>'
            )
            parts.append(
                f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" {_MIDDLE}>{axes[0]}</text>')
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
            f"{''.join(parts)}{content}</svg>"
        )


_MIDDLE = 'text-anchor="middle"'
