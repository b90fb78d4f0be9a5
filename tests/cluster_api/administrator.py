"""What the cluster's administrator does, and kubelets to logs: directly, without HTTP, rights and faults."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml

from tests.cluster_api import routes
from tests.cluster_api.api import Answer, Api, Request
from tests.cluster_api.bootstrap import space
from tests.cluster_api.statuses import ApiError, PlainError
from tests.cluster_api.users import ADMIN

Object = dict[str, Any]


class Administrator:
    """Paths are those of the API, with a query where one is wanted; errors are `statuses.ApiError`."""

    def __init__(self, api: Api) -> None:
        self.api, self.store, self.resources, self.logs = api, api.store, api.resources, api.logs

    def apply(self, *documents: Mapping[str, Any] | str | Path, namespace: str = "default") -> list[Object]:
        """Create or replace objects: documents, YAML text, or files of it; a status in them is written too.

        Namespaces that are missing are made (kubectl would refuse). An unknown kind is made up, see `resources`.
        """
        return [self._apply(document, namespace) for document in ordered(documents)]

    def _apply(self, document: Object, default: str) -> Object:
        resource = self.resources.of_object(document)
        metadata = document.setdefault("metadata", {})
        namespace = (metadata.get("namespace") or default) if resource.namespaced else ""
        with self.store.lock:
            if namespace and self.find(f"/api/v1/namespaces/{namespace}") is None:
                self.apply(space(namespace))
            path = resource.path(namespace)
            there = self.find(f"{path}/{metadata['name']}") if "name" in metadata else None
            if there is None:
                found = self.create(path, without_version(document))
            else:
                body = {**document, "metadata": {**metadata, "resourceVersion": there["metadata"]["resourceVersion"]}}
                found = self._asked("PUT", f"{path}/{metadata['name']}", body)
            if resource.has_status and document.get("status") is not None:
                found = self.status(f"{path}/{found['metadata']['name']}", document["status"])
            return found

    def get(self, path: str) -> Object:
        """What a GET of `path` (with a query) answers; raises statuses.ApiError."""
        return self._asked("GET", path)

    def find(self, path: str) -> Object | None:
        """The same, None where it is not there."""
        try:
            return self.get(path)
        except (ApiError, PlainError) as error:
            if error.code != 404:
                raise
            return None

    def create(self, path: str, body: Object) -> Object:
        """POST."""
        return self._asked("POST", path, body)

    def patch(self, path: str, body: Any, media_type: str = "application/merge-patch+json") -> Object:
        """PATCH."""
        return self._asked("PATCH", path, body, media_type)

    def status(self, path: str, status: Object) -> Object:
        """Replace an object's status (of one whose status is not written apart: with it, as its controllers do)."""
        target = routes.target("GET", path, {})
        resource = self.resources.at(target.group, target.version, target.resource)
        sub = "/status" if resource is not None and resource.has_status else ""
        with self.store.lock:
            return self._asked("PUT", path + sub, {**self.get(path), "status": status})

    def delete(self, path: str, **options: Any) -> Object:
        """DELETE, with members of DeleteOptions."""
        return self._asked("DELETE", path, options)

    def _asked(self, method: str, path: str, body: Any = None, media_type: str = "application/json") -> Object:
        path, _, text = path.partition("?")
        query = dict(parse_qsl(text, keep_blank_values=True))
        answer = self.api.handle(Request(ADMIN, routes.target(method, path, query), query, body, media_type))
        assert isinstance(answer, Answer) and isinstance(answer.content, dict), "a stream is asked for over HTTP"
        return copy.deepcopy(answer.content)

    def write_log(self, namespace: str, pod: str, container: str, text: str | bytes, *, previous: bool = False) -> None:
        """Append to the log of a pod's container, of its current instance or of the one before."""
        found = self.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")
        self.logs.write(found, container, text, previous=previous)

    def rotate_log(self, namespace: str, pod: str, container: str) -> None:
        """The container begins anew: what it wrote so far is the log of the instance before."""
        self.logs.rotate(self.get(f"/api/v1/namespaces/{namespace}/pods/{pod}"), container)


def without_version(document: Object) -> Object:
    """As for a creation."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "resourceVersion"}
    return {**document, "metadata": metadata}


def ordered(documents: tuple[Mapping[str, Any] | str | Path, ...]) -> list[Object]:
    """Copies of all objects, namespaces and definitions first; Lists are unfolded."""
    found: list[Object] = []
    for document in documents:
        if isinstance(document, (str, Path)):
            text = document.read_text() if isinstance(document, Path) else document
            found += [row for row in yaml.safe_load_all(text) if row]
        else:
            found.append(copy.deepcopy(dict(document)))
    rows = [row for one in found for row in (one["items"] if one["kind"] == "List" else [one])]
    return sorted(rows, key=lambda row: row["kind"] not in ("Namespace", "CustomResourceDefinition"))
