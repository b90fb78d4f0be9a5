"""Idempotency keys and reuse, on a cluster where tests write what Tekton would."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import core_cluster
from tests.core_cluster import RUNS

KEY = {"Idempotency-Key": "order-17"}


def runs(fake):
    return [one["metadata"]["name"] for one in fake.get(RUNS)["items"]]


def end(fake, name, status="True", reason="Succeeded"):
    """What Tekton writes at the end of a run."""
    condition = {"type": "Succeeded", "status": status, "reason": reason, "message": "done"}
    times = {"startTime": "2026-11-24T01:00:00Z", "completionTime": "2026-11-24T01:00:09Z"}
    fake.status(f"{RUNS}/{name}", {"conditions": [condition], **times})


def listed(core, fake, name, state):
    """Wait until the list says so."""
    fake.until(lambda: [one for one in core.get("/runs")["items"] if one["name"] == name and one["state"] == state])


def test_one_key_is_one_run(alone, bare):
    first, again = alone.start(headers=KEY), alone.start(headers=KEY)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["name"] == again.json()["name"]
    assert runs(bare) == [first.json()["name"]]
    notes = bare.get(f"{RUNS}/{runs(bare)[0]}")["metadata"]["annotations"]
    assert "order-17" not in str(notes)


def test_ten_at_once_are_one_run(alone, bare):
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: alone.who_has(alone.token).start(headers=KEY), range(10)))
    assert sorted(one.status_code for one in answers) == [200] * 9 + [201]
    assert len({one.json()["name"] for one in answers}) == len(runs(bare)) == 1


@pytest.mark.parametrize("other", [{"params": {"who": "me"}}, {"name": "mine"}, {"labels": {"a": "b"}}])
def test_a_key_with_another_content_is_refused(alone, bare, other):
    name = alone.start(headers=KEY).json()["name"]
    listed(alone, bare, name, "Pending")
    answer = alone.start(headers=KEY, **other)
    assert answer.status_code == 409
    assert answer.json()["detail"] == "Idempotency-Key: was used for a run of another content; use a new one"
    assert runs(bare) == [name]


def test_keys_of_two_callers_are_two(alone, bare):
    other = alone.who_has(bare.user("bob", "nearedge-users"))
    assert alone.start(headers=KEY).status_code == other.start(headers=KEY).status_code == 201
    assert len(runs(bare)) == 2


def test_a_name_that_is_taken(alone):
    assert alone.start(name="mine").status_code == 201
    answer = alone.start(name="mine")
    assert (answer.status_code, answer.json()["detail"]) == (409, "run mine: is there already; choose another name")
    assert alone.start(name="mine", headers=KEY).status_code == 409


def test_a_run_that_ended_well_is_given_back(alone, bare):
    name = alone.start().json()["name"]
    assert alone.start(reuse=True).json()["name"] != name
    end(bare, name)
    listed(alone, bare, name, "Succeeded")
    answer = alone.start(reuse=True, labels={"other": "label"})
    assert (answer.status_code, answer.json()["name"], answer.json()["reused"]) == (200, name, True)
    assert alone.start(reuse=True, params={"who": "me"}).status_code == 201
    assert alone.start(reuse=True, workspaces={"source": "claim"}).status_code == 201
    bare.patch(f"/apis/tekton.dev/v1/namespaces/{core_cluster.NAMESPACE}/tasks/say", {"spec": {"description": "new"}})
    assert alone.start(reuse=True).status_code == 201


def test_a_run_that_failed_is_not_given_back(alone, bare):
    name = alone.start().json()["name"]
    end(bare, name, "False", "Failed")
    listed(alone, bare, name, "Failed")
    assert alone.start(reuse=True).status_code == 201


def test_what_the_cluster_finds_wrong_is_a_fault_of_the_request(alone, bare):
    said = 'admission webhook "validation.webhook.pipeline.tekton.dev" denied the request'
    with bare.faults.answer(400, "create", "pipelineruns", message=said):
        answer = alone.start()
    assert (answer.status_code, answer.json()["detail"]) == (422, f"the cluster refused the run: {said}")


def test_a_key_whose_run_was_deleted_starts_another(alone, bare):
    name = alone.start(headers=KEY).json()["name"]
    listed(alone, bare, name, "Pending")
    with bare.faults.hang("watch", "pipelineruns"):  # the list does not hear of it
        bare.cut()
        bare.delete(f"{RUNS}/{name}")
        answer = alone.start(headers=KEY)
    assert (answer.status_code, answer.json()["name"]) == (201, name)
