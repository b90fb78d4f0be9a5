"""From a release record to the files of a GitOps repository: pure functions, the same text for the same values.

    models/MODEL/base/                      what runs, and the record of it
    models/MODEL/base/components/NAME/      what a site may take besides: route, ingress, monitoring
    sites/SITE/MODEL/kustomization.yaml     which sites run it, and how each is reached

The base says nothing of a site, and the components lie in it, so that a folder of a release is complete in itself: a
copy of it under `models/MODEL/releases/ID/` is what a site is held at. There is no tag anywhere: an image is named by
its digest.
"""

import re
from collections.abc import Mapping, Sequence

from nearedge.delivery import monitoring, reference
from nearedge.delivery.gitops import exposure, kserve, manifests, surroundings
from nearedge.delivery.gitops import overlay as overlays
from nearedge.delivery.gitops.choices import DEFAULT, Choices
from nearedge.delivery.gitops.manifests import Object
from nearedge.delivery.gitops.overlay import KUSTOMIZATION, Placement
from nearedge.delivery.gitops.small_record import for_config_map
from nearedge.errors import InputError
from nearedge.release import record as records
from nearedge.release.profile import Profile
from nearedge.release.record import Record
from nearedge.release.sections import ImageSection

__all__ = ["Choices", "Tree", "document", "image_name", "image_of", "is_layout", "placements", "render", "settled"]

Tree = dict[str, str]
"""Text by path."""

SITE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
COMPONENT = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
IN_CONFIG_MAP = "release-small.json"
CANNOT_BE_PULLED = """\
The image of this release is a layout on the disk of the machine that built it ({url}), and no node can pull
that. The reference below names it by digest all the same; build with image=registry/name:tag to deploy it."""
README = """\
# What runs where

    models/MODEL/base/                      the newest release, by image digest, and release.json, its record
    models/MODEL/base/components/NAME/      what a site may take besides: a way in from outside, monitoring
    models/MODEL/releases/ID/               an earlier release, there while a site is held at it
    sites/SITE/MODEL/kustomization.yaml     the models that a site runs, each with the release that it runs
    sites/SITE/kustomization.yaml           all of them, for an agent that follows the whole site

`kubectl kustomize sites/SITE/MODEL` shows what a site gets; `kubectl apply -k sites/SITE/MODEL` or a GitOps agent that
follows `sites/SITE/*` brings it there. Both name no namespace: it is the one you apply to.

Commits are made by nearedge's Tasks, publish-gitops for a release and rollback-model for the way back. They replace
`models/MODEL/` and the `sites/SITE/MODEL/` that they were asked for, and the lists of these sites; what other sites run
stays as it is.
"""


def render(
    record: Record,
    profile: Profile,
    sites: Sequence[str],
    choices: Choices = DEFAULT,
    profiles: Mapping[str, Profile] | None = None,
) -> Tree:
    """All files of one release, and the README of a new repository; `profiles` are those of single sites.

    Raises InputError where the record has no image, a site's name or its host is none, or the model does not fit a
    site's own profile.
    """
    name = record.identity.name
    files = base(record, profile, image_of(record), choices)
    tree = {"README.md": README}
    tree |= {f"models/{name}/base/{file}": text for file, text in files.items()}
    wanted = [part for part in choices.components if f"components/{part}/kustomization.yaml" in files]
    for site, placed in placements(record, profile, sites, choices, profiles).items():
        text = document(overlays.overlay(site, name, wanted, placed.patches))
        tree[f"sites/{site}/{name}/kustomization.yaml"] = text
    return tree


def placements(
    record: Record,
    profile: Profile,
    sites: Sequence[str],
    choices: Choices = DEFAULT,
    profiles: Mapping[str, Profile] | None = None,
) -> dict[str, Placement]:
    """How the model lies on each site's node, by site. Raises InputError as `render` does."""
    found = {}
    for site in sites:
        if not SITE.fullmatch(site):
            raise InputError(f"site {site!r}: give lower-case letters, digits and '-', 63 at the most")
        found[site] = overlays.placement(record, site, profile, (profiles or {}).get(site), choices)
    return found


def image_of(record: Record) -> ImageSection:
    """The release's image. Raises InputError where it has none yet."""
    if record.evidence.image is None:
        raise InputError("the release has no image yet; build-serving-image has to run first")
    return record.evidence.image


def base(record: Record, profile: Profile, image: ImageSection, choices: Choices = DEFAULT) -> Tree:
    """The files of `models/MODEL/base/`."""
    comment = CANNOT_BE_PULLED.format(url=image.url) if is_layout(image) else ""
    objects = workload(record, profile, image, choices)
    named = image_name(record, image)
    texts = {file: document(body, comment if named in str(body) else "") for file, body in objects.items()}
    whole = records.dump(record)
    small = for_config_map(record)
    kept = records.IDENTITY_FILE if small == whole else f"{records.IDENTITY_FILE}={IN_CONFIG_MAP}"
    kustomization = {
        **KUSTOMIZATION,
        "resources": sorted(objects),
        "configMapGenerator": [
            {
                "name": f"{record.identity.name}-release",
                "files": [kept],
                "options": {"disableNameSuffixHash": True, "labels": manifests.labels(record)},
            }
        ],
    }
    files = {**texts, "kustomization.yaml": document(kustomization), records.IDENTITY_FILE: whole}
    if small != whole:
        files[IN_CONFIG_MAP] = small
    return files | components(record, profile, modelcar=is_modelcar(image))


def workload(record: Record, profile: Profile, image: ImageSection, choices: Choices) -> dict[str, Object]:
    """The objects of the base by file name. Raises InputError for a modelcar that no server would serve."""
    named, modelcar = image_name(record, image), is_modelcar(image)
    if choices.flavour == "kserve":
        pods = kserve.pods(record, modelcar=modelcar)
        bare = image.base_kind == "scratch"
        model = (
            kserve.served_by_platform(choices.runtime, named, native=bare) if modelcar else kserve.served_by_us(record)
        )
        makers = {"inference-service.yaml": kserve.inference_service(record, profile, model)}
        if not modelcar:
            makers["serving-runtime.yaml"] = kserve.serving_runtime(record, profile, named)
    elif modelcar:
        raise InputError(f"{image.url}: is a modelcar, which holds no server; render it with flavour=kserve")
    else:
        pods = surroundings.of_deployment(record)
        makers = {"deployment.yaml": manifests.deployment(record, profile, named)}
    return {
        **makers,
        "disruption-budget.yaml": surroundings.disruption_budget(record, pods),
        "network-policy.yaml": surroundings.network_policy(record, pods),
        "service-account.yaml": surroundings.service_account(record),
        "service.yaml": surroundings.service(record, pods),
    }


def components(record: Record, profile: Profile, *, modelcar: bool = False) -> Tree:
    """The files of `components/`, one folder a component.

    A modelcar has no monitoring: the rules and the dashboard are of our server's metrics, and another server runs it.
    """
    found: dict[str, dict[str, Object]] = {
        "ingress": {"ingress.yaml": exposure.ingress(record)},
        "monitoring": {} if modelcar else monitoring.component(record, profile),
        "route": {"route.yaml": exposure.route(record)},
    }
    tree: Tree = {}
    for name, objects in found.items():
        if objects:
            tree[f"components/{name}/kustomization.yaml"] = document({**COMPONENT, "resources": sorted(objects)})
            tree |= {f"components/{name}/{file}": document(body) for file, body in objects.items()}
    return tree


def is_modelcar(image: ImageSection) -> bool:
    """Whether the image holds a model without a server."""
    return image.flavour == "modelcar"


def is_layout(image: ImageSection) -> bool:
    """Whether the image is a layout on disk, which no node can pull."""
    return reference.parse(image.url, allow_layout=True).is_layout


def image_name(record: Record, image: ImageSection) -> str:
    """The image by digest, without a tag; a layout on disk gets a name of this machine."""
    place = f"localhost/{record.identity.name}"
    if not is_layout(image):
        parsed = reference.parse(image.url)
        place = f"{parsed.registry}/{parsed.name}"
    return f"{place}@{image.digest}"


def document(body: Object, comment: str = "") -> str:
    """YAML text with keys in the order given, under a comment."""
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return lines + manifests.text(body)


def settled(now: Record, before: Record | None, *, remeasure: bool) -> Record:
    """The record to publish: evidence is gathered once for a release, so that a repeated run changes nothing.

    Where `before` is the same release (identity and image digest), its evidence stays, unless `remeasure` asks for
    what was measured now. Where the image now lies in another repository, only that is new.
    """
    if remeasure or before is None or before.identity != now.identity:
        return now
    old, new = before.evidence.image, now.evidence.image
    if old is None or new is None or old.digest != new.digest:
        return now
    if image_name(before, old) == image_name(now, new):
        return before
    return Record(identity=now.identity, evidence=before.evidence.model_copy(update={"image": new}))
