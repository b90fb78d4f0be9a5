"""From a release record to the files of a GitOps repository: pure functions, the same text for the same values.

    models/MODEL/base/                      what runs, and the record of it
    models/MODEL/base/components/NAME/      what a site may take besides: route, ingress, monitoring
    sites/SITE/MODEL/kustomization.yaml     which sites run it, and how each is reached

The base says nothing of a site, and the components lie in it, so that a folder of a release is complete in itself: a
copy of it under `models/MODEL/releases/ID/` is what a site is held at. There is no tag anywhere: an image is named by
its digest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nearedge.delivery import reference
from nearedge.delivery.gitops import exposure, manifests
from nearedge.delivery.gitops.manifests import Object
from nearedge.errors import InputError
from nearedge.release import record as records
from nearedge.release.profile import Profile
from nearedge.release.record import Record
from nearedge.release.sections import ImageSection

Tree = dict[str, str]
"""Text by path."""

Flavour = Literal["deployment", "kserve"]
Expose = Literal["route", "ingress", "none"]

SITE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
SITE_IN_HOST = "{site}"
COMPONENT = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
KUSTOMIZATION = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
CANNOT_BE_PULLED = """\
The image of this release is a layout on the disk of the machine that built it ({url}), and no node can pull
that. The reference below names it by digest all the same; build with image=registry/name:tag to deploy it."""
README = """\
# What runs where

    models/MODEL/base/                      a model server, by image digest, and release.json, the record of the release
    sites/SITE/MODEL/kustomization.yaml     the models that a site runs

`kubectl kustomize sites/SITE/MODEL` shows what a site gets; `kubectl apply -k sites/SITE/MODEL` or a GitOps agent that
follows `sites/SITE/*` brings it there. Both name no namespace: it is the one you apply to.

Commits are made by nearedge's Task publish-gitops, one for each release of a model. It replaces `models/MODEL/` and the
`sites/SITE/MODEL/` that it was asked for and touches nothing else. To go back to an earlier release, revert its commit.
"""


@dataclass(frozen=True)
class Choices:
    """What a person chooses of how a release is deployed; the record and the profile say the rest.

    `flavour` is of the base, which all sites share; `expose`, `host` and `monitoring` are of the sites' overlays. In
    `host` each `{site}` stands for the site's name; empty, OpenShift makes one up for a Route.
    """

    flavour: Flavour = "deployment"
    expose: Expose = "none"
    host: str = ""
    monitoring: bool = True

    def host_of(self, site: str) -> str:
        """The host name at one site. Raises InputError where it is none, or where an Ingress has none."""
        host = self.host.replace(SITE_IN_HOST, site)
        if self.expose == "ingress" and not host:
            raise InputError("expose=ingress needs a host, such as digits.{site}.example.com")
        if host and not HOST.fullmatch(host):
            raise InputError(f"host {self.host!r}: gives {host!r} at site {site}, which is no host name")
        return host


DEFAULT = Choices()


def render(record: Record, profile: Profile, sites: Sequence[str], choices: Choices = DEFAULT) -> Tree:
    """All files of one release, and the README of a new repository.

    Raises InputError where the record has no image, or a site's name or its host is none.
    """
    if record.evidence.image is None:
        raise InputError("the release has no image yet; build-serving-image has to run first")
    name = record.identity.name
    files = base(record, profile, record.evidence.image)
    tree = {"README.md": README}
    tree |= {f"models/{name}/base/{file}": text for file, text in files.items()}
    wanted = [part for part in taken(choices) if f"components/{part}/kustomization.yaml" in files]
    for site in sites:
        if not SITE.fullmatch(site):
            raise InputError(f"site {site!r}: give lower-case letters, digits and '-', 63 at the most")
        tree[f"sites/{site}/{name}/kustomization.yaml"] = overlay(site, name, wanted, choices)
    return tree


def base(record: Record, profile: Profile, image: ImageSection) -> Tree:
    """The files of `models/MODEL/base/`."""
    comment = CANNOT_BE_PULLED.format(url=image.url) if is_layout(image) else ""
    name = record.identity.name
    objects = {
        "deployment.yaml": document(manifests.deployment(record, profile, image_name(record, image)), comment),
        "network-policy.yaml": document(manifests.network_policy(record)),
        "service-account.yaml": document(manifests.service_account(record)),
        "service.yaml": document(manifests.service(record)),
    }
    kustomization = {
        **KUSTOMIZATION,
        "resources": sorted(objects),
        "configMapGenerator": [
            {
                "name": f"{name}-release",
                "files": [records.IDENTITY_FILE],
                "options": {"disableNameSuffixHash": True, "labels": manifests.labels(record)},
            }
        ],
    }
    files = {**objects, "kustomization.yaml": document(kustomization), records.IDENTITY_FILE: records.dump(record)}
    return files | components(record)


def components(record: Record) -> Tree:
    """The files of `components/`, one folder a component; one without an object is left out."""
    found: dict[str, dict[str, Object]] = {
        "ingress": {"ingress.yaml": exposure.ingress(record)},
        "route": {"route.yaml": exposure.route(record)},
    }
    tree: Tree = {}
    for name, objects in found.items():
        if objects:
            tree[f"components/{name}/kustomization.yaml"] = document({**COMPONENT, "resources": sorted(objects)})
            tree |= {f"components/{name}/{file}": document(body) for file, body in objects.items()}
    return tree


def taken(choices: Choices) -> list[str]:
    """The components that a site takes."""
    return sorted({choices.expose} - {"none"} | ({"monitoring"} if choices.monitoring else set()))


def overlay(site: str, name: str, components: Sequence[str], choices: Choices = DEFAULT) -> str:
    """What makes a site run a model: the release's folder, some of its components, and the host at this site."""
    place = f"../../../models/{name}/base"
    body: Object = {**KUSTOMIZATION, "resources": [place]}
    if components:
        body["components"] = [f"{place}/components/{component}" for component in components]
    body["labels"] = [{"pairs": {"nearedge.dev/site": site}, "includeTemplates": True}]
    patches = exposure.host_patches(choices.expose, choices.host_of(site))
    return document({**body, "patches": patches} if patches else body)


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
