"""The garbage collector and the namespace controller: what is done to objects when others go.

As in the real one: an object of which all owners are gone goes too; an owner that is deleted in the foreground waits
for its dependents that block it; one that is orphaned loses them; a namespace that is going takes its objects along.
"""

from typing import Any

from tests.cluster_api import deletion
from tests.cluster_api.operations import NAMESPACES, Operations
from tests.cluster_api.resources import Resource
from tests.cluster_api.store import Key, owners

Object = dict[str, Any]


class Collector:
    """Looks at the changes since it last looked; all work is done by `step`, called in the background."""

    def __init__(self, operations: Operations) -> None:
        self.operations, self.store = operations, operations.store
        self.seen = 0

    def step(self) -> None:
        """Do what the changes since the last call ask for."""
        with self.store.lock:
            if self.seen < self.store.dropped:
                touched = list(self.store.everything())
                gone = set(self.store.dependents) - set(self.store.uids)
                self.seen = self.store.revision
            else:
                changes = self.store.after(self.seen, open_already=True)
                touched = list(dict.fromkeys(change.key for change in changes))
                left = [change.object for change in changes if change.type == "DELETED"]
                gone = {found["metadata"]["uid"] for found in left}
                touched += [self.store.uids[uid] for found in left for uid in owners(found) if uid in self.store.uids]
                self.seen = self.store.revision
            for key in (*touched, *(key for uid in gone for key in tuple(self.store.dependents.get(uid, ())))):
                if (found := self.store.get(key)) is not None:
                    self.look(key, found)
            for key, space in self.store.items("", "namespaces"):
                if "deletionTimestamp" in space["metadata"]:
                    self.clear(key)

    def resource(self, key: Key) -> Resource | None:
        """What an object's kind is served as."""
        found = [row for row in self.operations.resources if (row.group, row.plural) == key[:2]]
        return found[0] if found else None

    def look(self, key: Key, found: Object) -> None:
        """At one object: are its owners there, and does it wait for its dependents."""
        if (resource := self.resource(key)) is None:
            return
        metadata = found["metadata"]
        rows = metadata.get("ownerReferences") or []
        there = [row for row in rows if self.there(row)]
        if rows and not there and "deletionTimestamp" not in metadata:
            self.operations.delete(resource, key.namespace, key.name)
            return
        if len(there) < len(rows) and there:
            self.store.put(key, {**found, "metadata": {**metadata, "ownerReferences": there}})
        if "deletionTimestamp" in metadata:
            self.wait(key, found)

    def there(self, row: Object) -> bool:
        """Whether an owner exists, and is not going in the foreground (then its dependents go first)."""
        key = self.store.uids.get(row.get("uid", ""))
        owner = self.store.get(key) if key else None
        if owner is None:
            return False
        metadata = owner["metadata"]
        return "deletionTimestamp" not in metadata or deletion.FOREGROUND not in (metadata.get("finalizers") or ())

    def wait(self, key: Key, found: Object) -> None:
        """At an object that is being deleted: its dependents, and its finalizers that are the collector's."""
        uid, finalizers = found["metadata"]["uid"], list(found["metadata"].get("finalizers") or ())
        dependents = [(one, self.store.get(one)) for one in tuple(self.store.dependents.get(uid, ()))]
        living = [(one, row) for one, row in dependents if row is not None]
        if deletion.ORPHAN in finalizers:
            for one, row in living:
                left = [owner for owner in row["metadata"]["ownerReferences"] if owner.get("uid") != uid]
                self.store.put(one, {**row, "metadata": {**row["metadata"], "ownerReferences": left}})
            self.release(key, deletion.ORPHAN)
        elif deletion.FOREGROUND in finalizers:
            for one, row in living:
                if "deletionTimestamp" not in row["metadata"] and (resource := self.resource(one)):
                    self.operations.delete(resource, one.namespace, one.name)
            left = [self.store.get(one) for one, _ in living]
            if not any(blocks(row, uid) for row in left if row is not None):
                self.release(key, deletion.FOREGROUND)

    def release(self, key: Key, finalizer: str) -> None:
        """Take a finalizer off; the object goes where it was the last."""
        if (found := self.store.get(key)) is None:
            return
        left = [name for name in found["metadata"].get("finalizers") or () if name != finalizer]
        result = {**found, "metadata": {**found["metadata"], "finalizers": left}}
        if deletion.may_go(result):
            self.store.remove(key)
        else:
            self.store.put(key, result)

    def clear(self, key: Key) -> None:
        """Empty a namespace that is going, then let it go."""
        inside = [one for one in self.store.everything() if one.namespace == key.name]
        for one in inside:
            there, resource = self.store.get(one), self.resource(one)
            if resource and there and "deletionTimestamp" not in there["metadata"]:
                self.operations.delete(resource, one.namespace, one.name)
        if any(one.namespace == key.name for one in self.store.everything()):
            return
        space = self.store.get(NAMESPACES._replace(name=key.name))
        if space is not None and not space["metadata"].get("finalizers"):
            self.store.remove(key)


def blocks(found: Object, uid: str) -> bool:
    """Whether an object holds up the deletion of its owner."""
    rows = found["metadata"].get("ownerReferences") or ()
    return any(row.get("uid") == uid and row.get("blockOwnerDeletion") for row in rows)
