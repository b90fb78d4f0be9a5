"""Ten thousand PipelineRuns: listed to the end by pages, and what is kept of them is small."""

import gc

import psutil

from tests.cluster_api.store import Key
from tests.core_cluster import NAMESPACE
from tests.unit.nearedge.api.core.tekton.test_logs_on_cluster import HEAD, condition

MANY, PAGE = 10_000, 500
MOST_MIB = 128
"""Kept whole they take 270."""


def put(fake, number):
    """A run that has ended, of 15 kB, which the API server's store has once for all of them."""
    name = f"run-{number:05}"
    metadata = {
        "name": name, "namespace": NAMESPACE, "uid": f"uid-{number}", "labels": {"even": str(number % 2 == 0)},
        "creationTimestamp": "2026-11-24T01:00:00Z",
    }  # fmt: skip
    item = {**HEAD, "kind": "PipelineRun", "metadata": metadata, "spec": SPEC, "status": STATUS}
    fake.store.put(Key("tekton.dev", "pipelineruns", NAMESPACE, name), item)


SPEC = {"pipelineRef": {"name": "greet"}}
STATUS = {
    "conditions": [condition("True", "Succeeded")], "startTime": "2026-11-24T01:00:00Z",
    "completionTime": "2026-11-24T01:01:00Z",
    "pipelineSpec": {"tasks": [{"name": f"t{one}", "taskSpec": {"description": "x" * 1500}} for one in range(10)]},
}  # fmt: skip


def test_ten_thousand_runs_in_bounded_memory(own, own_bare):
    for number in range(MANY):
        put(own_bare, number)
    own.get("/pipelines")
    gc.collect()
    before = psutil.Process().memory_info().rss
    own_bare.until(lambda: own.ask("GET", "/runs").status_code == 200)
    found, after = [], ""
    while after is not None:
        page = own.get("/runs", params={"limit": PAGE} | ({"after": after} if after else {}))
        found += [run["name"] for run in page["items"]]
        after = page["next"]
    assert sorted(found) == [f"run-{number:05}" for number in range(MANY)]
    gc.collect()
    grown = (psutil.Process().memory_info().rss - before) / 2**20
    assert grown < MOST_MIB
    some = own.get("/runs", params={"label": "even=True", "limit": PAGE})
    assert len(some["items"]) == PAGE and some["next"]
    lists = [one for one in own_bare.requests if one.verb == "list" and one.resource == "pipelineruns"]
    assert len(lists) > 1, "in chunks"
    assert len([one for one in own_bare.requests if one.verb == "watch" and one.resource == "pipelineruns"]) == 1
