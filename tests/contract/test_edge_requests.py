"""build-on-edge and upgrade-model ask a microshift-small node for no more than platform and a model leave of it."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearedge.release import profile

ROOT = Path(__file__).parents[2]
PIPELINE, UPGRADE = (ROOT / "pipelines" / name / f"{name}.yaml" for name in ("build-on-edge", "upgrade-model"))
UNITS = {"Mi": 1.0, "Gi": 1024.0}
AFFINITY_ASSISTANT = (50, 100.0)
"""Thousandths of a core and MiB that the pod asks for which Tekton keeps beside a run with a volume claim."""
SMALL = profile.read("microshift-small")


def spec_of(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())["spec"]


def request(container: dict[str, Any]) -> tuple[int, float]:
    """Thousandths of a core, and MiB."""
    asked = container["computeResources"]["requests"]
    assert asked["cpu"].endswith("m")
    return int(asked["cpu"][:-1]), float(asked["memory"][:-2]) * UNITS[asked["memory"][-2:]]


def pods(pipeline: Path) -> dict[str, tuple[int, float]]:
    """What the pod of each Task asks for: all its steps and sidecars together, since Tekton adds them up."""
    found = {}
    for task in spec_of(pipeline)["tasks"]:
        name = task["taskRef"]["name"]
        spec = spec_of(ROOT / "tasks" / name / f"{name}.yaml")
        asked = [request(one) for one in (*spec["steps"], *spec.get("sidecars", []))]
        found[task["name"]] = (sum(cpu for cpu, _ in asked), sum(memory for _, memory in asked))
    return found


PODS = pods(UPGRADE) | pods(PIPELINE)


@pytest.mark.parametrize(("name", "asked"), PODS.items(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_pod_fits_beside_a_model(name: str, asked: tuple[int, float]) -> None:
    cpu, memory = (one + other for one, other in zip(asked, AFFINITY_ASSISTANT, strict=True))
    assert cpu <= SMALL.left_cpu_m - round(SMALL.model.cpu * 1000), name
    assert memory <= SMALL.left_mib - SMALL.model.memory_mib, name


def test_tasks_run_one_after_the_other() -> None:
    """So that the largest pod is the peak: each Task waits for the one before, by runAfter or by a result of it."""
    tasks = spec_of(PIPELINE)["tasks"]
    for before, task in itertools.pairwise(tasks):
        waits = task.get("runAfter", []) + [before["name"]] * (f"$(tasks.{before['name']}." in str(task["params"]))
        assert before["name"] in waits, task["name"]


def test_no_task_runs_where_a_framework_is() -> None:
    (images,) = [one for one in spec_of(PIPELINE)["params"] if one["name"] == "step-images"]
    assert set(images["default"]) == {"core", "onnx"}
