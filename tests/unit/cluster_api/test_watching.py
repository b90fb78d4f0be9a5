"""Watches: what comes first, what comes then, how they end."""

import json

import httpx2
import pytest


def put(fake, space, name="a", **more):
    body = {"apiVersion": "v1", "kind": "ConfigMap", **more, "metadata": {"name": name, **more.get("metadata", {})}}
    return fake.apply(body, namespace=space)[0]


@pytest.fixture
def path(space):
    return f"/api/v1/namespaces/{space}/configmaps"


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
def test_what_is_there_comes_first(fake, client, space, path, query):
    put(fake, space)
    with client.watch(path, **query) as events:
        assert [next(events)[0]] == ["ADDED"]
        put(fake, space, data={"a": "1"})
        kind, found = next(events)
        assert (kind, found["data"], found["kind"]) == ("MODIFIED", {"a": "1"}, "ConfigMap")
        fake.delete(f"{path}/a")
        kind, last = next(events)
        assert (kind, last["data"]) == ("DELETED", {"a": "1"})
        assert int(last["metadata"]["resourceVersion"]) > int(found["metadata"]["resourceVersion"])


def test_a_watch_goes_on_where_a_list_was(fake, client, space, path):
    put(fake, space)
    version = client.asked("GET", path)[1]["metadata"]["resourceVersion"]
    put(fake, space, "b")
    put(fake, f"{space}-other", "c")
    put(fake, space, "d")
    with client.watch(path, resourceVersion=version) as events:
        assert [(kind, found["metadata"]["name"]) for kind, found in (next(events), next(events))] == [
            ("ADDED", "b"), ("ADDED", "d"),
        ]  # fmt: skip


def test_a_selector_adds_and_deletes(fake, client, space, path):
    with client.watch(path, labelSelector="a=b") as events:
        put(fake, space)
        put(fake, space, metadata={"labels": {"a": "b"}}, data={"x": "1"})
        assert next(events)[0] == "ADDED"
        fake.patch(f"{path}/a", {"metadata": {"labels": {"a": "c"}}, "data": {"x": "2"}})
        kind, found = next(events)
        assert (kind, found["data"], found["metadata"]["labels"]) == ("DELETED", {"x": "1"}, {"a": "b"})
        assert found["metadata"]["resourceVersion"] == fake.get(f"{path}/a")["metadata"]["resourceVersion"]


def test_a_version_that_is_forgotten_is_an_error_event(fake, client, space, path):
    version = put(fake, space)["metadata"]["resourceVersion"]
    put(fake, space, data={"a": "1"})
    fake.compact()
    with client.watch(path, resourceVersion=version) as events:
        kind, found = next(events)
        assert (kind, found["code"], found["reason"]) == ("ERROR", 410, "Expired")
        assert found["message"].startswith(f"too old resource version: {version} (")
        assert list(events) == []


def test_an_open_watch_outlives_a_compaction(fake, client, space, path):
    with client.watch(path) as events:
        put(fake, space)
        next(events)
        fake.compact()
        put(fake, space, data={"a": "1"})
        assert next(events)[0] == "MODIFIED"


def test_bookmarks_say_how_far_all_changes_are_known(fake, client, space, path):
    with client.watch(path, allowWatchBookmarks="true") as events:
        put(fake, space)
        next(events)
        other = put(fake, f"{space}-other")
        fake.bookmark()
        kind, found = next(events)
        assert (kind, found["kind"]) == ("BOOKMARK", "ConfigMap")
        assert int(found["metadata"]["resourceVersion"]) >= int(other["metadata"]["resourceVersion"])


def test_a_watch_ends_after_its_time_with_a_bookmark_where_allowed(client, path):
    with client.watch(path, timeoutSeconds="1", allowWatchBookmarks="true") as events:
        assert [kind for kind, _ in events] == ["BOOKMARK"]
    with client.watch(path, timeoutSeconds="1") as events:
        assert list(events) == []


def test_watches_end_and_are_cut(fake, client, space, path):
    with client.watch(path) as events:
        fake.end_watches()
        assert list(events) == []
    with pytest.raises(httpx2.RemoteProtocolError), client.watch(path) as events:
        put(fake, space)
        next(events)
        fake.cut()
        next(events)


def test_what_is_refused(client, path):
    assert client.asked("GET", path, watch="1", resourceVersion="x")[0] == 422
    code, found = client.asked("GET", path, watch="1", sendInitialEvents="true", resourceVersionMatch="NotOlderThan")
    assert code == 422 and "WatchList feature gate" in found["message"]


def test_lines_are_one_event_each(fake, client, space, path):
    put(fake, space, data={"a": "x\ny"})
    with client.http.stream("GET", path, params={"watch": "true"}) as answer:
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(next(answer.iter_lines()))["type"] == "ADDED"
