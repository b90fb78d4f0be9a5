"""Deletion: preconditions, finalizers, what goes along with what."""

from tests.cluster_api import served


def config_map(name, owner=None, **metadata):
    if owner is not None:
        metadata["ownerReferences"] = [
            {key: owner[key] for key in ("apiVersion", "kind")}
            | {key: owner["metadata"][key] for key in ("name", "uid")}
            | {"blockOwnerDeletion": True}
        ]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


def path(space, name=""):
    return f"/api/v1/namespaces/{space}/configmaps" + (f"/{name}" if name else "")


def put(fake, space, *args, **metadata):
    return fake.apply(config_map(*args, **metadata), namespace=space)[0]


def test_a_deletion_that_is_done_says_so(fake, client, space):
    made = put(fake, space, "a")
    code, found = client.asked("DELETE", path(space, "a"))
    assert (code, found["status"]) == (200, "Success")
    assert found["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert client.asked("DELETE", path(space, "a"))[0] == 404


def test_preconditions(fake, client, space):
    made = put(fake, space, "a")
    code, found = client.asked("DELETE", path(space, "a"), {"preconditions": {"uid": "other"}})
    assert (code, found["reason"]) == (409, "Conflict")
    assert (
        f"the UID in the precondition (other) does not match the UID in record ({made['metadata']['uid']})"
        in found["message"]
    )
    assert client.asked("DELETE", path(space, "a"), {"preconditions": {"resourceVersion": "1"}})[0] == 409
    assert client.asked("DELETE", path(space, "a"), {"kind": "Pod"})[0] == 400
    assert client.asked("DELETE", path(space, "a"), propagationPolicy="odd")[0] == 422
    both = {key: made["metadata"][key] for key in ("uid", "resourceVersion")}
    assert client.asked("DELETE", path(space, "a"), {"kind": "DeleteOptions", "preconditions": both})[0] == 200


def test_finalizers_hold_an_object(fake, client, space):
    put(fake, space, "a", finalizers=["x.io/y"])
    found = client.asked("DELETE", path(space, "a"))[1]
    assert found["kind"] == "ConfigMap" and found["metadata"]["deletionTimestamp"]
    assert client.asked("DELETE", path(space, "a"))[1] == found
    code, refused = client.patch(path(space, "a"), {"metadata": {"finalizers": ["x.io/y", "x.io/z"]}})
    assert code == 422 and "no new finalizers can be added if the object is being deleted" in refused["message"]
    with client.watch(path(space)) as events:
        next(events)
        assert client.patch(path(space, "a"), {"metadata": {"finalizers": None}})[0] == 200
        assert [next(events)[0], next(events)[0]] == ["MODIFIED", "DELETED"]
    assert client.asked("GET", path(space, "a"))[0] == 404


def test_a_deletion_counts_as_a_change_of_what_is_wanted(fake, space):
    run = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "r", "finalizers": ["x.io/y"]}}
    fake.apply(run, namespace=space)
    assert fake.delete(f"/apis/tekton.dev/v1/namespaces/{space}/pipelineruns/r")["metadata"]["generation"] == 2


def test_dependents_go_in_the_background(fake, space):
    top = put(fake, space, "top")
    middle = put(fake, space, "middle", top)
    put(fake, space, "leaf", middle)
    put(fake, space, "free")
    fake.delete(path(space, "top"))
    fake.until(lambda: [row["metadata"]["name"] for row in fake.get(path(space))["items"]] == ["free"])


def test_an_object_whose_owner_never_was_goes(fake, space):
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "no", "uid": "no-such-uid"}}
    put(fake, space, "a", owner)
    fake.until(lambda: fake.find(path(space, "a")) is None)


def test_one_of_two_owners_goes(fake, space):
    one, two = put(fake, space, "one"), put(fake, space, "two")
    rows = [config_map("", owner)["metadata"]["ownerReferences"][0] for owner in (one, two)]
    put(fake, space, "a", ownerReferences=rows)
    fake.delete(path(space, "one"))
    left = fake.until(lambda: len(rows := fake.get(path(space, "a"))["metadata"]["ownerReferences"]) == 1 and rows)
    assert left[0]["name"] == "two"


def test_orphans_stay(fake, space):
    top = put(fake, space, "top")
    put(fake, space, "leaf", top)
    fake.delete(path(space, "top"), propagationPolicy="Orphan")
    fake.until(lambda: fake.find(path(space, "top")) is None)
    assert fake.get(path(space, "leaf"))["metadata"]["ownerReferences"] == []


def test_in_the_foreground_the_owner_goes_last(fake, client, space):
    top = put(fake, space, "top")
    put(fake, space, "leaf", top, finalizers=["x.io/y"])
    found = client.asked("DELETE", path(space, "top"), {"propagationPolicy": "Foreground"})[1]
    assert found["metadata"]["finalizers"] == ["foregroundDeletion"]
    fake.until(lambda: "deletionTimestamp" in fake.get(path(space, "leaf"))["metadata"])
    assert fake.find(path(space, "top")) is not None
    fake.patch(path(space, "leaf"), {"metadata": {"finalizers": None}})
    fake.until(lambda: fake.find(path(space, "top")) is None)


def test_a_namespace_takes_its_objects_along(fake, client, space):
    put(fake, space, "a", finalizers=["x.io/y"])
    found = client.asked("DELETE", f"/api/v1/namespaces/{space}")[1]
    assert found["status"]["phase"] == "Terminating"
    code, refused = client.asked("POST", path(space), config_map("b"))
    assert code == 403 and refused["message"] == (
        f'configmaps "b" is forbidden: unable to create new content in namespace {space} because it is being terminated'
    )
    assert refused["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    fake.until(lambda: fake.find(f"/api/v1/namespaces/{space}/serviceaccounts/default") is None)
    fake.patch(path(space, "a"), {"metadata": {"finalizers": None}})
    fake.until(lambda: fake.find(f"/api/v1/namespaces/{space}") is None)


def test_a_collection_is_deleted_by_selector(fake, client, space):
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {})):
        put(fake, space, name, labels=labels)
    found = client.asked("DELETE", path(space), labelSelector="x=1")[1]
    assert found["kind"] == "ConfigMapList" and len(found["items"]) == 2
    assert [row["metadata"]["name"] for row in fake.get(path(space))["items"]] == ["c"]


def test_pods_on_a_node_are_given_time_where_a_kubelet_is_to_end_them():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": []}}
    where = "/api/v1/namespaces/default/pods/p"
    with served(graceful=True) as fake:
        fake.apply(pod)
        assert fake.delete(where)["metadata"]["deletionGracePeriodSeconds"] == 30
        assert fake.get(where)["metadata"]["deletionTimestamp"]
        fake.delete(where, gracePeriodSeconds=0)
        assert fake.find(where) is None
        fake.apply(pod | {"status": {"phase": "Succeeded"}})
        fake.delete(where)
        assert fake.find(where) is None
