"""One request from who sends it to the answer: rights, resource, verb. Watches and logs are handed on as such."""

from dataclasses import dataclass, field
from typing import Any

from tests.cluster_api import deletion, discovery, listing, pod_logs, selection, statuses
from tests.cluster_api.operations import Operations
from tests.cluster_api.rbac import Rbac
from tests.cluster_api.resources import Resource
from tests.cluster_api.reviews import Reviews
from tests.cluster_api.routes import Target
from tests.cluster_api.users import AUDIENCE, User, Users
from tests.cluster_api.watching import Watch

Object = dict[str, Any]

RETURNED = {"pods", "services", "serviceaccounts", "persistentvolumeclaims", "resourcequotas"}
"""Of these a deletion answers with the object, of others with a Status."""


@dataclass(frozen=True)
class Request:
    """What was sent; `content` is a document, or reads one when it is needed."""

    user: User
    target: Target
    query: dict[str, str] = field(default_factory=dict)
    content: Any = None
    media_type: str = "application/json"

    @property
    def body(self) -> Any:
        """The document that was sent; 400, 415."""
        return self.content() if callable(self.content) else self.content

    @property
    def dry(self) -> bool:
        """Whether nothing is to be kept; 422 where it says something else than All."""
        value = self.query.get("dryRun", "All")
        if value != "All":
            what = f'dryRun: Unsupported value: "{value}": supported values: "All"'
            raise statuses.ApiError(422, "Invalid", f'UpdateOptions.meta.k8s.io "" is invalid: {what}')
        return "dryRun" in self.query


@dataclass(frozen=True)
class Answer:
    """A document, or text."""

    code: int
    content: Object | str


@dataclass(frozen=True)
class Followed:
    """A log that is to be read; followed where asked."""

    reader: pod_logs.Reader
    pod: Object
    container: str


class Api:
    """Everything but HTTP."""

    def __init__(self, operations: Operations, users: Users, rbac: Rbac, logs: pod_logs.Logs) -> None:
        self.operations, self.users, self.rbac, self.logs = operations, users, rbac, logs
        self.store, self.resources = operations.store, operations.resources
        self.reviews = Reviews(users, rbac)

    def handle(self, request: Request) -> Answer | Watch | Followed:
        """The answer; ApiError or PlainError."""
        target = request.target
        self.rbac.check(request.user, target)
        if not target.resource:
            return self.plain(target)
        resource = self.resources.at(target.group, target.version, target.resource)
        if resource is None:
            raise statuses.nothing_there()
        namespace = target.namespace if resource.namespaced else ""
        if target.namespace and not resource.namespaced and resource.plural != "namespaces":
            raise statuses.nothing_there()
        if target.subresource and target.subresource not in resource.subresources:
            raise statuses.nothing_there()
        if target.subresource in ("log", "token"):
            return self.log(request, resource) if target.subresource == "log" else self.token(request, resource)
        if target.verb not in resource.verbs:
            raise statuses.not_allowed()
        return self.collection(request, resource, namespace) or self.single(request, resource, namespace)

    def plain(self, target: Target) -> Answer:
        """A path without a resource."""
        if target.verb not in ("get", "head"):
            raise statuses.not_allowed()
        if target.path.rstrip("/") in discovery.HEALTH:
            return Answer(200, "ok")
        return Answer(200, discovery.document(self.resources, target.path))

    def collection(self, request: Request, resource: Resource, namespace: str) -> Answer | Watch | None:
        """What is asked of all objects; None where one is meant."""
        verb, query = request.target.verb, request.query
        if verb == "watch":
            return Watch(self.store, resource, namespace, query)
        if verb == "list":
            return Answer(200, listing.listed(self.store, resource, namespace, listing.asked(query)))
        if verb == "create":
            if request.target.name or (resource.namespaced and not namespace):
                raise statuses.not_allowed()
            if resource.verbs == ("create",):
                return Answer(201, self.reviews.review(resource, request.user, namespace, request.body))
            return Answer(201, self.operations.create(resource, namespace, request.body, dry=request.dry))
        if verb == "deletecollection":
            return self.delete_all(request, resource, namespace)
        return None

    def delete_all(self, request: Request, resource: Resource, namespace: str) -> Answer:
        """Delete what a list finds."""
        options = deletion.options(request.body, request.query)
        test = selection.both(resource, request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""))
        with self.store.lock:
            rows = self.store.items(resource.group, resource.plural, namespace)
            found = [
                self.operations.delete(resource, key.namespace, key.name, options)[0]
                for key, row in rows if test is None or test(row)
            ]  # fmt: skip
        metadata = {"resourceVersion": str(self.store.revision)}
        kind = f"{resource.kind}List"
        return Answer(200, {"kind": kind, "apiVersion": resource.group_version, "metadata": metadata, "items": found})

    def single(self, request: Request, resource: Resource, namespace: str) -> Answer:
        """What is asked of one object."""
        target, name = request.target, request.target.name
        if resource.namespaced and not namespace:
            raise statuses.nothing_there()
        if target.verb == "get":
            return Answer(200, self.operations.get(resource, namespace, name))
        if target.verb == "update":
            found = self.operations.update(resource, namespace, name, request.body, target.subresource, dry=request.dry)
            return Answer(200, found)
        if target.verb == "patch":
            found = self.operations.patch(
                resource, namespace, name, request.media_type, request.body, target.subresource, dry=request.dry
            )
            return Answer(200, found)
        if target.subresource:
            raise statuses.not_allowed()
        found, gone = self.operations.delete(resource, namespace, name, deletion.options(request.body, request.query))
        if gone and resource.qualified not in RETURNED:
            return Answer(200, statuses.success(resource, name, found["metadata"]["uid"]))
        return Answer(200, found)

    def log(self, request: Request, resource: Resource) -> Answer | Followed:
        """Read a log, or (as stand-ins do) write one."""
        target, query = request.target, request.query
        pod = self.operations.get(resource, target.namespace, target.name)
        if target.verb == "create":
            self.logs.ordered(pod, {**query, **request.body})
            return Answer(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        if target.verb != "get":
            raise statuses.not_allowed()
        want = pod_logs.asked(resource, target.name, query)
        reader = pod_logs.Reader(self.logs.chosen(pod, want), want, self.logs.lock)
        return Followed(reader, pod, pod_logs.container_of(pod, want.container))

    def token(self, request: Request, resource: Resource) -> Answer:
        """A token of a ServiceAccount (TokenRequest)."""
        target = request.target
        if target.verb != "create":
            raise statuses.not_allowed()
        self.operations.get(resource, target.namespace, target.name)
        spec = (request.body or {}).get("spec") or {}
        audiences = tuple(spec.get("audiences") or (AUDIENCE,))
        token = self.users.account(target.namespace, target.name, audiences)
        metadata = {"name": target.name, "namespace": target.namespace, "creationTimestamp": None}
        status = {"token": token, "expirationTimestamp": "2126-01-01T00:00:00Z"}
        return Answer(201, {
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": metadata,
            "spec": {**spec, "audiences": list(audiences)}, "status": status,
        })  # fmt: skip
