"""The store's memory is bounded, and only what is behind it is expired."""

import pytest

from tests.cluster_api.store import CompactedError, Key, Store


def test_old_changes_are_dropped():
    store, key = Store(history=10), Key("", "configmaps", "n", "a")
    revisions = []
    for index in range(50):
        found = store.put(key, {"metadata": {"uid": "u"}, "data": index})
        revisions.append(int(found["metadata"]["resourceVersion"]))
    assert len(store.changes) <= 20
    assert [change.object["data"] for change in store.after(revisions[-3])] == [48, 49]
    for open_already in (False, True):
        with pytest.raises(CompactedError):
            store.after(revisions[0], open_already=open_already)
    with pytest.raises(CompactedError):
        store.items("", "configmaps", at=revisions[0])


def test_a_state_of_before():
    store, key = Store(), Key("", "configmaps", "n", "a")
    first = store.put(key, {"metadata": {"uid": "u"}, "data": 1})
    at = store.revision
    store.put(key, {"metadata": {"uid": "u"}, "data": 2})
    store.remove(key)
    assert store.items("", "configmaps") == []
    assert store.items("", "configmaps", "n", at) == [(key, first)]
    assert store.items("", "configmaps", "other", at) == []
    store.compact()
    assert [change.type for change in store.after(at, open_already=True)] == ["MODIFIED", "DELETED"]
    with pytest.raises(CompactedError):
        store.after(at)
