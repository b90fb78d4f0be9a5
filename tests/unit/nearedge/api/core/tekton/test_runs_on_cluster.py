"""Runs on a cluster from the start to their end, as Tekton carries them out."""

import pytest

from tests import core_cluster


def test_a_run_from_start_to_end(core, cluster):
    answer = core.start(name="whole", labels={"team": "vision"}, params={"who": "you", "more": ["a"]})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/api/v1/runs/whole"
    run = core.ended("whole")
    assert (run["state"], run["pipeline"]) == ("Succeeded", "greet")
    assert run["params"] == {"who": "you", "more": ["a"]}
    assert run["results"] == {"greeting": "hello you!"} == core.get("/runs/whole/results")["results"]
    said, never = run["tasks"]
    assert (said["name"], said["state"], said["results"]) == ("say", "Succeeded", {"said": "hello you!"})
    assert [(step["name"], step["state"], step["exit_code"]) for step in said["steps"]] == [("print", "Succeeded", 0)]
    assert said["started"] <= said["steps"][0]["ended"] <= said["ended"] <= run["ended"]
    assert (never["name"], never["state"]) == ("never", "Skipped")
    assert "When Expressions" in never["reason"]
    item = cluster.get(f"{core_cluster.RUNS}/whole")
    labels, notes = item["metadata"]["labels"], item["metadata"]["annotations"]
    assert labels.items() >= {
        "team": "vision", "app.kubernetes.io/managed-by": "nearedge", "nearedge.dev/owner": "ada"
    }.items()  # fmt: skip
    assert notes["nearedge.dev/owner"] == "ada"
    assert len(notes["nearedge.dev/content-sha256"]) == 64
    assert item["spec"]["pipelineRef"] == {"name": "greet"}
    template = item["spec"]["taskRunTemplate"]
    assert template["serviceAccountName"] == "nearedge-pipelines"
    assert template["podTemplate"]["securityContext"]["runAsNonRoot"] is True


def test_the_cluster_sees_the_caller_and_nobody_else(core, cluster):
    core.start(name="seen")
    core.ended("seen")
    asked = [one for one in cluster.requests if one.user == "ada"]
    assert any(one.verb == "create" and one.resource == "pipelineruns" for one in asked)
    assert not [one for one in cluster.requests if one.user.startswith("system:serviceaccount")]


def test_pipelines_and_tasks_are_those_on_the_cluster(core):
    pipelines = core.get("/pipelines")["items"]
    assert {one["name"] for one in pipelines} >= {"greet", "hold", "many"}
    greet = core.get("/pipelines/greet")
    assert (greet["title"], greet["version"], greet["tasks"]) == ("Greet", "0.3", ["say", "never"])
    params = {one["name"]: one for one in greet["params"]}
    assert (params["who"]["default"], params["tone"]["enum"]) == (None, ["kind", "stern"])
    assert core.get("/tasks/say")["results"] == {"said": "What was printed."}
    assert core.ask("GET", "/pipelines/none").status_code == 404


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"pipeline": "none"}, "no Pipeline 'none'; there are: greet, hold, many"),
        ({"params": {}}, "who"),
        ({"params": {"who": "x", "whom": "y"}}, "has no param whom; known: marks, more, tone, who"),
        ({"params": {"who": ["x"]}}, "of type string"),
        ({"params": {"who": "x", "more": "y"}}, "of type array"),
        ({"params": {"who": "x", "tone": "loud"}}, "none of kind, stern"),
        ({"workspaces": {"home": "claim"}}, "no workspace home"),
        ({"workspaces": {"source": "/tmp"}}, "give the name of a volume claim, emptyDir, secret:NAME"),
        ({"workspaces": {"source": "secret:"}}, "give the name of a volume claim"),
        ({"workspaces": {"source": "volumeClaimTemplate:much"}}, "volumeClaimTemplate:2Gi"),
        ({"labels": {"tekton.dev/pipeline": "x"}}, "is not for you to set"),
        ({"labels": {"app.kubernetes.io/managed-by": "x"}}, "is not for you to set"),
        ({"name": "events"}, "is taken"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_leaves_nothing(core, cluster, wanted, said):
    before = {one["metadata"]["name"] for one in cluster.get(core_cluster.RUNS)["items"]}
    answer = core.start(**({"params": {"who": "you"}} | wanted))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert said in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert {one["metadata"]["name"] for one in cluster.get(core_cluster.RUNS)["items"]} == before


@pytest.mark.parametrize(
    ("text", "binding"),
    [
        ("emptyDir", {"emptyDir": {}}),
        ("my-claim", {"persistentVolumeClaim": {"claimName": "my-claim"}}),
        ("secret:login", {"secret": {"secretName": "login"}}),
        ("configMap:ca.crt", {"configMap": {"name": "ca.crt"}}),
        (
            "volumeClaimTemplate:2Gi",
            {"volumeClaimTemplate": {
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
            }},
        ),
    ],
)  # fmt: skip
def test_workspaces_as_a_cluster_has_them(alone, bare, text, binding):
    name = alone.start(workspaces={"source": text}).json()["name"]
    assert bare.get(f"{core_cluster.RUNS}/{name}")["spec"]["workspaces"] == [{"name": "source", **binding}]


def test_a_matrix_and_a_step_that_fails(core):
    core.start("many", name="fan", params={"code": "3"})
    run = core.ended("fan")
    assert run["state"] == "Failed"
    assert [task["name"] for task in run["tasks"]] == ["each.0", "each.1", "each.2", "last", "clean"]
    assert [task["state"] for task in run["tasks"]] == ["Succeeded"] * 3 + ["Failed", "Succeeded"]
    one, two = run["tasks"][3]["steps"]
    assert (one["state"], one["exit_code"], two["state"]) == ("Failed", 3, "Cancelled")
    text = core.ask("GET", "/runs/fan/logs").text
    assert text == ("[each.0 : s]\na\n[each.1 : s]\nb\n[each.2 : s]\nc\n[last : one]\none\n[clean : s]\nclean\n")


def test_a_list_with_filters_and_parts(core):
    names = [core.start(labels={"of": "list"}).json()["name"] for _ in range(3)]
    for name in names:
        core.ended(name)
    found = core.get("/runs?label=of=list&pipeline=greet&state=Succeeded")
    assert {one["name"] for one in found["items"]} == set(names)
    first = core.get("/runs?label=of=list&limit=2")
    rest = core.get(f"/runs?label=of=list&limit=2&after={first['next']}")
    assert {one["name"] for one in [*first["items"], *rest["items"]]} == set(names)
    assert rest["next"] is None


def test_events_of_a_run_until_it_has_ended(core, tmp_path):
    name = core.start("hold", params={"file": str(tmp_path / "go")}).json()["name"]
    states, steps = [], []
    for kind, data, _ in core.events(f"/runs/{name}/events"):
        if kind == "end":
            assert data == {"state": "Succeeded"}
            break
        assert kind == "run"
        states.append(data["state"])
        steps += [step["state"] for task in data["tasks"][1:] for step in task["steps"]]
        if "Running" in steps:
            (tmp_path / "go").write_text("gone\n")
    assert states[-1] == "Succeeded"
    assert steps[-1] == "Succeeded"


def test_events_of_all_runs_are_taken_up_again(core):
    stream = core.events("/runs/events")
    core.start(name="told")
    numbers = []
    for kind, data, number in stream:
        if data["name"] == "told":
            numbers.append(number)
            assert kind == "changed"
            if data["state"] == "Succeeded":
                break
    stream.close()
    core.ask("DELETE", "/runs/told")
    for kind, data, _ in core.events("/runs/events", {"Last-Event-ID": numbers[0]}):
        if data["name"] == "told" and kind == "deleted":
            break
