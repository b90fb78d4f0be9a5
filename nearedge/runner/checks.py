"""What Tekton's webhook refuses, refused before anything runs: references, types, params, workspaces."""

from collections.abc import Mapping
from typing import Any

from nearedge.errors import InputError
from nearedge.runner import graph, workspaces
from nearedge.runner.model import Pipeline, PipelineTask, Result
from nearedge.runner.parse import type_of
from nearedge.runner.scopes import EMBEDDED_CONTEXT, TASK_CONTEXT
from nearedge.runner.substitution import REFERENCE, Reference, Scope, Value, parse, references
from nearedge.runner.workspaces import Source


def check(pipeline: Pipeline, scope: Scope, sources: Mapping[str, Source]) -> None:
    """Hold a whole Pipeline against its own declarations; `scope` has its params, context and workspaces.

    Raises InputError that names the Task and what to change.
    """
    graph.dependencies(pipeline.tasks)
    graph.check_final(pipeline)
    for task in pipeline.every():
        where = f"Pipeline {pipeline.name}: Task {task.name}"
        check_templates(task, pipeline, scope, where)
        check_params(task, pipeline, scope, where)
        check_workspaces(task, pipeline, sources, where)
        check_inside(task, pipeline, where)
    check_results(pipeline)


def check_templates(task: PipelineTask, pipeline: Pipeline, scope: Scope, where: str) -> None:
    """Every reference in a Task's params, matrix, when and workspaces names something."""
    pieces = list(task.templates())
    if task.embedded:
        pieces = pieces[:-1]
    for reference in references(pieces):
        if reference.key[0] == "tasks":
            check_task_reference(reference, pipeline, task in pipeline.final, where)
        elif scope.find(reference) is None and reference.key != ("context", "pipelineTask", "retries"):
            raise InputError(f"{where}: $({reference.text}) names nothing that this Pipeline declares")


def check_task_reference(reference: Reference, pipeline: Pipeline, final: bool, where: str) -> None:
    """A reference to another Task's result, matrix or status."""
    key = reference.key
    if graph.is_result(reference):
        if key[2] == "results":
            find_result(reference, pipeline, where)
        return
    status = key == ("tasks", "status") or (len(key) == 3 and key[2] in ("status", "reason"))
    if not status:
        raise InputError(f"{where}: $({reference.text}) is neither a result nor a status of a Task")
    if not final:
        raise InputError(f"{where}: $({reference.text}) can only be used in finally")
    if len(key) == 3 and key[1] not in {other.name for other in pipeline.tasks}:
        raise InputError(f"{where}: $({reference.text}) names no Task of this Pipeline")


def find_result(reference: Reference, pipeline: Pipeline, where: str) -> Result:
    """The result that a reference names. Raises InputError where it is not declared or of another type than used."""
    tasks = {task.name: task for task in pipeline.every()}
    task = tasks.get(reference.key[1])
    if task is None:
        raise InputError(f"{where}: $({reference.text}) names no Task of this Pipeline")
    for result in task.task.results:
        if result.name == reference.key[3]:
            check_use(reference, result, task, where)
            return result
    known = ", ".join(result.name for result in task.task.results) or "none"
    raise InputError(f"{where}: $({reference.text}): Task {task.name} has no such result; it has {known}")


def check_use(reference: Reference, result: Result, task: PipelineTask, where: str) -> None:
    """Raise InputError for an index on what is no array, a key of what is no object, a part of a matrix' results."""
    if task.matrix is not None:
        if not reference.star or result.type != "string":
            raise InputError(f"{where}: $({reference.text}): results of a matrix are used whole, as strings: [*]")
        return
    if reference.index is not None and result.type != "array":
        raise InputError(f"{where}: $({reference.text}): an index, but the result is of type {result.type}")
    if len(reference.key) > 4 and result.type != "object":
        raise InputError(f"{where}: $({reference.text}): a key, but the result is of type {result.type}")


def check_params(task: PipelineTask, pipeline: Pipeline, scope: Scope, where: str) -> None:
    """Every param of the Task is given or has a default, and has the right type."""
    inherited = {param.name for param in pipeline.params} if task.embedded else set()
    fan = (
        set() if task.matrix is None else set(task.matrix.params) | {n for extra in task.matrix.include for n in extra}
    )
    for name in sorted(fan & set(task.params)):
        raise InputError(f"{where}: param {name} stands in params and in the matrix; leave one out")
    for param in task.task.params:
        if param.name in fan:
            if param.type != "string":
                raise InputError(
                    f"{where}: param {param.name} comes from the matrix, so the Task must declare it a string"
                )
        elif param.name in task.params:
            given = template_type(task.params[param.name], pipeline, scope, where)
            if given != param.type:
                raise InputError(
                    f"{where}: param {param.name} is of type {param.type}, the value given is of type {given}"
                )
        elif param.default is None and param.name not in inherited:
            raise InputError(f"{where}: param {param.name} is not given and has no default")


def template_type(template: Value, pipeline: Pipeline, scope: Scope, where: str) -> str:
    """The type that a param's value will have once its references are replaced."""
    match = REFERENCE.fullmatch(template) if isinstance(template, str) else None
    reference = parse(match.group(1)) if match else None
    if reference is None or reference.index is not None:
        return type_of(template)
    if graph.is_result(reference) and reference.key[2] == "results":
        if len(reference.key) > 4:
            return "string"
        result = find_result(reference, pipeline, where)
        matrix = next(task.matrix for task in pipeline.every() if task.name == reference.key[1])
        return "array" if matrix is not None else result.type
    found = scope.find(reference)
    return "string" if found is None else type_of(found)


def check_workspaces(task: PipelineTask, pipeline: Pipeline, sources: Mapping[str, Source], where: str) -> None:
    """Every workspace of the Task is bound to one that the Pipeline declares and, unless optional, that is given."""
    declared = {workspace.name for workspace in pipeline.workspaces}
    inside = {workspace.name for workspace in task.task.workspaces}
    for binding in task.workspaces:
        if binding.workspace not in declared:
            raise InputError(f"{where}: workspace {binding.workspace} is not declared by the Pipeline")
        if binding.name not in inside and not task.embedded:
            raise InputError(f"{where}: the Task has no workspace {binding.name}; it has {', '.join(inside) or 'none'}")
    found = workspaces.bindings(task, sources)
    for workspace in task.task.workspaces:
        bound = found.get(workspace.name)
        if (bound is None or bound.workspace not in sources) and not workspace.optional:
            raise InputError(f"{where}: the Task needs the workspace {workspace.name}; bind it to one that is given")


def check_inside(task: PipelineTask, pipeline: Pipeline, where: str) -> None:
    """Every reference in the Task's steps and sidecars names what the Task declares, and fits where it stands."""
    types = {param.name: param.type for param in task.task.params}
    spaces = {workspace.name for workspace in task.task.workspaces}
    if task.embedded:
        types = {param.name: param.type for param in pipeline.params} | types
        spaces |= {workspace.name for workspace in pipeline.workspaces}
    results = {result.name for result in task.task.results}
    context = EMBEDDED_CONTEXT if task.embedded else TASK_CONTEXT
    for part, items in (("steps", task.task.steps), ("sidecars", task.task.sidecars)):
        for item in items:
            path = f"{where}.{part}[{item['name']}]"
            for reference in references(item):
                check_known(reference, types, spaces, results, context, path)
            for template in single_texts(item):
                check_text(template, types, path)


def check_known(
    reference: Reference,
    types: Mapping[str, str],
    spaces: set[str],
    results: set[str],
    context: set[tuple[str, str]],
    where: str,
) -> None:
    """Raise InputError where a reference in a step names nothing."""
    key = reference.key
    known = {
        "params": lambda: key[1] in types,
        "workspaces": lambda: key[1] in spaces and key[2:] in (("path",), ("bound",), ("claim",), ("volume",)),
        "results": lambda: key[1] in results and key[2:] == ("path",),
        "context": lambda: key[1:] in context,
    }
    if key[0] in known and not known[key[0]]():
        raise InputError(f"{where}: $({reference.text}) names nothing that the Task declares")


def single_texts(item: Mapping[str, Any]) -> list[str]:
    """The texts of a step in which no array can be spliced."""
    env = [variable.get("value") or "" for variable in item.get("env") or []]
    return [item.get(name) or "" for name in ("image", "script", "workingDir")] + env


def check_text(template: str, types: Mapping[str, str], where: str) -> None:
    """Raise InputError where a whole array or object stands inside a text."""
    for reference in references(template):
        whole = len(reference.key) == 2 and reference.index is None
        if reference.key[0] == "params" and whole and types.get(reference.key[1]) in ("array", "object"):
            raise InputError(
                f"{where}: $({reference.text}) is an {types[reference.key[1]]}; it can only be an item of args"
            )


def check_results(pipeline: Pipeline) -> None:
    """The Pipeline's results name results of its Tasks."""
    for result in pipeline.results:
        where = f"Pipeline {pipeline.name}.results[{result.name}]"
        if result.value is None:
            raise InputError(f"{where}: has no value")
        found = list(references(result.value))
        for reference in found:
            if reference.key[0] not in ("tasks", "finally") or len(reference.key) < 4 or reference.key[2] != "results":
                raise InputError(f"{where}: $({reference.text}) is no result of a Task")
            find_result(reference, pipeline, where)
        if not found:
            raise InputError(f"{where}: its value names no result of a Task")
