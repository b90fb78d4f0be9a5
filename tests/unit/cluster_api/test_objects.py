"""Objects over HTTP: made, changed, refused in the words of the real one."""

import pytest


def config_map(name="a", **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def deployment(name="d", **metadata):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {"replicas": 1},
    }


def run(name="r", **spec):
    return {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name}, "spec": spec}


def maps(space):
    return f"/api/v1/namespaces/{space}/configmaps"


def deployments(space):
    return f"/apis/apps/v1/namespaces/{space}/deployments"


def runs(space):
    return f"/apis/tekton.dev/v1/namespaces/{space}/pipelineruns"


def test_a_new_object_gets_what_the_server_gives(client, space):
    code, made = client.asked("POST", maps(space), config_map(data={"a": "1"}))
    assert code == 201
    metadata = made["metadata"]
    assert metadata["namespace"] == space and metadata["uid"] and metadata["creationTimestamp"].endswith("Z")
    assert "generation" not in metadata
    assert client.asked("GET", f"{maps(space)}/a") == (200, made)
    newer = client.asked("POST", maps(space), config_map("b"))[1]
    assert int(newer["metadata"]["resourceVersion"]) > int(metadata["resourceVersion"])


def test_names_are_drawn(client, space):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "run-"}}
    names = {client.asked("POST", maps(space), body)[1]["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3 and all(name.startswith("run-") and len(name) == 9 for name in names)


def test_a_dry_run_keeps_nothing(client, space):
    assert client.asked("POST", maps(space), config_map(), dryRun="All")[0] == 201
    assert client.asked("GET", f"{maps(space)}/a")[0] == 404
    client.asked("POST", maps(space), config_map())
    assert client.patch(f"{maps(space)}/a", {"data": {"a": "1"}}, dryRun="All")[1]["data"] == {"a": "1"}
    assert client.asked("DELETE", f"{maps(space)}/a", dryRun="All")[0] == 200
    assert "data" not in client.asked("GET", f"{maps(space)}/a")[1]
    assert client.asked("POST", maps(space), config_map("b"), dryRun="x")[0] == 422


BAD = {"apiVersion": "v1", "kind": "ConfigMap"}


@pytest.mark.parametrize(
    ("body", "code", "reason", "message"),
    [
        ({}, 400, "BadRequest", "Object 'Kind' is missing"),
        ({**BAD, "apiVersion": "v2"}, 400, "BadRequest", "does not match the expected API version (v1)"),
        ({**BAD, "kind": "Secret"}, 400, "BadRequest", "cannot be handled as a ConfigMap"),
        (
            BAD,
            422,
            "Invalid",
            'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
        ),
        ({**BAD, "metadata": {"name": "A_b"}}, 422, "Invalid", "a lowercase RFC 1123 subdomain"),
        ({**BAD, "metadata": {"name": "a", "labels": {"a": "b c"}}}, 422, "Invalid", "metadata.labels"),
        ({**BAD, "metadata": {"name": "a", "annotations": {"a": "b" * 270000}}}, 422, "Invalid", "Too long"),
        (
            {**BAD, "metadata": {"name": "a", "namespace": "else"}},
            400,
            "BadRequest",
            "does not match the namespace sent",
        ),
        (
            {**BAD, "metadata": {"name": "a", "ownerReferences": [{"kind": "Pod"}]}},
            422,
            "Invalid",
            "ownerReferences[0].uid",
        ),
        ({**BAD, "metadata": {"name": "a", "resourceVersion": "1"}}, 400, "BadRequest", "should not be set"),
    ],
)
def test_wrong_objects_are_refused(client, space, body, code, reason, message):
    answer = client.asked("POST", maps(space), body)
    assert (answer[0], answer[1]["reason"], answer[1]["status"]) == (code, reason, "Failure")
    assert message in answer[1]["message"]


def test_what_is_wrong_is_said_by_field(client, space):
    found = client.asked("POST", deployments(space), deployment("A"))[1]
    assert found["details"]["kind"] == "Deployment" and found["details"]["group"] == "apps"
    assert [(row["reason"], row["field"]) for row in found["details"]["causes"]] == [
        ("FieldValueInvalid", "metadata.name")
    ]
    assert found["message"].startswith('Deployment.apps "A" is invalid: metadata.name: Invalid value: "A": ')


def test_a_name_is_taken_once(client, space):
    client.asked("POST", deployments(space), deployment())
    code, found = client.asked("POST", deployments(space), deployment())
    assert (code, found["reason"]) == (409, "AlreadyExists")
    assert found["message"] == 'deployments.apps "d" already exists'
    assert found["details"] == {"name": "d", "group": "apps", "kind": "deployments"}


def test_unknown_objects_and_unknown_resources(client, space):
    code, found = client.asked("GET", f"{deployments(space)}/x")
    assert (code, found["message"]) == (404, 'deployments.apps "x" not found')
    for path in ("/api/v1/foos", "/apis/apps/v1/foos", "/apis/foo.io/v1/foos", f"{maps(space)}/a/status", "/nothing"):
        answer = client.http.get(path)
        assert (answer.status_code, answer.text) == (404, "404 page not found\n"), path
    assert client.asked("POST", maps("nowhere"), config_map())[1]["message"] == 'namespaces "nowhere" not found'
    assert client.asked("GET", maps("nowhere"))[1]["items"] == []
    assert client.asked("POST", f"{maps(space)}/a", config_map())[0] == 405
    assert client.asked("GET", "/apis/authentication.k8s.io/v1/tokenreviews")[1]["reason"] == "MethodNotAllowed"


def test_updates_lock_optimistically(client, space):
    old = client.asked("POST", maps(space), config_map(data={"a": "1"}))[1]
    path = f"{maps(space)}/a"
    code, new = client.asked("PUT", path, {**old, "data": {"a": "2"}})
    assert code == 200 and new["metadata"]["uid"] == old["metadata"]["uid"]
    code, found = client.asked("PUT", path, {**old, "data": {"a": "3"}})
    assert (code, found["reason"]) == (409, "Conflict")
    assert found["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    version = old["metadata"]["resourceVersion"]
    assert client.patch(path, {"metadata": {"resourceVersion": version}, "data": {"a": "3"}})[0] == 409
    assert "UID in precondition" in client.patch(path, {"metadata": {"uid": "x"}})[1]["message"]
    assert client.asked("PUT", path, config_map(data={"a": "4"}))[0] == 200  # without a version it is no condition
    assert client.asked("PUT", path, config_map("b"))[0] == 400
    assert client.asked("PUT", f"{maps(space)}/b", config_map("b"))[0] == 404


def test_custom_resources_are_not_updated_without_a_version(client, space):
    client.asked("POST", runs(space), run())
    code, found = client.asked("PUT", f"{runs(space)}/r", run(a=1))
    assert (
        code == 422
        and "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in found["message"]
    )
    code, found = client.patch(f"{runs(space)}/r", {"spec": {}}, "strategic-merge")
    assert (code, found["reason"]) == (415, "UnsupportedMediaType")


def test_nothing_is_written_where_nothing_changes(client, space):
    old = client.asked("POST", maps(space), config_map(data={"a": "1"}))[1]
    assert client.patch(f"{maps(space)}/a", {"data": {"a": "1"}}) == (200, old)


def test_generation_counts_changes_of_what_is_wanted(client, space):
    path = f"{runs(space)}/r"
    assert client.asked("POST", runs(space), {**run(), "status": {"a": 1}})[1]["metadata"]["generation"] == 1
    assert client.patch(path, {"metadata": {"labels": {"a": "b"}}})[1]["metadata"]["generation"] == 1
    assert client.patch(f"{path}/status", {"status": {"a": 2}})[1]["metadata"]["generation"] == 1
    found = client.patch(path, {"spec": {"status": "Cancelled"}, "status": {"a": 3}})[1]
    assert found["metadata"]["generation"] == 2 and found["status"] == {"a": 2}
    client.asked("POST", deployments(space), deployment())
    found = client.patch(f"{deployments(space)}/d", {"metadata": {"annotations": {"a": "b"}}})[1]
    assert found["metadata"]["generation"] == 2  # as the real one counts for Deployments


def test_the_status_is_written_apart(client, space):
    assert "status" not in client.asked("POST", runs(space), {**run(), "status": {"a": 1}})[1]
    body = {"spec": {"a": 1}, "metadata": {"labels": {"a": "b"}}, "status": {"phase": "x"}}
    found = client.patch(f"{runs(space)}/r/status", body)[1]
    assert (found["status"], found["spec"], "labels" in found["metadata"]) == ({"phase": "x"}, {}, False)
    assert client.asked("GET", f"{runs(space)}/r/status")[1] == found


def test_argo_cds_applications_have_no_status_apart(client, space):
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{space}/applications"
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a"}, "status": {"a": 1}}
    assert client.asked("POST", path, body)[1]["status"] == {"a": 1}
    assert client.http.get(f"{path}/a/status").status_code == 404
    assert client.patch(f"{path}/a", {"status": {"a": 2}})[1]["metadata"]["generation"] == 2


def test_what_the_server_owns_cannot_be_changed(client, space):
    old = client.asked("POST", maps(space), config_map())[1]
    sent = {"creationTimestamp": "2020-01-01T00:00:00Z", "deletionTimestamp": "2020-01-01T00:00:00Z", "generation": 9}
    assert client.patch(f"{maps(space)}/a", {"metadata": sent}) == (200, old)
    assert client.patch(f"{maps(space)}/a", {"metadata": {"name": "b"}})[0] == 422


def test_bodies_that_are_no_json(client, space):
    answer = client.http.post(maps(space), content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "json parse error" in answer.json()["message"]
    kind = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    assert client.http.post(maps(space), content=b"k8s\0", headers=kind).status_code == 415
