"""Logs of a run's steps from its pods."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from nearedge.api.cluster.connection import MOST_STREAMS
from tests.core_cluster import NAMESPACE, PODS, RUNS, TASK_RUNS

HEAD = {"apiVersion": "tekton.dev/v1"}
BEGUN = "2026-11-24T01:00:00Z"


def write_run(fake, name, attempt="", **tasks):
    """A run with a TaskRun and a pod for each Task: {task: {step: exit code, None where it runs, or "waits"}}.

    `attempt` ends the pods' names, as Tekton has it where a Task is tried again.
    """
    spec = {"tasks": [{"name": task, "taskSpec": {"steps": []}} for task in tasks]}
    over = all(code is not None and code != "waits" for steps in tasks.values() for code in steps.values())
    references = []
    for task, steps in tasks.items():
        done = all(code is not None and code != "waits" for code in steps.values())
        labels = {"tekton.dev/pipelineRun": name, "tekton.dev/pipelineTask": task}
        child = f"{name}-{task}"
        status = {
            "podName": f"{child}-pod{attempt}", "steps": [step(one, code) for one, code in steps.items()],
            "conditions": [condition("True" if done else "Unknown", "Succeeded" if done else "Running")],
        }  # fmt: skip
        fake.apply(
            {**HEAD, "kind": "TaskRun", "metadata": {"name": child, "labels": labels}, "status": status},
            {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{child}-pod{attempt}", "labels": labels},
                "spec": {"nodeName": "n", "containers": [{"name": f"step-{one}", "image": "x"} for one in steps]},
                "status": {"phase": "Succeeded" if done else "Running", "containerStatuses": [
                    {"name": f"step-{one}", "state": container(code)} for one, code in steps.items()
                ]},
            },
            namespace=NAMESPACE,
        )  # fmt: skip
        references.append({"kind": "TaskRun", "name": child, "pipelineTaskName": task})
    status = {
        "conditions": [condition("True" if over else "Unknown", "Succeeded" if over else "Running")],
        "startTime": BEGUN, "pipelineSpec": spec, "childReferences": references,
    }  # fmt: skip
    fake.apply(
        {**HEAD, "kind": "PipelineRun", "metadata": {"name": name}, "spec": {"pipelineSpec": spec}, "status": status},
        namespace=NAMESPACE,
    )


def condition(status, reason):
    return {"type": "Succeeded", "status": status, "reason": reason, "message": reason}


def container(code):
    if code == "waits":
        return {"waiting": {"reason": "PodInitializing"}}
    if code is None:
        return {"running": {"startedAt": BEGUN}}
    return {"terminated": {"exitCode": code, "startedAt": BEGUN, "finishedAt": BEGUN, "reason": "Completed"}}


def step(name, code):
    return {"name": name, "container": f"step-{name}", **container(code)}


def log(fake, run, task, name, text, attempt=""):
    fake.write_log(NAMESPACE, f"{run}-{task}-pod{attempt}", f"step-{name}", text)


@pytest.fixture
def written(bare, alone):
    """A run of two Tasks that has ended, with its logs."""
    write_run(bare, "ended", build={"a": 0, "b": 0}, check={"a": 0})
    log(bare, "ended", "build", "a", "one\r\ntwo\n")
    log(bare, "ended", "build", "b", "three\nfour\n")
    log(bare, "ended", "check", "a", "five\nsix")
    return alone


def lines(core, query):
    found = core.events(f"/runs/ended/logs{query}")
    return [(one["task"], one["step"], one["number"], one["text"]) for kind, one, _ in found if kind == "line"]


ALL = [
    ("build", "a", 1, "one"), ("build", "a", 2, "two"), ("build", "b", 1, "three"), ("build", "b", 2, "four"),
    ("check", "a", 1, "five"), ("check", "a", 2, "six"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ALL), ("?follow=true", ALL), ("?task=check", ALL[4:]), ("?step=a", [*ALL[:2], *ALL[4:]]),
        ("?task=build&step=b", ALL[2:4]), ("?tail=3", ALL[3:]), ("?tail=1&task=build", ALL[3:4]), ("?tail=0", []),
        ("?tail=3&follow=true", ALL[3:]), ("?tail=100", ALL), ("?task=none", []),
    ],
)  # fmt: skip
def test_lines_in_the_order_of_tasks_and_steps(written, query, wanted):
    assert lines(written, query) == wanted


def test_a_log_is_followed_from_step_to_step(bare, alone):
    write_run(bare, "live", build={"a": None, "b": "waits"})
    log(bare, "live", "build", "a", "one\n")
    stream = alone.events("/runs/live/logs?follow=true")
    assert next(stream)[1]["text"] == "one"
    log(bare, "live", "build", "a", "two\n")
    assert next(stream)[1]["text"] == "two"
    write_run(bare, "live", build={"a": 0, "b": None}, check={"a": "waits"})
    log(bare, "live", "build", "b", "three\n")
    found = next(stream)[1]
    assert (found["step"], found["number"], found["text"]) == ("b", 1, "three")
    write_run(bare, "live", build={"a": 0, "b": 0}, check={"a": None})
    log(bare, "live", "check", "a", "four\n")
    assert next(stream)[1]["text"] == "four"
    write_run(bare, "live", build={"a": 0, "b": 0}, check={"a": 0})
    assert next(stream)[:2] == ("end", {})


def test_a_task_that_is_tried_again_is_followed_in_its_new_pod(bare, alone):
    write_run(bare, "live", build={"a": None}, check={"a": "waits"})
    log(bare, "live", "build", "a", "first\nfails\n")
    stream = alone.events("/runs/live/logs?follow=true")
    assert [next(stream)[1]["text"] for _ in range(2)] == ["first", "fails"]
    write_run(bare, "live", build={"a": 1}, check={"a": "waits"})
    write_run(bare, "live", attempt="-retry1", build={"a": None}, check={"a": "waits"})
    log(bare, "live", "build", "a", "second\n", attempt="-retry1")
    found = next(stream)[1]
    assert (found["step"], found["number"], found["text"]) == ("a", 1, "second")
    stream.close()


def test_the_last_lines_and_then_new_ones(bare, alone):
    write_run(bare, "live", build={"a": 0, "b": None})
    log(bare, "live", "build", "a", "one\ntwo\n")
    log(bare, "live", "build", "b", "three\n")
    stream = alone.events("/runs/live/logs?follow=true&tail=2")
    assert [next(stream)[1]["text"] for _ in range(2)] == ["two", "three"]
    log(bare, "live", "build", "b", "four\n")
    found = next(stream)[1]
    assert (found["number"], found["text"]) == (2, "four")
    stream.close()


def test_a_connection_that_breaks_off_is_taken_up_again(bare, alone):
    write_run(bare, "live", build={"a": None})
    log(bare, "live", "build", "a", "one\n")
    stream = alone.events("/runs/live/logs?follow=true")
    assert next(stream)[1]["text"] == "one"
    bare.cut()
    with bare.faults.answer(503, "get", "pods/log", times=1):
        log(bare, "live", "build", "a", "two\n")
        found = next(stream)[1]
    assert (found["number"], found["text"]) == (2, "two")
    stream.close()


def test_pods_and_taskruns_that_are_gone_are_told_in_one_line(written, bare):
    bare.delete(f"{PODS}/ended-build-pod")
    bare.delete(f"{TASK_RUNS}/ended-check")
    for query in ("", "?follow=true"):
        assert lines(written, query) == [
            ("build", "a", 0, "(its pod ended-build-pod is gone, and the log with it)"),
            ("check", "", 0, "(its TaskRun ended-check is gone, and the log with it)"),
        ]
    lost = written.get("/runs/ended")["tasks"][1]
    assert (lost["state"], lost["message"]) == ("Lost", "its TaskRun ended-check is gone")


def test_who_may_not_read_logs_is_told_by_a_status(bare, alone):
    write_run(bare, "ended", build={"a": 0})
    bare.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "half"},
            "rules": [{"apiGroups": ["tekton.dev"], "resources": ["*"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "half"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "half"},
            "subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}],
        },
        namespace=NAMESPACE,
    )  # fmt: skip
    eve = alone.who_has(bare.user("eve"))
    for query in ("", "?follow=true", "?tail=3"):
        answer = eve.ask("GET", f"/runs/ended/logs{query}")
        assert answer.status_code == 403
        assert 'cannot get resource "pods/log"' in answer.json()["detail"]


def test_fifty_followers_of_one_run_at_a_time(bare, alone):
    write_run(bare, "live", build={"a": None})
    log(bare, "live", "build", "a", "one\n")
    everybody = threading.Barrier(51)

    def follow():
        found = []
        for kind, one, _ in alone.events("/runs/live/logs?follow=true"):
            found.append(one.get("text", kind))
            if len(found) == 1:
                everybody.wait(60)
        return found

    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(follow) for _ in range(50)]
        everybody.wait(60)
        log(bare, "live", "build", "a", "two\n")
        write_run(bare, "live", build={"a": 0})
        assert [one.result(60) for one in waiting] == [["one", "two", "end"]] * 50
    bare.until(lambda: alone.engine.reach.cluster.streams <= len(alone.engine.watches.found))


def test_one_follower_too_many_is_told_so(bare, alone):
    write_run(bare, "live", build={"a": None})
    log(bare, "live", "build", "a", "one\n")
    alone.get("/runs")
    cluster = alone.engine.reach.cluster
    cluster.streams += MOST_STREAMS
    try:
        answer = requests.get(
            f"{alone.url}/api/v1/runs/live/logs", headers={"Authorization": f"Bearer {alone.token}"}, timeout=30
        )
    finally:
        cluster.streams -= MOST_STREAMS
    assert (answer.status_code, "try again later" in answer.json()["detail"]) == (503, True)


def test_long_lines_come_in_pieces(bare, alone):
    write_run(bare, "ended", build={"a": 0})
    log(bare, "ended", "build", "a", "x" * 70_000 + "\nend\n")
    found = alone.ask("GET", "/runs/ended/logs?step=a").text.splitlines()
    assert [len(text) for text in found] == [65536, 4464, 3]


def test_a_run_without_anything_has_no_lines(bare, alone):
    bare.apply({**HEAD, "kind": "PipelineRun", "metadata": {"name": "ended"}, "spec": {}}, namespace=NAMESPACE)
    assert lines(alone, "") == []
    assert bare.get(f"{RUNS}/ended")["spec"] == {}
