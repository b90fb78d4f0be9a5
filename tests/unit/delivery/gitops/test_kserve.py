"""The flavour kserve: our image as a runtime of its own, and a modelcar under the platform's."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nearedge.delivery.gitops import kserve, manifests, render
from nearedge.delivery.gitops.choices import Choices
from nearedge.errors import InputError
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
PROFILE = profiles.read("microshift-small")
KSERVE = Choices(flavour="kserve")
DIGEST = "sha256:" + "d" * 64


def modelcar() -> Record:
    assert RECORD.evidence.image is not None
    image = RECORD.evidence.image.model_copy(update={"flavour": "modelcar"})
    return RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"image": image})})


def named(name: str) -> Record:
    return RECORD.model_copy(update={"identity": RECORD.identity.model_copy(update={"name": name})})


def objects(record: Record, choices: Choices = KSERVE) -> dict[str, dict[str, Any]]:
    """The objects of the base by kind."""
    tree = render.render(record, PROFILE, [], choices)
    start = f"models/{record.identity.name}/base/"
    texts = [text for path, text in tree.items() if path.startswith(start) and path.endswith(".yaml")]
    found = [yaml.safe_load(text) for text in texts]
    return {one["kind"]: one for one in found if one["kind"] not in ("Kustomization", "Component")}


def test_our_image_is_the_runtime_and_nothing_is_fetched() -> None:
    found = objects(RECORD)
    service, runtime = found["InferenceService"], found["ServingRuntime"]
    assert service["metadata"]["name"] == runtime["metadata"]["name"] == "digits"
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["runtime"] == "digits"
    assert predictor["model"]["protocolVersion"] == "v2"
    assert "storageUri" not in predictor["model"]
    (server,) = runtime["spec"]["containers"]
    assert (server["name"], server["image"]) == ("kserve-container", f"quay.io/site/digits@{DIGEST}")
    assert server["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": "http"}
    assert runtime["spec"]["supportedModelFormats"][0] == {**predictor["model"]["modelFormat"], "autoSelect": False}
    assert "Deployment" not in found


def test_the_pod_is_as_ours_is() -> None:
    share = manifests.resources(RECORD, PROFILE)
    ours, found = manifests.deployment(RECORD, PROFILE, f"quay.io/site/digits@{DIGEST}"), objects(RECORD)
    pod, predictor = ours["spec"]["template"]["spec"], found["InferenceService"]["spec"]["predictor"]
    runtime = found["ServingRuntime"]["spec"]
    for key in (
        "serviceAccountName",
        "automountServiceAccountToken",
        "terminationGracePeriodSeconds",
        "securityContext",
    ):
        assert predictor[key] == pod[key]
    assert predictor["deploymentStrategy"] == ours["spec"]["strategy"]
    assert predictor["model"]["resources"] == manifests.limits(share)
    assert {**runtime["containers"][0], "name": "server"} == pod["containers"][0]
    assert runtime["volumes"] == pod["volumes"]


@pytest.mark.parametrize(("record", "ports"), [(RECORD, ["http", "grpc"]), (modelcar(), [8888, 8001])])
def test_what_stands_around_finds_the_pods_that_kserve_makes(record: Record, ports: list[str | int]) -> None:
    found = objects(record)
    selector = {"serving.kserve.io/inferenceservice": "digits"}
    assert found["Service"]["spec"]["selector"] == selector
    assert [port["targetPort"] for port in found["Service"]["spec"]["ports"]] == ports
    assert [port["port"] for port in found["Service"]["spec"]["ports"]] == [8080, 8081]
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == selector
    assert [port["port"] for port in found["NetworkPolicy"]["spec"]["ingress"][0]["ports"]] == ports
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == selector


def test_only_our_service_is_scraped() -> None:
    """KServe labels its own Service as the InferenceService is labelled; both would be the same series twice."""
    found, wanted = objects(RECORD), manifests.selector(RECORD)
    assert wanted.items() <= found["Service"]["metadata"]["labels"].items()
    assert not wanted.items() <= found["InferenceService"]["metadata"]["labels"].items()


def test_a_modelcar_is_named_by_digest_and_served_by_the_platform() -> None:
    found = objects(modelcar(), Choices(flavour="kserve", runtime="ovms-copy"))
    model = found["InferenceService"]["spec"]["predictor"]["model"]
    assert model["storageUri"] == f"oci://quay.io/site/digits@{DIGEST}"
    assert model["runtime"] == "ovms-copy"
    assert model["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8888}
    assert "ServingRuntime" not in found
    assert model["resources"]["limits"]["memory"] == f"{PROFILE.model.memory_mib}Mi", "our server's was measured"


def test_a_modelcar_without_a_shell_is_mounted_natively() -> None:
    image = modelcar().evidence.image
    assert image is not None
    bare = image.model_copy(update={"base_kind": "scratch"})
    record = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"image": bare})})
    model = objects(record, Choices(flavour="kserve", runtime="ovms-copy"))["InferenceService"]["spec"]["predictor"]
    assert model["model"]["storageUri"] == f"oci+native://quay.io/site/digits@{DIGEST}"


def test_a_modelcar_has_no_monitoring_of_ours() -> None:
    tree = render.render(modelcar(), PROFILE, ["s"], KSERVE)
    assert not [path for path in tree if "monitoring" in path]
    assert "components" not in yaml.safe_load(tree["sites/s/digits/kustomization.yaml"])


def test_a_modelcar_needs_kserve() -> None:
    with pytest.raises(InputError, match="is a modelcar, which holds no server; render it with flavour=kserve"):
        render.render(modelcar(), PROFILE, ["s"])


def test_names_leave_room_for_what_kserve_adds() -> None:
    assert kserve.name_of(named("3d-net")) == "model-3d-net"
    assert kserve.name_of(named("a" * 53)) == "a" * 53
    with pytest.raises(InputError, match="longer than 53 letters"):
        render.render(named("a" * 54), PROFILE, [], KSERVE)
    assert render.render(named("a" * 54), PROFILE, [])
