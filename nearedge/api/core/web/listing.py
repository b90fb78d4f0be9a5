"""The list of runs, filtered and a page at a time; runs that come meanwhile move nothing out of sight."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from nearedge.api.core.models import RunSummary
from nearedge.api.pages import cursor, read_cursor

PAGE = 50
"""Runs of a page."""


@dataclass(frozen=True)
class Filter:
    """What to show: empty is everything. `words` are in the name, the Pipeline or a label."""

    state: str = ""
    pipeline: str = ""
    words: str = ""

    def holds(self, run: RunSummary) -> bool:
        """Whether the run is shown."""
        if self.state not in ("", run.state) or self.pipeline not in ("", run.pipeline):
            return False
        text = " ".join((run.name, run.pipeline, *(f"{key}={value}" for key, value in run.labels.items()))).lower()
        return all(word in text for word in self.words.lower().split())

    def query(self, **more: str) -> str:
        """The filter as a query, with further fields."""
        return urlencode({key: value for key, value in (asdict(self) | more).items() if value})


@dataclass(frozen=True)
class Part:
    """A page of the list: `after` leads to the next, empty where there is none; `total` is of all pages."""

    runs: Sequence[RunSummary]
    after: str
    total: int


def part(runs: Sequence[RunSummary], wanted: Filter, after: str) -> Part:
    """The page behind `after`, of runs of which the newest is first. Raises ProblemError for a cursor of nobody."""
    found = sorted((run for run in runs if wanted.holds(run)), key=place, reverse=True)
    last = read_cursor(after) if after else None
    left = [run for run in found if last is None or place(run) < last]
    more = cursor(place(left[PAGE - 1])) if len(left) > PAGE else ""
    return Part(left[:PAGE], more, len(found))


def place(run: RunSummary) -> str:
    """Where a run is in the list: those that have not begun come first, then the newest."""
    return f"{run.started or '9999'} {run.name}"
