"""The PipelineRun that is created for what somebody asked for, checked by the Pipeline on the cluster first."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nearedge.api.cluster.resources import Object
from nearedge.api.core.local_starts import digest
from nearedge.api.core.models import NewRun, Value
from nearedge.api.core.tekton import summaries
from nearedge.errors import InputError
from nearedge.runner import parameters, parse

MANAGED_BY, PROGRAM = "app.kubernetes.io/managed-by", "nearedge"
RESERVED = ("tekton.dev", "nearedge.dev", "kubernetes.io", "k8s.io")
"""Whose labels say how a run is looked after: ours, Tekton's and Kubernetes' own, with all below."""
EMPTY_DIR, NEW_CLAIM = "emptyDir", "volumeClaimTemplate:"
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
QUANTITY = re.compile(r"[1-9][0-9]*(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?")
LONGEST_LABEL = 63
LARGEST = 1 << 20
"""Bytes of all params together; etcd takes objects of 1.5 MiB."""


@dataclass(frozen=True)
class Account:
    """As whom runs run: a ServiceAccount, and the group that volumes are given to (None: the cluster decides)."""

    service_account: str = "nearedge-pipelines"
    group: int | None = 1001

    def template(self) -> Object:
        """A PipelineRun's taskRunTemplate. Its pods meet the restricted pod security standard."""
        security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        if self.group is not None:
            security["fsGroup"] = self.group
        account = {"serviceAccountName": self.service_account} if self.service_account else {}
        return {**account, "podTemplate": {"securityContext": security}}


def checked(wanted: NewRun, pipeline: Object) -> dict[str, Value]:
    """Every param's value, with defaults. Raises InputError where params, workspaces or labels do not fit."""
    where = f"Pipeline {wanted.pipeline}"
    values = values_of(pipeline, wanted.params, where)
    if len(str(wanted.params).encode(errors="replace")) > LARGEST:
        raise InputError(f"params: together they are longer than {LARGEST} bytes; put large values into a file")
    check_workspaces(wanted.workspaces, pipeline, where)
    for label in wanted.labels:
        prefix = label.partition("/")[0] if "/" in label else ""
        if any(prefix == one or prefix.endswith(f".{one}") for one in RESERVED):
            raise InputError(f"labels: {label}: is not for you to set; choose another prefix than {prefix}")
    return values


def values_of(pipeline: Object, given: Mapping[str, Value], where: str) -> dict[str, Value]:
    """Every param's value, with defaults. Raises InputError."""
    declared = parse.params(pipeline["spec"].get("params") or [], f"{where}: spec.params")
    known = [param.name for param in declared]
    for name in given:
        if name not in known:
            raise InputError(f"{where}: has no param {name}; known: {', '.join(sorted(known)) or 'none'}")
    return parameters.resolve(declared, given, where)


def check_workspaces(given: Mapping[str, str], pipeline: Object, where: str) -> None:
    """Raise InputError for a workspace that is not declared, or is not given and not optional."""
    declared = {str(item["name"]): bool(item.get("optional")) for item in pipeline["spec"].get("workspaces") or []}
    for name, text in given.items():
        if name not in declared:
            raise InputError(f"{where}: has no workspace {name}; known: {', '.join(sorted(declared)) or 'none'}")
        binding(name, text)
    missing = [name for name, optional in declared.items() if not optional and name not in given]
    if missing:
        raise InputError(f"{where}: workspace {missing[0]} is missing; give the name of a volume claim")


def binding(name: str, text: str) -> Object:
    """A PipelineRun's workspace. Raises InputError where the text names nothing that a cluster could have."""
    kind, colon, rest = text.partition(":")
    if text == EMPTY_DIR:
        return {"name": name, "emptyDir": {}}
    if text.startswith(NEW_CLAIM) and QUANTITY.fullmatch(rest):
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": rest}}}
        return {"name": name, "volumeClaimTemplate": {"spec": claim}}
    if colon and kind == "secret" and NAME.fullmatch(rest):
        return {"name": name, "secret": {"secretName": rest}}
    if colon and kind == "configMap" and NAME.fullmatch(rest):
        return {"name": name, "configMap": {"name": rest}}
    if not NAME.fullmatch(text):
        raise InputError(
            f"workspaces: {name}: {text[:100]!r}: give the name of a volume claim, {EMPTY_DIR}, secret:NAME,"
            f" configMap:NAME, or {NEW_CLAIM}SIZE such as {NEW_CLAIM}2Gi"
        )
    return {"name": name, "persistentVolumeClaim": {"claimName": text}}


def spec_of(wanted: NewRun, account: Account) -> Object:
    """The PipelineRun's spec. Its time limit is the one that Tekton is configured with."""
    spec: Object = {"pipelineRef": {"name": wanted.pipeline}, "taskRunTemplate": account.template()}
    if wanted.params:
        spec["params"] = [{"name": name, "value": value} for name, value in wanted.params.items()]
    if wanted.workspaces:
        spec["workspaces"] = [binding(name, text) for name, text in wanted.workspaces.items()]
    return spec


def content_of(spec: Object, values: Mapping[str, Value], pipeline: Object, tasks: Mapping[str, Object]) -> str:
    """A digest of what a run does: Pipeline and Tasks, params with defaults, workspaces, who runs it.

    What lies in a volume, a Secret or a ConfigMap is not part of it, only its name.
    """
    return digest({
        "pipeline": pipeline["spec"], "tasks": tasks, "params": values, "workspaces": spec.get("workspaces") or [],
        "taskRunTemplate": spec.get("taskRunTemplate"), "taskRunSpecs": spec.get("taskRunSpecs"),
    })  # fmt: skip


def document(spec: Object, labels: Mapping[str, str], notes: Mapping[str, str], **metadata: Any) -> Object:
    """A PipelineRun; `metadata` is its name or generateName."""
    said = {key: text for key, text in notes.items() if text}
    return {
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "spec": spec,
        "metadata": {**metadata, "labels": dict(labels), "annotations": said},
    }  # fmt: skip


def labels_for(own: Mapping[str, str], caller: str) -> dict[str, str]:
    """The labels of a run that a caller starts."""
    return {**own, MANAGED_BY: PROGRAM, summaries.OWNER: label_value(caller)}


def label_value(name: str) -> str:
    """A label's value that stands for a name: the name where it is one, else what is left of it and a digest."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", name).strip("-._")
    if plain == name and len(name) <= LONGEST_LABEL:
        return name
    return f"{plain[: LONGEST_LABEL - 9].rstrip('-._')}-{sha256(name)[:8]}".lstrip("-")


def key_digest(caller: str, key: str) -> str:
    """What stands for an idempotency key: keys of two callers have nothing to do with each other."""
    return sha256(f"{caller}\0{key}")


def name_for(pipeline: str, key: str) -> str:
    """The name of the run of a key, by the key's digest: the API server lets nobody have it a second time."""
    return f"{pipeline[:42].rstrip('-.')}-{key[:20]}"


def sha256(text: str) -> str:
    """The digest in hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()
