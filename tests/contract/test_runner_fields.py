"""The runner's tables name every field of Tekton's CRDs, and none that is not there (tekton/: the CRDs of 1.15)."""

import json
from pathlib import Path

import pytest

from nearedge.errors import InputError, UnsupportedError
from nearedge.runner.fields import ACCEPTED, REFUSED, Effect, sort_fields
from nearedge.runner.tables import EMBEDDED_TASK, KINDS, PIPELINE_SPEC, TASK_SPEC

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in Path(__file__).with_name("tekton").glob("*.json")}
# What the CRDs leave open, and the runner sorts by itself.
OPEN = {"volumes"}


def properties(schema):
    """The fields of a map, or of the maps in a list."""
    return (schema.get("items", schema) if isinstance(schema.get("items", schema), dict) else {}).get("properties", {})


def differences(schema, fields, where):
    """Paths that one side has and the other has not."""
    published = properties(schema)
    for name in sorted(published.keys() ^ fields.keys()):
        yield f"{where}.{name}: " + ("not sorted" if name in published else "not published")
    for name in published.keys() & fields.keys():
        inner = fields[name].fields
        if inner is not None and properties(published[name]) and name not in OPEN:
            yield from differences(published[name], inner, f"{where}.{name}")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_is_sorted(kind):
    fields = {name: field for name, field in KINDS[kind].items() if name != "status" or kind.endswith("Run")}
    assert list(differences(SCHEMAS[kind], fields, kind)) == []


def test_embedded_specs_are_sorted_as_the_kinds_themselves():
    assert TASK_SPEC.keys() < EMBEDDED_TASK.keys()
    run = KINDS["PipelineRun"]["spec"].fields
    assert run["pipelineSpec"].fields is PIPELINE_SPEC


def leaves(fields, path=()):
    for name, field in fields.items():
        if field.fields is not None:
            yield from leaves(field.fields, (*path, (name, field)))
        else:
            yield (*path, (name, field))


def document(path, value):
    """A manifest with this one field set."""
    found = value
    for name, field in reversed(path):
        found = {name: found}
        parent = path[path.index((name, field)) - 1] if path.index((name, field)) else None
        if parent is not None and parent[1].shape.name == "OBJECTS":
            found = [found]
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_refused_and_accepted_field_is_treated_so(kind):
    seen = set()
    for path in leaves(KINDS[kind]):
        field = path[-1][1]
        if field not in (ACCEPTED, REFUSED):
            continue
        seen.add(field.effect)
        written = document(path, {"x": "y"})
        if field is REFUSED:
            with pytest.raises(UnsupportedError, match=rf"{path[-1][0]}: the local runner"):
                sort_fields(written, KINDS[kind], kind)
        else:
            (only,) = sort_fields(written, KINDS[kind], kind)
            assert only.endswith(f".{path[-1][0]}")
    assert seen == {Effect.ACCEPTED, Effect.REFUSED}


def test_an_unknown_field_is_named():
    with pytest.raises(InputError, match=r"Task x\.spec\.steps\[a\]\.comand: there is no such field"):
        sort_fields({"spec": {"steps": [{"name": "a", "comand": []}]}}, KINDS["Task"], "Task x")
