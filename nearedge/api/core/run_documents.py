"""A run as the API shows it, from the documents that the runner leaves in the shape of Tekton's."""

from collections.abc import Iterator, Mapping
from typing import Any

from nearedge.api.core import run_files
from nearedge.api.core.models import Run, RunSummary, State, Step, TaskState, TaskStatus, Value
from nearedge.runner.fields import Document
from nearedge.runner.store import RunFolder

NOT_BEGUN = "NotStarted"
FIELDS = set(RunSummary.model_fields)
"""Shared by all summaries, which are made from what the runner wrote and not checked once more."""


def named(items: Any) -> dict[str, Value]:  # JSON
    """`[{name, value}]` as a map."""
    return {item["name"]: item["value"] for item in items or []}


def state_of(condition: Mapping[str, str], alive: bool) -> State:
    """The state that a condition `Succeeded` says."""
    if condition["status"] == "Unknown":
        return "Running" if alive else "Lost"
    if condition["status"] == "True":
        return "Succeeded"
    return "Cancelled" if condition["reason"] in ("Cancelled", "TaskRunCancelled") else "Failed"


def condition_of(document: Document) -> dict[str, str]:
    """The condition `Succeeded` of a run or a TaskRun."""
    found: dict[str, str] = document["status"]["conditions"][0]
    return found


def summary(folder: RunFolder) -> RunSummary | None:
    """The run in a list; None where the folder holds none."""
    asked = run_files.asked(folder)
    if asked is None and not (folder.path / "run.json").is_file():
        return None
    waiting, alive = run_files.waiting(folder), run_files.goes_on(folder)
    document = run_files.document(folder)  # behind the look at the lock: who ended meanwhile has written its end
    if document is None or (waiting and run_files.waiting(folder)):
        return None if asked is None and document is None else begun(folder, asked, document, alive)
    status, condition = document["status"], condition_of(document)
    state = state_of(condition, alive)
    lost = state == "Lost"
    return made(
        name=folder.path.name,
        pipeline=pipeline_of(document),
        state=state,
        reason="Lost" if lost else condition["reason"],
        message="the process that ran it ended without a word" if lost else condition["message"],
        started=status.get("startTime"),
        ended=status.get("completionTime"),
        labels=labels_of(asked, document),
    )


def begun(folder: RunFolder, asked: run_files.Asked | None, document: Document | None, alive: bool) -> RunSummary:
    """A run whose process has written nothing yet, or ended before it did."""
    cancelled = asked is not None and asked.cancelled
    state: State = "Pending" if alive else "Cancelled" if cancelled else "Failed"
    said = "" if alive or cancelled else run_files.last_line(folder)
    return made(
        name=folder.path.name,
        pipeline=asked.pipeline if asked is not None else pipeline_of(document or {}),
        state=state,
        reason="Pending" if alive else "Cancelled" if cancelled else NOT_BEGUN,
        message=said,
        started=None if document is None else document["status"].get("startTime"),
        ended=None,
        labels=labels_of(asked, document),
    )


def made(**values: Any) -> RunSummary:
    """A summary of values that need no check."""
    return RunSummary.model_construct(_fields_set=FIELDS, **values)


def pipeline_of(document: Document) -> str:
    """The Pipeline that a run names, or the beginning of the run's own name where it holds one."""
    reference = document.get("spec", {}).get("pipelineRef") or {}
    return str(reference.get("name", ""))


def labels_of(asked: run_files.Asked | None, document: Document | None) -> dict[str, str]:
    """Labels of the manifest, and those that the API was given."""
    own = (document or {}).get("metadata", {}).get("labels") or {}
    return {**own, **(asked.labels if asked is not None else {})}


def whole(folder: RunFolder, found: RunSummary) -> Run:
    """The run with its params, results and Tasks."""
    document = run_files.document(folder)
    if document is None:
        return Run(**found.model_dump(), params={}, results={}, tasks=[])
    return Run(
        **found.model_dump(),
        params=named(document["spec"].get("params")),
        results=named(document["status"].get("results")),
        tasks=list(tasks(folder, document, found)),
    )


def tasks(folder: RunFolder, document: Document, run: RunSummary) -> Iterator[TaskStatus]:
    """The Tasks in the order of the Pipeline's file; TaskRuns of an earlier attempt are left out."""
    status = document["status"]
    spec = status.get("pipelineSpec") or {}
    current = {reference["name"] for reference in status.get("childReferences") or []}
    skipped = {item["name"]: item for item in status.get("skippedTasks") or []}
    runs = {label: one for label, one in folder.taskruns().items() if one["metadata"]["name"] in current}
    for item in [*(spec.get("tasks") or []), *(spec.get("finally") or [])]:
        name = item["name"]
        mine = {label: one for label, one in runs.items() if label == name or label.startswith(f"{name}.")}
        yield from (of_taskrun(label, one, run) for label, one in sorted(mine.items(), key=by_number))
        if not mine:
            yield absent(name, skipped.get(name), run)


def by_number(item: tuple[str, Document]) -> int:
    """The number of a matrix' combination."""
    tail = item[0].rpartition(".")[2]
    return int(tail) if tail.isdigit() else 0


def absent(name: str, skipped: Mapping[str, Any] | None, run: RunSummary) -> TaskStatus:
    """A Task that has not run: not yet, or not at all."""
    waits = run.state in ("Pending", "Running")
    state: TaskState = "Skipped" if skipped or not waits else "Pending"
    reason = str(skipped["reason"]) if skipped else ""
    return TaskStatus(name=name, state=state, reason=reason, message="", started=None, ended=None, steps=[], results={})


def of_taskrun(label: str, document: Document, run: RunSummary) -> TaskStatus:
    """A Task that has run, or runs."""
    status, condition, alive = document["status"], condition_of(document), run.state == "Running"
    return TaskStatus(
        name=label,
        state=state_of(condition, alive),
        reason=condition["reason"],
        message=condition["message"],
        started=status.get("startTime"),
        ended=status.get("completionTime"),
        steps=[step(one, alive) for one in status.get("steps") or []],
        results=named(status.get("results")),
    )


def step(document: Document, alive: bool) -> Step:
    """One step."""
    done = document.get("terminated")
    if done is not None:
        state: State = "Failed" if done["exitCode"] else "Succeeded"
        return Step(
            name=document["name"],
            state=state,
            exit_code=done["exitCode"],
            started=done["startedAt"],
            ended=done["finishedAt"],
        )
    begun = (document.get("running") or {}).get("startedAt")
    state = ("Running" if begun else "Pending") if alive else "Lost"
    return Step(name=document["name"], state=state, exit_code=None, started=begun, ended=None)
