"""Histograms on one logarithmic scale, as HTML that flows with the page: only the bars are SVG, and stretch."""

import math
from dataclasses import dataclass
from html import escape

from converters.page import Histogram, Spread
from converters.quantities import milliseconds

WIDTH, HEIGHT = 1000, 100
"""The box that a row's bars are drawn in, stretched to the page's width."""
MOST_TICKS = 8
MARGIN = 1.06
"""Room at both ends, as a factor."""


@dataclass(frozen=True)
class Scale:
    """A logarithmic scale from `low` to `high`, both over 0."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies, from 0 to 1; what is below or over the scale lies at its end."""
        held = min(max(value, self.low), self.high)
        return math.log(held / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[float]:
        """Round values on the scale: 1, 2 and 5 of each power of ten, only the powers where that would be many."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= MOST_TICKS:
                break
        return found or [self.low]


def scale(series: list[Spread]) -> Scale:
    """The scale that holds all bars that are not empty."""
    edges = [edge for one in series for edge in (*filled(one), one.median, one.p99) if edge > 0]
    return Scale(min(edges) / MARGIN, max(edges) * MARGIN)


def filled(one: Spread) -> list[float]:
    """The edges of the bars that are not empty."""
    return [edge for number, count in enumerate(one.counts) if count for edge in one.edges[number : number + 2]]


def histogram(block: Histogram) -> str:
    """The figure: for each thing its name, its percentiles in words and its bars; the scale below."""
    across = scale(block.series)
    name = "".join(character if character.isalnum() else "-" for character in block.title.lower())
    rows = "\n".join(row(one, across, f"{name}-{number}") for number, one in enumerate(block.series))
    ticks = "".join(
        f'<span style="left:{100 * across.at(value):.2f}%">{escape(milliseconds(value))}</span>'
        for value in across.ticks()
    )
    return (
        f'<figure class="spread">\n{rows}\n<div class="scale" aria-hidden="true">{ticks}</div>'
        f"<figcaption>{escape(block.x_label)}</figcaption></figure>"
    )


def row(one: Spread, across: Scale, name: str) -> str:
    """One thing's bars under its name."""
    marked = " marked" if one.marked else ""
    median, p99 = (f"M{WIDTH * across.at(value):.1f} 0V{HEIGHT}" for value in (one.median, one.p99))
    return (
        f'<div class="spread-row{marked}"><p><b>{escape(one.name)}</b> {escape(one.label)}</p>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-labelledby="{name}-title {name}-text"><title id="{name}-title">{escape(one.name)}: spread of its '
        f'latencies</title><desc id="{name}-text">{escape(told(one))}</desc>'
        f'<path class="counts" d="{bars(one, across)}"/><path class="median" d="{median}"/>'
        f'<path class="p99" d="{p99}"/></svg></div>'
    )


def bars(one: Spread, across: Scale) -> str:
    """The bars as one path; the highest has the box's height, and none that is not empty is too low to see."""
    most = max(one.counts)
    parts = []
    for number, count in enumerate(one.counts):
        if count:
            left, right = (WIDTH * across.at(edge) for edge in one.edges[number : number + 2])
            top = HEIGHT - max(2.0, HEIGHT * count / most)
            parts.append(f"M{left:.1f} {HEIGHT}V{top:.1f}H{max(right, left + 1):.1f}V{HEIGHT}Z")
    return "".join(parts)


def told(one: Spread) -> str:
    """The spread in words."""
    edges = filled(one)
    return f"{sum(one.counts):,} measured, from {milliseconds(edges[0])} to {milliseconds(edges[-1])}; {one.label}"
