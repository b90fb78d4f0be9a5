"""Whose rights decide: the caller's own on the cluster, whichever way it is asked."""

import pytest

from tests.cluster.apis import ClusterCore
from tests.cluster.ground import Ground, manages


def test_without_a_token_nothing_is_told(api: ClusterCore) -> None:
    """401, and how to log in."""
    for token in ("", "wrong"):
        answer = api.of(token).ask("GET", "/runs")
        assert answer.status_code == 401, answer.text


def test_who_may_only_look_starts_nothing(api: ClusterCore, reader: str) -> None:
    """But sees runs and logs."""
    seen = api.of(reader)
    name = api.ended(api.start().json()["name"])["name"]
    assert seen.get(f"/runs/{name}")["state"] == "Succeeded"
    assert seen.lines(name)
    for method, path in (("POST", f"/runs/{name}/retry"), ("DELETE", f"/runs/{name}")):
        assert seen.ask(method, path).status_code == 403
    answer = seen.start()
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


def test_who_has_no_right_is_told_so(api: ClusterCore, ground: Ground) -> None:
    """With the right that is missing."""
    answer = api.of(ground.user()).ask("GET", "/runs")
    assert answer.status_code == 403
    assert "pipelineruns" in answer.json()["detail"]


@pytest.mark.parametrize("lacking", ["pods/log", "taskruns"])
def test_the_clusters_words_say_which_right_is_missing(called: ClusterCore, ground: Ground, lacking: str) -> None:
    """Where the caller's own token is what the cluster sees."""
    some = [rule | {"resources": [one for one in rule["resources"] if one != lacking]} for rule in manages()]
    caller = called.of(ground.user([rule for rule in some if rule["resources"]]))
    name = called.ended(called.start().json()["name"])["name"]
    if lacking == "taskruns":
        answer = caller.ask("GET", f"/runs/{name}")
        assert answer.status_code == 403
        assert "taskruns" in answer.json()["detail"]
    else:
        assert caller.get(f"/runs/{name}")["state"] == "Succeeded"
        answer = caller.ask("GET", f"/runs/{name}/logs")
        assert "hello" not in answer.text
