"""Tekton's `$(...)`, by the table of its docs/variables.md."""

import pytest

from nearedge.errors import InputError
from nearedge.runner import substitution
from nearedge.runner.substitution import Scope

SCOPE = Scope(
    {
        ("params", "s"): "text",
        ("params", "with.dot"): "dotted",
        ("params", "evil"): "$(params.s) `id` $(id) 'q'",
        ("params", "a"): ["one", "two words", "3"],
        ("params", "empty"): [],
        ("params", "o"): {"url": "u", "rev": "r"},
        ("tasks", "t", "results", "r"): "result",
        ("tasks", "t", "results", "list"): ["x", "y"],
        ("tasks", "t", "results", "obj"): {"k": "v"},
        ("tasks", "t", "status"): "Succeeded",
        ("workspaces", "w", "path"): "/w",
        ("workspaces", "w", "bound"): "true",
        ("context", "taskRun", "name"): "run-1",
        ("results", "digest", "path"): "/r/digest",
    }
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$(params.s)", "text"),
        ('$(params["s"])', "text"),
        ("$(params['s'])", "text"),
        ('$(params["with.dot"])', "dotted"),
        ("a$(params.s)b$(params.s)", "atextbtext"),
        ("$(params.a[0])-$(params.a[2])", "one-3"),
        ('$(params["a"][1])', "two words"),
        ("$(params.o.url)", "u"),
        ("$(tasks.t.results.r)", "result"),
        ("$(tasks.t.results.list[1])", "y"),
        ("$(tasks.t.results.obj.k)", "v"),
        ("$(tasks.t.results['obj'].k)", "v"),
        ("$(tasks.t.status)", "Succeeded"),
        ("--out=$(workspaces.w.path)/x $(workspaces.w.bound)", "--out=/w/x true"),
        ("$(context.taskRun.name)", "run-1"),
        ("$(results.digest.path)", "/r/digest"),
        ("$(params.evil)", "$(params.s) `id` $(id) 'q'"),
        ("$(date) $(HOME) $$(params.s) $(params.unknown)", "$(date) $(HOME) $text $(params.unknown)"),
        ("", ""),
    ],
)
def test_text(template, expected):
    assert substitution.text(template, SCOPE) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("x $(params.a[*])", "an array cannot stand inside a text"),
        ("x $(params.a)", "an array cannot"),
        ("$(params.o) y", "an object cannot"),
        ("$(params.a[3])", "the array has 3 items"),
        ("$(params.s[0])", "an index, but it is no array"),
        ("$(params.o.nokey)", "the object has no key 'nokey'"),
    ],
)
def test_what_does_not_fit_is_refused(template, message):
    with pytest.raises(InputError, match=message):
        substitution.text(template, SCOPE)


@pytest.mark.parametrize(
    ("templates", "expected"),
    [
        (["a", "$(params.a[*])", "b"], ["a", "one", "two words", "3", "b"]),
        (["$(params.a)"], ["one", "two words", "3"]),
        (["$(params.empty[*])", "x"], ["x"]),
        (["--x=$(params.s)"], ["--x=text"]),
        (["$(tasks.t.results.list[*])"], ["x", "y"]),
    ],
)
def test_arrays_are_spliced_where_they_stand_alone(templates, expected):
    assert substitution.texts(templates, SCOPE) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$(params.a[*])", ["one", "two words", "3"]),
        ("$(params.o[*])", {"url": "u", "rev": "r"}),
        ("$(params.a[1])", "two words"),
        (["$(params.s)", "$(params.a[*])"], ["text", "one", "two words", "3"]),
        ({"k": "$(params.o.rev)"}, {"k": "r"}),
        ("plain", "plain"),
    ],
)
def test_values(template, expected):
    assert substitution.value(template, SCOPE) == expected


def test_documents_keep_what_is_no_text():
    piece = {"a": ["$(params.a[*])"], "b": [{"c": "$(params.s)"}], "d": 3, "e": None, "f": True}
    expected = {"a": ["one", "two words", "3"], "b": [{"c": "text"}], "d": 3, "e": None, "f": True}
    assert substitution.document(piece, SCOPE) == expected


def test_references_are_found_however_deep():
    piece = {"x": [{"y": "$(tasks.a.results.b) $(params.c)"}], "z": ("$(tasks.d.results.e[0])",)}
    found = [reference.text for reference in substitution.references(piece)]
    assert found == ["tasks.a.results.b", "params.c", "tasks.d.results.e[0]"]


@pytest.mark.parametrize("text", ["params.a[0][1]", "params.a[*].x", "unknown.x", "params.a[0].b"])
def test_malformed_references_are_none(text):
    assert substitution.parse(text) is None


@pytest.mark.parametrize(
    ("template", "expected"),
    [("$(A)/$(B)", "1/$(B)"), ("$$(A)", "$(A)"), ("$$$$", "$$"), ("$A ${A}", "$A ${A}"), ("cost: 5$", "cost: 5$")],
)
def test_kubernetes_variables(template, expected):
    assert substitution.variables(template, {"A": "1"}) == expected
