"""An API server that is away, slow, wrong or forgetful: the core's API answers, soon, and goes on when it is back."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nearedge.api.cluster.resources import PIPELINE_RUNS
from tests.cluster import ground as grounds
from tests.cluster.apis import ClusterCore, core
from tests.cluster.ground import Ground
from tests.cluster_api import FakeApi

PROBLEM = "application/problem+json"
FAULTS: dict[str, Callable[[FakeApi], AbstractContextManager[object]]] = {
    "away": lambda fake: fake.away(),
    "500": lambda fake: fake.faults.answer(500),
    "503": lambda fake: fake.faults.answer(503, retry_after=1),
    "no JSON": lambda fake: fake.faults.text(200, "<html>a proxy in between</html>"),
    "hanging": lambda fake: fake.faults.hang(),
}


@pytest.fixture(scope="module")
def fake_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """An API server of these tests' own."""
    if grounds.REAL:
        pytest.skip("a real cluster is left in peace")
    with grounds.ground(tmp_path_factory.mktemp("faulty")) as found:
        yield found


@pytest.fixture(scope="module")
def faulty(fake_ground: Ground) -> Iterator[ClusterCore]:
    """The core's API on it."""
    with core(fake_ground, "caller", fake_ground.user(grounds.manages())) as found:
        yield found


def fake_of(ground: Ground) -> FakeApi:
    """The API server."""
    assert ground.fake is not None
    return ground.fake


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_the_cluster_is_one_of_ours(faulty: ClusterCore, fake_ground: Ground, fault: str) -> None:
    """The list comes from memory; what has to be asked for is a problem that says why; then all is well."""
    name = faulty.ended(faulty.start(params={"who": fault}).json()["name"])["name"]
    known = {run["name"] for run in faulty.get("/runs")["items"]}
    with FAULTS[fault](fake_of(fake_ground)):
        assert {run["name"] for run in faulty.get("/runs")["items"]} == known
        with ThreadPoolExecutor(3) as pool:
            one = pool.submit(faulty.ask, "GET", f"/runs/{name}")
            another = pool.submit(faulty.start, params={"who": "nobody"})
            ready = pool.submit(faulty.session.get, f"{faulty.url}/readyz", timeout=30).result()
            answers = one.result(), another.result()
        for answer in answers:
            assert (answer.status_code, answer.headers["content-type"]) == (502, PROBLEM), answer.text
            assert "cluster" in answer.json()["detail"] or "JSON" in answer.json()["detail"]
        assert ready.status_code == 503, ready.text
        assert faulty.session.get(f"{faulty.url}/healthz", timeout=30).status_code == 200
    assert faulty.get(f"/runs/{name}")["state"] == "Succeeded"
    assert faulty.ended(faulty.start().json()["name"])["state"] == "Succeeded"


def test_too_many_requests_are_handed_on(faulty: ClusterCore, fake_ground: Ground) -> None:
    """With the time to wait."""
    with fake_of(fake_ground).faults.answer(429, "get", "pipelineruns", retry_after=7):
        answer = faulty.ask("GET", "/runs/any")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


def test_a_slow_cluster_is_waited_for(faulty: ClusterCore, fake_ground: Ground) -> None:
    """A run is started all the same, once."""
    with fake_of(fake_ground).faults.slow(0.3):
        answer = faulty.start(headers={"Idempotency-Key": "slow"})
        assert answer.status_code == 201, answer.text
        assert faulty.start(headers={"Idempotency-Key": "slow"}).json()["name"] == answer.json()["name"]


@pytest.mark.parametrize("how", ["cut", "forgotten", "expired", "away"])
def test_events_go_on_after_a_break(faulty: ClusterCore, fake_ground: Ground, how: str) -> None:
    """What happened meanwhile is not lost, whatever broke the watch."""
    fake = fake_of(fake_ground)
    with faulty.watched() as changes:
        first = faulty.start(params={"who": how}).json()["name"]
        assert next(name for name, _, _ in changes if name == first)
        if how == "away":
            with fake.away():
                pass
        elif how == "expired":
            fake.faults.expire("pipelineruns", times=2)
            fake.end_watches()
        else:
            if how == "forgotten":
                fake.compact()
            fake.cut()
        second = faulty.start(params={"who": how}).json()["name"]
        assert next(name for name, state, _ in changes if (name, state) == (second, "Succeeded"))
    fake.faults.clear()


def test_a_log_that_is_followed_loses_and_doubles_nothing(faulty: ClusterCore, fake_ground: Ground) -> None:
    """Where the cluster is away for a moment, and the connection with it."""
    name = faulty.start("hold", params={"seconds": "3"}).json()["name"]
    lines = []
    for kind, data, _ in faulty.events(f"/runs/{name}/logs?follow=true"):
        if kind == "line":
            lines.append((data["step"], data["text"]))
            if len(lines) == 1:
                with fake_of(fake_ground).away():
                    pass
    assert lines == [("first", "begin"), ("first", "end"), ("second", "second"), ("print", "tidied after Succeeded")]


def test_a_run_that_is_deleted_behind_our_back_is_gone(faulty: ClusterCore, fake_ground: Ground) -> None:
    """From the list as well, though the watch was cut meanwhile."""
    name = faulty.ended(faulty.start().json()["name"])["name"]
    fake = fake_of(fake_ground)
    fake.cut()
    fake_ground.delete(PIPELINE_RUNS, name)
    fake.compact()
    fake_ground.until(lambda: name not in {run["name"] for run in faulty.get("/runs?limit=200")["items"]})
    assert faulty.ask("GET", f"/runs/{name}").status_code == 404


def test_a_start_without_a_cluster_waits_for_it(tmp_path: Path) -> None:
    """The API is served, says what is missing, and works once the cluster is there."""
    if grounds.REAL:
        pytest.skip("a real cluster is left in peace")
    with grounds.ground(tmp_path, [grounds.Tekton]) as ground:
        token = ground.user(grounds.manages())
        fake = fake_of(ground)
        with fake.away(), core(ground, "caller", token) as found:
            answer = found.ask("GET", "/runs")
            assert answer.status_code == 502, answer.text
            fake.start()
            ground.until(lambda: found.ask("GET", "/runs").status_code == 200)
            assert found.ended(found.start().json()["name"])["state"] == "Succeeded"
            fake.stop()
