"""The report page as Markdown."""

from collections.abc import Sequence

from converters.page import Bars, Page, Scatter, Table

BAR_CELLS = 30


def render(page: Page) -> str:
    """The whole page."""
    lines = [f"# {escaped(page.title)}", ""]
    if page.lead:
        lines += [escaped(page.lead), ""]
    lines += [f"- **{one.name}: {escaped(one.value)}** ({escaped(one.meaning)})" for one in page.headlines]
    for block in page.blocks:
        if isinstance(block, Scatter):
            continue  # the table before it holds its figures
        lines += ["", f"## {escaped(block.title)}", "", escaped(block.note), ""]
        lines += bars(block) if isinstance(block, Bars) else table(block)
    return "\n".join(lines) + "\n"


def table(block: Table) -> list[str]:
    """A table; figures to the right, the chosen row in bold."""
    align = ["---" if column < block.text_columns else "---:" for column in range(len(block.heads))]
    lines = [row(block.heads), row(align)]
    for number, values in enumerate(block.rows):
        cells = [escaped(value) for value in values]
        lines.append(row([f"**{cells[0]}**", *cells[1:]] if number in block.marked else cells))
    return lines


def bars(block: Bars) -> list[str]:
    """Bars of text."""
    longest = max((one.value for one in block.bars), default=0.0) or 1.0
    width = max((len(one.name) for one in block.bars), default=0)
    lines = ["```text"]
    for one in block.bars:
        cells = max(1, round(BAR_CELLS * one.value / longest))
        lines.append(f"{one.name:{width}}  {'#' * cells:{BAR_CELLS}}  {one.label}")
    return [*lines, "```"]


def row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Text that means nothing to Markdown: no cell ends, no tags, one line."""
    flat = " ".join(text.split())
    for character in "\\|<>`*_[]":
        flat = flat.replace(character, f"\\{character}")
    return flat
