"""From what a person asks for to a run that can start: documents found, checked and resolved, nothing run yet."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from nearedge.errors import InputError, UsageError
from nearedge.runner import checks, load, parameters, parse, preflight, scopes, wrap
from nearedge.runner.durations import seconds
from nearedge.runner.fields import Document
from nearedge.runner.load import Library
from nearedge.runner.model import Pipeline
from nearedge.runner.request import Request
from nearedge.runner.scopes import Identity
from nearedge.runner.substitution import Scope, Value
from nearedge.runner.workspaces import Source, bound, given_folder, unknown
from nearedge.runner.workspaces import check as check_given

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
# Tekton's own default for a PipelineRun.
DEFAULT_TIMEOUT = "1h"


@dataclass(frozen=True)
class Timeouts:
    """Seconds; None for no limit."""

    pipeline_s: float | None
    tasks_s: float | None
    finally_s: float | None


@dataclass(frozen=True)
class Plan:
    """A run that can start. `document` is the PipelineRun; `accepted` are fields without effect, `warnings` doubts."""

    name: str
    document: Document
    pipeline: Pipeline
    params: dict[str, Value]
    sources: dict[str, Source]
    timeouts: Timeouts
    task_timeouts: dict[str, float]
    identity: Identity
    scope: Scope
    on_host: bool
    accepted: tuple[str, ...]
    warnings: tuple[str, ...]


def plans(request: Request) -> list[Plan]:
    """The runs that a request asks for, each checked whole.

    Raises InputError and UnsupportedError as the contract of each field has it, UsageError where nothing can be run.
    """
    documents = [document for path in request.files for document in load.read(path)]
    library = Library(documents, request.catalog)
    found = run_documents(request, documents, library)
    if request.name and len(found) > 1:
        raise UsageError(f"--name {request.name}: the files hold {len(found)} runs; a name is for one")
    return [plan(document, request, library) for document in found]


def run_documents(request: Request, documents: Sequence[Document], library: Library) -> list[Document]:
    """The PipelineRuns and TaskRuns to run, made up where a Pipeline or Task is named."""
    if request.target:
        for kind in ("Pipeline", "Task"):
            if library.holds(kind, request.target):
                return [wrap.run_of(kind, request.target)]
        pipelines, tasks = library.known("Pipeline"), library.known("Task")
        raise InputError(f"{request.target}: no such Pipeline or Task; Pipelines: {pipelines}; Tasks: {tasks}")
    runs = [document for document in documents if document["kind"] in ("PipelineRun", "TaskRun")]
    if runs:
        return runs
    for kind in ("Pipeline", "Task"):
        alone = [document for document in documents if document["kind"] == kind]
        if len(alone) == 1:
            return [wrap.run_of(kind, load.name_of(alone[0]))]
        if alone:
            raise UsageError(f"the files hold {len(alone)} of kind {kind} and no run; name the one to run")
    raise UsageError("nothing to run; name a Pipeline or Task, or give files with -f")


def plan(document: Document, request: Request, library: Library) -> Plan:
    """One run, checked whole."""
    where = wrap.title(document)
    document = wrap.with_folders(document, request.workspaces)
    library.sort(document)
    if document["kind"] == "TaskRun":
        document = wrap.around_task(document, library)
    spec = document["spec"]
    pipeline = pipeline_of(document, library)
    params = params_of(pipeline, spec, request, where)
    unknown(pipeline.workspaces, request.workspaces, where)
    sources = sources_of(spec, request, where)
    check_given(pipeline.workspaces, sources, where)
    name = request.name or document["metadata"].get("name") or new_name(document["metadata"]["generateName"])
    identity = Identity(name, secrets.token_hex(8), pipeline.name)
    scope = scopes.of_pipeline(pipeline, params, set(sources), identity)
    checks.check(pipeline, scope, sources)
    preflight.check_mounts(pipeline)
    preflight.check_images(pipeline, scope, request.on_host)
    return Plan(
        name=name,
        document=wrap.settled(document, identity, params, sources),
        pipeline=pipeline,
        params=params,
        sources=sources,
        timeouts=timeouts_of(spec.get("timeouts") or {}, where),
        task_timeouts=task_timeouts(spec, pipeline, where),
        identity=identity,
        scope=scope,
        on_host=request.on_host,
        accepted=tuple(library.accepted),
        warnings=tuple(preflight.warnings(pipeline)),
    )


def pipeline_of(document: Document, library: Library) -> Pipeline:
    """The Pipeline that a PipelineRun names or holds, with the Tasks found."""
    spec, where = document["spec"], wrap.title(document)
    reference, embedded = spec.get("pipelineRef"), spec.get("pipelineSpec")
    if (reference is None) == (embedded is None):
        raise InputError(f"{where}: needs either a pipelineRef or a pipelineSpec")
    if embedded is not None:
        name, path = load.name_of(document).rstrip("-"), f"{where}.spec.pipelineSpec"
        embedded = wrap.propagated(embedded, spec.get("params") or [], spec.get("workspaces") or [])
    else:
        parse.check_reference(reference, "Pipeline", f"{where}.spec.pipelineRef")
        name, path = reference["name"], f"Pipeline {reference['name']}"
        embedded = library.spec("Pipeline", name)
    return parse.pipeline(name, embedded, path, lambda task: library.spec("Task", task))


def params_of(pipeline: Pipeline, spec: Document, request: Request, where: str) -> dict[str, Value]:
    """The run's params, those of the command line over those of the manifest."""
    given = parse.values(spec.get("params") or [], f"{where}.spec.params")
    given |= parameters.from_command_line(pipeline.params, request.params, where)
    return parameters.resolve(pipeline.params, given, where)


def sources_of(spec: Document, request: Request, where: str) -> dict[str, Source]:
    """The run's workspaces, those of the command line over those of the manifest."""
    items = parse.unique(spec.get("workspaces") or [], f"{where}.spec.workspaces")
    given = {name: given_folder(name, text) for name, text in request.workspaces.items()}
    found = {
        item["name"]: bound(item, f"{where}.spec.workspaces[{item['name']}]")
        for item in items
        if item["name"] not in given
    }
    return found | given


def new_name(beginning: str) -> str:
    """A name with five random characters at its end, as `generateName` has it."""
    return beginning + "".join(secrets.choice(SUFFIX) for _ in range(5))


def timeouts_of(given: Document, where: str) -> Timeouts:
    """The limits of a run, filled in as Tekton does. Raises InputError where the parts exceed the whole."""
    limits = {name: seconds(text, f"{where}.spec.timeouts.{name}") for name, text in given.items() if text is not None}
    whole = limits.get("pipeline", seconds(DEFAULT_TIMEOUT, where))
    parts = limits.get("tasks", 0.0) + limits.get("finally", 0.0)
    if whole and parts > whole:
        raise InputError(
            f"{where}.spec.timeouts: tasks and finally together exceed pipeline; raise pipeline or lower them"
        )
    for part, other in (("tasks", "finally"), ("finally", "tasks")):
        if part not in limits and limits.get(other) and whole:
            limits[part] = whole - limits[other]
    return Timeouts(whole or None, limits.get("tasks") or None, limits.get("finally") or None)


def task_timeouts(spec: Document, pipeline: Pipeline, where: str) -> dict[str, float]:
    """The limits that `taskRunSpecs` sets for single Tasks. Raises InputError for a Task that is not there."""
    names = {task.name for task in pipeline.every()}
    found = {}
    for item in spec.get("taskRunSpecs") or []:
        name = item.get("pipelineTaskName")
        if name not in names:
            raise InputError(f"{where}.spec.taskRunSpecs: {name!r} is no Task of the Pipeline")
        if item.get("timeout"):
            found[name] = seconds(item["timeout"], f"{where}.spec.taskRunSpecs[{name}].timeout")
    return found
