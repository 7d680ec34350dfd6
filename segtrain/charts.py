"""Curves as inline SVG, for the pages of `segtrain.report`."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 640, 320
LEFT, BOTTOM, TOP, RIGHT = 56, 48, 16, 16
TICKS = 5


def curve(points: Sequence[tuple[str, float]], across: str, up: str, caption: str) -> str:
    """Block: scores 0..1 over settings that stand at equal distances.

    Parameters
    ----------
    points : sequence of (label, score)
        From left to right.
    across, up : str
        Titles of the axes.
    caption : str
        What the curve shows.
    """
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(index: int, score: float) -> tuple[float, float]:
        x = LEFT + width * (index + 0.5) / len(points)
        return x, TOP + height * (1 - min(max(score, 0.0), 1.0))

    parts = []
    for tick in range(TICKS + 1):
        _, y = place(0, tick / TICKS)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity=".15"/>'
        )
        parts.append(_text(LEFT - 8, y + 4, f"{tick / TICKS:.1f}", "end"))
    places = [place(index, score) for index, (_, score) in enumerate(points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="2"/>')
    for (label, score), (x, y) in zip(points, places, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#0072b2"/>')
        parts.append(_text(x, y - 10, f"{score:.3f}", "middle"))
        parts.append(_text(x, HEIGHT - BOTTOM + 18, label, "middle"))
    parts.append(_text(LEFT + width / 2, HEIGHT - 8, across, "middle"))
    middle = TOP + height / 2
    parts.append(f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, up, "middle")}</g>')
    drawing = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="13" fill="currentColor">'
        f"{''.join(parts)}</svg>"
    )
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
