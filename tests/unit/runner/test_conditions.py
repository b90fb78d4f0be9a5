"""The skip rules, one by one, in Tekton's order."""

import pytest

from nearedge.runner import conditions
from nearedge.runner.conditions import Decision, Facts, Skip, State
from nearedge.runner.model import Matrix, PipelineTask, Task, When
from nearedge.runner.substitution import Scope

INNER = Task("t", (), (), (), (), (), {})
NO = (When("a", "in", ("b",)),)
SCOPE = Scope({("tasks", "p", "results", "given"): "v", ("params", "a"): ["x", "y"]})


def task(**fields):
    return PipelineTask("t", INNER, embedded=False, **fields)


def facts(state=State.SUCCEEDED, skip=None, **more):
    return Facts({"p": state}, {"p": skip} if skip else {}, **more)


USES = {"x": "$(tasks.p.results.given)"}
LACKS = {"x": "$(tasks.p.results.absent)"}


@pytest.mark.parametrize(
    ("fields", "stand", "expected"),
    [
        ({}, facts(), Decision.RUN),
        ({}, facts(State.RUNNING), Decision.WAIT),
        ({}, facts(State.WAITING), Decision.WAIT),
        ({}, facts(State.FAILED), Decision.RUN),  # a failure that does not stop is one with onError: continue
        ({}, facts(State.SKIPPED, Skip.WHEN), Decision.RUN),  # ordering only: a skipped parent is no reason
        ({}, facts(State.SKIPPED, Skip.PARENT), Skip.PARENT),
        ({}, facts(State.SKIPPED, Skip.MISSING_RESULTS), Skip.PARENT),
        ({}, facts(State.SKIPPED, Skip.EMPTY_MATRIX), Skip.PARENT),
        ({"params": USES}, facts(), Decision.RUN),
        ({"params": LACKS}, facts(), Decision.MISSING),
        ({"params": LACKS}, facts(State.FAILED), Decision.MISSING),
        ({"params": LACKS}, facts(State.SKIPPED, Skip.WHEN), Skip.MISSING_RESULTS),
        (
            {"when": (When("$(tasks.p.results.absent)", "in", ("v",)),)},
            facts(State.SKIPPED, Skip.WHEN),
            Skip.MISSING_RESULTS,
        ),
        ({"when": (When("$(tasks.p.results.given)", "in", ("v",)),)}, facts(), Decision.RUN),
        ({"when": NO}, facts(), Skip.WHEN),
        ({"when": NO}, facts(State.RUNNING), Decision.WAIT),
        ({"when": NO}, facts(stopping=True), Skip.STOPPING),
        ({"when": NO, "params": LACKS}, facts(State.SKIPPED, Skip.WHEN), Skip.MISSING_RESULTS),
        ({}, facts(State.RUNNING, stopping=True), Skip.STOPPING),
        ({}, facts(cancelled=True), Skip.CANCELLED),
        ({}, facts(stopping=True, cancelled=True), Skip.STOPPING),
        ({}, facts(pipeline_timed_out=True), Skip.PIPELINE_TIMEOUT),
        ({}, facts(tasks_timed_out=True), Skip.TASKS_TIMEOUT),
        ({"matrix": Matrix({"m": []}, ())}, facts(), Skip.EMPTY_MATRIX),
        ({"matrix": Matrix({"m": ["1"]}, ())}, facts(), Decision.RUN),
    ],
)
def test_decide(fields, stand, expected):
    assert conditions.decide(task(**fields), {"p"}, stand, SCOPE) is expected


@pytest.mark.parametrize(
    ("fields", "stand", "expected"),
    [
        ({}, facts(stopping=True, cancelled=True), Decision.RUN),
        ({"params": LACKS}, facts(), Skip.MISSING_RESULTS),
        ({"when": NO}, facts(), Skip.WHEN),
        ({}, facts(pipeline_timed_out=True), Skip.PIPELINE_TIMEOUT),
        ({}, facts(tasks_timed_out=True), Decision.RUN),
        ({}, facts(finally_timed_out=True), Skip.FINALLY_TIMEOUT),
        ({"matrix": Matrix({"m": []}, ())}, facts(), Skip.EMPTY_MATRIX),
    ],
)
def test_decide_final(fields, stand, expected):
    assert conditions.decide_final(task(**fields), stand, SCOPE) is expected


@pytest.mark.parametrize(
    ("guards", "expected"),
    [
        ((), True),
        ((When("a", "in", ("a", "b")),), True),
        ((When("c", "in", ("a", "b")),), False),
        ((When("c", "notin", ("a", "b")),), True),
        ((When("a", "notin", ("a",)),), False),
        ((When("a", "in", ("a",)), When("a", "in", ("b",))), False),
        ((When("y", "in", ("$(params.a[*])",)),), True),
        ((When("$(params.a[0])", "in", ("x",)),), True),
        ((When("", "in", ("",)),), True),
    ],
)
def test_when(guards, expected):
    assert conditions.allows(guards, SCOPE) is expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([State.SUCCEEDED], "Succeeded"),
        ([State.SUCCEEDED, State.SKIPPED], "Completed"),
        ([State.FAILED, State.SKIPPED, State.SUCCEEDED], "Failed"),
        ([State.CANCELLED, State.SUCCEEDED], "Failed"),
    ],
)
def test_aggregate_status(states, expected):
    assert conditions.aggregate_status(dict(enumerate(states))) == expected


def test_task_status():
    found = {state: conditions.task_status(state) for state in State}
    assert found[State.SUCCEEDED] == "Succeeded"
    assert found[State.FAILED] == found[State.CANCELLED] == "Failed"
    assert found[State.SKIPPED] == found[State.WAITING] == "None"
