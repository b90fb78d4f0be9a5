"""manifests/: every kustomization builds, what runs is restricted, and no site's node is asked for more than it has."""

import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from nearedge.delivery.gitops import render
from nearedge.delivery.gitops.choices import Choices, Flavour
from nearedge.delivery.gitops.site_usage import of_manifest
from nearedge.release import profile, record
from tests.kustomize import built, needs_kustomize, of_kind, pods

pytestmark = needs_kustomize

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
FOLDERS = sorted(path.parent for path in MANIFESTS.rglob("kustomization.yaml"))
WHOLE = [one for one in FOLDERS if "kind: Component" not in (one / "kustomization.yaml").read_text()]
SITES = {"sno": "sno-small", "microshift": "microshift-small"}
LEVELS = ("enforce", "audit", "warn")


@pytest.mark.parametrize("folder", WHOLE, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_it_builds_and_what_runs_is_restricted(folder: Path) -> None:
    objects = built(folder)
    assert objects
    for pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"]} and not context["allowPrivilegeEscalation"]
            assert context["readOnlyRootFilesystem"] and container["resources"]["requests"].keys() == {"cpu", "memory"}
    for role in (*of_kind(objects, "Role"), *of_kind(objects, "ClusterRole")):
        for rule in role["rules"]:
            assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"]), role["metadata"]["name"]
            assert "secrets" not in rule["resources"] and "escalate" not in rule["verbs"]


@pytest.mark.parametrize("flavour", SITES)
def test_a_sites_own_values_reach_every_place(flavour: str, tmp_path: Path) -> None:
    copy = tmp_path / "edge"
    subprocess.run(["cp", "-r", str(MANIFESTS / "edge"), str(copy)], check=True)
    values = copy / "examples" / flavour / "site.yaml"
    values.write_text(values.read_text().replace("site-1", "shop-7").replace("example.com", "corp.test"))
    text = yaml.safe_dump_all(built(copy / "examples" / flavour))
    assert "sites/shop-7" in text and "https://git.corp.test/edge/gitops.git" in text
    assert "https://metrics.core.corp.test/api/v1/write" in text
    certificate = text.partition("registry.example.com: |")[0]  # the name of the file that is yours to replace
    assert "site-1" not in text and "git.example.com" not in text and "core.example.com" not in certificate


@pytest.mark.parametrize("flavour", SITES)
def test_an_application_prunes_heals_and_never_gives_up(flavour: str) -> None:
    objects = built(MANIFESTS / "edge" / "examples" / flavour)
    kind = "ApplicationSet" if flavour == "sno" else "Application"
    (found,) = of_kind(objects, kind)
    spec = found["spec"]["template"]["spec"] if flavour == "sno" else found["spec"]
    empty = {"allowEmpty": True} if flavour == "microshift" else {}  # its last model goes; sno's whole Application does
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True, **empty}
    assert spec["syncPolicy"]["retry"]["limit"] == -1 and spec["project"] == "nearedge"
    (project,) = of_kind(objects, "AppProject")
    (namespace,) = [one for one in of_kind(objects, "Namespace") if one["metadata"]["name"] == "nearedge-models"]
    assert spec["destination"]["namespace"] == namespace["metadata"]["name"]
    assert project["spec"]["sourceRepos"] == [spec["source"]["repoURL"]]


@pytest.mark.parametrize(("flavour", "name"), SITES.items())
def test_what_a_site_needs_leaves_room_for_models(flavour: str, name: str) -> None:
    """The sum of requests beside what the platform leaves of the node, printed for docs/cluster.md."""
    found = of_manifest(yaml.safe_dump_all(built(MANIFESTS / "edge" / "examples" / flavour)))
    cpu, memory = found["cpu_request_m"] or 0, found["memory_request_mib"] or 0
    site = profile.read(name)
    print(f"{flavour}: requests {cpu}m and {memory} MiB of {site.left_cpu_m}m and {site.left_mib} MiB that {name} has")
    assert cpu + site.cpu_request_m <= site.left_cpu_m and memory + site.model.memory_mib <= site.left_mib


@pytest.mark.parametrize("flavour", ["deployment", "kserve"])
def test_argo_cd_may_do_what_a_release_is_made_of_and_no_more(flavour: Flavour) -> None:
    """The AppProject and the Role name the kinds that render-gitops writes."""
    release = record.read(ROOT / "tests/unit/delivery/data/release.json")
    trees = [
        render.render(release, profile.read("microshift-small"), ["a"], Choices(flavour, expose, host, monitoring=True))
        for expose, host in (("route", "a.example.com"), ("ingress", "a.example.com"))
    ]
    texts = [text for tree in trees for path, text in tree.items() if path.endswith(".yaml")]
    found = {(one["apiVersion"].rpartition("/")[0], one["kind"]) for one in map(yaml.safe_load, texts)}
    wanted = {one for one in found if "kustomize" not in one[0]} | {("", "ConfigMap")}
    objects = built(MANIFESTS / "edge" / "microshift")
    (project,) = of_kind(objects, "AppProject")
    assert wanted <= {(one["group"], one["kind"]) for one in project["spec"]["namespaceResourceWhitelist"]}
    (role,) = of_kind(objects, "Role")
    rights = {
        (rule["apiGroups"][0], what)
        for rule in role["rules"]
        if "delete" in rule["verbs"]
        for what in rule["resources"]
    }
    assert {(group, plural(kind)) for group, kind in wanted} <= rights


def plural(kind: str) -> str:
    """The resource of a kind, as RBAC has it."""
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("policy") else f"{name}es" if name.endswith("ss") else f"{name}s"


@pytest.mark.parametrize("folder", WHOLE, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_every_application_prunes_heals_and_never_gives_up(folder: Path) -> None:
    objects = built(folder)
    specs = [one["spec"] for one in of_kind(objects, "Application")]
    specs += [one["spec"]["template"]["spec"] for one in of_kind(objects, "ApplicationSet")]
    for spec in specs:
        policy = spec["syncPolicy"]
        assert policy["automated"]["prune"] is True and policy["automated"]["selfHeal"] is True
        assert policy["retry"]["limit"] == -1


@pytest.mark.parametrize("folder", ["edge/base", "core/pipelines", "core/monitoring", "edge/examples/microshift"])
def test_every_namespace_of_ours_enforces_the_restricted_standard(folder: str) -> None:
    found = of_kind(built(MANIFESTS / folder), "Namespace")
    assert found
    for namespace in found:
        levels = {what: namespace["metadata"]["labels"].get(f"pod-security.kubernetes.io/{what}") for what in LEVELS}
        assert levels == dict.fromkeys(LEVELS, "restricted"), namespace["metadata"]["name"]


def test_nothing_gets_in_or_out_of_the_models_namespace_by_default() -> None:
    (policy,) = of_kind(built(MANIFESTS / "edge" / "base"), "NetworkPolicy")
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_sites_mirror_comes_first_and_the_core_after_it() -> None:
    """On OpenShift as an object, on a MicroShift node as a file; by digest alone in both."""
    (mirrors,) = of_kind(built(MANIFESTS / "edge" / "examples" / "sno"), "ImageDigestMirrorSet")
    (entry,) = mirrors["spec"]["imageDigestMirrors"]
    assert entry["mirrorSourcePolicy"] == "AllowContactingSource"
    file = MANIFESTS / "edge/node/etc/containers/registries.conf.d/nearedge.conf"
    (registry,) = tomllib.loads(file.read_text())["registry"]
    assert registry["mirror-by-digest-only"] is True and registry["prefix"] == registry["location"] == entry["source"]
    assert [mirror["location"] for mirror in registry["mirror"]] == entry["mirrors"]


def test_every_webhook_is_checked_against_the_secret() -> None:
    (listener,) = of_kind(built(MANIFESTS / "core" / "triggers"), "EventListener")
    for trigger in listener["spec"]["triggers"]:
        first = trigger["interceptors"][0]
        secret = {one["name"]: one["value"] for one in first["params"]}["secretRef"]
        assert first["ref"]["name"] in ("github", "gitlab"), "nothing is read before the signature is checked"
        assert secret == {"secretName": "webhook-secret", "secretKey": "token"}


@pytest.mark.parametrize(("file", "name"), [("access.yaml", "fleet-writer"), ("queries.yaml", "fleet-reader")])
def test_who_may_write_figures_or_read_them_is_who_the_gateway_asks_for(file: str, name: str) -> None:
    objects = built(MANIFESTS / "core" / "monitoring")
    (access,) = [one for one in of_kind(objects, "ConfigMap") if file in one.get("data", {})]
    asked = yaml.safe_load(access["data"][file])["authorization"]["resourceAttributes"]
    (role,) = [one for one in of_kind(objects, "Role") if one["metadata"]["name"] == name]
    resource = f"{asked['resource']}/{asked['subresource']}"
    assert role["rules"] == [{"apiGroups": [asked["apiGroup"]], "resources": [resource], "verbs": ["create"]}]
    assert role["metadata"]["namespace"] == asked["namespace"]
    (prometheus,) = of_kind(objects, "Prometheus")
    (proxy,) = [one for one in prometheus["spec"]["containers"] if any(file in text for text in one["args"])]
    path = {"access.yaml": "/api/v1/write", "queries.yaml": "/api/v1/query"}[file]
    assert f"--allow-paths={path}" in proxy["args"], "who may do one must not get to the other"
