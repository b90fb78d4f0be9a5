"""Which Task waits for which: by `runAfter`, and by the results it uses."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from nearedge.errors import InputError
from nearedge.runner.model import Pipeline, PipelineTask
from nearedge.runner.substitution import Reference, references


def result_references(task: PipelineTask) -> list[Reference]:
    """The references of a Task to other Tasks' results (`tasks.X.results.Y`), its embedded spec among them."""
    found = [reference for piece in task.templates() for reference in references(piece)]
    return [reference for reference in found if is_result(reference)]


def is_result(reference: Reference) -> bool:
    """Whether it is `tasks.X.results.Y`, with a key of an object at its end or not, or a matrix's length."""
    key = reference.key
    return key[0] == "tasks" and len(key) >= 4 and key[2] in ("results", "matrix")


def resource_parents(task: PipelineTask) -> set[str]:
    """The Tasks whose results it uses."""
    return {reference.key[1] for reference in result_references(task)}


def parents(task: PipelineTask) -> set[str]:
    """All Tasks it waits for."""
    return resource_parents(task) | set(task.run_after)


def dependencies(tasks: Sequence[PipelineTask]) -> dict[str, set[str]]:
    """Each Task's parents. Raises InputError for a Task that is not there, and for a cycle, which it spells out."""
    names = {task.name for task in tasks}
    found = {task.name: parents(task) for task in tasks}
    for task in tasks:
        for parent in sorted(found[task.name] - names):
            how = "runAfter names" if parent in task.run_after else "uses a result of"
            raise InputError(f"Task {task.name}: {how} {parent}, which is no Task of this Pipeline")
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        raise InputError(f"Tasks wait for each other in a circle: {' -> '.join(error.args[1])}") from error
    return found


def check_final(pipeline: Pipeline) -> None:
    """Raise InputError where a Task of `finally` waits for, or is waited for, in a way that Tekton does not have."""
    names = {task.name for task in pipeline.tasks}
    for task in pipeline.final:
        if task.run_after:
            raise InputError(f"Task {task.name}: a Task of finally cannot have runAfter")
        for parent in sorted(resource_parents(task) - names):
            raise InputError(f"Task {task.name}: uses a result of {parent}, which is no Task of `tasks`")


def ordered(tasks: Sequence[PipelineTask]) -> list[PipelineTask]:
    """The Tasks with every parent before its children."""
    names = TopologicalSorter({task.name: parents(task) for task in tasks}).static_order()
    by_name = {task.name: task for task in tasks}
    return [by_name[name] for name in names]
