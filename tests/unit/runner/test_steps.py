"""Single steps and sidecars: where they start, what they run on, what goes wrong with them."""

import os
import shutil
import time

import pytest

from nearedge.errors import InputError
from nearedge.runner import backend, containers, crew, events, podman, results
from nearedge.runner.backend import is_ours
from nearedge.runner.model import Result
from nearedge.runner.scopes import Places
from nearedge.runner.substitution import Scope
from tests.pipelines.lab import Lab, states


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        ("nearedge/core:0.1.0", True),
        ("nearedge/onnx", True),
        ("quay.io/team/nearedge/pytorch:1", True),
        ("localhost:5000/nearedge/tensorflow@sha256:00", True),
        ("registry:5000/a/b/nearedge/core:1@sha256:00", True),
        ("core", False),
        ("nearedge/other:1", False),
        ("evil/nearedge-core", False),
        ("nearedge/core/evil", False),
        ("x/nearedge:5/core", False),
        ("docker.io/library/busybox", False),
    ],
)
def test_our_images(image, ours):
    assert is_ours(image) is ours


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo", ["/bin/sh"]),
        ("#!/usr/bin/env python3\nx", ["/usr/bin/env", "python3"]),
        ("#!/bin/bash -e -u\nx", ["/bin/bash", "-e -u"]),
        ("#!\nx", ["/bin/sh"]),
    ],
)
def test_shebangs(script, expected):
    assert backend.shebang(script) == expected


@pytest.fixture
def places(tmp_path):
    places = Places(tmp_path / "private", {"w": tmp_path / "space", "none": None})
    (tmp_path / "space").mkdir()
    containers.prepare(places)
    return places


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "private/work"),
        ("/workspace", "private/work"),
        ("/workspace/w", "space"),
        ("/workspace/w/deep/er", "space/deep/er"),
        ("/workspace/other", "private/work/other"),
        ("sub", "private/work/sub"),
        ("$(workspaces.w.path)/new", "space/new"),
    ],
)
def test_working_directories(tmp_path, places, given, expected):
    scope = Scope({("workspaces", "w", "path"): str(places.workspaces["w"])})
    found = containers.folder({"workingDir": given}, scope, places, here=True)
    assert found == tmp_path / expected
    assert found.is_dir()


def test_working_directories_of_containers_are_theirs(places):
    assert containers.folder({"workingDir": "/app"}, Scope({}), places, here=False).as_posix() == "/app"
    assert containers.folder({}, Scope({}), places, here=False) is None


def test_env_and_variables(tmp_path, places):
    document = {
        "name": "s", "image": "i", "command": ["prog", "$(A)", "$$(A)", "$(UNSET)"], "args": ["$(B)"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C"},
                {"name": "KEYS", "value": "/tekton/home/.ssh"}, {"name": "NOT", "value": "/tekton/homes"}],
    }  # fmt: skip
    found = containers.step(document, Scope({}), places, tmp_path / "log", {"EXTRA": "x"}, on_host=True)
    assert found.command == ("prog", "1", "$(A)", "$(UNSET)")
    assert found.args == ("1$(C)",)
    assert found.env["KEYS"] == f"{places.home}/.ssh"
    assert found.env["NOT"] == "/tekton/homes"
    assert (found.env["C"], found.env["EXTRA"], found.env["TMPDIR"]) == ("", "x", str(places.temporary))
    assert found.folders == (places.root, places.workspaces["w"])


TASK = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {generateName: steps-}
spec:
  pipelineSpec:
    tasks:
      - name: first
        taskSpec:
          results: [{name: image}]
          steps: [{name: s, image: nearedge/core:1, command: [sh, -c], args: ['printf IMAGE > $(results.image.path)']}]
      - name: second
        params: [{name: image, value: $(tasks.first.results.image)}]
        taskSpec:
          params: [{name: image}]
          steps: [{name: s, image: $(params.image), command: [sh, -c], args: ["echo ran"]}]
"""


def test_an_image_known_only_while_it_runs(lab, monkeypatch):
    assert lab.run(TASK.replace("IMAGE", "reg/nearedge/onnx:2"), on_host=False).succeeded
    monkeypatch.setattr(podman, "works", lambda: False)
    result = lab.run(TASK.replace("IMAGE", "alpine"), on_host=False)
    assert result.exit_status == 5
    assert "image alpine is not ours" in result.tasks["second"].message


def test_a_param_that_does_not_fit_only_at_run_time(lab):
    text = TASK.replace("params: [{name: image}]", "params: [{name: image, enum: [a, b]}]")
    result = lab.run(text)
    assert result.exit_status == 1
    assert result.tasks["second"].message == "Task second: param image: 'IMAGE' is none of a, b"
    assert lab.child(result, "second")["status"]["conditions"][0]["reason"] == "TaskRunValidationFailed"


def test_a_sub_path_that_leads_out(lab):
    text = """
    apiVersion: tekton.dev/v1
    kind: PipelineRun
    metadata: {generateName: out-}
    spec:
      workspaces: [{name: w, volumeClaimTemplate: {}}]
      pipelineSpec:
        workspaces: [{name: w}]
        tasks:
          - name: a
            workspaces: [{name: w, subPath: ../../..}]
            taskSpec: {workspaces: [{name: w}], steps: [{name: s, image: i, command: ["true"]}]}
    """
    result = lab.run(text)
    assert (result.exit_status, states(result)["a"]) == (1, "Failed")
    assert "leads out of" in result.tasks["a"].message


def test_an_index_beyond_a_result_ends_the_run(lab):
    text = TASK.replace("[{name: image}]\n", "[{name: image, type: array}]\n", 1).replace("printf IMAGE", 'printf "[]"')
    result = lab.run(text.replace("$(tasks.first.results.image)", '"$(tasks.first.results.image[3])"'))
    assert result.reason == "InvalidTaskResultReference"
    assert "the array has 0 items" in result.message


def test_a_bug_ends_the_run_and_does_not_hang_it(lab, monkeypatch):
    def broken(*_):
        raise RuntimeError("oops")

    monkeypatch.setattr(crew.children, "run", broken)
    result = lab.run(TASK)
    assert result.exit_status == 70
    assert "a bug of nearedge: RuntimeError: oops" in result.tasks["first"].message


def test_a_machine_fault_is_told_as_one(lab, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/x")

    monkeypatch.setattr("nearedge.runner.containers.prepare", full)
    result = lab.run(TASK)
    assert result.exit_status == 6
    assert result.tasks["first"].message == "/x: no space left on device"


SIDECAR = """
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: beside}
spec:
  params: [{name: port, value: "PORT"}]
  taskSpec:
    params: [{name: port}]
    workspaces: [{name: w}]
    sidecars: [{name: server, image: oci:image:foreign, args: [--port=$(params.port)]}]
    steps:
      - name: ask
        image: nearedge/core:1
        command: [python, -c]
        args:
          - |
            import os, time, urllib.request
            for attempt in range(200):
                try:
                    print(urllib.request.urlopen("http://127.0.0.1:$(params.port)/").status)
                    break
                except OSError:
                    time.sleep(0.1)
            print(os.environ["NEAREDGE_SIDECAR_BACKEND"])
"""


@pytest.mark.skipif(os.geteuid() != 0 and shutil.which("podman") is None, reason="needs root or podman for a sidecar")
def test_a_sidecar_runs_beside_the_steps_and_ends_with_them(lab, workspace, port, asking):
    result = lab.run(SIDECAR.replace("PORT", str(port)), on_host=False, workspaces={"w": str(workspace)})
    assert result.succeeded, result
    told = [event for event in lab.events if isinstance(event, events.SidecarStarted)]
    assert lab.log(result, "beside", "ask").split() == ["200", told[0].backend]
    assert lab.child(result, "beside")["metadata"]["annotations"]["nearedge/sidecar-server"] == told[0].backend
    until = time.monotonic() + 30
    with pytest.raises(OSError, match="refused"):
        while time.monotonic() < until:
            asking(port, timeout_s=0.0)


def test_a_sidecar_that_cannot_start_fails_its_task(lab, tmp_path):
    (tmp_path / "empty").mkdir()
    result = lab.run(SIDECAR, on_host=False, workspaces={"w": str(tmp_path / "empty")})
    assert result.exit_status in (1, 5)
    assert states(result)["beside"] == "Failed"


@pytest.mark.parametrize(
    ("kind", "text"), [("array", "{}"), ("object", "[]"), ("array", '["x", 1]'), ("object", "nix")]
)
def test_results_of_another_type(kind, text):
    with pytest.raises(InputError, match=f"must be a JSON {kind} of strings"):
        results.typed(Result("r", kind, None), text)


def test_strings_are_taken_as_they_are():
    assert results.typed(Result("r", "string", None), "a\n") == "a\n"


FOREIGN = """
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: foreign}
spec:
  taskSpec:
    workspaces: [{name: w}]
    results: [{name: r}]
    stepTemplate: {image: IMAGE, env: [{name: HOME, value: /tekton/home}]}
    steps:
      - name: command
        command: [PYTHON, -c]
        args:
          - |
            import os
            open("$(workspaces.w.path)/made", "w").write(os.environ["HOME"] + " " + os.getcwd())
            open("$(results.r.path)", "w").write("from a container")
      - name: script
        workingDir: $(workspaces.w.path)
        script: |
          #!PYTHON
          import os, sys
          print(open("made").read(), "NOT_FOR_STEPS" in os.environ)
          sys.exit(3)
"""


@pytest.mark.images
def test_steps_of_foreign_images_run_with_podman(lab, request, workspace, python_tar, tmp_path, monkeypatch):
    request.getfixturevalue("with_podman")
    monkeypatch.setenv("NOT_FOR_STEPS", "x")
    image = podman.pull_layout(workspace / "image", "foreign")
    (tmp_path / "space").mkdir()
    try:
        text = FOREIGN.replace("IMAGE", image).replace("PYTHON", python_tar[1])
        result = lab.run(text, on_host=False, workspaces={"w": str(tmp_path / "space")})
    finally:
        podman.podman("rmi", "--force", image, timeout_s=60)
    assert result.exit_status == 3, lab.log(result, "foreign", "command")
    assert result.tasks["foreign"].results == ({"r": "from a container"},)
    home, cwd, inherited = lab.log(result, "foreign", "script").split()
    assert home.startswith(str(result.folder))
    assert (cwd, inherited) == ("/srv", "False")


def test_what_is_kept_for_the_next_run_is_kept_in_the_persons_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    env = backend.environment({"HOME": "/private"})
    assert env["HOME"] == "/private"
    assert env["XDG_CACHE_HOME"] == str(tmp_path / ".cache")
