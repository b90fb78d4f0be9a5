"""What a GitOps repository is told: held against the platforms' schemas and built by kustomize."""

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from nearedge.delivery import monitoring
from nearedge.delivery.gitops import manifests, render, surroundings
from nearedge.errors import InputError
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.profile import Profile, Share
from nearedge.release.record import Record
from serving_image import settings
from tests.kustomize import needs_kustomize

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
PROFILE = profiles.read("microshift-small")
SITES = ["edge-1", "edge-2"]
NEW = "sha256:" + "9" * 64


def changed(record: Record, **evidence: Any) -> Record:
    return record.model_copy(update={"evidence": record.evidence.model_copy(update=evidence)})


def with_image(record: Record, **image: Any) -> Record:
    assert record.evidence.image is not None
    return changed(record, image=record.evidence.image.model_copy(update=image))


def small(memory_mib: int, cpu: float = 2) -> Profile:
    return PROFILE.model_copy(update={"node": Share(cpu=cpu, memory_mib=PROFILE.platform.memory_mib + memory_mib)})


def deployment(tree: render.Tree) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(tree["models/digits/base/deployment.yaml"])
    return document


def test_the_files_and_that_they_are_the_same_each_time() -> None:
    tree = render.render(RECORD, PROFILE, SITES)
    files = ["deployment", "disruption-budget", "kustomization", "network-policy", "service-account", "service"]
    assert sorted(tree) == sorted(
        ["README.md", "models/digits/base/release.json"]
        + [f"models/digits/base/{name}.yaml" for name in files]
        + [f"models/digits/base/components/{name}/kustomization.yaml" for name in ("ingress", "monitoring", "route")]
        + [f"models/digits/base/components/monitoring/{file}" for file in monitoring.component(RECORD, PROFILE)]
        + [f"models/digits/base/components/{name}/{name}.yaml" for name in ("ingress", "route")]
        + [f"sites/{site}/digits/kustomization.yaml" for site in SITES]
    )
    assert tree == render.render(RECORD.model_copy(deep=True), PROFILE, SITES)
    assert tree["models/digits/base/release.json"] == records.dump(RECORD)


def test_every_object_holds_against_kubernetes() -> None:
    tree = render.render(RECORD, PROFILE, SITES)
    seen = []
    for path, text in tree.items():
        document = yaml.safe_load(text) if path.endswith(".yaml") else {}
        if document.get("apiVersion") in ("v1", "apps/v1", "policy/v1", "networking.k8s.io/v1"):
            kubernetes_validate.validate(document, "1.36", strict=True)
            seen.append(document["kind"])
    kinds = ["Deployment", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]
    assert sorted(set(seen) - {"ConfigMap"}) == kinds


def test_both_protocols_have_a_port_from_the_pod_to_the_service() -> None:
    tree = render.render(RECORD, PROFILE, SITES)
    documents = [yaml.safe_load(text) for path, text in tree.items() if path.endswith(".yaml")]
    kinds = {document["kind"]: document["spec"] for document in documents if document.get("spec")}
    server = kinds["Deployment"]["template"]["spec"]["containers"][0]
    assert server["ports"] == [{"name": "http", "containerPort": 8080}, {"name": "grpc", "containerPort": 8081}]
    assert {"name": "NEAREDGE_GRPC_PORT", "value": "8081"} in server["env"]
    assert [(port["name"], port["port"], port["appProtocol"]) for port in kinds["Service"]["ports"]] == [
        ("http", 8080, "http"),
        ("grpc", 8081, "kubernetes.io/h2c"),
    ]
    assert [port["port"] for port in kinds["NetworkPolicy"]["ingress"][0]["ports"]] == ["http", "grpc"]


def test_the_pod_is_restricted_and_named_by_digest() -> None:
    spec = deployment(render.render(RECORD, PROFILE, SITES))["spec"]
    pod = spec["template"]["spec"]
    server = pod["containers"][0]
    assert server["image"] == "quay.io/site/digits@sha256:" + "d" * 64
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert server["resources"] == {
        "requests": {"cpu": "250m", "memory": "128Mi"},
        "limits": {"cpu": "1000m", "memory": "192Mi"},
    }
    assert server["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert server["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    environment = {one["name"]: one["value"] for one in server["env"]}
    assert environment["NEAREDGE_IMAGE_DIGEST"] == "sha256:" + "d" * 64
    (own,) = [one for one in pod["volumes"] if one["name"] == "log-control"]
    assert own["secret"] == {"secretName": "nearedge-log-control", "optional": True}
    (mount,) = [one for one in server["volumeMounts"] if one["name"] == "log-control"]
    assert environment["NEAREDGE_LOG_TOKEN_FILE"] == f"{mount['mountPath']}/token" and mount["readOnly"]
    longest = sum(int(environment[f"NEAREDGE_{name}_SECONDS"]) for name in ("DRAIN", "REQUEST_TIMEOUT"))
    assert pod["terminationGracePeriodSeconds"] > longest
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert "app.kubernetes.io/version" not in spec["selector"]["matchLabels"]


def test_the_server_understands_what_its_environment_says() -> None:
    environment = {f"NEAREDGE_{name}": value for name, value in manifests.settings(f"quay.io/x@{NEW}").items()}
    told = settings.parse([], environment)
    assert (told.host, told.port, told.digest) == ("0.0.0.0", manifests.PORT, NEW)
    assert (told.drain, told.timeout) == (manifests.DRAIN_S, manifests.REQUEST_S)


@pytest.mark.parametrize(
    ("profile", "kind"),
    [
        (PROFILE, "RollingUpdate"),
        (small(384), "RollingUpdate"),
        (small(383), "Recreate"),
        (small(1024, cpu=0.9), "Recreate"),
    ],
)
def test_a_second_pod_only_where_it_fits(profile: Profile, kind: str) -> None:
    document = deployment(render.render(RECORD, profile, SITES))
    strategy = document["spec"]["strategy"]
    assert strategy["type"] == kind
    note = document["metadata"]["annotations"][manifests.STRATEGY_NOTE]
    if kind == "RollingUpdate":
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        assert "two fit" in note
    else:
        assert "no answers while the next pod starts" in note


def test_without_measurements_the_profile_decides() -> None:
    share = manifests.resources(changed(RECORD, benchmark=None), PROFILE)
    assert (share.memory_request_mib, share.memory_limit_mib) == (768, 768)


def test_a_new_release_changes_the_digest_the_record_and_figures_only() -> None:
    benchmark = RECORD.evidence.benchmark
    assert benchmark is not None
    new = changed(with_image(RECORD, digest=NEW), benchmark=benchmark.model_copy(update={"memory_limit_mib": 200}))
    before, after = render.render(RECORD, PROFILE, SITES), render.render(new, PROFILE, SITES)
    differing = {path for path in before if before[path] != after[path]}
    rules = "components/monitoring/prometheus-rule.yaml"
    assert differing == {f"models/digits/base/{name}" for name in ("deployment.yaml", "release.json", rules)}
    old_lines = before["models/digits/base/deployment.yaml"].splitlines()
    new_lines = after["models/digits/base/deployment.yaml"].splitlines()
    lines = [new for old, new in zip(old_lines, new_lines, strict=True) if old != new]
    assert [line.split()[-1] for line in lines] == [f"quay.io/site/digits@{NEW}", NEW, "200Mi"]


def test_a_layout_on_disk_is_named_and_said_not_to_be_pullable() -> None:
    tree = render.render(with_image(RECORD, url="oci:image:digits"), PROFILE, SITES)
    text = tree["models/digits/base/deployment.yaml"]
    assert text.startswith("# The image of this release is a layout on the disk")
    assert "oci:image:digits" in text
    server = deployment(tree)["spec"]["template"]["spec"]["containers"][0]
    assert server["image"] == "localhost/digits@sha256:" + "d" * 64


def test_a_service_begins_with_a_letter() -> None:
    record = RECORD.model_copy(update={"identity": RECORD.identity.model_copy(update={"name": "3d-net"})})
    document = surroundings.service(record, surroundings.of_deployment(record))
    assert document["metadata"]["name"] == "model-3d-net"
    assert document["spec"]["selector"]["app.kubernetes.io/name"] == "3d-net"


@pytest.mark.parametrize("site", ["", "A", "a/b", "..", "-a", "a-", "a" * 64, "a\n"])
def test_a_site_that_is_no_name(site: str) -> None:
    with pytest.raises(InputError, match="site "):
        render.render(RECORD, PROFILE, [site])


def test_a_release_without_an_image() -> None:
    with pytest.raises(InputError, match="build-serving-image has to run first"):
        render.render(changed(RECORD, image=None), PROFILE, SITES)


@needs_kustomize
def test_kustomize_builds_each_site(tmp_path: Path) -> None:
    for path, text in render.render(RECORD, PROFILE, SITES).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for site in SITES:
        argv = ["kubectl", "kustomize", str(tmp_path / "sites" / site / "digits")]
        built = list(yaml.safe_load_all(subprocess.run(argv, check=True, capture_output=True, text=True).stdout))
        kinds = {document["kind"]: document for document in built}
        assert {"ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"} < set(kinds)
        assert all(document["metadata"]["labels"]["nearedge.dev/site"] == site for document in built)
        template = kinds["Deployment"]["spec"]["template"]
        assert template["spec"]["containers"][0]["image"] == "quay.io/site/digits@sha256:" + "d" * 64
        assert template["metadata"]["labels"]["nearedge.dev/site"] == site
        assert kinds["ConfigMap"]["metadata"]["name"] == "digits-release"
        assert kinds["ConfigMap"]["data"]["release.json"] == records.dump(RECORD)


def test_evidence_is_gathered_once_for_a_release() -> None:
    now = changed(RECORD, test=None, origin="elsewhere")
    assert render.settled(now, RECORD, remeasure=False) is RECORD
    assert render.settled(now, RECORD, remeasure=True) is now
    assert render.settled(now, None, remeasure=False) is now
    assert render.settled(with_image(now, digest=NEW), RECORD, remeasure=False).evidence.test is None
    assert render.settled(now, changed(RECORD, image=None), remeasure=False) is now
    other = now.model_copy(update={"identity": now.identity.model_copy(update={"precision": "f32"})})
    assert render.settled(other, RECORD, remeasure=False) is other


def test_the_same_image_in_another_registry_is_named_there() -> None:
    assert render.settled(with_image(RECORD, url="quay.io/site/digits:other"), RECORD, remeasure=False) is RECORD
    moved = with_image(changed(RECORD, test=None), url="quay.io/elsewhere/digits:1")
    kept = render.settled(moved, RECORD, remeasure=False)
    assert kept.evidence.test == RECORD.evidence.test
    assert kept.evidence.image == moved.evidence.image
