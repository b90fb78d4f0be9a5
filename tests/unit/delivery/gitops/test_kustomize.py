"""kubectl builds every combination of flavour, exposure and monitoring, at the newest release and at an earlier one."""

import itertools
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearedge.delivery.gitops import fleet, render
from nearedge.delivery.gitops.choices import Choices, Expose, Flavour
from nearedge.delivery.gitops.fleet import Placed, Wanted
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record
from tests.kustomize import needs_kustomize

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
PROFILE = profiles.read("microshift-small")
FLAVOURS: tuple[Flavour, ...] = ("deployment", "kserve")
EXPOSED: tuple[Expose, ...] = ("route", "ingress", "none")
EVERY = [
    Choices(flavour, expose, "" if expose == "none" else "digits.{site}.example.com", monitoring)
    for flavour, expose, monitoring in itertools.product(FLAVOURS, EXPOSED, (True, False))
]
ALWAYS = {"ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}
BY_FLAVOUR = {"deployment": {"Deployment"}, "kserve": {"InferenceService", "ServingRuntime"}}
BY_EXPOSURE = {"route": {"Route"}, "ingress": {"Ingress"}, "none": set()}

pytestmark = needs_kustomize


def with_digest(record: Record, digit: str) -> Record:
    assert record.evidence.image is not None
    image = record.evidence.image.model_copy(update={"digest": "sha256:" + digit * 64})
    return record.model_copy(update={"evidence": record.evidence.model_copy(update={"image": image})})


def written(tree: render.Tree, at: Path) -> Path:
    for path, text in tree.items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_text(text)
    return at


def built(at: Path, site: str) -> list[dict[str, Any]]:
    argv = ["kubectl", "kustomize", str(at / "sites" / site / "digits")]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    assert "deprecated" not in done.stderr
    return list(yaml.safe_load_all(done.stdout))


def kinds(documents: list[dict[str, Any]]) -> set[str]:
    return {document["kind"] for document in documents}


def named(choices: Choices) -> str:
    return f"{choices.flavour}-{choices.expose}-{'monitored' if choices.monitoring else 'plain'}"


@pytest.mark.parametrize("choices", EVERY, ids=named)
def test_every_combination_builds_and_names_one_digest(choices: Choices, tmp_path: Path) -> None:
    at = written(render.render(RECORD, PROFILE, ["edge-1"], choices), tmp_path)
    documents = built(at, "edge-1")
    monitoring = {"ServiceMonitor", "PrometheusRule"} if choices.monitoring else set()
    wanted = ALWAYS | BY_FLAVOUR[choices.flavour] | BY_EXPOSURE[choices.expose] | monitoring
    assert kinds(documents) == wanted
    assert all(document["metadata"]["labels"]["nearedge.dev/site"] == "edge-1" for document in documents)
    text = yaml.safe_dump(documents)
    assert f"quay.io/site/digits@sha256:{'d' * 64}" in text
    assert "image: quay.io/site/digits:" not in text
    if choices.expose != "none":
        assert "host: digits.edge-1.example.com" in text


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_site_held_at_an_earlier_release_builds_from_that_alone(flavour: Flavour, tmp_path: Path) -> None:
    choices = Choices(flavour, "route", "digits.{site}.example.com")
    old, new = (
        render.render(with_digest(RECORD, digit), PROFILE, ["edge-1", "edge-2"], choices) for digit in ("7", "8")
    )
    at = written(old, tmp_path)
    placed = fleet.Fleet(at).placed("digits")
    base = below(new, "models/digits/base/")
    change = fleet.moved(placed, {"edge-1": Wanted(base, below(new, "sites/edge-1/digits/"))}, base)
    written({path: text for path, text in change.items() if text is not None}, at)
    first, second = (yaml.safe_dump(built(at, site)) for site in ("edge-1", "edge-2"))
    assert ("8" * 64 in first, "7" * 64 in first) == (True, False)
    assert ("8" * 64 in second, "7" * 64 in second) == (False, True)
    assert "host: digits.edge-2.example.com" in second
    assert isinstance(placed, Placed)
    overlay = yaml.safe_load((at / "sites/edge-2/digits/kustomization.yaml").read_text())
    assert {path.split("/components")[0] for path in [*overlay["resources"], *overlay["components"]]} == {
        f"../../../models/digits/releases/{'7' * 12}"
    }


def test_a_component_that_a_release_lacks_leaves_no_patch_that_fails(tmp_path: Path) -> None:
    tree = render.render(RECORD, PROFILE, ["edge-1"], Choices("deployment", "route", "digits.example.com"))
    overlay = yaml.safe_load(tree["sites/edge-1/digits/kustomization.yaml"])
    tree["sites/edge-1/digits/kustomization.yaml"] = yaml.safe_dump({**overlay, "components": []})
    assert "Route" not in kinds(built(written(tree, tmp_path), "edge-1"))


def below(tree: render.Tree, start: str) -> dict[str, str]:
    return {path.removeprefix(start): text for path, text in tree.items() if path.startswith(start)}


def test_the_trees_are_the_same_bytes_each_time() -> None:
    for choices in EVERY:
        trees = [
            render.render(RECORD.model_copy(deep=True), PROFILE.model_copy(deep=True), ["b", "a"], choices)
            for _ in range(2)
        ]
        assert trees[0] == trees[1]
        assert all(text.endswith("\n") and os.linesep in text for text in trees[0].values())
