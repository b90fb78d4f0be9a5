"""Lists, in chunks of one state: a `continue` token names revision and place, and expires with the revision."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from tests.cluster_api import selection, statuses
from tests.cluster_api.operations import shown
from tests.cluster_api.resources import Resource
from tests.cluster_api.store import CompactedError, Key, Store

Object = dict[str, Any]

INCONSISTENT = -1
"""The revision of a token that goes on with whatever there is now."""
EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
EXPIRED_VERSION = "The resourceVersion for the provided list is too old."


@dataclass(frozen=True)
class Asked:
    """A list's parameters."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    token: str = ""
    resource_version: str = ""
    match: str = ""


def asked(query: dict[str, str]) -> Asked:
    """From a request; 400 or 422 where they contradict each other."""
    found = Asked(
        labels=query.get("labelSelector", ""),
        fields=query.get("fieldSelector", ""),
        limit=number(query, "limit"),
        token=query.get("continue", ""),
        resource_version=query.get("resourceVersion", ""),
        match=query.get("resourceVersionMatch", ""),
    )
    if found.token and found.resource_version not in ("", "0"):
        raise statuses.bad_request("specifying resource version is not allowed when using continue")
    if found.match and not found.resource_version:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise statuses.ApiError(
            422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: {why}'
        )
    return found


def number(query: dict[str, str], name: str) -> int:
    """A parameter that is a number; 0 where it is not given."""
    text = query.get(name, "") or "0"
    try:
        return int(text)
    except ValueError:
        raise statuses.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def revision_of(resource: Resource, text: str) -> int:
    """A resourceVersion as a number; 422."""
    if not text.isdigit():
        fault = ("resourceVersion", f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
        raise statuses.invalid(resource, "", [fault])
    return int(text)


def listed(store: Store, resource: Resource, namespace: str, want: Asked) -> Object:
    """The list document."""
    with store.lock:
        revision, after = where(store, resource, want)
        at = None if revision == INCONSISTENT else revision
        try:
            rows = store.items(resource.group, resource.plural, namespace, at)
        except CompactedError:
            raise gone(want, after) from None
        revision = store.revision if at is None else at
    test = selection.both(resource, want.labels, want.fields)
    rows = [(key, found) for key, found in rows if key.place > after] if after else rows
    rows = [(key, found) for key, found in rows if test(found)] if test else rows
    metadata: Object = {"resourceVersion": str(revision)}
    if want.limit and len(rows) > want.limit:
        metadata["continue"] = token(revision, rows[want.limit - 1][0])
        if test is None:
            metadata["remainingItemCount"] = len(rows) - want.limit
        rows = rows[: want.limit]
    items = [in_list(resource, found) for _, found in rows]
    return {"kind": f"{resource.kind}List", "apiVersion": resource.group_version, "metadata": metadata, "items": items}


def in_list(resource: Resource, found: Object) -> Object:
    """An object in a list: of the built-in kinds without kind and apiVersion, which the list has said."""
    if resource.custom:
        return shown(resource, found)
    return {name: value for name, value in found.items() if name not in ("kind", "apiVersion")}


def where(store: Store, resource: Resource, want: Asked) -> tuple[int, tuple[str, ...]]:
    """The revision to show, and the place after which to begin."""
    if want.token:
        return read_token(want.token)
    if want.resource_version in ("", "0"):
        return store.revision, ()
    revision = revision_of(resource, want.resource_version)
    if revision > store.revision:
        raise statuses.too_large(revision, store.revision)
    exact = want.match == "Exact" or (want.limit and want.match != "NotOlderThan")
    return (revision if exact else store.revision), ()


def gone(want: Asked, after: tuple[str, ...]) -> statuses.ApiError:
    """410: with a token that goes on all the same, where there was one."""
    if not want.token:
        return statuses.expired(EXPIRED_VERSION)
    return statuses.expired(EXPIRED, {"continue": encoded(INCONSISTENT, after)})


def token(revision: int, last: Key) -> str:
    """The `continue` after an object."""
    return encoded(revision, last.place)


def encoded(revision: int, place: tuple[str, ...]) -> str:
    """As the real one writes it: base64 of JSON."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": "/".join(place) + "\0"}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(text: str) -> tuple[int, tuple[str, ...]]:
    """Revision and place; 400."""
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        namespace, _, name = found["start"].rstrip("\0").partition("/")
        return int(found["rv"]), (namespace, name)
    except (ValueError, KeyError, TypeError) as error:
        raise statuses.bad_request(f"continue key is not valid: {error}") from error
