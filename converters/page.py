"""The parts a report page is made of; `report_html` and `report_markdown` render them."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Headline:
    """One figure that matters, with what it is and what it means. `good` is None where there is nothing to judge."""

    name: str
    value: str
    meaning: str
    good: bool | None = None


@dataclass(frozen=True)
class Table:
    """Rows of text; the columns after the first `text_columns` hold figures. `marked` rows are the chosen ones.

    `folded`: shown on demand, where the page can do that.
    """

    title: str
    note: str
    heads: list[str]
    rows: list[list[str]]
    text_columns: int
    marked: list[int] = field(default_factory=list)
    folded: bool = False


@dataclass(frozen=True)
class Bar:
    """One bar: its length is `value` over the largest one's."""

    name: str
    detail: str
    value: float
    label: str
    marked: bool


@dataclass(frozen=True)
class Bars:
    """A bar chart."""

    title: str
    note: str
    bars: list[Bar]


@dataclass(frozen=True)
class Spread:
    """How the values of one thing are spread: `counts[i]` of them are from `edges[i]` up to `edges[i + 1]`."""

    name: str
    label: str
    edges: list[float]
    counts: list[int]
    median: float
    p99: float
    marked: bool


@dataclass(frozen=True)
class Histogram:
    """Spreads in milliseconds below each other on one logarithmic scale.

    Pages without pictures leave it out: a table beside it holds medians and percentiles.
    """

    title: str
    note: str
    x_label: str
    series: list[Spread]


@dataclass(frozen=True)
class Point:
    """One point of a scatter plot. `good`: no gate refused it; `marked`: the chosen one."""

    name: str
    label: str
    x: float
    y: float
    good: bool
    marked: bool


@dataclass(frozen=True)
class Scatter:
    """A plot of points, best at the upper left: `x` grows to the right, `y` down. `limit` is a value of y.

    Pages without pictures leave it out: a table beside it holds the same figures.
    """

    title: str
    note: str
    x_label: str
    y_label: str
    points: list[Point]
    limit: float | None
    limit_label: str


Block = Table | Bars | Histogram | Scatter


@dataclass(frozen=True)
class Page:
    """The whole of it."""

    title: str
    lead: str
    headlines: Sequence[Headline]
    blocks: Sequence[Block]
