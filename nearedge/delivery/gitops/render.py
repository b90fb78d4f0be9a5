"""From a release record to the files of a GitOps repository: pure functions, the same text for the same values.

    models/MODEL/base/                      what runs, and the record of it
    sites/SITE/MODEL/kustomization.yaml     which sites run it

There is no PodDisruptionBudget: with one pod on one node it could only keep the node from being drained. There is no
tag anywhere: an image is named by its digest.
"""

import re
from collections.abc import Mapping, Sequence

import yaml

from nearedge.delivery import reference
from nearedge.delivery.gitops import manifests
from nearedge.delivery.gitops.manifests import Object
from nearedge.errors import InputError
from nearedge.release import record as records
from nearedge.release.profile import Profile
from nearedge.release.record import Record
from nearedge.release.sections import ImageSection

Tree = dict[str, str]
"""Text by path."""

SITE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
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


def render(record: Record, profile: Profile, sites: Sequence[str]) -> Tree:
    """All files of one release, and the README of a new repository.

    Raises InputError where the record has no image, or a site's name is none.
    """
    if record.evidence.image is None:
        raise InputError("the release has no image yet; build-serving-image has to run first")
    name = record.identity.name
    tree = {"README.md": README}
    tree |= {f"models/{name}/base/{file}": text for file, text in base(record, profile, record.evidence.image).items()}
    for site in sites:
        if not SITE.fullmatch(site):
            raise InputError(f"site {site!r}: give lower-case letters, digits and '-', 63 at the most")
        tree[f"sites/{site}/{name}/kustomization.yaml"] = overlay(site, name)
    return tree


def base(record: Record, profile: Profile, image: ImageSection) -> Tree:
    """The files of `models/MODEL/base/`."""
    comment = CANNOT_BE_PULLED.format(url=image.url) if is_layout(image) else ""
    name = record.identity.name
    objects: Mapping[str, str] = {
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
    return {**objects, "kustomization.yaml": document(kustomization), records.IDENTITY_FILE: records.dump(record)}


def overlay(site: str, name: str) -> str:
    """What makes a site run a model."""
    body = {
        **KUSTOMIZATION,
        "resources": [f"../../../models/{name}/base"],
        "labels": [{"pairs": {"nearedge.dev/site": site}, "includeTemplates": True}],
    }
    return document(body)


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
    return lines + yaml.safe_dump(body, sort_keys=False, default_flow_style=False, width=120, allow_unicode=True)


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
