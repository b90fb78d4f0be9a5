"""A scatter plot as inline SVG: no script, colours from the page's style, its values said in words beside it."""

from html import escape

from converters.page import Point, Scatter

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 400, 18, 252
"""The axes' box; the labels lie to the right of it."""
LABEL_X, LINE = 430, 18
MARGIN = 0.08
"""Room around the points, as a share of what they span."""


def scatter(block: Scatter) -> str:
    """The figure. The names of the points lie below each other, so that points that nearly meet stay readable."""
    name = "".join(character if character.isalnum() else "-" for character in block.title.lower())
    across = scaled([0.0, *(one.x for one in block.points)], LEFT, RIGHT)
    limit = [] if block.limit is None else [block.limit]
    down = scaled([0.0, *limit, *(one.y for one in block.points)], TOP, BOTTOM)
    places = list(zip(block.points, across[1:], down[1 + len(limit) :], strict=True))
    text = "; ".join(f"{one.name}: {one.label}" for one in block.points)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title {name}-text">',
        f'<title id="{name}-title">{escape(block.title)}</title><desc id="{name}-text">{escape(text)}</desc>',
        f'<path class="axis" d="M{LEFT} {TOP - 8}V{BOTTOM + 8}H{RIGHT + 12}"/>',
        f'<text x="{LEFT}" y="{HEIGHT - 20}">{escape(block.x_label)}</text>',
        f'<text transform="translate({LEFT - 44} {BOTTOM}) rotate(-90)">{escape(block.y_label)}</text>',
    ]
    if limit:
        parts.append(f'<path class="limit" d="M{LEFT} {down[1]:.1f}H{RIGHT + 12}"/>')
        parts.append(f'<text class="small" x="{LEFT + 6}" y="{down[1] - 4:.1f}">{escape(block.limit_label)}</text>')
    rows = labelled([y for _, _, y in places])
    parts += [point(one, x, y, row) for (one, x, y), row in zip(places, rows, strict=True)]
    return f'<figure class="scatter" tabindex="0">{"".join(parts)}</svg></figure>'


def point(one: Point, x: float, y: float, row: float) -> str:
    """A mark, its name to the right, and a thin line between. A ring: refused. The fill says it, not colour alone."""
    kind = "chosen" if one.marked else "held" if one.good else "refused"
    radius = 7 if one.marked else 5
    return (
        f'<path class="leader" d="M{x:.1f} {y:.1f}L{LABEL_X - 6} {row - 4:.1f}"/>'
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'
        f'<text class="{kind}" x="{LABEL_X}" y="{row:.1f}">{escape(one.name)}'
        f'<tspan class="small" dx="6">{escape(one.label)}</tspan></text>'
    )


def scaled(values: list[float], first: float, last: float) -> list[float]:
    """Values between the two pixels, in proportion, with a margin at both ends; all in the middle where all are one."""
    low, high = min(values), max(values)
    if high == low:
        return [(first + last) / 2 for _ in values]
    span = (high - low) * (1 + 2 * MARGIN)
    return [first + (last - first) * ((value - low) / span + MARGIN / (1 + 2 * MARGIN)) for value in values]


def labelled(heights: list[float]) -> list[float]:
    """A row for each label as near to its point as those above it leave room, and inside the picture."""
    rows = [0.0] * len(heights)
    least = float(TOP)
    for number in sorted(range(len(heights)), key=heights.__getitem__):
        rows[number] = max(heights[number] + 4, least)
        least = rows[number] + LINE
    over = max(0.0, max(rows, default=0.0) - (BOTTOM + LINE))
    return [row - over for row in rows]
