"""The report page as Markdown."""

import html
from collections.abc import Sequence

from converters.page import Page, Table


def render(page: Page) -> str:
    """The whole page."""
    lines = [f"# {escaped(page.title)}", ""]
    if page.lead:
        lines += [escaped(page.lead), ""]
    lines += [f"- **{one.name}: {escaped(one.value)}** ({escaped(one.meaning)})" for one in page.headlines]
    for block in page.blocks:
        if not isinstance(block, Table):
            continue  # a table beside it holds its figures
        body = [escaped(block.note), "", *table(block)]
        if block.folded:
            lines += ["", f"<details><summary>{html.escape(block.title)}</summary>", "", *body, "", "</details>"]
        else:
            lines += ["", f"## {escaped(block.title)}", "", *body]
    return "\n".join(lines) + "\n"


def table(block: Table) -> list[str]:
    """A table; figures to the right, the chosen row in bold."""
    align = ["---" if column < block.text_columns else "---:" for column in range(len(block.heads))]
    lines = [row(block.heads), row(align)]
    for number, values in enumerate(block.rows):
        cells = [escaped(value) for value in values]
        lines.append(row([f"**{cells[0]}**", *cells[1:]] if number in block.marked else cells))
    return lines


def row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Text that means nothing to Markdown: no cell ends, no tags, one line."""
    flat = " ".join(text.split())
    for character in "\\|<>`*_[]":
        flat = flat.replace(character, f"\\{character}")
    return flat
