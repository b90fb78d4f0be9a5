"""When each Task of a run went on, as bars beside each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from nearedge.api.core.models import Run
from nearedge.api.core.web.wording import moment

NARROWEST = 0.6
"""Per cent of the width, so that the shortest Task is seen."""


@dataclass(frozen=True)
class Bar:
    """Where a bar begins and how wide it is, in per cent of the run's time."""

    start: float
    width: float


def bars(run: Run) -> Mapping[str, Bar]:
    """A bar for each Task that has begun, by name."""
    began = [start for task in run.tasks if (start := moment(task.started or ""))]
    if not began:
        return {}
    first = min([*began, *filter(None, [moment(run.started or "")])])
    last = moment(run.ended or "") or datetime.now(UTC)
    whole = max((last - first).total_seconds(), 0.001)
    found: dict[str, Bar] = {}
    for task in run.tasks:
        start = moment(task.started or "")
        if start is None:
            continue
        end = moment(task.ended or "") or last
        offset = 100 * min(max((start - first).total_seconds() / whole, 0), 1)
        width = 100 * max((end - start).total_seconds(), 0) / whole
        width = max(min(width, 100 - offset), NARROWEST)
        found[task.name] = Bar(round(min(offset, 100 - width), 2), round(width, 2))
    return found
