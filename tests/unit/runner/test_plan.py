"""What is refused before anything runs, each with a line that names the place; what a request may look like."""

import textwrap

import pytest
import yaml

from nearedge.errors import InputError, UnsupportedError, UsageError
from nearedge.runner.plan import plans
from nearedge.runner.request import Request

TASK = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params: [{name: s, default: d}, {name: a, type: array, default: []}, {name: e, enum: [x, y], default: x}]
  workspaces: [{name: w, optional: true}]
  results: [{name: r}, {name: l, type: array}, {name: o, type: object, properties: {k: {}}}]
  steps: [{name: s, image: i, command: ["true"]}]
"""


def pipeline(tasks, more=""):
    return f"""
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {{name: p}}
spec:
  params: [{{name: s, default: v}}, {{name: a, type: array, default: [x, y]}}]
  workspaces: [{{name: space}}]
  tasks: {tasks}
  {more}
"""


def planned(folder, *texts, **asked):
    path = folder / "m.yaml"
    path.write_text("\n---\n".join(textwrap.dedent(text) for text in texts))
    asked = {"workspaces": {"space": str(folder)}, "on_host": True, **asked}
    return plans(Request(files=(path,), catalog=folder / "catalog", **asked))


TWO = "{name: a, taskRef: {name: t}}, {name: b, taskRef: {name: t}, params: [{name: s, value: VALUE}]}"


def two(value):
    """Two Tasks, of which the second uses the first."""
    return f"[{TWO.replace('VALUE', value)}]"


BAD = [
    ("[{name: a, taskRef: {name: t}, runAfter: [b]}]", "Task a: runAfter names b, which is no Task"),
    ("[{name: a, taskRef: {name: t}, runAfter: [b]}, {name: b, taskRef: {name: t}, runAfter: [a]}]", "in a circle"),
    ("[{name: a, taskRef: {name: t}, runAfter: [a]}]", "circle: a -> a"),
    ("[{name: a, taskRef: {name: t}}, {name: a, taskRef: {name: t}}]", r"tasks\[a\]: the name stands twice"),
    ("[{name: a, taskRef: {name: none}}]", "Task none: neither in the files given nor in the catalog; known: t"),
    ("[{name: a}]", "needs either a taskRef or a taskSpec"),
    ("[]", "a Pipeline needs at least one Task"),
    ("[{name: a, taskRef: {name: t}, params: [{name: s, value: $(params.none)}]}]", r"\$\(params.none\) names nothing"),
    ("[{name: a, taskRef: {name: t}, params: [{name: s, value: '$(params.a[2])'}]}]", "the array has 2 items"),
    (
        "[{name: a, taskRef: {name: t}, params: [{name: s, value: '$(params.a[*])'}]}]",
        "param s is of type string, .* array",
    ),
    ("[{name: a, taskRef: {name: t}, params: [{name: a, value: text}]}]", "param a is of type array, .* type string"),
    ("[{name: a, taskRef: {name: t}, params: [{name: s}]}]", r"params\[s\]: has no value"),
    ("[{name: a, taskRef: {name: t}, params: [{name: s, value: 5}]}]", r"params\[s\].value: must be a string"),
    ("[{name: a, taskRef: {name: t}, params: [{name: s, value: $(tasks.b.results.r)}]}]", "uses a result of b"),
    (
        two("$(tasks.a.results.z)"),
        "Task a has no such result; it has r, l, o",
    ),
    (
        two("'$(tasks.a.results.r[0])'"),
        "an index, but the result is of type string",
    ),
    (
        two("$(tasks.a.results.l.k)"),
        "a key, but the result is of type array",
    ),
    (
        two("'$(tasks.a.results.l[*])'"),
        "param s is of type string, the value given is of type array",
    ),
    ("[{name: a, taskRef: {name: t}, params: [{name: s, value: $(tasks.a.status)}]}]", "can only be used in finally"),
    ("[{name: a, taskRef: {name: t}, workspaces: [{name: w, workspace: nix}]}]", "workspace nix is not declared"),
    (
        "[{name: a, taskRef: {name: t}, workspaces: [{name: x, workspace: space}]}]",
        "the Task has no workspace x; it has w",
    ),
    ("[{name: a, taskRef: {name: t}, when: [{input: x, operator: is, values: [x]}]}]", "neither in nor notin"),
    ("[{name: a, taskRef: {name: t}, when: [{input: x, operator: in, values: []}]}]", "values: must not be empty"),
    ("[{name: a, taskRef: {name: t}, timeout: 5 minutes}]", "'5 minutes' is no duration"),
    ("[{name: a, taskRef: {name: t}, retries: -1}]", "retries: -1 is below 0"),
    ("[{name: a, taskRef: {name: t}, retries: 1, onError: continue}]", "retries and onError"),
    ("[{name: a, taskRef: {name: t}, onError: ignore}]", "neither continue nor stopAndFail"),
    ("[{name: a, taskRef: {name: t}, matrix: {}}]", "matrix: needs params or include"),
    ("[{name: a, taskRef: {name: t}, matrix: {params: [{name: s, value: x}]}}]", "must be an array"),
    (
        "[{name: a, taskRef: {name: t}, matrix: {params: [{name: s, value: [x]}]}, params: [{name: s, value: x}]}]",
        "param s stands in params and in the matrix",
    ),
    ("[{name: a, taskRef: {name: t}, matrix: {params: [{name: a, value: [x]}]}}]", "must declare it a string"),
    (
        "[{name: a, taskRef: {name: t}, matrix: {params: [{name: s, value: [x]}]}},"
        " {name: b, taskRef: {name: t}, params: [{name: s, value: $(tasks.a.results.r)}]}]",
        "results of a matrix are used whole",
    ),
    ("[{name: a, taskSpec: {steps: []}}]", "a Task needs at least one step"),
    ("[{name: a, taskSpec: {steps: [{name: s}]}}]", r"steps\[s\]: has no image"),
    ("[{name: a, taskSpec: {steps: [{name: s, image: i, script: x, command: [x]}]}}]", "a command and a script"),
    ("[{name: a, taskSpec: {steps: [{name: s, image: i, command: [$(params.q)]}]}}]", r"params.q\) names nothing"),
    (
        "[{name: a, taskSpec: {steps: [{name: s, image: i, command: [$(results.q.path)]}]}}]",
        "names nothing that the Task",
    ),
    (
        "[{name: a, taskSpec: {steps: [{name: s, image: i, command: [$(workspaces.q.path)]}]}}]",
        "names nothing that the",
    ),
    ("[{name: a, taskSpec: {steps: [{name: s, image: i, command: [$(context.x.y)]}]}}]", "names nothing that the Task"),
    ("[{name: a, taskSpec: {steps: [{name: s, image: i, script: '$(params.a[*])'}]}}]", "can only be an item of args"),
    ("[{name: a, taskSpec: {steps: [{name: s, image: i, comand: [x]}]}}]", "comand: there is no such field"),
    (
        "[{name: a, taskSpec: {steps:"
        " [{name: s, image: i, command: [x], volumeMounts: [{name: v, mountPath: /tmp}]}]}}]",
        "the Task declares no such volume",
    ),
    (
        "[{name: a, taskSpec: {params: [{name: q}], steps: [{name: s, image: i, command: [x]}]}}]",
        "param q is not given",
    ),
    ("[{name: a, taskSpec: {params: [{name: q, type: map}], steps: []}}]", "steps: a Task needs|is none of string"),
    (
        "[{name: a, taskSpec: {workspaces: [{name: q}], steps: [{name: s, image: i, command: [x]}]}}]",
        "needs the workspace q",
    ),
]


@pytest.mark.parametrize(("tasks", "message"), BAD)
def test_bad_pipelines(tmp_path, tasks, message):
    with pytest.raises(InputError, match=message):
        planned(tmp_path, TASK, pipeline(tasks))


FINAL = [
    ("finally: [{name: f, taskRef: {name: t}, runAfter: [a]}]", "a Task of finally cannot have runAfter"),
    (
        "finally: [{name: f, taskRef: {name: t}},"
        " {name: g, taskRef: {name: t}, params: [{name: s, value: $(tasks.f.results.r)}]}]",
        "uses a result of f, which is no Task of `tasks`",
    ),
    ("finally: [{name: f, taskRef: {name: t}, params: [{name: s, value: $(tasks.q.status)}]}]", "names no Task"),
    ("results: [{name: x, value: $(tasks.q.results.r)}]", "names no Task"),
    ("results: [{name: x, value: $(params.s)}]", "is no result of a Task"),
    ("results: [{name: x, value: text}]", "names no result of a Task"),
]


@pytest.mark.parametrize(("more", "message"), FINAL)
def test_bad_finally_and_results(tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        planned(tmp_path, TASK, pipeline("[{name: a, taskRef: {name: t}}]", more))


UNSUPPORTED = [
    (
        "[{name: a, taskSpec: {params: [{name: x, default: $(params.y)}],"
        " steps: [{name: s, image: i, command: [x]}]}}]",
        r"params\[x\].default: the local runner takes no reference",
    ),
    ("[{name: a, pipelineRef: {name: q}}]", r"tasks\[a\].pipelineRef: the local runner does not support"),
    ("[{name: a, taskRef: {name: t, kind: ClusterTask}}]", "runs no ClusterTask"),
    ("[{name: a, taskRef: {name: t, apiVersion: x.dev/v1}}]", "runs no custom tasks"),
    ("[{name: a, taskRef: {resolver: git}}]", "taskRef.resolver"),
    ("[{name: a, taskRef: {name: t}, when: [{cel: 'true'}]}]", r"when\[0\].cel"),
    ("[{name: a, taskSpec: {steps: [{name: s, image: i, envFrom: []}]}}]", "envFrom"),
    ("[{name: a, taskSpec: {steps: [{name: s, ref: {name: x}}]}}]", r"steps\[s\].ref"),
    (
        "[{name: a, taskSpec: {volumes: [{name: v, emptyDir: {}}],"
        " steps: [{name: s, image: i, command: [x], volumeMounts: [{name: v, mountPath: /data}]}]}}]",
        "mountPath: /data: only /tmp and /var/tmp can be an emptyDir here; use a workspace",
    ),
    ("[{name: a, taskSpec: {volumes: [{name: v, hostPath: {path: /}}], steps: []}}]", r"volumes\[v\].hostPath"),
]


@pytest.mark.parametrize(("tasks", "message"), UNSUPPORTED)
def test_what_is_not_supported(tmp_path, tasks, message):
    with pytest.raises(UnsupportedError, match=message) as caught:
        planned(tmp_path, TASK, pipeline(tasks))
    assert caught.value.status == 5


GOOD = pipeline("[{name: a, taskRef: {name: t}}]")


def test_the_context_of_a_run_is_not_there_for_a_task_of_its_own(tmp_path):
    with pytest.raises(InputError, match=r"context.pipelineRun.name\) names nothing"):
        planned(tmp_path, TASK.replace('["true"]', "[$(context.pipelineRun.name)]"), GOOD)


def test_a_good_one(tmp_path):
    (plan,) = planned(tmp_path, TASK, GOOD)
    assert plan.document["spec"]["params"] == [{"name": "s", "value": "v"}, {"name": "a", "value": ["x", "y"]}]
    assert plan.document["metadata"]["annotations"] == {"nearedge/workspace-space": str(tmp_path)}
    assert plan.params == {"s": "v", "a": ["x", "y"]}
    assert plan.name.startswith("p-")
    assert plan.timeouts.pipeline_s == 3600


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"workspaces": {}}, InputError, "Pipeline p: needs the workspace space; give it with -w space=DIR"),
        ({"workspaces": {"space": ".", "typo": "."}}, InputError, "has no workspace typo; known: space"),
        ({"params": {"typo": "x"}}, InputError, "Pipeline p: has no param typo; known: a, s"),
        ({"target": "unknown"}, InputError, "unknown: no such Pipeline or Task; Pipelines: p; Tasks: t"),
        ({"target": "../etc"}, InputError, "is no name of a Pipeline; for a file use -f"),
        ({"workspaces": {"space": "/nonexistent/x/y"}}, InputError, "/nonexistent/x is not there; make it first"),
        ({"workspaces": {"space": __file__}}, InputError, "is a file; give a folder"),
    ],
)
def test_bad_requests(tmp_path, asked, error, message):
    with pytest.raises(error, match=message):
        planned(tmp_path, TASK, GOOD, **asked)


def test_nothing_to_run(tmp_path):
    with pytest.raises(UsageError, match="name a Pipeline or Task"):
        plans(Request(catalog=tmp_path))
    with pytest.raises(UsageError, match="2 of kind Task and no run"):
        planned(tmp_path, TASK, TASK.replace("name: t}", "name: u}"), workspaces={})


def run_of(spec, kind="PipelineRun"):
    return f"apiVersion: tekton.dev/v1\nkind: {kind}\nmetadata: {{name: r}}\nspec: {spec}\n"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{pipelineRef: {name: p}, timeouts: {pipeline: 1m, tasks: 50s, finally: 20s}}", "together exceed pipeline"),
        ("{pipelineRef: {name: p}, taskRunSpecs: [{pipelineTaskName: q}]}", "'q' is no Task of the Pipeline"),
        ("{}", "PipelineRun r: needs either a pipelineRef or a pipelineSpec"),
        ("{pipelineRef: {name: q}}", "Pipeline q: neither in the files given nor in the catalog; known: p"),
        ("{pipelineRef: {name: p}, params: [{name: s, value: [x]}]}", "param s is of type string, .* array"),
        ("{pipelineRef: {name: p}, workspaces: [{name: other}]}", r"workspaces\[other\]: binds no volume"),
    ],
)
def test_bad_runs(tmp_path, spec, message):
    with pytest.raises(InputError, match=message):
        planned(tmp_path, TASK, GOOD, run_of(spec))


def test_a_claim_is_refused_unless_a_folder_takes_its_place(tmp_path):
    run = run_of("{pipelineRef: {name: p}, workspaces: [{name: space, persistentVolumeClaim: {claimName: c}}]}")
    with pytest.raises(UnsupportedError, match=r"PipelineRun r.spec.workspaces\[space\].persistentVolumeClaim"):
        planned(tmp_path, TASK, GOOD, run, workspaces={})
    (plan,) = planned(tmp_path, TASK, GOOD, run)
    assert plan.sources["space"].folder == tmp_path


def test_a_claim_that_an_embedded_pipeline_only_uses_can_be_a_folder(tmp_path):
    step = "{name: s, image: i, command: [ls, $(workspaces.space.path)]}"
    spec = f"{{tasks: [{{name: a, taskSpec: {{steps: [{step}]}}}}]}}"
    run = run_of(f"{{pipelineSpec: {spec}, workspaces: [{{name: space, persistentVolumeClaim: {{claimName: c}}}}]}}")
    (plan,) = planned(tmp_path, run)
    assert plan.sources["space"].folder == tmp_path


def test_timeouts_are_filled_in(tmp_path):
    run = run_of(
        "{pipelineRef: {name: p}, timeouts: {pipeline: 1m, tasks: 50s},"
        " taskRunSpecs: [{pipelineTaskName: a, timeout: 5s}]}"
    )
    (plan,) = planned(tmp_path, TASK, GOOD, run)
    assert (plan.timeouts.pipeline_s, plan.timeouts.tasks_s, plan.timeouts.finally_s) == (60, 50, 10)
    assert plan.task_timeouts == {"a": 5}
    (plan,) = planned(tmp_path, TASK, GOOD, run_of('{pipelineRef: {name: p}, timeouts: {pipeline: "0"}}'))
    assert plan.timeouts.pipeline_s is None


def test_a_task_alone(tmp_path):
    (plan,) = planned(tmp_path, TASK, workspaces={"w": "emptyDir"}, params={"a": "1,2", "e": "y"})
    assert plan.params == {"s": "d", "a": ["1", "2"], "e": "y"}
    assert plan.sources["w"].temporary
    with pytest.raises(InputError, match="'z' is none of x, y"):
        planned(tmp_path, TASK, workspaces={}, params={"e": "z"})


def test_a_task_of_the_catalog_by_name(tmp_path):
    place = tmp_path / "catalog" / "tasks" / "t" / "t.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(TASK)
    (plan,) = plans(Request(target="t", catalog=tmp_path / "catalog", on_host=True))
    assert plan.pipeline.tasks[0].task.name == "t"


def test_files_come_before_the_catalog(tmp_path):
    place = tmp_path / "catalog" / "tasks" / "t" / "t.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(TASK.replace("image: i", "image: from-the-catalog"))
    (plan,) = planned(tmp_path, TASK, GOOD)
    assert plan.pipeline.tasks[0].task.steps[0]["image"] == "i"


def test_several_runs(tmp_path):
    one = run_of("{taskRef: {name: t}}", "TaskRun")
    other = one.replace("name: r", "name: q")
    assert [plan.name for plan in planned(tmp_path, TASK, one, other, workspaces={})] == ["r", "q"]
    with pytest.raises(UsageError, match="the files hold 2 runs"):
        planned(tmp_path, TASK, one, other, workspaces={}, name="x")


def test_a_list_is_unpacked(tmp_path):
    items = [yaml.safe_load(TASK), yaml.safe_load(GOOD)]
    (plan,) = planned(tmp_path, yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    assert plan.pipeline.name == "p"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("a: [", InputError, "m.yaml: is not YAML"),
        ("", InputError, "holds no manifest"),
        ("just text", InputError, "no manifest"),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: x}",
            UnsupportedError,
            "v1 Secret: the local runner takes Task",
        ),
        ("apiVersion: tekton.dev/v1beta1\nkind: Task\nmetadata: {name: x}\nspec: {}", UnsupportedError, "v1beta1 Task"),
        ("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {}\nspec: {}", InputError, "without metadata.name"),
        ("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: x}", InputError, "Task x has no spec"),
    ],
)
def test_bad_files(tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        planned(tmp_path, text)


def test_two_of_a_name(tmp_path):
    with pytest.raises(InputError, match="Task t: stands twice in the files"):
        planned(tmp_path, TASK, TASK)


def test_foreign_images_need_leave(tmp_path, monkeypatch):
    monkeypatch.setattr("nearedge.runner.podman.works", lambda: False)
    with pytest.raises(UnsupportedError, match=r"Task a: step s: image i is not ours, .* --on-host"):
        planned(tmp_path, TASK, GOOD, on_host=False)
    with pytest.raises(UnsupportedError, match="has no command and no script"):
        planned(tmp_path, TASK.replace(', command: ["true"]', ""), GOOD)
    ours = "host:5000/team/nearedge/core:0.1@sha256:0"
    text = pipeline(
        f"[{{name: a, params: [{{name: image, value: {ours}}}], taskSpec: {{params: [{{name: image}}],"
        " steps: [{name: s, image: $(params.image), command: [x]}]}}]"
    )
    assert planned(tmp_path, text, on_host=False)
    with pytest.raises(UnsupportedError, match="image alpine:3 is not ours"):
        planned(tmp_path, text.replace(ours, "alpine:3"), on_host=False)
