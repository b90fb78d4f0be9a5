"""`--resume`: which finished Tasks of an earlier run need not run again.

A Task is taken over where its spec, params and images are the same, what its path params name is as it was when it
started, everything it waits for is taken over too, and every file in its workspaces is as the taken-over Tasks left it.
Size and time of change stand for a file's content. In doubt a Task runs again; Tasks of `finally` always do.
"""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearedge import __version__, catalog
from nearedge.errors import InputError
from nearedge.files import write_text
from nearedge.runner import children, conditions, graph, results, store, substitution, workspaces
from nearedge.runner.backend import is_ours
from nearedge.runner.children import Child
from nearedge.runner.conditions import Decision, Facts, Skip, State
from nearedge.runner.model import PipelineTask
from nearedge.runner.outcome import now
from nearedge.runner.plan import Plan
from nearedge.runner.store import RunFolder
from nearedge.runner.substitution import Scope, Value, references
from nearedge.runner.workspaces import Source

# Relative path to size in bytes, time of change of content and of the inode in ns.
Files = dict[str, list[int]]
# A path param that names more files than this is not followed; its Task always runs again.
MOST_FILES = 100_000


@dataclass(frozen=True)
class Before:
    """The paths that a TaskRun's params name as they were when it started; None where they are not followed."""

    paths: dict[str, Files] | None


@dataclass(frozen=True)
class Record:
    """A TaskRun that ended. `folders` are its workspaces as it left them, `ended` orders the records."""

    label: str
    succeeded: bool
    key: str
    paths: dict[str, Files]
    folders: dict[str, Files]
    results: dict[str, Value]
    ended: str
    reference: dict[str, Any]


@dataclass(frozen=True)
class Past:
    """What an earlier run of the same name left."""

    records: dict[str, Record]

    @classmethod
    def read(cls, folder: RunFolder) -> "Past":
        """The records of a run folder; unreadable ones are left out, so their Tasks run again."""
        found = {}
        for path in folder.records.glob("*.json"):
            try:
                record = Record(**store.read_json(path))
            except (InputError, TypeError):
                continue
            found[record.label] = record
        return cls(found)


def look(path: Path) -> Files | None:
    """Every file under a path, or the file itself; None where there are too many."""
    found: Files = {}
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        try:
            state = file.lstat()
        except FileNotFoundError:
            continue
        if not file.is_dir() or file.is_symlink():
            found[str(file.relative_to(path))] = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        if len(found) > MOST_FILES:
            return None
    return found


def digest(task: PipelineTask, params: Mapping[str, Value], folders: Mapping[str, Path | None], plan: Plan) -> str:
    """A digest of everything a TaskRun is told. The images are in its spec and params."""
    used = {reference.key[1] for reference in references(task.task.spec) if reference.key[0] == "params"}
    scope = Scope({("params", name): value for name, value in params.items()})
    images = [substitution.text(step["image"], scope) for step in task.task.steps]
    told = {
        "spec": task.task.spec,
        "params": dict(params),
        "around": {name: value for name, value in plan.params.items() if task.embedded and name in used},
        "folders": {name: str(path) for name, path in folders.items()},
        "on_host": plan.on_host,
        "version": __version__,
        "programs": programs() if any(is_ours(image) or "$(" in image for image in images) else "",
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@functools.cache
def programs() -> str:
    """A digest of the programs that steps on our images run: the sources of this environment."""
    root = catalog.PACKAGE.parent
    found = {name: look(root / name) or {} for name in ("nearedge", "converters", "scripts", "serving_image")}
    sources = {
        name: {path: state for path, state in files.items() if path.endswith(".py")} for name, files in found.items()
    }
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def path_params(params: Mapping[str, Value], inside: Sequence[Path]) -> list[Path]:
    """The paths of this machine that params name and that lie in none of the folders `inside`."""
    found = []
    for value in params.values():
        for text in [value] if isinstance(value, str) else list(value):
            path = Path(text)
            if len(text) < 4096 and "\0" not in text and path.is_absolute() and len(path.parts) > 2 and path.exists():
                found.append(path)
    return [path for path in found if not any(path.is_relative_to(base) for base in inside)]


def before(child: Child, run_folder: Path) -> Before:
    """What a TaskRun starts from; to be called before it does."""
    inside = [run_folder, *(path for path in child.folders.values() if path is not None)]
    found: dict[str, Files] = {}
    for path in path_params(child.params, inside):
        files = look(path)
        if files is None:
            return Before(None)
        found[str(path)] = files
    return Before(found)


def record(child: Child, started: Before, plan: Plan, folder: RunFolder) -> None:
    """Keep what `reusable` needs of a TaskRun that ended, also one that failed: it explains files that it left.

    One with a workspace of its own, which is gone by now, is not kept.
    """
    own = folder.work(child.label)
    bound = {name: path for name, path in child.folders.items() if path is not None}
    if started.paths is None or any(path.is_relative_to(own) for path in bound.values()):
        return
    folders = {str(path): look(path) for path in bound.values()}
    if any(files is None for files in folders.values()):
        return
    document = {
        "label": child.label,
        "succeeded": child.last.succeeded,
        "key": digest(child.task, child.params, child.folders, plan),
        "paths": started.paths,
        "folders": folders,
        "results": child.last.results,
        "ended": now().isoformat(),
        "reference": {
            "apiVersion": "tekton.dev/v1",
            "kind": "TaskRun",
            "name": child.name,
            "pipelineTaskName": child.task.name,
        },
    }
    write_text(folder.records / f"{child.label}.json", json.dumps(document))


def reusable(plan: Plan, sources: Mapping[str, Source], past: Past) -> dict[str, list[Record]]:
    """The Tasks that need not run again, with the records of their TaskRuns."""
    candidates = {label: one for label, one in past.records.items() if one.succeeded}
    while True:
        found = replay(plan, sources, candidates)
        kept = {record.label: record for records in found.values() for record in records}
        good = {label: record for label, record in kept.items() if untouched(record, kept)}
        strange = {folder for one in good.values() for folder in one.folders if not explained(folder, past)}
        good = {label: one for label, one in good.items() if not strange & one.folders.keys()}
        if good == kept:
            return found
        candidates = good


def untouched(one: Record, kept: Mapping[str, Record]) -> bool:
    """Whether every file that was there when a TaskRun ended is as the last of the kept TaskRuns left it."""
    if any(look(Path(path)) != files for path, files in one.paths.items()):
        return False
    for folder, files in one.folders.items():
        last = max((other for other in kept.values() if folder in other.folders), key=lambda other: other.ended)
        present = look(Path(folder)) or {}
        if any(present.get(name) != last.folders[folder].get(name) for name in files):
            return False
    return True


def explained(folder: str, past: Past) -> bool:
    """Whether every file of a folder is as some TaskRun of the past run saw it when it ended."""
    seen = [record.folders[folder] for record in past.records.values() if folder in record.folders]
    return all(any(files.get(name) == state for files in seen) for name, state in (look(Path(folder)) or {}).items())


def replay(plan: Plan, sources: Mapping[str, Source], candidates: Mapping[str, Record]) -> dict[str, list[Record]]:
    """Go through the Tasks as a run would, with the candidates' results: those it would run the same way once more."""
    parents = graph.dependencies(plan.pipeline.tasks)
    scope = Scope(plan.scope.values)
    states = {task.name: State.WAITING for task in plan.pipeline.tasks}
    skipped: dict[str, Skip] = {}
    found: dict[str, list[Record]] = {}
    for task in graph.ordered(plan.pipeline.tasks):
        try:
            decision = conditions.decide(task, parents[task.name], Facts(states, skipped), scope)
            records = matching(task, plan, sources, scope, candidates) if decision is Decision.RUN else None
        except InputError:
            continue
        if isinstance(decision, Skip):
            states[task.name], skipped[task.name] = State.SKIPPED, decision
        elif records:
            states[task.name], found[task.name] = State.SUCCEEDED, records
            scope.values |= results.of_tasks([one.results for one in records], task.name, task.matrix is not None)
    return found


def matching(
    task: PipelineTask, plan: Plan, sources: Mapping[str, Source], scope: Scope, candidates: Mapping[str, Record]
) -> list[Record] | None:
    """The records of all TaskRuns of a Task, None where one is missing or was told something else."""
    found = []
    for label, params in children.resolve(task, plan, scope):
        child = Child(label, "", "", task, params, scope)
        candidate = candidates.get(label)
        if candidate is None or not bindable(child, plan, sources, scope):
            return None
        if candidate.key != digest(task, params, child.folders, plan):
            return None
        found.append(candidate)
    return found


def bindable(child: Child, plan: Plan, sources: Mapping[str, Source], scope: Scope) -> bool:
    """Find the folders of a TaskRun's workspaces; whether none of them is its own."""
    if any(source.fresh for source in sources.values()):
        bound = {binding.workspace for binding in workspaces.bindings(child.task, sources).values()}
        if any(sources[name].fresh for name in bound if name in sources):
            return False
    children.bind(child, plan, dict(sources), scope, Path("/nonexistent"))
    return True
