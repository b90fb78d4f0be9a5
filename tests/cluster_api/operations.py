"""Create, get, update, patch and delete of objects, by the rules of the generic registry of k8s.io/apiserver."""

from dataclasses import dataclass, field
from typing import Any

from tests.cluster_api import deletion, objects, patches, statuses
from tests.cluster_api.resources import Resource, Resources
from tests.cluster_api.store import Key, Store

Object = dict[str, Any]

NAMESPACES = Key("", "namespaces", "", "")


@dataclass
class Operations:
    """All that is done to single objects; one at a time."""

    store: Store
    resources: Resources
    graceful: bool = False
    """Pods that are on a node stay, with a deletionTimestamp, until somebody deletes them with no grace (a kubelet)."""
    grace_s: int = field(default=30)

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object; 404."""
        found = self.store.get(Key(resource.group, resource.plural, namespace, name))
        if found is None:
            raise statuses.not_found(resource, name)
        return shown(resource, found)

    def create(self, resource: Resource, namespace: str, body: Any, *, dry: bool = False) -> Object:
        """A new object; 409 AlreadyExists."""
        with self.store.lock:
            key, found = objects.new(resource, body, namespace)
            self.in_living_namespace(resource, key)
            if self.store.get(key) is not None:
                raise statuses.already_exists(resource, key.name)
            at_first(resource, found)
            if dry:
                return found
            stored = self.store.put(key, found)
            self.then(key, stored)
            return stored

    def in_living_namespace(self, resource: Resource, key: Key) -> None:
        """A new object needs a namespace that is there and is not going."""
        if not resource.namespaced:
            return
        space = self.store.get(NAMESPACES._replace(name=key.namespace))
        if space is None:
            raise statuses.not_found(self.resources.by_path["", "v1", "namespaces"], key.namespace)
        if "deletionTimestamp" in space["metadata"]:
            why = f"unable to create new content in namespace {key.namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating", "field": "metadata.namespace",
                "message": f"namespace {key.namespace} is being terminated",
            }  # fmt: skip
            details = statuses.of(resource, key.name, causes=[cause])
            raise statuses.forbidden(f'{resource.qualified} "{key.name}" is forbidden: {why}', details)

    def then(self, key: Key, stored: Object) -> None:
        """What the server and its controllers do at once after an object is written."""
        if key[:2] == ("apiextensions.k8s.io", "customresourcedefinitions"):
            self.resources.define(stored)
        if key[:2] == ("", "namespaces") and "deletionTimestamp" not in stored["metadata"]:
            account = Key("", "serviceaccounts", key.name, "default")
            if self.store.get(account) is None:
                resource = self.resources.by_path["", "v1", "serviceaccounts"]
                body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
                self.store.put(*objects.new(resource, body, key.name))

    def update(
        self, resource: Resource, namespace: str, name: str, body: Any, sub: str = "", *, dry: bool = False
    ) -> Object:
        """PUT; 409 where the object is another by now."""
        with self.store.lock:
            sent = objects.read(resource, body, namespace)
            given = sent["metadata"].get("name", name)
            if given != name:
                text = f"the name of the object ({given}) does not match the name on the URL ({name})"
                raise statuses.bad_request(text)
            old = self.get(resource, namespace, name)
            if resource.custom and not sent["metadata"].get("resourceVersion"):
                fault = ("metadata.resourceVersion", "Invalid value: 0: must be specified for an update")
                raise statuses.invalid(resource, name, [fault])
            return self.write(resource, old, sent, sub, dry=dry)

    def patch(
        self, resource: Resource, namespace: str, name: str, kind: str, body: Any, sub: str = "", *, dry: bool = False
    ) -> Object:
        """PATCH of media type `kind`."""
        with self.store.lock:
            old = self.get(resource, namespace, name)
            sent = objects.read(resource, patches.apply(resource, old, kind, body), namespace)
            if sent["metadata"].get("name") != name:
                fault = ("metadata.name", f'Invalid value: "{sent["metadata"].get("name")}": field is immutable')
                raise statuses.invalid(resource, name, [fault])
            return self.write(resource, old, sent, sub, dry=dry)

    def write(self, resource: Resource, old: Object, sent: Object, sub: str, *, dry: bool) -> Object:
        """Put an object in place of the one that is there; nothing is written where nothing changes."""
        before, name = old["metadata"], old["metadata"]["name"]
        given = sent["metadata"]
        if given.get("resourceVersion", before["resourceVersion"]) not in ("", before["resourceVersion"]):
            raise statuses.conflict(resource, name)
        if given.get("uid", before["uid"]) != before["uid"]:
            why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {before['uid']}"
            raise statuses.conflict(resource, name, why)
        given["resourceVersion"] = before["resourceVersion"]
        result = objects.changed(resource, old, sent, sub)
        if dry or result == old:
            return shown(resource, result)
        key = Key(resource.group, resource.plural, before.get("namespace", ""), name)
        if "deletionTimestamp" in result["metadata"] and deletion.may_go(result):
            self.store.put(key, result)
            self.store.remove(key)
            return shown(resource, result)
        stored = self.store.put(key, result)
        self.then(key, stored)
        return shown(resource, stored)

    def delete(
        self, resource: Resource, namespace: str, name: str, options: deletion.Options | None = None
    ) -> tuple[Object, bool]:
        """The object as it was last, and whether it is gone now."""
        with self.store.lock:
            asked = options or deletion.Options()
            old = self.get(resource, namespace, name)
            deletion.check(resource, old, asked)
            if asked.dry:
                return old, True
            key = Key(resource.group, resource.plural, namespace, name)
            marked = deletion.marked(resource, old, asked, self.grace(resource, old, asked))
            if marked is None:
                last = self.store.remove(key)
                if key[:2] == ("apiextensions.k8s.io", "customresourcedefinitions"):
                    self.undefine(last)
                return shown(resource, last), True
            if marked == old:
                return old, False
            return shown(resource, self.store.put(key, marked)), False

    def grace(self, resource: Resource, old: Object, asked: deletion.Options) -> int:
        """Seconds that a pod is given."""
        if not self.graceful or resource.qualified != "pods" or not old.get("spec", {}).get("nodeName"):
            return 0
        if old.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        own = old["spec"].get("terminationGracePeriodSeconds", self.grace_s)
        return int(own if asked.grace_s is None else asked.grace_s)

    def undefine(self, definition: Object) -> None:
        """With a CustomResourceDefinition go its objects."""
        spec = definition["spec"]
        group, plural = spec["group"], spec["names"]["plural"]
        for key, _ in self.store.items(group, plural):
            self.store.remove(key)
        self.resources.drop(group, plural)


def shown(resource: Resource, found: Object) -> Object:
    """An object in the version that it is asked for in."""
    if found.get("apiVersion") == resource.group_version:
        return found
    return {**found, "apiVersion": resource.group_version}


def at_first(resource: Resource, found: Object) -> None:
    """The little that the server fills in: the status of new pods and namespaces, the type of secrets and services."""
    if resource.group:
        return
    if resource.plural == "pods":
        found["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        found.setdefault("spec", {}).setdefault("restartPolicy", "Always")
        found["spec"].setdefault("serviceAccountName", "default")
    elif resource.plural == "namespaces":
        found["status"] = {"phase": "Active"}
        found["spec"] = {"finalizers": ["kubernetes"]}
        found["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = found["metadata"]["name"]
    elif resource.plural == "secrets":
        found.setdefault("type", "Opaque")
    elif resource.plural == "services":
        found.setdefault("spec", {}).setdefault("type", "ClusterIP")
