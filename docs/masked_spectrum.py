"""Draws docs/masked_spectrum.svg: a spectrum, its reconstruction, and what of them is scored."""

from __future__ import annotations

import math
from pathlib import Path

WIDTH, HEIGHT, LENGTH = 720, 220, 96
HIDDEN = [(16, 28), (44, 60), (80, 88)]


def spectrum(i: float) -> float:
    """Three absorption bands, in units of the picture's height."""
    return sum(
        h * math.exp(-(((i - c) / w) ** 2))
        for c, w, h in ((22, 7, 0.6), (52, 9, 0.8), (74, 5, 0.35))
    )


def path(values: list[float]) -> str:
    """An SVG path through the values."""
    points = (
        f"{20 + i * (WIDTH - 40) / (LENGTH - 1):.1f},{HEIGHT - 50 - v * 150:.1f}"
        for i, v in enumerate(values)
    )
    return "M" + " L".join(points)


def picture() -> str:
    """The whole SVG."""
    x = [spectrum(i) for i in range(LENGTH)]
    x_recon = [v + 0.09 * math.sin(0.55 * i) + 0.04 for i, v in enumerate(x)]
    step = (WIDTH - 40) / (LENGTH - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for first, last in HIDDEN:
        left = 20 + first * step
        parts.append(
            f'<rect x="{left:.1f}" y="15" width="{(last - first) * step:.1f}" '
            f'height="{HEIGHT - 60}" fill="#f3d9a4"/>'
        )
        for i in range(first, last + 1):
            top, bottom = (HEIGHT - 50 - v * 150 for v in (x_recon[i], x[i]))
            at = 20 + i * step
            parts.append(
                f'<line x1="{at:.1f}" y1="{top:.1f}" x2="{at:.1f}" y2="{bottom:.1f}" '
                'stroke="#b3261e"/>'
            )
    parts += [
        f'<path d="{path(x)}" fill="none" stroke="#222" stroke-width="2"/>',
        f'<path d="{path(x_recon)}" fill="none" stroke="#1f6fb2" stroke-width="2" '
        'stroke-dasharray="5 3"/>',
        f'<text x="20" y="{HEIGHT - 15}"><tspan fill="#222">x</tspan>, the spectrum; '
        '<tspan fill="#1f6fb2">x_recon</tspan>, its reconstruction; '
        '<tspan fill="#9a6b00">mask</tspan>, what was hidden; '
        '<tspan fill="#b3261e">the differences that count</tspan></text>',
        "</svg>",
        "",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture())
