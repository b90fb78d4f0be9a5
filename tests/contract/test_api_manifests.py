"""manifests/ of both APIs: what they may do is what is listed here, and their options are the program's."""

import ast
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nearedge.api.cluster.connection import Cluster
from nearedge.api.edge.cluster.applications import overruled
from nearedge.delivery.gitops.surroundings import CALLERS
from scripts import api, api_edge
from tests.kustomize import Object, built, needs_kustomize, of_kind, pods
from tests.manifested import MANIFESTS, Rights, arguments, deployment, environment, pod_of, rights, rules

pytestmark = needs_kustomize

ROOT = Path(__file__).parents[2]
SNO, MICROSHIFT = "edge/examples/sno", "edge/examples/microshift"
CALLER, ACCOUNT = "core/api", "core/api-service-account"
SITES, CORES = (SNO, MICROSHIFT), (CALLER, ACCOUNT)
NAMESPACES = {SNO: "nearedge-edge", MICROSHIFT: "nearedge-edge", CALLER: "nearedge-core", ACCOUNT: "nearedge-core"}
ADDED = {
    "edge/components/api-volume": MICROSHIFT,
    "core/components/signed-commits": CALLER,
    "core/components/checked-images": ACCOUNT,
    "core/components/fleet-metrics": CALLER,
}
BY_TAG = {"quay.io/prometheus/prometheus:v3.5.0", "quay.io/brancz/kube-rbac-proxy:v0.19.1"}
BY_DIGEST = re.compile(r"[a-z0-9.:-]+(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}")
LOOK = {"get", "list", "watch"}


def objects_of(folder: str, added: str = "", tmp_path: Path | None = None) -> list[Object]:
    """A folder as built, with a component added to a copy of it where one is named."""
    if not added or tmp_path is None:
        return built(MANIFESTS / folder)
    copy = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, copy)
    (copy / "with").mkdir()
    body = {"kind": "Kustomization", "resources": [f"../{folder}"], "components": [f"../{added}"]}
    (copy / "with" / "kustomization.yaml").write_text(yaml.safe_dump(body))
    return built(copy / "with")


def options_of(objects: list[Object]) -> tuple[str, dict[str, object]]:
    """Which API, and its options as the program reads them."""
    (container,) = pod_of(objects)["containers"]
    program, which, *given = arguments(container)
    assert program == "api"
    found = api_edge.parser().parse_args(given) if which == "edge" else api.parser().parse_args([which, *given])
    return which, vars(found)


JUDGE = {("", "", "system:auth-delegator", ""): {"bound"}}
AT_A_SITE = {
    ("nearedge-models", "", "pods", ""): LOOK | {"create", "delete"},
    ("nearedge-models", "", "pods/log", ""): {"get"},
    ("nearedge-models", "", "events", ""): {"list", "watch"},
    ("nearedge-models", "apps", "deployments", ""): {"list", "watch"},
}
ARGO_CD = {
    ("openshift-gitops", "argoproj.io", "applications", ""): {"get", "patch"},
    ("openshift-gitops", "argoproj.io", "applicationsets", "nearedge"): {"get"},
}
ARGO_CD_ALONE = {("openshift-gitops", "argoproj.io", "applications", "nearedge"): {"get", "patch"}}
METRICS = {("openshift-monitoring", "monitoring.coreos.com", "prometheuses/api", "k8s"): {"get"}}
RUNS = {
    ("nearedge", "tekton.dev", "pipelineruns", ""): LOOK | {"create", "patch", "delete"},
    ("nearedge", "tekton.dev", "taskruns", ""): {"list", "watch"},
    ("nearedge", "tekton.dev", "pipelines", ""): {"list"},
    ("nearedge", "tekton.dev", "tasks", ""): {"list"},
    ("nearedge", "", "pods", ""): {"get"},
    ("nearedge", "", "pods/log", ""): {"get"},
}


@pytest.mark.parametrize(
    ("folder", "wanted"),
    [
        (SNO, AT_A_SITE | JUDGE | ARGO_CD | METRICS),
        (MICROSHIFT, AT_A_SITE | JUDGE | ARGO_CD_ALONE),
        (CALLER, {}),
        (ACCOUNT, RUNS | JUDGE),
    ],
)
def test_the_account_may_do_this_and_nothing_else(folder: str, wanted: Rights) -> None:
    assert rights(built(MANIFESTS / folder), NAMESPACES[folder]) == wanted


def test_with_callers_tokens_the_pod_has_none(tmp_path: Path) -> None:
    objects = built(MANIFESTS / CALLER)
    assert pod_of(objects)["automountServiceAccountToken"] is False
    assert not of_kind(objects, "Role") and not of_kind(objects, "RoleBinding")
    (kept,) = [one for one in of_kind(objects, "ConfigMap") if "kubeconfig" in one.get("data", {})]
    (container,) = pod_of(objects)["containers"]
    told = environment(container)
    folder, _, name = told["KUBECONFIG"].rpartition("/")
    assert name == "kubeconfig" and folder in {one["mountPath"] for one in container["volumeMounts"]}
    file = tmp_path / name
    shutil.copy(ROOT / "manifests/edge/components/registry-openshift/registry-ca.crt", tmp_path / "ca.crt")
    file.write_text(kept["data"]["kubeconfig"].replace(folder, str(tmp_path)))
    cluster = Cluster.found(file)
    assert (cluster.namespace, cluster.server) == ("nearedge", "https://kubernetes.default.svc")
    assert "users" not in yaml.safe_load(kept["data"]["kubeconfig"])


@pytest.mark.parametrize("folder", [*SITES, *CORES])
def test_the_programs_options(folder: str) -> None:
    """The program's own parser takes them; a file or folder that they name is mounted."""
    objects = built(MANIFESTS / folder)
    which, options = options_of(objects)
    (container,) = pod_of(objects)["containers"]
    mounted = [one["mountPath"] for one in container["volumeMounts"]]
    mounted += ["/var/run/secrets/kubernetes.io/serviceaccount"] * pod_of(objects)["automountServiceAccountToken"]
    for value in options.values():
        if isinstance(value, Path):
            assert any(str(value).startswith(place) for place in mounted), value
    told = environment(container)
    assert told["NEAREDGE_HOME"] in mounted and "/tmp" in mounted
    assert options["port"] == container["ports"][0]["containerPort"] and options["tls_cert"] and options["tls_key"]
    assert options["behind_proxy"], "all who come by the router would be one address"
    if which == "edge":
        assert (options["site"], options["source"], options["namespace"]) == ("site-1", "cluster", "nearedge-models")
        assert options["git_url"] == "https://git.example.com/edge/gitops.git"
    else:
        assert (options["engine"], options["namespace"]) == ("tekton", "nearedge")
        assert options["cluster_access"] == ("caller" if folder == CALLER else "service-account")


@pytest.mark.parametrize("folder", SITES)
def test_the_applications_are_those_of_the_site(folder: str) -> None:
    objects = built(MANIFESTS / folder)
    _, options = options_of(objects)
    if folder == SNO:
        (found,) = of_kind(objects, "ApplicationSet")
        name = found["spec"]["template"]["metadata"]["name"].replace("{{ .path.basename }}", "{model}")
        assert not overruled({"spec": {}, "metadata": {"name": "nearedge-digits"}}, found)
    else:
        (found,) = of_kind(objects, "Application")
        name = found["metadata"]["name"]
    assert options["application"] == name
    assert options["argocd_namespace"] == found["metadata"]["namespace"]


@pytest.mark.parametrize("folder", [*SITES, *CORES])
def test_it_stays_where_a_source_is_missing_and_nothing_but_its_port_is_open(folder: str) -> None:
    objects, namespace = built(MANIFESTS / folder), NAMESPACES[folder]
    pod = pod_of(objects)
    (container,) = pod["containers"]
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert probes == [{"path": "/healthz", "port": "https", "scheme": "HTTPS"}] * 3
    assert deployment(objects)["spec"]["strategy"] == {"type": "Recreate"}
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}
    ours = [one for one in objects if one["metadata"].get("namespace") == namespace]
    (service,), (route,), (policy,) = (of_kind(ours, kind) for kind in ("Service", "Route", "NetworkPolicy"))
    certificate = service["metadata"]["annotations"]["service.beta.openshift.io/serving-cert-secret-name"]
    secrets = {
        one["secret"]["secretName"]: one["secret"].get("optional", False) for one in pod["volumes"] if "secret" in one
    }
    own = {"nearedge-log-control": True} if folder in SITES else {}
    assert secrets == {certificate: False, "nearedge-git": True, **own}
    assert route["spec"]["tls"] == {"termination": "reencrypt", "insecureEdgeTerminationPolicy": "None"}
    assert route["spec"]["to"]["name"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= deployment(objects)["spec"]["template"]["metadata"]["labels"].items()
    assert policy["spec"]["podSelector"] == {} and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    (way_in,) = policy["spec"]["ingress"]
    assert way_in["ports"] == [{"protocol": "TCP", "port": "https"}] and all(
        "namespaceSelector" in one for one in way_in["from"]
    )
    for variable in container["env"]:
        assert "valueFrom" not in variable, "what is secret comes as a file"


@pytest.mark.parametrize("folder", SITES)
def test_the_models_let_it_in(folder: str) -> None:
    (namespace,) = [
        one for one in of_kind(built(MANIFESTS / folder), "Namespace") if one["metadata"]["name"] == "nearedge-edge"
    ]
    assert any(label.items() <= namespace["metadata"]["labels"].items() for label in CALLERS)


@pytest.mark.parametrize(("added", "folder"), ADDED.items())
def test_what_may_be_added(added: str, folder: str, tmp_path: Path) -> None:
    objects = objects_of(folder, added, tmp_path)
    options_of(objects)
    pod = pod_of(objects)
    (container,) = pod["containers"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert {one["name"] for one in container["volumeMounts"]} == set(volumes)
    if added.endswith("fleet-metrics"):
        token, _ = volumes["fleet-metrics"]["projected"]["sources"]
        gateway = of_kind(built(MANIFESTS / "core/monitoring"), "Prometheus")[0]["spec"]["containers"]
        assert f"--auth-token-audiences={token['serviceAccountToken']['audience']}" in gateway[1]["args"]
        assert rights(objects, "nearedge-core") == {("nearedge-fleet", "", "fleet-reader", ""): {"bound"}}
    if added.endswith("api-volume"):
        (claim,) = of_kind(objects, "PersistentVolumeClaim")
        assert volumes["data"] == {"name": "data", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}


@pytest.mark.parametrize(
    ("folder", "name", "wanted"),
    [
        (SNO, "nearedge-models-view", {("nearedge.dev", "models", "", "get")}),
        (SNO, "nearedge-models-manage", {("nearedge.dev", "models", "", verb) for verb in ("get", "update")}),
    ],
)
def test_roles_for_people_at_a_site(folder: str, name: str, wanted: set[tuple[str, str, str, str]]) -> None:
    (role,) = [one for one in of_kind(built(MANIFESTS / folder), "ClusterRole") if one["metadata"]["name"] == name]
    assert set(rules(role)) == wanted


def test_roles_for_people_at_the_core() -> None:
    """Who may manage runs may do what the API does in its own name, and look at all of it with kubectl."""
    objects = built(MANIFESTS / "core/pipelines")
    roles = {one["metadata"]["name"]: set(rules(one)) for one in of_kind(objects, "ClusterRole")}
    needed = {(group, what, name, verb) for (_, group, what, name), verbs in RUNS.items() for verb in verbs}
    assert needed <= roles["nearedge-runs-manage"]
    changing = {("tekton.dev", "pipelineruns", "", verb) for verb in ("create", "patch", "delete")}
    assert roles["nearedge-runs-manage"] - roles["nearedge-runs-view"] == changing
    assert {verb for *_, verb in roles["nearedge-runs-view"]} == LOOK


@pytest.mark.parametrize(
    "path", sorted(MANIFESTS.rglob("kustomization.yaml")), ids=lambda path: str(path.parent.relative_to(MANIFESTS))
)
def test_images_are_named_by_digest(path: Path) -> None:
    if "kind: Component" in path.read_text():
        return
    for pod in pods(built(path.parent)):
        for container in pod["containers"]:
            assert BY_DIGEST.fullmatch(container["image"]) or container["image"] in BY_TAG


def test_the_image_has_what_the_apis_need_and_not_what_models_need() -> None:
    stages = (ROOT / "step_images" / "Containerfile").read_text().split("\nFROM ")
    (stage,) = [one for one in stages if one.splitlines()[0].endswith(" AS api")]
    assert "install.sh web" in stage and "USER 1001" in stage and "${BASE_IMAGE}" in stage
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found = set(names("web", extras))
    assert {"fastapi", "uvicorn", "lightkube", "jinja2"} <= found and not found & {"openvino", "boto3", "torch"}
    assert found <= set(names("api", extras))


def names(extra: str, extras: dict[str, list[str]]) -> Iterator[str]:
    """The packages of an extra, those of the extras that it names too."""
    for requirement in extras[extra]:
        name, _, inner = re.split(r"[=<>]", requirement)[0].partition("[")
        if name == "nearedge":
            for one in inner.rstrip("]").split(","):
                yield from names(one, extras)
        else:
            yield name


def test_the_apis_import_nothing_that_the_image_lacks() -> None:
    """What openvino or boto3 is imported for lies inside functions."""
    for path in (ROOT / "nearedge").rglob("*.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                module = statement.module if isinstance(statement, ast.ImportFrom) else statement.names[0].name
                assert (module or "").split(".")[0] not in {"openvino", "boto3", "botocore"}, path
