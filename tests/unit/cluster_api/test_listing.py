"""Lists: selected, in chunks of one state, at a version."""

import pytest


def filled(fake, space, count=5):
    rows = [{"name": f"m{index}", "labels": {"n": str(index)}} for index in range(count)]
    return fake.apply(*({"apiVersion": "v1", "kind": "ConfigMap", "metadata": row} for row in rows), namespace=space)


def names(document):
    return [row["metadata"]["name"] for row in document["items"]]


def test_chunks_are_of_one_state(fake, client, space):
    filled(fake, space)
    path = f"/api/v1/namespaces/{space}/configmaps"
    first = client.asked("GET", path, limit=2)[1]
    assert names(first) == ["m0", "m1"] and first["metadata"]["remainingItemCount"] == 3
    fake.delete(f"{path}/m3")
    fake.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m2a"}}, namespace=space)
    fake.patch(f"{path}/m2", {"data": {"a": "new"}})
    second = client.asked("GET", path, limit=2, **{"continue": first["metadata"]["continue"]})[1]
    assert names(second) == ["m2", "m3"] and "data" not in second["items"][0]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = client.asked("GET", path, limit=2, **{"continue": second["metadata"]["continue"]})[1]
    assert names(third) == ["m4"] and "continue" not in third["metadata"]
    assert names(client.asked("GET", path)[1]) == ["m0", "m1", "m2", "m2a", "m4"]


def test_a_chunk_of_a_forgotten_state_is_expired_and_goes_on_all_the_same(fake, client, space):
    filled(fake, space)
    path = f"/api/v1/namespaces/{space}/configmaps"
    token = client.asked("GET", path, limit=2)[1]["metadata"]["continue"]
    fake.delete(f"{path}/m3")
    fake.compact()
    code, found = client.asked("GET", path, limit=2, **{"continue": token})
    assert (code, found["reason"]) == (410, "Expired")
    assert found["message"].startswith(
        "The provided continue parameter is too old to display a consistent list result."
    )
    rest = client.asked("GET", path, **{"continue": found["metadata"]["continue"]})[1]
    assert names(rest) == ["m2", "m4"]


def test_versions_of_lists(fake, client, space):
    old = filled(fake, space)[2]["metadata"]["resourceVersion"]
    path = f"/api/v1/namespaces/{space}/configmaps"
    assert len(names(client.asked("GET", path, resourceVersion="0")[1])) == 5
    assert len(names(client.asked("GET", path, resourceVersion=old)[1])) == 5
    exact = client.asked("GET", path, resourceVersion=old, resourceVersionMatch="Exact")[1]
    assert names(exact) == ["m0", "m1", "m2"] and exact["metadata"]["resourceVersion"] == old
    code, found = client.asked("GET", path, resourceVersion="999999")
    assert code == 504 and found["message"].startswith("Timeout: Too large resource version: 999999, current: ")
    assert client.asked("GET", path, resourceVersion="x")[0] == 422
    assert client.asked("GET", path, resourceVersionMatch="Exact")[0] == 422
    assert client.asked("GET", path, limit="x")[0] == 400
    assert client.asked("GET", path, **{"continue": "%%"})[0] == 400
    fake.compact()
    fake.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "z"}}, namespace=space)
    assert client.asked("GET", path, resourceVersion=old, resourceVersionMatch="Exact")[0] == 410


def test_all_namespaces_in_order(fake, client, space):
    fake.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": f"{space}-b"}})
    fake.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": f"{space}-a"}})
    found = client.asked("GET", "/api/v1/secrets")[1]
    spaces = [row["metadata"]["namespace"] for row in found["items"]]
    assert spaces == sorted(spaces) and {f"{space}-a", f"{space}-b"} <= set(spaces)
    assert "kind" not in found["items"][0]  # as typed lists are


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("n=1", "1"), ("n==1", "1"), ("n!=1", "0234"), ("n in (1,3)", "13"), ("n notin (1, 3)", "024"), ("n", "01234"),
        ("!n", ""), ("n>2", "34"), ("n<1", "0"), ("n,n!=0,n notin (4)", "123"), ("other!=1", "01234"), ("n=", ""),
    ],
)  # fmt: skip
def test_label_selectors(fake, client, space, selector, found):
    filled(fake, space)
    listed = client.asked("GET", f"/api/v1/namespaces/{space}/configmaps", labelSelector=selector)[1]
    assert names(listed) == [f"m{index}" for index in found]
    assert "remainingItemCount" not in listed["metadata"]


def test_field_selectors(fake, client, space):
    for name, node in (("a", "n1"), ("b", "n2")):
        fake.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": space},
                    "spec": {"nodeName": node}, "status": {"phase": "Running"}})  # fmt: skip
    path = f"/api/v1/namespaces/{space}/pods"
    assert names(client.asked("GET", path, fieldSelector="spec.nodeName=n1")[1]) == ["a"]
    assert names(client.asked("GET", path, fieldSelector="status.phase=Running,metadata.name!=a")[1]) == ["b"]
    code, found = client.asked("GET", path, fieldSelector="spec.foo=x")
    assert (code, found["message"]) == (400, (
        'Unable to find "/v1, Resource=pods" that match label selector "", field selector "spec.foo=x": '
        "field label not supported: spec.foo"
    ))  # fmt: skip
    assert client.asked("GET", path, fieldSelector="x")[0] == 400
    assert client.asked("GET", path, labelSelector="a b c")[1]["message"] == "unable to parse requirement: a b c"
