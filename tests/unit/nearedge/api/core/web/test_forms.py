"""Starting a run and doing something with one, by forms alone."""

import re

import pytest

from nearedge.api.core.web import form as forms
from nearedge.api.problems import ProblemError, conflict
from nearedge.errors import InputError, OutsideError
from tests.unit.nearedge.api.core.web.conftest import Checker, declared, run_of

FILLED = {
    "param.who": "Ada", "param.tone": "kind", "param.aloud": "true", "param.more": "a", "param.marks": "end=!",
    "workspace.release": "emptyDir", "workspace.source": "", "name": "", "labels": "",
}  # fmt: skip


def test_the_form_is_made_of_what_is_declared(pages):
    page = Checker(pages.get("/start/greet").text)
    who = page.of("input", id="param.who")[0]
    assert "required" in who
    assert who["aria-describedby"] == "param.who-about"
    assert page.of("select", id="param.tone")
    assert len(page.of("select", id="param.aloud")) == 1
    assert page.of("textarea", id="param.more")
    assert page.of("textarea", id="param.marks")
    assert "required" in page.of("input", id="workspace.release")[0]
    assert "required" not in page.of("input", id="workspace.source")[0]
    pages.get("/start/none", 404)


def test_what_is_as_its_default_is_left_out(pages, engine):
    answer = pages.send("/start/greet", "/start/greet", **FILLED, key="k")
    assert answer.headers["location"] == "/runs/made-up"
    wanted, key, token = engine.started[0]
    assert (wanted.pipeline, wanted.params, wanted.workspaces, key, token) == (
        "greet", {"who": "Ada"}, {"release": "emptyDir"}, "k", "",
    )  # fmt: skip
    assert (wanted.name, wanted.labels, wanted.reuse) == (None, {}, False)


def test_everything_that_is_given_arrives_in_its_type(pages, engine):
    given = FILLED | {
        "param.tone": "stern", "param.aloud": "false", "param.more": "x\r\ny, z\r\n\r\n",
        "param.marks": "end = ?\nk=v=w",
        "workspace.source": "/models", "name": "mine", "labels": "team=vision", "reuse": "true",
    }  # fmt: skip
    pages.send("/start/greet", "/start/greet", **given)
    wanted = engine.started[0][0]
    assert wanted.params == {
        "who": "Ada", "tone": "stern", "aloud": "false", "more": ["x", "y, z"], "marks": {"end": "?", "k": "v=w"},
    }  # fmt: skip
    assert wanted.workspaces == {"release": "emptyDir", "source": "/models"}
    assert (wanted.name, wanted.labels, wanted.reuse) == ("mine", {"team": "vision"}, True)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("param.who", " ", "has to be given"),
        ("param.tone", "loud", "has to be one of kind, stern"),
        ("param.marks", "end", "line 1: write KEY=VALUE"),
        ("param.marks", "a=1\na=2", "line 2: write KEY=VALUE, each KEY once"),
        ("workspace.release", "", "has to be given"),
        ("name", "Not a name", "lower case letters"),
        ("labels", "=x", "line 1: write KEY=VALUE"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(pages, engine, key, value, says):
    answer = pages.send("/start/greet", "/start/greet", 422, **(FILLED | {key: value}))
    page = Checker(answer.text)
    assert page.faults == []
    assert re.search(rf'id="{key}-error">.*{says}', answer.text)
    field = next(one for tag in ("input", "select", "textarea") for one in page.of(tag, id=key))
    assert field["aria-invalid"] == "true"
    assert field["aria-describedby"].startswith(f"{key}-error")
    assert page.of("div", role="alert")
    assert page.of("a", href=f"#{key}")
    assert "<title>Error: " in answer.text
    assert engine.started == []


@pytest.mark.parametrize(
    ("error", "status", "beside"),
    [
        (InputError("param who (string) has no default"), 422, ["param.who"]),
        (InputError("who is of type string, the value given is of type array"), 422, ["param.who"]),
        (InputError("workspace release: /x is no folder"), 422, ["workspace.release"]),
        (InputError("the whole of it"), 422, []),
        (OutsideError("the cluster does not answer"), 422, []),
        (conflict("a run of that name exists"), 409, []),
    ],
)
def test_what_the_engine_refuses_leaves_the_form_filled(pages, engine, error, status, beside):
    engine.refusal = error
    answer = pages.send("/start/greet", "/start/greet", status, **FILLED)
    page = Checker(answer.text)
    assert str(getattr(error, "detail", error)) in answer.text
    assert page.of("input", id="param.who")[0]["value"] == "Ada"
    assert [one["id"] for one in page.of("p") if one.get("class") == "error"] == [f"{key}-error" for key in beside]


def test_what_cannot_be_mended_in_the_form_is_another_page(pages, engine):
    engine.refusal = ProblemError(403, "you may not")
    answer = pages.send("/start/greet", "/start/greet", 403, **FILLED)
    assert "you may not" in answer.text
    assert "param.who" not in answer.text


def test_a_run_like_another(pages, engine):
    engine.add(run_of("before", params={"who": "Bob", "more": ["x", "y"]}, labels={"team": "vision"}))
    text = pages.get("/start/greet?like=before").text
    assert 'value="Bob"' in text
    assert "x\ny</textarea>" in text
    assert "team=vision</textarea>" in text


def test_params_with_other_values_are_shown_at_once():
    form = forms.filled(declared(), {"param.tone": "stern"})
    assert [one.label for one in form.asked] == ["who", "tone"]
    assert [one.label for one in form.others] == ["aloud", "more", "marks"]


@pytest.mark.parametrize(
    ("action", "state", "where"),
    [("cancel", "Running", "/runs/r"), ("retry", "Failed", "/runs/r-again"), ("delete", "Succeeded", "/")],
)
def test_actions_are_asked_for_once_more(pages, engine, action, state, where):
    engine.add(run_of("r", state))
    path = f"/runs/r/confirm/{action}"
    page = Checker(pages.get(path).text)
    assert page.faults == []
    assert page.of("form", method="post", action=path)
    assert (action, "r") not in engine.asked
    assert pages.send(path, path).headers["location"] == where
    assert (action, "r") in engine.asked


def test_actions_that_a_state_does_not_allow(pages, engine):
    engine.add(run_of("r", "Running"), run_of("done"))
    assert "is Running; delete is not for that" in pages.get("/runs/r/confirm/delete", 409).text
    pages.get("/runs/r/confirm/dance", 404)
    assert "has ended well" in pages.send("/runs/done/confirm/retry", "/start/greet", 409).text
