"""Results of a TaskRun: files the steps wrote, read with Tekton's types and size limit."""

import json
from collections.abc import Sequence
from pathlib import Path

from nearedge.errors import InputError
from nearedge.runner.fields import is_value
from nearedge.runner.model import Result, Task
from nearedge.runner.parse import type_of
from nearedge.runner.substitution import Key, Reference, Scope, Value, references, value

# Kubernetes keeps at most this much of a container's termination message, which is how Tekton hands results on.
MOST_BYTES = 4096
# Tekton's own entry in the same message.
STARTED_AT = {"key": "StartedAt", "value": "2026-01-01T00:00:00.000Z", "type": 3}


class ResultsError(InputError):
    """A TaskRun's results are at fault; `reason` is Tekton's."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep Tekton's reason beside the message."""
        super().__init__(message)
        self.reason = reason


def read(task: Task, folder: Path, steps: Scope) -> dict[str, Value]:
    """The results that were written, by name; those that no step wrote are left out, as Tekton does.

    `steps` has the results of single steps. Raises ResultsError where one is not of its declared type, or all together
    exceed what Tekton can carry.
    """
    raw: dict[str, str] = {}
    found: dict[str, Value] = {}
    for result in task.results:
        path = folder / result.name
        if path.is_file():
            raw[result.name] = path.read_text(encoding="utf-8", errors="replace")
            found[result.name] = typed(result, raw[result.name])
        elif result.value is not None and all(
            steps.find(reference) is not None for reference in references(result.value)
        ):
            found[result.name] = value(result.value, steps)
            raw[result.name] = json.dumps(found[result.name])
    check_size(raw)
    return found


def typed(result: Result, text: str) -> Value:
    """A result's text as its type has it: strings as they are, arrays and objects from JSON."""
    if result.type == "string":
        return text
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    if not is_value(found) or type_of(found) != result.type:
        raise ResultsError(
            "TaskRunValidationFailed",
            f"result {result.name}: must be a JSON {result.type} of strings, as the Task declares it",
        )
    read_value: Value = found
    return read_value


def check_size(raw: dict[str, str]) -> None:
    """Raise ResultsError where the results would not fit into a container's termination message."""
    message = [{"key": name, "value": text, "type": 1} for name, text in raw.items()]
    size = len(json.dumps([*message, STARTED_AT], separators=(",", ":"), ensure_ascii=False).encode())
    if size > MOST_BYTES:
        raise ResultsError(
            "TaskRunResultLargerThanAllowedLimit",
            f"results: take {size} bytes together, Tekton carries {MOST_BYTES}; put large ones into a workspace",
        )


def of_step(step: dict[str, object], folder: Path) -> dict[Key, Value]:
    """`$(steps.NAME.results.RESULT)` of a step that has ended."""
    declared = step.get("results")
    found: dict[Key, Value] = {}
    for item in declared if isinstance(declared, list) else []:
        path = folder / str(step["name"]) / "results" / item["name"]
        if path.is_file():
            result = Result(item["name"], item.get("type") or "string", None)
            text = path.read_text(encoding="utf-8", errors="replace")
            found[("steps", str(step["name"]), "results", item["name"])] = typed(result, text)
    return found


def of_tasks(runs: Sequence[dict[str, Value]], name: str, matrix: bool) -> dict[Key, Value]:
    """`$(tasks.NAME.results...)` of a Task that has ended: those of its run, or of a matrix' runs as arrays."""
    if not matrix:
        return {("tasks", name, "results", key): item for key, item in runs[0].items()}
    found: dict[Key, Value] = {("tasks", name, "matrix", "length"): str(len(runs))}
    for key in {key for run in runs for key in run}:
        items = [item for run in runs if isinstance(item := run.get(key), str)]
        found[("tasks", name, "results", key)] = items
        found[("tasks", name, "matrix", key, "length")] = str(len(items))
    return found


def missing(found: Sequence[Reference], scope: Scope) -> list[Reference]:
    """The references to results that have no value."""
    return [reference for reference in found if scope.find(reference) is None]
