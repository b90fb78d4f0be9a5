"""Fan-out, by the examples of Tekton's docs/matrix.md."""

import pytest

from nearedge.errors import InputError
from nearedge.runner.matrix import combinations
from nearedge.runner.model import Matrix
from nearedge.runner.substitution import Scope

SCOPE = Scope({("params", "a"): ["x", "y"], ("params", "none"): [], ("params", "s"): "v"})


def test_the_first_param_changes_fastest():
    found = combinations(Matrix({"os": ["linux", "mac"], "browser": ["safari", "chrome"]}, ()), SCOPE)
    assert [(one["os"], one["browser"]) for one in found] == [
        ("linux", "safari"), ("mac", "safari"), ("linux", "chrome"), ("mac", "chrome"),
    ]  # fmt: skip


def test_arrays_may_be_references():
    assert combinations(Matrix({"p": "$(params.a[*])"}, ()), SCOPE) == [{"p": "x"}, {"p": "y"}]
    assert combinations(Matrix({"p": ["$(params.s)", "$(params.a[1])"]}, ()), SCOPE) == [{"p": "v"}, {"p": "y"}]


def test_an_empty_array_gives_nothing():
    assert combinations(Matrix({"p": "$(params.none[*])", "q": ["1"]}, ()), SCOPE) == []


def test_include_alone():
    assert combinations(Matrix({}, ({"a": "1"}, {"b": "$(params.s)"})), SCOPE) == [{"a": "1"}, {"b": "v"}]


def test_include_beside_params():
    include = (
        {"package": "common"},
        {"arch": "s390x", "flags": "-cover"},
        {"version": "1.17", "context": "dir"},
        {"arch": "unknown", "extra": "1"},
    )
    found = combinations(Matrix({"arch": ["amd64", "s390x"], "version": ["1.17", "1.18"]}, include), SCOPE)
    assert found == [
        {"arch": "amd64", "version": "1.17", "package": "common", "context": "dir"},
        {"arch": "s390x", "version": "1.17", "package": "common", "flags": "-cover", "context": "dir"},
        {"arch": "amd64", "version": "1.18", "package": "common"},
        {"arch": "s390x", "version": "1.18", "package": "common", "flags": "-cover"},
        {"arch": "unknown", "extra": "1"},
    ]


def test_too_many():
    numbers = [str(number) for number in range(17)]
    with pytest.raises(InputError, match="289 combinations; Tekton runs at most 256"):
        combinations(Matrix({"a": numbers, "b": numbers}, ()), SCOPE)


def test_no_array():
    with pytest.raises(InputError, match="matrix param a: is no array"):
        combinations(Matrix({"a": "$(params.s)"}, ()), SCOPE)
