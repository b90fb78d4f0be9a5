"""What is a site's own: the way in, its node, and what it runs besides."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.rendered import modelcar
from nearedge.delivery.gitops import manifests, overlay, render
from nearedge.delivery.gitops.choices import Choices, Expose, Flavour
from nearedge.errors import InputError
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.profile import Profile, Share
from nearedge.release.record import Record
from nearedge.release.sections import SiteFit

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
PROFILE = profiles.read("microshift-small")
"""2048 MiB and 1500m are left for models; digits takes 192 MiB and 250m."""
LARGE = profiles.read("sno-small")
ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def small(memory_mib: int, cpu: float = 1.0) -> Profile:
    node = Share(cpu=2, memory_mib=PROFILE.platform.memory_mib + memory_mib)
    return PROFILE.model_copy(update={"name": "tiny", "node": node, "model": Share(cpu=cpu, memory_mib=memory_mib)})


def seen(site: str, used_mib: int, used_cpu_m: int | None = 0) -> Record:
    assert RECORD.evidence.benchmark is not None
    fit = SiteFit(
        site=site, others=["x"], used_mib=used_mib, used_cpu_m=used_cpu_m, free_mib=0, fits=True, because="it does"
    )
    benchmark = RECORD.evidence.benchmark.model_copy(update={"sites": [fit]})
    return RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"benchmark": benchmark})})


def of_site(tree: render.Tree, site: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(tree[f"sites/{site}/digits/kustomization.yaml"])
    return document


def patches(tree: render.Tree, site: str) -> dict[str, dict[str, Any]]:
    """Values by path, by kind."""
    found = of_site(tree, site).get("patches", [])
    return {
        one["target"]["kind"]: {change["path"]: change["value"] for change in yaml.safe_load(one["patch"])}
        for one in found
    }


def test_a_site_like_the_base_has_no_patch() -> None:
    tree = render.render(RECORD, PROFILE, ["a", "b"], profiles={"b": PROFILE})
    assert of_site(tree, "a") == {
        **overlay.KUSTOMIZATION,
        "resources": ["../../../models/digits/base"],
        "components": ["../../../models/digits/base/components/monitoring"],
        "labels": [{"pairs": {"nearedge.dev/site": "a"}, "includeTemplates": True}],
    }
    assert patches(tree, "b") == {}


@pytest.mark.parametrize(
    ("flavour", "kind", "strategy", "resources"),
    [
        ("deployment", "Deployment", "/spec/strategy", "/spec/template/spec/containers/0/resources"),
        ("kserve", "InferenceService", "/spec/predictor/deploymentStrategy", "/spec/predictor/model/resources"),
    ],
)
def test_a_smaller_node_replaces_the_pod_and_gives_less(
    flavour: Flavour, kind: str, strategy: str, resources: str
) -> None:
    own = {"b": small(300, cpu=0.2)}
    tree = render.render(RECORD, PROFILE, ["a", "b"], Choices(flavour=flavour), own)
    found = patches(tree, "b")[kind]
    assert found[strategy] == {"type": "Recreate"}
    assert found[resources]["limits"] == {"cpu": "200m", "memory": "192Mi"}
    assert found[resources]["requests"] == {"cpu": "200m", "memory": "128Mi"}
    assert "no answers" in found["/metadata/annotations/nearedge.dev~1rollout"]
    assert patches(tree, "a") == {}


@pytest.mark.parametrize(
    ("used_mib", "used_cpu_m", "kind"),
    [
        (0, 0, "RollingUpdate"),
        (2048 - 2 * 192, 0, "RollingUpdate"),
        (2048 - 2 * 192 + 1, 0, "Recreate"),
        (0, 1001, "Recreate"),
        (4000, None, "Recreate"),
    ],
)
def test_a_second_pod_only_beside_what_the_site_runs(used_mib: int, used_cpu_m: int | None, kind: str) -> None:
    record = seen("a", used_mib, used_cpu_m)
    placed = render.placements(record, PROFILE, ["a", "b"])
    assert (placed["a"].strategy["type"], placed["b"].strategy) == (kind, ROLLING)
    changed = patches(render.render(record, PROFILE, ["a"]), "a").get("Deployment", {})
    assert changed.get("/spec/strategy", {"type": "RollingUpdate"})["type"] == kind
    if kind == "Recreate":
        assert "beside what the site runs" in placed["a"].note


@pytest.mark.parametrize(
    ("flavour", "kind", "at"),
    [
        ("deployment", "Deployment", "/spec/template/spec/containers/0/env/3/value"),
        ("kserve", "ServingRuntime", "/spec/containers/0/env/3/value"),
    ],
)
def test_a_pod_that_nobody_takes_over_from_drains_for_two_seconds(flavour: Flavour, kind: str, at: str) -> None:
    """Where the base differs from the site the site's overlay says it; the index is that of the variable."""
    for base, own, wanted in ((PROFILE, small(300), "2"), (small(300), LARGE, "10")):
        tree = render.render(RECORD, base, ["a", "b"], Choices(flavour=flavour), {"b": own})
        assert patches(tree, "b")[kind][at] == wanted
        file = "deployment.yaml" if flavour == "deployment" else "serving-runtime.yaml"
        body = yaml.safe_load(tree[f"models/digits/base/{file}"])["spec"]
        (server,) = (body if flavour == "kserve" else body["template"]["spec"])["containers"]
        assert server["env"][3] == {"name": "NEAREDGE_DRAIN_SECONDS", "value": "10" if wanted == "2" else "2"}
        assert all(path != at for path in patches(tree, "a").get(kind, {}))


def test_a_modelcars_server_drains_as_it_likes() -> None:
    tree = render.render(modelcar(RECORD), PROFILE, ["b"], Choices(flavour="kserve"), {"b": small(300)})
    assert patches(tree, "b").keys() <= {"InferenceService"}


def test_a_larger_node_where_the_base_has_no_room() -> None:
    tree = render.render(RECORD, small(300), ["a"], profiles={"a": LARGE})
    found = patches(tree, "a")["Deployment"]
    assert found["/spec/strategy"] == ROLLING
    assert "/spec/template/spec/containers/0/resources" not in found, "what was measured is enough there, too"


def test_a_model_that_does_not_fit_a_sites_node() -> None:
    with pytest.raises(InputError, match="site b: digits needs 192 MiB, and profile tiny gives one model 100 MiB"):
        render.render(RECORD, PROFILE, ["a", "b"], profiles={"b": small(100)})


def test_without_measurements_a_site_gets_its_own_profiles_share() -> None:
    bare = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"benchmark": None})})
    placed = render.placements(bare, PROFILE, ["a", "b"], profiles={"b": LARGE})
    assert placed["b"].share == manifests.resources(bare, LARGE) != placed["a"].share


@pytest.mark.parametrize(
    ("expose", "host", "kind", "changed"),
    [
        ("route", "", None, {}),
        ("route", "m-{site}.example.com", "Route", {"/spec/host": "m-a.example.com"}),
        (
            "ingress", "m.example.com", "Ingress",
            {"/spec/rules/0/host": "m.example.com", "/spec/tls": [{"hosts": ["m.example.com"]}]},
        ),
    ],
)  # fmt: skip
def test_the_way_in(expose: Expose, host: str, kind: str | None, changed: dict[str, Any]) -> None:
    tree = render.render(RECORD, PROFILE, ["a"], Choices(expose=expose, host=host))
    assert f"../../../models/digits/base/components/{expose}" in of_site(tree, "a")["components"]
    assert patches(tree, "a") == ({kind: changed} if kind else {})


def test_what_a_router_may_and_how_long() -> None:
    tree = render.render(RECORD, PROFILE, [])
    route = yaml.safe_load(tree["models/digits/base/components/route/route.yaml"])
    assert route["spec"]["tls"] == {"termination": "edge", "insecureEdgeTerminationPolicy": "None"}
    assert route["spec"]["to"]["name"] == "digits"
    waits_s = int(route["metadata"]["annotations"]["haproxy.router.openshift.io/timeout"].rstrip("s"))
    assert waits_s > manifests.REQUEST_S
    ingress = yaml.safe_load(tree["models/digits/base/components/ingress/ingress.yaml"])
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"] == str(waits_s)
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"] == {"service": {"name": "digits", "port": {"name": "http"}}}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"expose": "ingress"}, "needs a host"),
        ({"host": "x.example.com"}, "nothing to reach by it"),
        ({"runtime": "A B"}, "is no name of a ServingRuntime"),
    ],
)
def test_choices_that_do_not_go_together(made: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Choices(**made)


@pytest.mark.parametrize(
    "host", ["A.example.com", "a b", "x..y", "-a.com", "a." + "b" * 64, "x/y", "a\n", "{other}.com"]
)
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(InputError, match="which is no host name"):
        render.render(RECORD, PROFILE, ["a"], Choices(expose="route", host=host))
