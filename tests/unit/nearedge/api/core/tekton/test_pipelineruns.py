"""What is made of what was asked for: names, labels, digests."""

import re

import pytest

from nearedge.api.core.tekton import actions, pipelineruns
from nearedge.api.core.tekton.pipelineruns import Account

LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@pytest.mark.parametrize(
    "name",
    ["ada", "ada@example.com", "system:serviceaccount:team:builder", "-", "@", "ä" * 80, "x" * 64, "x" * 63 + "."],
)
def test_the_owner_is_a_label_whatever_somebody_is_called(name):
    value = pipelineruns.label_value(name)
    assert value
    assert LABEL.fullmatch(value)


def test_two_callers_are_never_one_label():
    names = ["a@b", "a-b", "a:b", "x" * 64, "x" * 63]
    assert len({pipelineruns.label_value(name) for name in names}) == len(names)


def test_the_name_of_a_key_fits_and_is_the_callers_own():
    key = pipelineruns.key_digest("ada", "order")
    assert key != pipelineruns.key_digest("bob", "order")
    name = pipelineruns.name_for("p" * 60, key)
    assert len(name) <= 63
    assert name == pipelineruns.name_for("p" * 60, pipelineruns.key_digest("ada", "order"))


def test_the_name_of_a_retry_fits_and_does_not_grow():
    first = actions.retry_name({"metadata": {"name": "n" * 63, "uid": "1"}})
    second = actions.retry_name({"metadata": {"name": first, "uid": "2"}})
    assert len(first) == len(second) <= 63
    assert first != second


def test_the_account_that_runs_run_as():
    assert Account("", None).template() == {
        "podTemplate": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        }
    }
    assert Account("mine", 7).template()["podTemplate"]["securityContext"]["fsGroup"] == 7


def test_the_content_is_of_what_is_run_and_not_of_who_asks():
    pipeline, spec = {"spec": {"tasks": []}}, {"pipelineRef": {"name": "p"}}
    digest = pipelineruns.content_of(spec, {"a": "b"}, pipeline, {})
    assert digest == pipelineruns.content_of({**spec, "status": "Cancelled"}, {"a": "b"}, pipeline, {})
    others = [
        pipelineruns.content_of(spec, {"a": "c"}, pipeline, {}),
        pipelineruns.content_of(spec, {"a": "b"}, {"spec": {}}, {}),
        pipelineruns.content_of(spec, {"a": "b"}, pipeline, {"t": {"steps": []}}),
        pipelineruns.content_of({**spec, "workspaces": [{"name": "w"}]}, {"a": "b"}, pipeline, {}),
    ]
    assert len({digest, *others}) == 5
