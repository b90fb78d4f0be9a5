"""PipelineRuns as a list of runs has them: what is kept of each, small, and the same object for all callers."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from nearedge.api.cluster.resources import Object
from nearedge.api.core.models import RunSummary, State

CONTENT, REQUEST, KEY, OWNER_NAME = (
    f"nearedge.dev/{name}" for name in ("content-sha256", "request-sha256", "idempotency-key-sha256", "owner")
)
"""Annotations: of what a run does, of what was asked for, of the key it was asked with, and who asked."""
OWNER, RETRY_OF = "nearedge.dev/owner", "nearedge.dev/retry-of"
"""Labels."""
CANCELLED = ("Cancelled", "CancelledRunFinally", "StoppedRunFinally", "PipelineRunCancelled", "TaskRunCancelled")
NOT_BEGUN = ("PipelineRunPending",)
FIELDS = set(RunSummary.model_fields)
"""Shared by all summaries, which are made from what the cluster checked and not checked once more."""
LONGEST_MESSAGE = 1000


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Kept:
    """A run of a list, with the digests it is found by again."""

    summary: RunSummary
    content: str
    key: str


KNOWN: WeakValueDictionary[tuple[str, str], Kept] = WeakValueDictionary()
"""By uid and resourceVersion: many callers see the same runs."""


def kept(item: Object) -> Kept:
    """What is kept of a PipelineRun."""
    metadata = item["metadata"]
    mark = (str(metadata.get("uid", "")), str(metadata.get("resourceVersion", "")))
    found = KNOWN.get(mark)
    if found is None:
        notes = metadata.get("annotations") or {}
        found = Kept(summary(item), str(notes.get(CONTENT, "")), str(notes.get(KEY, "")))
        KNOWN[mark] = found
    return found


def summary(item: Object) -> RunSummary:
    """A PipelineRun in a list."""
    metadata, status = item["metadata"], item.get("status") or {}
    condition = condition_of(status)
    return RunSummary.model_construct(
        _fields_set=FIELDS,
        name=metadata["name"],
        pipeline=sys.intern(pipeline_of(item)),
        state=state_of(condition),
        reason=sys.intern(condition.get("reason", "Pending")),
        message=one_line(condition.get("message", "")),
        started=status.get("startTime"),
        ended=status.get("completionTime"),
        labels={sys.intern(key): sys.intern(str(value)) for key, value in (metadata.get("labels") or {}).items()},
    )


def condition_of(status: Mapping[str, Any]) -> dict[str, str]:
    """The condition `Succeeded`; empty where there is none yet."""
    for one in status.get("conditions") or []:
        if one.get("type") == "Succeeded":
            return {str(key): str(value) for key, value in one.items()}
    return {}


def state_of(condition: Mapping[str, str]) -> State:
    """The state that a condition says."""
    status, reason = condition.get("status"), condition.get("reason", "")
    if status == "True":
        return "Succeeded"
    if status == "False":
        return "Cancelled" if reason in CANCELLED else "Failed"
    return "Pending" if status is None or reason in NOT_BEGUN else "Running"


def pipeline_of(item: Object) -> str:
    """The Pipeline that a run names; empty where the run holds one itself."""
    return str(((item.get("spec") or {}).get("pipelineRef") or {}).get("name") or "")


def one_line(text: str) -> str:
    """A message in one line."""
    return " ".join(text.split())[:LONGEST_MESSAGE]


def named(items: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    """`[{name, value}]` as a map."""
    return {str(item["name"]): item.get("value", "") for item in items or []}
