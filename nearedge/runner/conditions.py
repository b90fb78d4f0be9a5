"""Whether a Task runs, waits or is skipped: Tekton's rules, in Tekton's order.

They follow `skip` and `IsFinallySkipped` of Tekton's pipelinerunresolution.go; the reasons are the texts of its status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from nearedge.runner import graph, matrix, substitution
from nearedge.runner.model import PipelineTask, When
from nearedge.runner.substitution import Scope


class Skip(Enum):
    """Why a Task was skipped, in Tekton's words."""

    STOPPING = "PipelineRun was stopping"
    CANCELLED = "PipelineRun was gracefully cancelled"
    PARENT = "Parent Tasks were skipped"
    MISSING_RESULTS = "Results were missing"
    WHEN = "When Expressions evaluated to false"
    PIPELINE_TIMEOUT = "PipelineRun timeout has been reached"
    TASKS_TIMEOUT = "PipelineRun Tasks timeout has been reached"
    FINALLY_TIMEOUT = "PipelineRun Finally timeout has been reached"
    EMPTY_MATRIX = "Matrix Parameters have an empty array"


class State(Enum):
    """Where a Task of a run is."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SKIPPED = "Skipped"

    @property
    def done(self) -> bool:
        """Whether nothing more happens to it."""
        return self not in (State.WAITING, State.RUNNING)


class Decision(Enum):
    """What to do with a waiting Task. MISSING ends the run: a result that the Task needs is not there."""

    RUN = "run"
    WAIT = "wait"
    MISSING = "missing"


@dataclass(frozen=True)
class Facts:
    """How the run stands. `skipped` says why for each Task in State.SKIPPED."""

    states: Mapping[str, State]
    skipped: Mapping[str, Skip]
    stopping: bool = False
    cancelled: bool = False
    pipeline_timed_out: bool = False
    tasks_timed_out: bool = False
    finally_timed_out: bool = False


def allows(guards: tuple[When, ...], scope: Scope) -> bool:
    """Whether every guard holds; an array reference among the values stands for its items."""
    for guard in guards:
        found = substitution.text(guard.input, scope) in substitution.texts(list(guard.values), scope)
        if found != (guard.operator == "in"):
            return False
    return True


def decide(task: PipelineTask, parents: set[str], facts: Facts, scope: Scope) -> Decision | Skip:
    """What to do with a waiting Task of `tasks`. `scope` has the results so far."""
    if facts.stopping:
        return Skip.STOPPING
    if facts.cancelled:
        return Skip.CANCELLED
    if any(facts.skipped.get(parent, Skip.WHEN) is not Skip.WHEN for parent in parents):
        return Skip.PARENT
    if not all(facts.states[parent].done for parent in parents):
        return Decision.WAIT
    absent = {reference.key[1] for reference in graph.result_references(task) if scope.find(reference) is None}
    if absent:
        return Skip.MISSING_RESULTS if absent & set(facts.skipped) else Decision.MISSING
    if not allows(task.when, scope):
        return Skip.WHEN
    if facts.pipeline_timed_out:
        return Skip.PIPELINE_TIMEOUT
    if facts.tasks_timed_out:
        return Skip.TASKS_TIMEOUT
    return matrix_decision(task, scope)


def decide_final(task: PipelineTask, facts: Facts, scope: Scope) -> Decision | Skip:
    """What to do with a Task of `finally` once every Task of `tasks` is done."""
    if any(scope.find(reference) is None for reference in graph.result_references(task)):
        return Skip.MISSING_RESULTS
    if not allows(task.when, scope):
        return Skip.WHEN
    if facts.pipeline_timed_out:
        return Skip.PIPELINE_TIMEOUT
    if facts.finally_timed_out:
        return Skip.FINALLY_TIMEOUT
    return matrix_decision(task, scope)


def matrix_decision(task: PipelineTask, scope: Scope) -> Decision | Skip:
    """Run, unless the matrix has nothing to run for."""
    if task.matrix is not None and not matrix.combinations(task.matrix, scope):
        return Skip.EMPTY_MATRIX
    return Decision.RUN


def task_status(state: State) -> str:
    """`$(tasks.X.status)`."""
    return state.value if state in (State.SUCCEEDED, State.FAILED) else "Failed" if state is State.CANCELLED else "None"


def aggregate_status(states: Mapping[str, State]) -> str:
    """`$(tasks.status)` over the Tasks of `tasks`, once they are done."""
    if any(state in (State.FAILED, State.CANCELLED) for state in states.values()):
        return "Failed"
    return "Completed" if State.SKIPPED in states.values() else "Succeeded"
