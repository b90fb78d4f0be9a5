"""The rules for Tasks and Pipelines that hold however they are used (docs/architecture.md, docs/adr)."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearedge import __version__

ROOT = Path(__file__).parents[2]
TASKS = sorted(path for path in (ROOT / "tasks").glob("*/*.yaml") if path.stem == path.parent.name)
PIPELINES = sorted(path for path in (ROOT / "pipelines").glob("*/*.yaml") if path.stem == path.parent.name)
RESOURCES = TASKS + PIPELINES
KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
CHAINS_RESULTS = {"IMAGE_URL", "IMAGE_DIGEST"}
ANNOTATIONS = {
    f"tekton.dev/{name}" for name in ("pipelines.minVersion", "categories", "tags", "displayName", "platforms")
}


def document_of(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    template = spec.get("stepTemplate", {})
    return [{**template, **step} for step in spec["steps"]] + spec.get("sidecars", [])


def test_there_are_resources_to_hold_to_the_rules() -> None:
    assert len(TASKS) >= 9
    assert PIPELINES


@pytest.mark.parametrize("path", RESOURCES, ids=lambda path: path.stem)
def test_folder_file_and_name_agree_and_metadata_is_whole(path: Path) -> None:
    document = document_of(path)
    assert document["apiVersion"] == "tekton.dev/v1"
    assert document["metadata"]["name"] == path.stem == path.parent.name
    assert document["metadata"]["labels"]["app.kubernetes.io/version"] == __version__
    assert set(document["metadata"]["annotations"]) == ANNOTATIONS


@pytest.mark.parametrize("path", RESOURCES, ids=lambda path: path.stem)
def test_interface_is_typed_described_and_kebab_case(path: Path) -> None:
    spec = document_of(path)["spec"]
    assert spec["description"]
    for kind in ("params", "workspaces", "results"):
        for item in spec.get(kind, []):
            assert item["description"], item["name"]
            assert KEBAB.fullmatch(item["name"]) or item["name"] in CHAINS_RESULTS
            assert kind == "workspaces" or item["type"] in ("string", "array", "object")


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_step_is_a_command_and_the_image_a_param(path: Path) -> None:
    spec = document_of(path)["spec"]
    (image,) = [param for param in spec["params"] if param["name"] == "image"]
    assert re.fullmatch(rf"nearedge/(core|onnx|pytorch|tensorflow|build):{re.escape(__version__)}", image["default"])
    for step in spec["steps"]:
        assert "script" not in step
        assert step["command"][0] == "nearedge"
        assert step["image"] == "$(params.image)"
    assert not any("script" in sidecar or "readinessProbe" in sidecar for sidecar in spec.get("sidecars", []))


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_nothing_is_privileged(path: Path) -> None:
    spec = document_of(path)["spec"]
    for container in containers(spec):
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {"requests", "limits"} <= set(container["computeResources"])
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert {"name": mounts["/tmp"], "emptyDir": {}} in spec["volumes"]
    homes = [item["value"] for item in spec["stepTemplate"]["env"] if item["name"] == "HOME"]
    assert homes == ["/tekton/home"]


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_at_most_one_writable_workspace(path: Path) -> None:
    writable = [
        workspace["name"]
        for workspace in document_of(path)["spec"]["workspaces"]
        if not workspace.get("readOnly") and not workspace.get("optional")
    ]
    assert len(writable) <= 1


@pytest.mark.parametrize("path", RESOURCES, ids=lambda path: path.stem)
def test_no_feature_flag_is_needed(path: Path) -> None:
    """Tekton's webhook refuses these where an alpha flag is off, as it is by default; programs check values instead."""
    spec = document_of(path)["spec"]
    assert not [param["name"] for param in spec["params"] if "enum" in param]
    assert not [step["name"] for step in spec.get("steps", []) if step.keys() & {"stdoutConfig", "stderrConfig"}]
    tasks = spec.get("tasks", [])
    assert not [task["name"] for task in tasks if "pipelineRef" in task or "pipelineSpec" in task]
    assert not [task["name"] for task in tasks if any("cel" in one for one in task.get("when", []))]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_pipeline_hands_each_task_what_it_declares(path: Path) -> None:
    spec = document_of(path)["spec"]
    tasks = {task.stem: document_of(task)["spec"] for task in TASKS}
    for task in spec["tasks"] + spec.get("finally", []):
        declared = tasks[task["taskRef"]["name"]]
        names = {param["name"] for param in declared["params"]}
        given = {param["name"] for param in task.get("params", [])}
        assert given <= names, task["name"]
        assert {param["name"] for param in declared["params"] if "default" not in param} <= given, task["name"]
        bound = {workspace["name"] for workspace in task.get("workspaces", [])}
        assert bound == {workspace["name"] for workspace in declared["workspaces"]}, task["name"]


def test_model_to_edges_defaults_are_the_tasks() -> None:
    """What is handed on under its own name, but for `against`: a Pipeline knows what is deployed, a Task need not."""
    spec = document_of(ROOT / "pipelines/model-to-edge/model-to-edge.yaml")["spec"]
    ours = {param["name"]: param.get("default") for param in spec["params"]}
    handed = {}
    for task in spec["tasks"]:
        declared = document_of(ROOT / f"tasks/{task['taskRef']['name']}/{task['taskRef']['name']}.yaml")["spec"][
            "params"
        ]
        theirs = {param["name"]: param.get("default") for param in declared}
        own = [one["name"] for one in task["params"] if one["value"] == f"$(params.{one['name']})"]
        handed |= {(task["name"], name): (ours[name], theirs[name]) for name in own}
    assert {("fetch-model", "max-bytes"), ("optimize-model", "budget-seconds")} <= set(handed)
    assert [key for key, (mine, its) in handed.items() if mine != its] == [("benchmark-model", "against")]


@pytest.mark.parametrize("path", RESOURCES, ids=lambda path: path.stem)
def test_no_param_stands_in_a_script(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert not ("script" in line and "$(" in line)


def test_the_pipelines_step_images_default_to_this_version() -> None:
    for path in PIPELINES:
        (param,) = [p for p in document_of(path)["spec"]["params"] if p["name"] == "step-images"]
        few = {"build-on-edge": ("core", "onnx"), "upgrade-model": ("core",)}
        names = few.get(path.stem, ("core", "onnx", "pytorch", "tensorflow"))
        assert param["default"] == {name: f"nearedge/{name}:{__version__}" for name in names}
