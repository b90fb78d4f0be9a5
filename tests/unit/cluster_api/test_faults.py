"""Each fault that tests can switch on."""

import threading
import time

import httpx2
import pytest


@pytest.fixture
def path(fake, space):
    fake.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": space}})
    return f"/api/v1/namespaces/{space}/secrets"


def write(fake, path, value):
    fake.patch(f"{path}/a", {"data": {"a": str(value)}})


def test_answers_of_a_verb_and_a_resource_for_some_times(fake, client, path):
    fault = fake.faults.answer(429, "list", "secrets", times=2, retry_after=3)
    for _ in range(2):
        answer = client.http.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        assert answer.json()["reason"] == "TooManyRequests" and answer.json()["details"]["retryAfterSeconds"] == 3
        assert client.http.get(f"{path}/a").status_code == 200
    assert client.http.get(path).status_code == 200 and fault.done == 2


@pytest.mark.parametrize(("code", "reason"), [(500, "InternalError"), (503, "ServiceUnavailable"), (410, "Expired")])
def test_answers_until_they_are_taken_back(fake, client, path, code, reason):
    with fake.faults.answer(code):
        for _ in range(3):
            answer = client.http.get(path, params={"watch": "1"})
            assert (answer.status_code, answer.json()["reason"]) == (code, reason)
    assert client.http.get(path).status_code == 200


def test_nonsense(fake, client, path):
    fake.faults.text(200, "<html>", "get", "secrets", times=1)
    assert client.http.get(f"{path}/a").text == "<html>"


def test_a_request_that_hangs_goes_on(fake, client, path):
    fault, found = fake.faults.hang("get", "secrets"), []
    thread = threading.Thread(target=lambda: found.append(client.http.get(f"{path}/a").status_code))
    thread.start()
    fake.until(lambda: fault.done)
    assert fake.requests[-1].status == 0 and not found
    fault.end()
    thread.join(30)
    assert found == [200] and fake.requests[-1].status == 200


def test_slow_answers(fake, client, path):
    fake.faults.slow(0.3, "list", "secrets", times=1)
    begin = time.monotonic()
    assert client.http.get(path).status_code == 200
    assert time.monotonic() - begin >= 0.3


def test_a_watch_is_cut_after_some_events(fake, client, path):
    fake.faults.cut("secrets", after=2)
    with pytest.raises(httpx2.RemoteProtocolError), client.watch(path) as events:
        assert next(events)[0] == "ADDED"
        write(fake, path, 1)
        assert next(events)[0] == "MODIFIED"
        next(events)
    with client.watch(path) as events:  # once
        next(events)
        write(fake, path, 2)
        assert next(events)[0] == "MODIFIED"


def test_a_watch_ends_or_expires_after_some_events(fake, client, path):
    fake.faults.cut("secrets", after=1, reset=False)
    with client.watch(path) as events:
        assert [kind for kind, _ in events] == ["ADDED"]
    fake.faults.expire("secrets")
    with client.watch(path) as events:
        assert [(kind, found["code"]) for kind, found in events] == [("ERROR", 410)]


def test_a_watch_falls_silent(fake, client, path):
    fault = fake.faults.silence("secrets", after=1)
    with client.watch(path) as events:
        next(events)
        write(fake, path, 1)
        fault.end()
        assert list(events) == []  # what it kept back is not said later


def test_a_log_is_cut(fake, client, space):
    fake.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": space},
                "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
                "status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}})  # fmt: skip
    fake.write_log(space, "p", "c", "one\n")
    fake.faults.cut("pods/log", after=1)
    where = f"/api/v1/namespaces/{space}/pods/p/log"
    with pytest.raises(httpx2.RemoteProtocolError), client.http.stream("GET", where, params={"follow": "1"}) as answer:
        list(answer.iter_lines())


def test_nobody_is_there_for_a_while(fake, client, path):
    with fake.away(), pytest.raises(httpx2.ConnectError):
        client.http.get(path)
    assert client.http.get(f"{path}/a").status_code == 200


def test_a_stop_cuts_what_is_open_and_what_hangs(fake, client, path):
    fake.faults.hang("get", "secrets")
    found = []

    def ask():
        try:
            found.append(client.http.get(f"{path}/a"))
        except httpx2.RemoteProtocolError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    fake.until(lambda: fake.faults.on[0].done)
    with client.watch(path) as events:
        next(events)
        fake.stop()
        with pytest.raises(httpx2.RemoteProtocolError):
            next(events)
    thread.join(30)
    fake.faults.clear()
    fake.start()
    assert isinstance(found[0], httpx2.RemoteProtocolError)
    assert client.http.get(f"{path}/a").status_code == 200
