"""What each site of a GitOps repository runs already: from the models' records, else from their manifests.

Read after `deployed.fetch_branch`, from FETCH_HEAD. A site runs a model where `sites/SITE/MODEL/` holds anything. What
neither a record of ours nor a manifest tells stays unknown; it is never taken for nothing.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nearedge.delivery.git import Git
from nearedge.delivery.gitops.fleet import BASE, named_in
from nearedge.delivery.gitops.quantity import mebibytes, thousandths
from nearedge.release.record import IDENTITY_FILE, Record
from nearedge.release.usage import Image, Running, Usage

ENDINGS = (".yaml", ".yml", ".json")
MOST_MANIFESTS = 50
"""Files of one model that are looked into; ours has five."""
MOST_BYTES = 1 << 20
"""Of one file; a record of ours has some ten thousand."""
FIGURES = ("memory_request_mib", "memory_limit_mib", "cpu_request_m", "cpu_limit_m")

Figures = dict[str, int | None]


def read(client: Git, at: Path) -> Usage:
    """The models of each site in the branch that was fetched into the repository `at`."""
    paths = files(client.run("ls-tree", "-r", "-l", "-z", "FETCH_HEAD", "--", "sites/", "models/", at=at))
    known: dict[tuple[str, str, bool], Running] = {}
    images: dict[str, Image] = {}
    sites: dict[str, list[Running]] = {}
    named = named_in(client, at, "FETCH_HEAD")
    for site, name in sorted({(part[1], part[2]) for part in map(parts, paths) if is_of_site(part)}):
        folder = f"models/{name}/{named.get((site, name), BASE)}"
        base = [path for path in paths if path.startswith(f"{folder}/")]
        own = [path for path in paths if path.startswith(f"sites/{site}/{name}/")]
        where = site if any(path.endswith(ENDINGS) and not path.endswith("/kustomization.yaml") for path in own) else ""
        key = (where, folder, (site, name) in named)  # the sites that take a release as it is share what is read of it
        if key not in known:
            text = next(show(client, at, [path for path in base if path == f"{folder}/{IDENTITY_FILE}"]), "")
            record = record_of(text)
            known[key] = running(client, at, name, record, [*own, *base] if where else base)
            image = image_of(record) if (site, name) in named else None
            if image is not None:
                images[image.digest] = image
                known[key] = known[key].model_copy(update={"image": image.digest})
        sites.setdefault(site, []).append(known[key])
    return Usage(sites=sites, images=images)


def files(listing: str) -> list[str]:
    """The paths in what `git ls-tree -r -l -z` says that are plain files of a manifest's size."""
    found = []
    for entry in filter(None, listing.split("\0")):
        about, _, path = entry.partition("\t")
        mode, _, _, size = about.split()
        if mode.startswith("100") and int(size) <= MOST_BYTES:
            found.append(path)
    return found


def parts(path: str) -> list[str]:
    """The names that a path is made of."""
    return path.split("/")


def is_of_site(names: list[str]) -> bool:
    """Whether a path is `sites/SITE/MODEL/FILE`, or deeper."""
    return len(names) > 3 and names[0] == "sites"


def running(client: Git, at: Path, name: str, record: Record | None, paths: list[str]) -> Running:
    """What is known of one model: its record tells what was measured, the manifests the rest."""
    figures: Figures = dict.fromkeys(FIGURES)
    manifests = [path for path in paths if path.endswith(ENDINGS) and not path.endswith("/release.json")]
    for text in show(client, at, manifests[:MOST_MANIFESTS]):
        figures |= {key: value for key, value in of_manifest(text).items() if value is not None}
    told = of_record(record)
    by = "record" if told else "manifests" if figures["memory_request_mib"] is not None else "unknown"
    return Running.model_validate({"name": name, **figures, **told, "told_by": by})


def show(client: Git, at: Path, paths: Iterable[str]) -> Iterator[str]:
    """The text of each file."""
    return (client.run("show", f"FETCH_HEAD:{path}", at=at) for path in paths)


def record_of(text: str) -> Record | None:
    """The record in a text, None where it cannot be read."""
    try:
        return Record.model_validate(json.loads(text))
    except (ValueError, ValidationError, RecursionError):
        return None


def image_of(record: Record | None) -> Image | None:
    """The image of a release, None where its record names none."""
    found = record.evidence.image if record else None
    return Image(url=found.url, digest=found.digest, layers=[one.digest for one in found.layers]) if found else None


def of_record(record: Record | None) -> Figures:
    """What a release record says; nothing where none can be read or nothing was measured, which the manifests mend."""
    measured = record.evidence.benchmark if record else None
    if measured is None:
        return {}
    found: Figures = {key: getattr(measured, key) for key in FIGURES}
    return {key: value for key, value in found.items() if value is not None}


def of_manifest(text: str) -> Figures:
    """The sum over the containers of what the workloads in a manifest ask for; nulls where there are none."""
    found: Figures = dict.fromkeys(FIGURES)
    try:
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return found
    for document in documents:
        for container in containers(document):
            for key, value in of_container(container).items():
                found[key] = (found[key] or 0) + value
    return found


def containers(document: Any) -> list[Any]:
    """The containers of a Deployment or the like, or of a Pod, once for each replica.

    Of KServe's objects the InferenceService makes pods, and its `model` says what they ask for; a runtime makes none.
    """
    if within(document, "kind") in ("ServingRuntime", "ClusterServingRuntime"):
        return []
    spec = within(document, "spec")
    served = within(spec, "predictor", "model")
    if served is not None:
        return [served]
    pod = within(spec, "template", "spec") or within(spec, "predictor") or spec
    replicas = within(spec, "replicas")
    times = replicas if isinstance(replicas, int) and 0 <= replicas <= 1000 else 1
    there = within(pod, "containers")
    return there * times if isinstance(there, list) else []


def of_container(container: Any) -> dict[str, int]:
    """The figures of one container that are there."""
    found = {}
    for key, kind, what, read_as in (
        ("memory_request_mib", "requests", "memory", mebibytes),
        ("memory_limit_mib", "limits", "memory", mebibytes),
        ("cpu_request_m", "requests", "cpu", thousandths),
        ("cpu_limit_m", "limits", "cpu", thousandths),
    ):
        value = read_as(within(container, "resources", kind, what))
        if value is None and kind == "requests":  # Kubernetes takes the limit for a request that is not there
            value = read_as(within(container, "resources", "limits", what))
        if value is not None:
            found[key] = value
    return found


def within(value: Any, *keys: str) -> Any:
    """What lies under these keys, None where one is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
