"""Pictures of figures, drawn as SVG on the server: no script, no style attribute, colours by class.

Pure. Shapes stretch with the page and letters do not: an outer SVG of the page's width holds the
letters, one inside it, stretched, the shapes.
"""

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ..figures import short

HEIGHT, FOOT = 220, 22  # pixels of a picture over time, and of the dates below it
ROUND = {1: 5, 2: 4, 3: 3, 4: 4, 5: 5, 6: 3, 8: 4, 10: 5}  # tops of a scale, and lines across each


class Scale(NamedTuple):
    top: float
    lines: int  # across the picture, at round values


def area(buckets: Sequence[date], series: Sequence[tuple[str, Sequence[int]]]) -> SafeString:
    """Series stacked, the first lowest; class gw-s0, gw-s1 … each."""
    count = len(buckets)
    floor, shapes = [0.0] * count, []
    sums = (sum(column) for column in zip(*(values for _, values in series), strict=True))
    scale = ceiling(max([5, *sums]))
    across = [50.0] if count == 1 else [100 * n / (count - 1) for n in range(count)]
    for number, (_, values) in enumerate(series):
        roof = [low + value for low, value in zip(floor, values, strict=True)]
        upper = [
            f"{x:.2f},{100 - 100 * y / scale.top:.2f}" for x, y in zip(across, roof, strict=True)
        ]
        lower = [
            f"{x:.2f},{100 - 100 * y / scale.top:.2f}" for x, y in zip(across, floor, strict=True)
        ]
        shapes.append((number, " ".join(upper + lower[::-1])))
        floor = roof
    areas = format_html_join("", '<polygon class="gw-s{}" points="{}"/>', shapes)
    return over_time(buckets, scale, areas)


def columns(buckets: Sequence[date], values: Sequence[float], unit: str = "") -> SafeString:
    scale, wide = ceiling(max(values)), 100 / len(values)
    gap = min(0.2 * wide, 0.6)
    shapes = (
        (
            f"{n * wide + gap / 2:.2f}",
            f"{100 - 100 * value / scale.top:.2f}",
            f"{wide - gap:.2f}",
            f"{100 * value / scale.top:.2f}",
        )
        for n, value in enumerate(values)
    )
    bars = format_html_join(
        "", '<rect class="gw-s0" x="{}" y="{}" width="{}" height="{}"/>', shapes
    )
    return over_time(buckets, scale, bars, unit)


def over_time(
    buckets: Sequence[date], scale: Scale, shapes: SafeString, unit: str = ""
) -> SafeString:
    """Shapes of 100 by 100 over lines with their values, dates below."""
    plot = HEIGHT - FOOT
    values = [scale.top * n / scale.lines for n in range(1, scale.lines + 1)]
    drawn = format_html_join(
        "",
        '<line class="gw-grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
        '<text x="-6" y="{1}" text-anchor="end">{2}</text>',
        (
            (
                f"{plot - plot * value / scale.top:.1f}",
                f"{plot - plot * value / scale.top + 4:.1f}",
                unit + short(value),
            )
            for value in values
        ),
    )
    places = (
        [(0, "start"), (len(buckets) // 2, "middle"), (len(buckets) - 1, "end")]
        if len(buckets) > 2
        else [(0, "start")]
    )
    percent = {"start": "0%", "middle": "50%", "end": "100%"}
    dates = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="{}">{}</text>',
        (
            (percent[anchor], HEIGHT - 5, anchor, f"{buckets[n].day} {buckets[n]:%b %Y}")
            for n, anchor in places
        ),
    )
    return format_html(
        '<svg class="gw-picture" width="100%" height="{}" aria-hidden="true" focusable="false">'
        '<svg x="0" y="0" width="100%" height="{}" viewBox="0 0 100 100"'
        ' preserveAspectRatio="none">{}</svg>{}{}</svg>',
        HEIGHT,
        plot,
        shapes,
        drawn,
        dates,
    )


def ring(values: Sequence[float]) -> SafeString:
    """Shares of a whole, clockwise from the top."""
    whole, begin = sum(values), 0.0
    arcs = []
    for number, value in enumerate(values):
        share = 100 * value / whole if whole else 0
        arcs.append((number, f"{share:.3f} {100 - share:.3f}", f"{25 - begin:.3f}"))
        begin += share
    drawn = format_html_join(
        "",
        '<circle class="gw-arc gw-s{}" cx="21" cy="21" r="15.9155" pathLength="100"'
        ' stroke-dasharray="{}" stroke-dashoffset="{}"/>',
        arcs,
    )
    return format_html(
        '<svg class="gw-ring" viewBox="0 0 42 42" width="160" height="160"'
        ' aria-hidden="true" focusable="false">{}</svg>',
        drawn,
    )


def bar(values: Sequence[float], longest: float) -> SafeString:
    """The parts of one row, end to end, beside rows of which the longest fills the width."""
    begin, parts = 0.0, []
    for number, value in enumerate(values):
        wide = 100 * float(value) / float(longest) if longest else 0
        parts.append((number, f"{begin:.2f}%", f"{wide:.2f}%"))
        begin += wide
    drawn = format_html_join(
        "", '<rect class="gw-s{}" x="{}" y="0" width="{}" height="100%"/>', parts
    )
    return format_html(
        '<svg class="gw-bar" width="100%" height="14" aria-hidden="true" focusable="false">{}'
        "</svg>",
        drawn,
    )


def ceiling(value: float) -> Scale:
    """The smallest scale with a round top that is not below `value`."""
    size = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(
        Scale(step * size, lines) for step, lines in ROUND.items() if step * size >= value * 0.9999
    )
