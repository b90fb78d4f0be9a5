"""The report a person reads: a page, a summary for a pull request, and plots; the same for the same sections."""

from pathlib import Path

from converters import report_html, report_markdown, report_plots
from converters.report_findings import Findings as Findings
from converters.report_findings import gather as gather
from converters.report_page import page, summary
from nearedge.files import new_directory, write_text


def write(folder: Path, found: Findings) -> None:
    """Write `report.html`, `report.md` and the plots into `folder`, replacing what was there."""
    with new_directory(folder) as making:
        write_text(making / "report.md", markdown(found))
        write_text(making / "report.html", html(found))
        report_plots.write(making, found)


def markdown(found: Findings) -> str:
    """The summary as Markdown."""
    return report_markdown.render(summary(found))


def html(found: Findings) -> str:
    """The whole page as one HTML file that loads nothing."""
    return report_html.render(page(found))
