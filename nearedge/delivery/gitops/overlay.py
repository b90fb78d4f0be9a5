"""What one site says of a model: which release's folder, which of its components, and what is its own.

A site has a profile of its own where it was given one; otherwise it takes the base as it is. What differs from the base
then, and only that, is patched (RFC 6902): the CPU that the node can give, and the strategy where a second pod fits one
node and not the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nearedge.delivery.gitops import exposure, manifests
from nearedge.delivery.gitops.choices import Choices, Flavour
from nearedge.delivery.gitops.manifests import NOTHING, Object, Resources, Used
from nearedge.errors import InputError
from nearedge.release.profile import Profile
from nearedge.release.record import Record

KUSTOMIZATION = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
SITE_LABEL = "nearedge.dev/site"


@dataclass(frozen=True)
class Workload:
    """The object that makes the pods, and where its parts lie (JSON pointers); `server`: where our container does."""

    kind: str
    strategy: str
    resources: str
    server: tuple[str, str]


WORKLOADS: dict[Flavour, Workload] = {
    "deployment": Workload(
        "Deployment", "/spec/strategy", "/spec/template/spec/containers/0/resources",
        ("Deployment", "/spec/template/spec/containers/0"),
    ),
    "kserve": Workload(
        "InferenceService", "/spec/predictor/deploymentStrategy", "/spec/predictor/model/resources",
        ("ServingRuntime", "/spec/containers/0"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """What a site's node means for the model: the pod's share of it, how the next release starts, and what differs."""

    share: Resources
    strategy: Object
    note: str
    patches: list[Object]


def overlay(site: str, name: str, components: Sequence[str], patches: Sequence[Object]) -> Object:
    """What makes a site run a model: the release's folder, some of its components, and patches."""
    place = f"../../../models/{name}/base"
    body: Object = {**KUSTOMIZATION, "resources": [place]}
    if components:
        body["components"] = [f"{place}/components/{component}" for component in components]
    body["labels"] = [{"pairs": {SITE_LABEL: site}, "includeTemplates": True}]
    return {**body, "patches": list(patches)} if patches else body


def placement(record: Record, site: str, profile: Profile, own: Profile | None, choices: Choices) -> Placement:
    """How the model lies on one site's node; `own` is the site's profile where it has one, `profile` the base's.

    Raises InputError where the model as measured does not fit the site's own profile.
    """
    share = common = manifests.resources(record, profile)
    if own is not None:
        share = fitted(record, site, common, own)
    strategy, note = manifests.rollout(share, own or profile, used_by_others(record, site))
    workload = WORKLOADS[choices.flavour]
    found = exposure.host_patches(choices.expose, choices.host_at(site))
    replaced: dict[str, list[Object]] = {}
    usual, usual_note = manifests.rollout(common, profile)
    if share != common:
        replace_at(replaced, workload.kind, workload.resources, manifests.limits(share))
    if (strategy, note) != (usual, usual_note):
        note_at = f"/metadata/annotations/{manifests.STRATEGY_NOTE.replace('/', '~1')}"
        replace_at(replaced, workload.kind, workload.strategy, strategy)
        replace_at(replaced, workload.kind, note_at, note)
    drain = manifests.drain_s(strategy)
    if drain != manifests.drain_s(usual) and not is_modelcar(record):
        kind, container = workload.server
        place = list(manifests.settings("")).index(manifests.DRAIN)
        replace_at(replaced, kind, f"{container}/env/{place}/value", str(drain))
    found += [{"target": {"kind": kind}, "patch": manifests.text(patch)} for kind, patch in replaced.items()]
    return Placement(share, strategy, note, found)


def is_modelcar(record: Record) -> bool:
    """Whether another server than ours runs it, which drains as it likes."""
    return record.evidence.image is not None and record.evidence.image.flavour == "modelcar"


def replace_at(patches: dict[str, list[Object]], kind: str, path: str, value: object) -> None:
    """Add a replacement (RFC 6902) to the patch of objects of that kind."""
    patches.setdefault(kind, []).append({"op": "replace", "path": path, "value": value})


def fitted(record: Record, site: str, share: Resources, own: Profile) -> Resources:
    """The share on a node of another profile: memory as measured, CPU at most what that node gives one model.

    Raises InputError where the memory is more than that.
    """
    if manifests.measured(record) is None:
        return manifests.resources(record, own)
    name = record.identity.name
    if share.memory_limit_mib > own.model.memory_mib:
        raise InputError(
            f"site {site}: {name} needs {share.memory_limit_mib} MiB, and profile {own.name} gives one model "
            f"{own.model.memory_mib} MiB; leave the site out, or give it another profile"
        )
    most_m = round(own.model.cpu * 1000)
    limit_m = min(share.cpu_limit_m, most_m)
    return replace(share, cpu_limit_m=limit_m, cpu_request_m=min(share.cpu_request_m, limit_m))


def used_by_others(record: Record, site: str) -> Used:
    """What the site's other models ask for, where benchmark-model saw them in git; else nothing."""
    benchmark = record.evidence.benchmark
    seen = next((one for one in benchmark.sites if one.site == site), None) if benchmark else None
    return Used(seen.used_mib, seen.used_cpu_m or 0) if seen else NOTHING
