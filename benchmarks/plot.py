"""Lines over seconds, drawn as an SVG: a panel for each kind, a line for each process.

In: points. Out: a document.
Knows nothing of: what is measured.
"""

import html
from collections.abc import Mapping

WIDTH, HEIGHT, LEFT, TOP = 900, 220, 60, 30
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5ea2", "#b8860b", "#555555")

type Series = list[tuple[float, float]]


def svg(panels: Mapping[str, Mapping[str, Series]]) -> str:
    """Draw them one below the other."""
    height = len(panels) * (HEIGHT + 2 * TOP)
    drawn = "".join(
        _panel(name, lines, number * (HEIGHT + 2 * TOP) + TOP)
        for number, (name, lines) in enumerate(panels.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 260}" height="{height}" '
        f'font-family="sans-serif" font-size="12">{drawn}</svg>\n'
    )


def _panel(name: str, lines: Mapping[str, Series], top: float) -> str:
    points = [point for line in lines.values() for point in line] or [(0, 0)]
    last, most = max(at for at, _ in points) or 1, max(value for _, value in points) or 1
    drawn = [
        f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{html.escape(name)}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT}" height="{HEIGHT}" fill="none" '
        'stroke="#ccc"/>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.0f}</text>',
        f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>',
        f'<text x="{WIDTH}" y="{top + HEIGHT + 14}" text-anchor="end">{last:.0f} s</text>',
    ]
    for number, (process, line) in enumerate(sorted(lines.items())):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{LEFT + at / last * (WIDTH - LEFT):.1f},{top + HEIGHT * (1 - value / most):.1f}"
            for at, value in line
        )
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        drawn.append(
            f'<text x="{WIDTH + 10}" y="{top + 12 + 14 * number}" fill="{colour}">'
            f"{html.escape(process)}</text>"
        )
    return "".join(drawn)
