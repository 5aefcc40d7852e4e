"""Charts of the report: inline SVG that follows the page's colours and needs no script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from simipu.viz.colors import round_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 520, 230
LEFT, RIGHT, TOP, BOTTOM = 68, 16, 12, 46


def bars(
    title: str,
    labels: Sequence[str],
    values: Sequence[float],
    *,
    x_label: str,
    y_label: str,
) -> str:
    """Draw a bar for each label.

    Args:
        title: what the chart shows, for who cannot see it.
        labels: below the bars; an empty one is left out.
        values: their heights, not negative.
        x_label: what the labels are, with the unit.
        y_label: what the heights are, with the unit.

    Returns:
        An SVG element.
    """
    most = max([*values, 0.0]) or 1.0
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = wide / max(len(values), 1)
    parts = [_grid(tick, TOP + high * (1 - tick / most)) for tick in round_ticks(0.0, most)]
    for i, (label, value) in enumerate(zip(labels, values, strict=True)):
        x, tall = LEFT + i * step, high * value / most
        parts.append(
            f'<rect class="bar" x="{x + 0.1 * step:.1f}" y="{TOP + high - tall:.1f}" '
            f'width="{0.8 * step:.1f}" height="{tall:.1f}">'
            f"<title>{escape(label)}: {value:,.4g}</title></rect>"
        )
        if label:
            parts.append(_text(x + step / 2, TOP + high + 16, label))
    parts.append(_text(LEFT + wide / 2, HEIGHT - 8, x_label))
    middle = TOP + high / 2
    parts.append(
        f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'
    )


def _grid(value: float, y: float) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.4g}</text>'
    )


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'
