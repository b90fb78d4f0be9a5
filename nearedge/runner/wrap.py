"""Manifests made up around what a person names: a run of a Pipeline or Task, a Pipeline around a TaskRun."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from nearedge.errors import InputError
from nearedge.runner import load, parse
from nearedge.runner.fields import Document
from nearedge.runner.load import API_VERSION, Library
from nearedge.runner.scopes import Identity
from nearedge.runner.substitution import Value, references
from nearedge.runner.workspaces import Source

# Tekton's own default for a TaskRun.
DEFAULT_TIMEOUT = "1h"


def run_of(kind: str, name: str) -> Document:
    """A run of the Pipeline or Task of this name, its own name still to be made up."""
    reference = "pipelineRef" if kind == "Pipeline" else "taskRef"
    return {
        "apiVersion": API_VERSION,
        "kind": f"{kind}Run",
        "metadata": {"generateName": f"{name}-"},
        "spec": {reference: {"name": name}},
    }


def title(document: Document) -> str:
    """What messages call a run: its kind and name, or the Pipeline or Task where the run was made up around it."""
    spec, name = document["spec"], document["metadata"].get("name")
    for kind, field in (("Pipeline", "pipelineRef"), ("Task", "taskRef")):
        if not name and isinstance(spec.get(field), dict):
            return f"{kind} {spec[field].get('name')}"
    return f"{document['kind']} {load.name_of(document)}"


def with_folders(document: Document, given: Mapping[str, str]) -> Document:
    """The run with empty folders for the bindings that the command line replaces, so that a claim can be one."""
    changed = copy.deepcopy(document)
    items = changed["spec"].get("workspaces")
    if isinstance(items, list):
        changed["spec"]["workspaces"] = [
            {"name": item["name"], "emptyDir": {}} if isinstance(item, dict) and item.get("name") in given else item
            for item in items
        ]
    return changed


def around_task(document: Document, library: Library) -> Document:
    """A TaskRun as a PipelineRun whose Pipeline has this Task alone and the same params, workspaces and results."""
    spec, where = document["spec"], title(document)
    reference, embedded = spec.get("taskRef"), spec.get("taskSpec")
    if (reference is None) == (embedded is None):
        raise InputError(f"{where}: needs either a taskRef or a taskSpec")
    if reference is not None:
        parse.check_reference(reference, "Task", f"{where}.spec.taskRef")
        inner, name = library.spec("Task", reference["name"]), reference["name"]
        part: Document = {"taskRef": reference}
    else:
        inner, name = embedded, load.name_of(document).rstrip("-")
        part = {"taskSpec": embedded}
    task: Document = {"name": name, **part, **around(inner, name)["task"]}
    task |= {"timeout": spec.get("timeout") or DEFAULT_TIMEOUT, "retries": spec.get("retries") or 0}
    pipeline = {**around(inner, name)["pipeline"], "tasks": [task]}
    if embedded is not None:
        pipeline = propagated(pipeline, spec.get("params") or [], spec.get("workspaces") or [])
    return {
        **document,
        "kind": "PipelineRun",
        "spec": {
            "pipelineSpec": pipeline,
            "params": spec.get("params") or [],
            "workspaces": spec.get("workspaces") or [],
            "timeouts": {"pipeline": "0"},
        },
    }


def around(inner: Document, name: str) -> dict[str, Document]:
    """What a Pipeline declares, and what it hands to its only Task, for that Task's own declarations."""
    params = inner.get("params") or []
    spaces = inner.get("workspaces") or []
    return {
        "pipeline": {
            "params": params,
            "workspaces": [{"name": item["name"], "optional": bool(item.get("optional"))} for item in spaces],
            "results": [handed_out(item, name) for item in inner.get("results") or []],
        },
        "task": {
            "params": [{"name": item["name"], "value": f'$(params["{item["name"]}"]{whole(item)})'} for item in params],
            "workspaces": [{"name": item["name"]} for item in spaces],
        },
    }


def whole(item: Document) -> str:
    """`[*]` for a param or a result of type array or object, which are handed on whole."""
    return "" if parse.declared_type(item, item.get("default"), item["name"]) == "string" else "[*]"


def handed_out(item: Document, task: str) -> Document:
    """The Pipeline's result for a result of its Task."""
    kind = parse.declared_type(item, None, item["name"])
    return {"name": item["name"], "type": kind, "value": f'$(tasks.{task}.results["{item["name"]}"]{whole(item)})'}


def propagated(spec: Document, params: Sequence[Any], spaces: Sequence[Any]) -> Document:
    """An embedded pipelineSpec with the params and workspaces declared that the run gives and it only uses.

    Tekton propagates a run's params and workspaces into what stands inside the run without a declaration.
    """
    used = {reference.key[:2] for reference in references(spec)}
    declared = {item.get("name") for item in spec.get("params") or []}
    extra = [
        {"name": item["name"], "type": parse.type_of(item["value"])}
        for item in params
        if item.get("value") is not None and item["name"] not in declared and ("params", item["name"]) in used
    ]
    known = {item.get("name") for item in spec.get("workspaces") or []}
    bound = [{"name": item["name"]} for item in spaces if item.get("name") and item["name"] not in known]
    return {
        **spec,
        "params": [*(spec.get("params") or []), *extra],
        "workspaces": [*(spec.get("workspaces") or []), *bound],
    }


def settled(
    document: Document, identity: Identity, params: Mapping[str, Value], sources: Mapping[str, Source]
) -> Document:
    """The PipelineRun as it runs: its name, the value of every param, every workspace; folders are annotations."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "generateName"}
    annotations = dict(metadata.get("annotations") or {})
    annotations |= {f"nearedge/workspace-{name}": str(one.folder) for name, one in sources.items() if one.folder}
    kept = {item["name"]: item for item in document["spec"].get("workspaces") or []}
    spec = {
        **document["spec"],
        "params": [{"name": name, "value": value} for name, value in params.items()],
        "workspaces": [kept.get(name, {"name": name, "emptyDir": {}}) for name in sources],
    }
    metadata |= {"name": identity.name, "uid": identity.uid, "annotations": annotations}
    return {**document, "metadata": metadata, "spec": spec}
