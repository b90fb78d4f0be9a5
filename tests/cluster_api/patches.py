"""Patches: RFC 7386 (merge), RFC 6902 (JSON patch), and strategic merge as merge, but for lists with names.

Strategic: of a list whose elements are all objects with a `name` (containers, env, volumes, ports ...) elements of the
same name are merged and others added; `$patch: delete` takes one out, `$patch: replace` is honoured. Lists that
the real one merges by another key (conditions by type, ports by containerPort, mounts by mountPath) are merged by
`name` where they have one and replaced where not.
"""

import copy
from typing import Any

from tests.cluster_api import statuses
from tests.cluster_api.resources import Resource

Object = dict[str, Any]

JSON, MERGE, STRATEGIC = (f"application/{kind}-patch+json" for kind in ("json", "merge", "strategic-merge"))


def apply(resource: Resource, old: Object, kind: str, patch: Any) -> Object:
    """The object that a patch of media type `kind` makes of an object."""
    accepted = [JSON, MERGE] if resource.custom else [JSON, MERGE, STRATEGIC]
    if kind not in accepted:
        raise statuses.unsupported(accepted)
    if kind == JSON:
        result = copy.deepcopy(old)
        if not isinstance(patch, list):
            raise statuses.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        for step in patch:
            result = stepped(resource, result, step)
        return result
    if not isinstance(patch, dict):
        raise statuses.bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
    merged: Object = merge(old, patch) if kind == MERGE else strategic(old, patch)
    return merged


def merge(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(old: Any, patch: Any) -> Any:
    """As merge, with lists of named objects merged by name."""
    if isinstance(patch, list):
        return strategic_list(old, patch)
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = strategic(result.get(key), value)
    return result


def has_names(rows: Any) -> bool:
    """Whether these are objects that each have a name."""
    return isinstance(rows, list) and all(isinstance(row, dict) and "name" in row for row in rows)


def strategic_list(old: Any, patch: list[Any]) -> list[Any]:
    """A list of a strategic merge."""
    markers = [row for row in patch if isinstance(row, dict) and set(row) == {"$patch"}]
    rows = [row for row in patch if row not in markers]
    if markers or not has_names(rows) or not has_names(old):
        return copy.deepcopy(rows)
    result = {row["name"]: row for row in old}
    for row in rows:
        if row.get("$patch") == "delete":
            result.pop(row["name"], None)
        else:
            result[row["name"]] = strategic(result.get(row["name"]), row)
    return list(result.values())


class WrongPathError(Exception):
    """A step's path is not there."""


def stepped(resource: Resource, document: Object, step: Any) -> Object:
    """One step of RFC 6902."""
    try:
        operation, path = step["op"], step["path"]
        value = found(document, step["from"]) if operation in ("move", "copy") else step.get("value")
        if operation == "test":
            if found(document, path) != value:
                raise WrongPathError(f"testing value {path} failed")
            return document
        if operation in ("remove", "replace", "move"):
            remove(document, path if operation != "move" else step["from"])
        if operation in ("add", "replace", "move", "copy"):
            document = add(document, path, copy.deepcopy(value))
        elif operation != "remove":
            raise WrongPathError(f"Unexpected kind: {operation}")
    except (WrongPathError, KeyError, IndexError, TypeError, ValueError) as error:
        text = f"the server rejected our request due to an error in our request: {error}"
        raise statuses.ApiError(422, "Invalid", text, statuses.of(resource)) from error
    return document


def parts(path: str) -> list[str]:
    """RFC 6901."""
    if path and not path.startswith("/"):
        raise WrongPathError(f"path {path!r} does not begin with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def found(document: Any, path: str) -> Any:
    """What lies at a path; KeyError or IndexError."""
    for part in parts(path):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def parent(document: Any, path: str) -> tuple[Any, str]:
    """What holds a path's last part."""
    names = parts(path)
    for part in names[:-1]:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document, names[-1]


def remove(document: Any, path: str) -> None:
    """Take out what lies at a path."""
    holder, name = parent(document, path)
    del holder[int(name) if isinstance(holder, list) else name]


def add(document: Any, path: str, value: Any) -> Any:
    """Put a value at a path."""
    if not path:
        return value
    holder, name = parent(document, path)
    if isinstance(holder, list):
        holder.insert(len(holder) if name == "-" else int(name), value)
    else:
        holder[name] = value
    return document
