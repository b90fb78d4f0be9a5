"""The report page as one HTML file: no script, no network, light and dark, readable by a screen reader and on paper."""

from html import escape

from converters.page import Bar, Bars, Block, Headline, Page, Scatter, Table
from converters.report_scatter import scatter

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #16191d; --soft: #57606a; --line: #d9dee4;
  --bar: #b6c0cb; --mark: #0b6bcb; --marked: #eaf3fd; --good: #11703a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #12151a; --card: #1b2027; --ink: #e8ebef; --soft: #a3adb8;
  --line: #323a44; --bar: #4b5765; --mark: #5aa9f7; --marked: #17283b; --good: #5fd08c; --bad: #ff8f85; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .25rem; }
p { margin: 0 0 .9rem; color: var(--soft); max-width: 50rem; }
.lead { font-size: 1.05rem; }
.headlines { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.4rem, 1fr)); gap: .8rem;
  margin: 1.6rem 0 0; padding: 0; list-style: none; }
.headlines li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem .95rem; }
.name { font-size: .8rem; color: var(--soft); }
.value { display: block; font-size: 1.12rem; font-weight: 650; margin: .1rem 0 .2rem; }
.meaning { font-size: .82rem; color: var(--soft); }
.good::after { content: "\\a0\\2713"; color: var(--good); }
.bad::after { content: "\\a0\\2717"; color: var(--bad); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--card); color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; min-width: 8rem; max-width: 20rem; overflow-wrap: break-word; }
td { min-width: 12rem; overflow-wrap: anywhere; }
td.figure, th.figure { text-align: right; white-space: nowrap; min-width: 0; }
tr.marked { background: var(--marked); }
.bars { display: grid; grid-template-columns: max-content 1fr; gap: .55rem .9rem; align-items: center;
  margin: 0; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; }
.bars dt { font-weight: 600; font-size: .9rem; }
.bars dt small { display: block; font-weight: 400; color: var(--soft); font-size: .78rem; max-width: 17rem; }
.bars dd { margin: 0; display: flex; align-items: center; gap: .6rem; font-variant-numeric: tabular-nums; }
.bars svg { display: block; flex: 1; height: 1.15rem; min-width: 4rem; }
.bars rect { fill: var(--bar); } .bars .marked rect { fill: var(--mark); }
.bars dd span { min-width: 4.5rem; font-weight: 600; white-space: nowrap; }
.scatter { margin: 0; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; }
.scatter svg { display: block; width: 100%; max-width: 56rem; height: auto; }
.scatter text { fill: var(--ink); font-size: 13px; } .scatter .small { fill: var(--soft); font-size: 12px; }
.scatter .chosen { fill: var(--mark); font-weight: 650; } .scatter circle.held { fill: var(--soft); }
.scatter circle.refused { fill: none; stroke: var(--bad); stroke-width: 2; } .scatter text.refused { fill: var(--bad); }
.scatter path { fill: none; stroke: var(--soft); } .scatter .leader { stroke: var(--line); }
.scatter .limit { stroke: var(--bad); stroke-dasharray: 5 4; }
@media (max-width: 34rem) { .bars { grid-template-columns: 1fr; gap: .2rem; } .bars dd { margin-bottom: .6rem; } }
@media print { main { max-width: none; padding: 0; } h2, .scroll, .bars, .scatter { break-inside: avoid; } }
"""


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
        f'aria-label="{escape(block.title)}"><table>\n<thead><tr>{heads}</tr></thead>\n'
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
