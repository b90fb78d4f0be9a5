"""Reading the typed model out of documents whose fields are already sorted."""

from collections.abc import Callable, Sequence
from typing import Any

from nearedge.errors import InputError, UnsupportedError
from nearedge.runner import durations
from nearedge.runner.fields import Document
from nearedge.runner.model import Binding, Matrix, Param, Pipeline, PipelineTask, Result, Task, When, Workspace
from nearedge.runner.substitution import Value, references

TYPES = ("string", "array", "object")
MOST_COMBINATIONS = 256

# Gives the spec of a Task that a taskRef names, and where it was found.
FindTask = Callable[[str], Document]


def type_of(value: Value) -> str:
    """The type of a value, in Tekton's words."""
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "string"


def unique(items: Sequence[Document], where: str) -> list[Document]:
    """The named items. Raises InputError for one without a name and for a name that stands twice."""
    seen: set[str] = set()
    for number, item in enumerate(items):
        name = item.get("name")
        if not name:
            raise InputError(f"{where}[{number}]: has no name")
        if name in seen:
            raise InputError(f"{where}[{name}]: the name stands twice; give each its own")
        seen.add(name)
    return list(items)


def declared_type(item: Document, example: Value | None, where: str) -> str:
    """The declared type, else that of the default, an object where there are properties, else string."""
    guess = "object" if item.get("properties") else "string" if example is None else type_of(example)
    name = item.get("type") or guess
    if name not in TYPES:
        raise InputError(f"{where}.type: {name!r} is none of {', '.join(TYPES)}")
    return str(name)


def params(items: Sequence[Document], where: str) -> tuple[Param, ...]:
    """The declared params of a Task or a Pipeline. Raises InputError for a default that does not fit."""
    found = []
    for item in unique(items, where):
        path = f"{where}[{item['name']}]"
        default = item.get("default")
        kind = declared_type(item, default, path)
        if list(references(default)):
            raise UnsupportedError(f"{path}.default: the local runner takes no reference in a default")
        if default is not None and type_of(default) != kind:
            raise InputError(f"{path}.default: is of type {type_of(default)}, the param of type {kind}")
        enum = tuple(item.get("enum") or ())
        if enum and default is not None and default not in enum:
            raise InputError(f"{path}.default: {default!r} is none of {', '.join(enum)}")
        found.append(Param(item["name"], kind, default, enum, tuple(item.get("properties") or ())))
    return tuple(found)


def results(items: Sequence[Document], where: str) -> tuple[Result, ...]:
    """The declared results of a Task or a Pipeline."""
    return tuple(
        Result(item["name"], declared_type(item, None, f"{where}[{item['name']}]"), item.get("value"))
        for item in unique(items, where)
    )


def workspaces(items: Sequence[Document], where: str) -> tuple[Workspace, ...]:
    """The declared workspaces of a Task or a Pipeline."""
    return tuple(Workspace(item["name"], bool(item.get("optional"))) for item in unique(items, where))


def values(items: Sequence[Document], where: str) -> dict[str, Value]:
    """`[{name, value}]` as a map. Raises InputError for an item without a value."""
    for item in unique(items, where):
        if item.get("value") is None:
            raise InputError(f"{where}[{item['name']}]: has no value")
    return {item["name"]: item["value"] for item in items}


def merged(template: Document, step: Document) -> Document:
    """A step with the stepTemplate under it: the step's own fields win, env and volumeMounts are merged by name."""
    both = {**template, **{name: value for name, value in step.items() if value is not None}}
    env = {item["name"]: item for item in [*(template.get("env") or []), *(step.get("env") or [])]}
    if env:
        both["env"] = list(env.values())
    return both


def task(name: str, spec: Document, where: str) -> Task:
    """A Task from its spec. Raises InputError where it has no steps, or a step lacks an image or does too much."""
    template = spec.get("stepTemplate") or {}
    steps = [
        {**merged(template, step), "name": step.get("name") or f"unnamed-{number}"}
        for number, step in enumerate(spec.get("steps") or [])
    ]
    if not steps:
        raise InputError(f"{where}.steps: a Task needs at least one step")
    sidecars = unique([dict(sidecar) for sidecar in spec.get("sidecars") or []], f"{where}.sidecars")
    for part, items in (("steps", unique(steps, f"{where}.steps")), ("sidecars", sidecars)):
        for item in items:
            check_step(item, f"{where}.{part}[{item['name']}]")
    return Task(
        name=name,
        params=params(spec.get("params") or [], f"{where}.params"),
        results=results(spec.get("results") or [], f"{where}.results"),
        workspaces=workspaces(spec.get("workspaces") or [], f"{where}.workspaces"),
        steps=tuple(steps),
        sidecars=tuple(sidecars),
        spec=spec,
    )


def check_step(step: Document, where: str) -> None:
    """Raise InputError where Tekton would refuse a step or sidecar."""
    if not step.get("image"):
        raise InputError(f"{where}: has no image")
    if step.get("script") and step.get("command"):
        raise InputError(f"{where}: has a command and a script; Tekton takes only one of them")
    if step.get("onError", "stopAndFail") not in ("continue", "stopAndFail"):
        raise InputError(f"{where}.onError: {step['onError']!r} is neither continue nor stopAndFail")


def pipeline(name: str, spec: Document, where: str, find: FindTask) -> Pipeline:
    """A Pipeline from its spec, its Tasks found by `find`. Raises InputError for what Tekton would refuse."""
    lists = {part: spec.get(part) or [] for part in ("tasks", "finally")}
    if not lists["tasks"]:
        raise InputError(f"{where}.tasks: a Pipeline needs at least one Task")
    unique(lists["tasks"] + lists["finally"], f"{where}.tasks")
    tasks, final = (
        tuple(pipeline_task(item, f"{where}.{part}[{item['name']}]", find) for item in items)
        for part, items in lists.items()
    )
    return Pipeline(
        name=name,
        params=params(spec.get("params") or [], f"{where}.params"),
        results=results(spec.get("results") or [], f"{where}.results"),
        workspaces=workspaces(spec.get("workspaces") or [], f"{where}.workspaces"),
        tasks=tasks,
        final=final,
        spec=spec,
    )


def pipeline_task(item: Document, where: str, find: FindTask) -> PipelineTask:
    """One Task of a Pipeline."""
    reference, embedded = item.get("taskRef"), item.get("taskSpec")
    if (reference is None) == (embedded is None):
        raise InputError(f"{where}: needs either a taskRef or a taskSpec")
    retries = item.get("retries") or 0
    if retries < 0:
        raise InputError(f"{where}.retries: {retries} is below 0")
    if item.get("onError", "stopAndFail") not in ("continue", "stopAndFail"):
        raise InputError(f"{where}.onError: {item['onError']!r} is neither continue nor stopAndFail")
    if item.get("onError") == "continue" and retries:
        raise InputError(f"{where}: has retries and onError: continue; Tekton takes only one of them")
    timeout = item.get("timeout")
    return PipelineTask(
        name=item["name"],
        task=task(item["name"], embedded, f"{where}.taskSpec")
        if embedded is not None
        else named(reference, where, find),
        embedded=embedded is not None,
        params=values(item.get("params") or [], f"{where}.params"),
        matrix=matrix(item.get("matrix"), f"{where}.matrix"),
        workspaces=tuple(bindings(item.get("workspaces") or [], f"{where}.workspaces")),
        when=tuple(guards(item.get("when") or [], f"{where}.when")),
        run_after=tuple(item.get("runAfter") or ()),
        retries=retries,
        timeout_s=None if timeout is None else durations.seconds(timeout, f"{where}.timeout"),
        ignore_failure=item.get("onError") == "continue",
    )


def named(reference: Document | None, where: str, find: FindTask) -> Task:
    """The Task that a taskRef names. Raises UnsupportedError for custom tasks and cluster tasks."""
    reference = reference or {}
    check_reference(reference, "Task", f"{where}.taskRef")
    return task(reference["name"], find(reference["name"]), f"Task {reference['name']}")


def check_reference(reference: Document, kind: str, where: str) -> None:
    """Raise where a taskRef or pipelineRef names nothing, or something that is no Tekton Task or Pipeline."""
    if reference.get("kind", kind) != kind:
        raise UnsupportedError(f"{where}.kind: the local runner runs no {reference['kind']}; name a {kind}")
    if not str(reference.get("apiVersion", "tekton.dev/v1")).startswith("tekton.dev/"):
        raise UnsupportedError(f"{where}.apiVersion: the local runner runs no custom tasks")
    if not reference.get("name"):
        raise InputError(f"{where}: names no {kind}")


def bindings(items: Sequence[Document], where: str) -> list[Binding]:
    """Which of the Pipeline's workspaces a Task gets; without `workspace`, the one of the same name."""
    return [
        Binding(item["name"], item.get("workspace") or item["name"], item.get("subPath") or "")
        for item in unique(items, where)
    ]


def guards(items: Sequence[Document], where: str) -> list[When]:
    """The `when` of a Task. Raises InputError for an unknown operator or no values."""
    found = []
    for number, item in enumerate(items):
        if item.get("operator") not in ("in", "notin"):
            raise InputError(f"{where}[{number}].operator: {item.get('operator')!r} is neither in nor notin")
        if not item.get("values"):
            raise InputError(f"{where}[{number}].values: must not be empty")
        found.append(When(item.get("input") or "", item["operator"], tuple(item["values"])))
    return found


def matrix(item: Document | None, where: str) -> Matrix | None:
    """The matrix of a Task. Raises InputError where it is empty or holds what is no list of strings."""
    if item is None:
        return None
    fan = values(item.get("params") or [], f"{where}.params")
    for name, given in fan.items():
        if isinstance(given, dict) or (isinstance(given, str) and not given.startswith("$(")):
            raise InputError(f"{where}.params[{name}]: must be an array or a reference to one")
    include: list[dict[str, Any]] = [
        values(extra.get("params") or [], f"{where}.include[{number}].params")
        for number, extra in enumerate(item.get("include") or [])
    ]
    if any(not isinstance(given, str) for extra in include for given in extra.values()):
        raise InputError(f"{where}.include: every value must be a string")
    if not fan and not include:
        raise InputError(f"{where}: needs params or include")
    return Matrix(fan, tuple(include))
