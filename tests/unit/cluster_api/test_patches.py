"""Patches by RFC 7386, RFC 6902 and, in part, Kubernetes' strategic merge."""

import pytest

from tests.cluster_api import patches
from tests.cluster_api.resources import KNOWN
from tests.cluster_api.statuses import ApiError

PODS = next(row for row in KNOWN if row.plural == "pods")


@pytest.mark.parametrize(
    ("old", "patch", "new"),
    [  # the examples of RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}), ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)  # fmt: skip
def test_merge(old, patch, new):
    assert patches.apply(PODS, old, patches.MERGE, patch) == new


@pytest.mark.parametrize(
    ("steps", "new"),
    [
        ([{"op": "add", "path": "/b", "value": 1}], {"a": [1, 2], "b": 1}),
        ([{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2]}),
        ([{"op": "add", "path": "/a/-", "value": 9}], {"a": [1, 2, 9]}),
        ([{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ([{"op": "replace", "path": "/a", "value": {"x~y": 1}}, {"op": "remove", "path": "/a/x~0y"}], {"a": {}}),
        ([{"op": "move", "from": "/a", "path": "/b"}], {"b": [1, 2]}),
        ([{"op": "copy", "from": "/a/0", "path": "/b"}], {"a": [1, 2], "b": 1}),
        ([{"op": "test", "path": "/a/0", "value": 1}, {"op": "replace", "path": "/a/0", "value": 3}], {"a": [3, 2]}),
    ],
)
def test_json(steps, new):
    old = {"a": [1, 2]}
    assert patches.apply(PODS, old, patches.JSON, steps) == new
    assert old == {"a": [1, 2]}


@pytest.mark.parametrize(
    "step",
    [
        {"op": "test", "path": "/a", "value": 2}, {"op": "remove", "path": "/x"}, {"op": "odd", "path": "/a"},
        {"op": "add"},
        {"op": "replace", "path": "/b/c", "value": 1}, {"op": "remove", "path": "a"},
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_done(step):
    with pytest.raises(ApiError) as error:
        patches.apply(PODS, {"a": 1}, patches.JSON, [step])
    assert error.value.code == 422


def test_strategic_merges_lists_by_name():
    env = [{"name": "X", "value": "1"}]
    old = {"containers": [{"name": "a", "image": "1", "env": env}, {"name": "b"}], "args": [1]}
    rows = [{"name": "a", "image": "2", "env": [{"name": "Y"}]}, {"name": "b", "$patch": "delete"}, {"name": "c"}]
    patch = {"containers": rows, "args": [2], "none": None}
    assert patches.apply(PODS, old, patches.STRATEGIC, patch) == {
        "containers": [{"name": "a", "image": "2", "env": [*env, {"name": "Y"}]}, {"name": "c"}],
        "args": [2],
    }
    replaced = patches.apply(PODS, {"a": {"x": 1}}, patches.STRATEGIC, {"a": {"$patch": "replace", "y": 1}})
    assert replaced == {"a": {"y": 1}}


def test_documents_of_the_wrong_shape():
    for kind, patch, code in (
        (patches.JSON, {}, 400),
        (patches.MERGE, [], 400),
        ("application/apply-patch+yaml", {}, 415),
    ):
        with pytest.raises(ApiError) as error:
            patches.apply(PODS, {}, kind, patch)
        assert error.value.code == code
