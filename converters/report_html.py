"""The report page as one HTML file: no script, no network, light and dark, readable by a screen reader and on paper."""

from html import escape

from converters.page import Bar, Bars, Block, Headline, Histogram, Page, Scatter, Table
from converters.report_histogram import histogram
from converters.report_scatter import scatter
from converters.report_style import STYLE


def render(page: Page) -> str:
    """The whole page."""
    lead = f'<p class="lead">{escape(page.lead)}</p>' if page.lead else ""
    headlines = "\n".join(headline(one) for one in page.headlines)
    blocks = "\n".join(block(one) for one in page.blocks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(page.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(page.title)}</h1>
{lead}
<ul class="headlines">
{headlines}
</ul>
{blocks}
</main>
</body>
</html>
"""


def block(one: Block) -> str:
    """A block by its kind."""
    if isinstance(one, Scatter):
        return f"<section>\n{heading(one.title, one.note)}\n{scatter(one)}\n</section>"
    if isinstance(one, Histogram):
        return f"<section>\n{heading(one.title, one.note)}\n{histogram(one)}\n</section>"
    return bars(one) if isinstance(one, Bars) else table(one)


def headline(one: Headline) -> str:
    """One figure as a card; a mark beside it where it is good or bad, and the same in words."""
    judged = {None: "", True: " good", False: " bad"}[one.good]
    return (
        f'<li><span class="name">{escape(one.name)}</span><span class="value{judged}">{escape(one.value)}</span>'
        f'<span class="meaning">{escape(one.meaning)}</span></li>'
    )


def heading(title: str, note: str) -> str:
    """A block's heading and what to know about it."""
    return f"<h2>{escape(title)}</h2>\n<p>{escape(note)}</p>"


def table(block: Table) -> str:
    """A table that a screen reader can walk: its name, heads of columns and of rows."""
    kinds = ["" if column < block.text_columns else ' class="figure"' for column in range(len(block.heads))]
    heads = "".join(f'<th scope="col"{kind}>{escape(head)}</th>' for head, kind in zip(block.heads, kinds, strict=True))
    rows = []
    for number, values in enumerate(block.rows):
        cells = [f'<th scope="row">{escape(values[0])}</th>']
        cells += [f"<td{kind}>{escape(value)}</td>" for value, kind in zip(values[1:], kinds[1:], strict=True)]
        marked = ' class="marked"' if number in block.marked else ""
        rows.append(f"<tr{marked}>{''.join(cells)}</tr>")
    return (
        f'<section>\n{heading(block.title, block.note)}\n<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(block.title)}"><table>\n<caption>{escape(block.title)}</caption>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table></div>\n</section>"
    )


def bars(block: Bars) -> str:
    """A bar chart as a list of terms, so that it reads well without being seen."""
    longest = max((one.value for one in block.bars), default=0.0) or 1.0
    drawn = "\n".join(bar(one, longest) for one in block.bars)
    return f'<section>\n{heading(block.title, block.note)}\n<dl class="bars">\n{drawn}\n</dl>\n</section>'


def bar(one: Bar, longest: float) -> str:
    """One bar with its name before and its figure behind."""
    width = max(0.5, 100 * one.value / longest)
    marked = ' class="marked"' if one.marked else ""
    return (
        f"<dt>{escape(one.name)}<small>{escape(one.detail)}</small></dt>"
        f'<dd{marked}><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.2f}" height="10"/></svg><span>{escape(one.label)}</span></dd>'
    )
