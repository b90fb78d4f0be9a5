"""The report's plots as PNG files, drawn by matplotlib: for slides, chats and pull requests, on white.

Nothing of the machine shows in them: neither its fonts (matplotlib's own DejaVu Sans is used) nor its settings nor the
time, so the same sections give the same bytes with the same matplotlib.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters import report_candidates, report_histogram, report_latency
from converters.page import Bars, Histogram, Scatter
from converters.quantities import milliseconds
from converters.report_findings import Findings
from converters.report_parity import titled_sections
from nearedge.release.sections import VerificationSection

LATENCY, PARETO, PARITY = "latency.png", "pareto.png", "parity.png"
INK, SOFT, LINE, BAR, MARK, BAD = "#16191d", "#57606a", "#d9dee4", "#b6c0cb", "#0b6bcb", "#b3261e"
"""The colours of the page in the light."""
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 10, "axes.edgecolor": SOFT, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": SOFT, "ytick.color": SOFT, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlelocation": "left",
    "text.usetex": False, "text.parse_math": False, "figure.facecolor": "white", "axes.facecolor": "white",
}  # fmt: skip
WIDTH_IN, DPI = 8.0, 150
LONGEST_NAME = 28
MOST_OUTPUTS = 24
SMALLEST = 1e-9
"""Where the logarithmic scale of differences begins: what is smaller is as good as none."""

Axes = Any  # matplotlib's


def write(folder: Path, found: Findings) -> None:
    """Write those plots into `folder` that the sections have figures for."""
    spread = report_latency.histogram(found.benchmark)
    trade = [one for one in report_candidates.blocks(found.optimization, found.profile, found.description.metric)
             if isinstance(one, Scatter)]  # fmt: skip
    with plain_matplotlib():
        if spread is None:
            latency_bars(report_latency.latency(found.benchmark), folder / LATENCY)
        else:
            latency_spread(spread, folder / LATENCY)
        for one in trade:
            pareto(one, folder / PARETO)
        if titled_sections(found.deployed, found.f32):
            parity(titled_sections(found.deployed, found.f32), folder / PARITY)


@contextmanager
def plain_matplotlib() -> Iterator[None]:
    """Matplotlib with its own defaults and ours, its caches in a folder that goes away, the user's settings unread."""
    with tempfile.TemporaryDirectory(prefix="nearedge-plots-") as scratch:
        known = os.environ.get("MPLCONFIGDIR")
        os.environ["MPLCONFIGDIR"] = known or scratch
        try:
            import matplotlib

            with matplotlib.rc_context():
                matplotlib.rcdefaults()
                matplotlib.rcParams.update(STYLE)
                yield
        finally:
            if known is None:
                del os.environ["MPLCONFIGDIR"]


@contextmanager
def figure(path: Path, title: str, height_in: float, rows: int = 1) -> Iterator[list[Axes]]:
    """Axes below each other, all of one x scale; the file is written when the block ends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    FigureCanvasAgg(drawn)
    drawn.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    yield list(drawn.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    drawn.savefig(path, dpi=DPI, metadata={"Software": None})


def short(name: str) -> str:
    """A name that leaves room for the plot; what the font has no letter for is left out."""
    seen = "".join(letter if letter.isprintable() and ord(letter) < 0x250 else "?" for letter in name)
    return seen if len(seen) <= LONGEST_NAME else f"{seen[: LONGEST_NAME - 1]}…"


def latency_bars(block: Bars, path: Path) -> None:
    """Medians, for a record without histograms."""
    with figure(path, block.title, 1.3 + 0.45 * len(block.bars)) as (axes,):
        names = [one.name for one in block.bars]
        drawn = axes.barh(
            names, [one.value for one in block.bars], color=[MARK if b.marked else BAR for b in block.bars]
        )
        axes.bar_label(drawn, [one.label for one in block.bars], padding=5)
        axes.invert_yaxis()
        axes.set_xlabel("Median latency of one request (ms)")
        axes.margins(x=0.15)


def latency_spread(block: Histogram, path: Path) -> None:
    """A histogram for each thing on one logarithmic scale, with its median and its p99."""
    across = report_histogram.scale(block.series)
    with figure(path, block.title, 1.4 + 0.95 * len(block.series), len(block.series)) as rows:
        for axes, one in zip(rows, block.series, strict=True):
            axes.stairs(
                one.counts, [max(edge, across.low) for edge in one.edges], fill=True, color=MARK if one.marked else BAR
            )
            axes.axvline(one.median, color=INK, linewidth=1.2)
            axes.axvline(one.p99, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.set_title(f"{one.name}: {one.label}", fontsize=10, fontweight="normal", pad=5)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        axes = rows[-1]
        axes.set_xscale("log")
        axes.set_xlim(across.low, across.high)
        axes.set_xticks(across.ticks(), [milliseconds(value) for value in across.ticks()])
        axes.minorticks_off()
        axes.set_xlabel(f"{block.x_label}. Solid line: median; dashed: p99")


def pareto(block: Scatter, path: Path) -> None:
    """What each candidate loses against its latency; the best place is the upper left."""
    with figure(path, block.title, 4.2) as (axes,):
        for number, one in enumerate(sorted(block.points, key=lambda point: (point.y, point.x))):
            colour = MARK if one.marked else SOFT if one.good else BAD
            axes.scatter(one.x, one.y, s=90 if one.marked else 55, facecolors=colour if one.good else "none",
                         edgecolors=colour, linewidths=1.6, zorder=3)  # fmt: skip
            axes.annotate(
                f"{one.name}: {one.label}", (one.x, one.y), (1.04, 0.96 - 0.075 * number), textcoords="axes fraction",
                fontsize=9, va="center", color=colour if one.marked or not one.good else INK,
                fontweight="bold" if one.marked else "normal",
                arrowprops={"arrowstyle": "-", "color": LINE, "shrinkA": 2, "shrinkB": 5, "relpos": (0, 0.5)},
            )  # fmt: skip
        if block.limit is not None:
            axes.axhline(block.limit, color=BAD, linestyle=(0, (4, 3)), linewidth=1)
            axes.annotate(block.limit_label, (0.01, block.limit), xycoords=("axes fraction", "data"), xytext=(0, 3),
                          textcoords="offset points", fontsize=8, color=BAD)  # fmt: skip
        axes.margins(x=0.1, y=0.12)
        axes.set_xlim(left=0)
        axes.invert_yaxis()
        axes.set(xlabel="Median latency at batch 1 (ms)", ylabel=block.y_label)


def parity(sections: list[tuple[str, VerificationSection]], path: Path) -> None:
    """The largest relative difference of each output, and what it is held to."""
    outputs = sum(min(len(section.outputs), MOST_OUTPUTS) for _, section in sections)
    with figure(path, "Parity with the source", 1.4 + 0.5 * len(sections) + 0.36 * outputs, len(sections)) as rows:
        for axes, (title, section) in zip(rows, sections, strict=True):
            shown = section.outputs[:MOST_OUTPUTS]
            limit = section.thresholds.max_relative
            values = [max(one.max_relative, SMALLEST) for one in shown]
            colours = [BAD if one.max_relative > limit else MARK for one in shown]
            places = range(len(shown))
            axes.hlines(places, SMALLEST, values, color=colours, linewidth=2)
            axes.scatter(values, places, color=colours, s=36, zorder=3)
            axes.set_yticks(places, [short(one.name) for one in shown])
            for place, one, value in zip(places, shown, values, strict=True):
                axes.annotate(f"{one.max_relative:.2g}", (value, place), (7, 0), textcoords="offset points", fontsize=8,
                              va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
            axes.axvline(limit, color=BAD, linestyle=(0, (4, 3)), linewidth=1)
            axes.set_ylim(len(shown) - 0.4, -0.8)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.margins(x=0.08)
            axes.set_title(f"{title}: held to {limit:g} (dashed)", fontsize=10, fontweight="normal", pad=5)
        rows[-1].set_xlabel("Largest difference from the source over the output's magnitude")
