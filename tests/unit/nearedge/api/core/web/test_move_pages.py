"""Promoting a release and rolling sites back by forms: what is shown before, what is done, what is refused."""

import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from nearedge.api.access import Access, Caller, Tokens
from nearedge.api.core.moving import Doing
from nearedge.api.core.web import move_form
from nearedge.api.core.web.move_form import Choice
from nearedge.delivery.gitops.timeline import Desired, Timeline
from nearedge.errors import OutsideError
from tests import core_web
from tests.gitops_repository import ask
from tests.unit.nearedge.api.core.web.conftest import MANAGE_TOKEN, READ_TOKEN, Checker, Pages, checked

PROMOTE, BACK = "/models/digits/promote", "/models/digits/rollback"
ONE, TWO = "a" * 12, "b" * 12


class Moving(Pages):
    """The pages with a repository, and their audit log."""

    def __init__(self, engine, folder, remote, access=None):
        self.remote = remote
        self.source = core_web.fleet(folder, self.remote)
        app, served = core_web.application(engine, access or Access(), self.source)
        super().__init__(served, "http://localhost")
        self.log = app.state.audit

    @property
    def commits(self):
        return int(ask(self.remote, "rev-list", "--count", "main"))

    def audited(self):
        return [(one["action"], one["outcome"]) for one in map(json.loads, self.log.getvalue().splitlines())]

    def look(self, page, status=200, **choice):
        """The answer to the form, and the fields of the form that confirms it."""
        answer = self.send(f"{page}/preview", page, status, **choice)
        hidden = Checker(answer.text).of("input", type="hidden")
        fields = {one["name"]: one["value"] for one in hidden if one["name"] != "site"}
        return answer, fields | {"site": [one["value"] for one in hidden if one["name"] == "site"]}


@pytest.fixture
def own(repository, tmp_path):
    """A repository to change."""
    return shutil.copytree(repository, tmp_path / "gitops.git")


@pytest.fixture
def moving(engine, own, tmp_path):
    return Moving(engine, tmp_path, own)


@pytest.fixture
def still(engine, repository, tmp_path):
    """Pages for what must not get as far as a commit: they share their repository."""
    found = Moving(engine, tmp_path, repository)
    yield found
    assert found.commits == 2


def ticked(answer):
    return [one["value"] for one in Checker(answer.text).of("input", type="checkbox", checked=None)]


def test_from_the_release_to_the_commit(moving):
    release = moving.get(f"/models/digits/releases/{TWO}")
    assert f"{PROMOTE}?to={TWO}" in release.text and f"{BACK}?site=edge-1" in release.text
    form = moving.get(f"{PROMOTE}?to={TWO}&site=edge-2")
    page = checked(form)
    assert len(page.of("fieldset")) == len(page.of("legend")) == 2
    assert page.of("option", value=TWO, selected=None)
    assert ticked(form) == ["edge-2"]
    assert [one["value"] for one in page.of("input", type="checkbox")] == ["edge-1", "edge-2"]
    shown, fields = moving.look(PROMOTE, to=TWO, site=["edge-1", "edge-2"])
    checked(shown)
    for text in ("edge-2", ONE, TWO, "60.9 MB at most", "runs 2 (bbbbbbbbbbbb) already", "drop 0.0018 of 0.01 allowed",
                 "sites/edge-2/digits/kustomization.yaml", "Promote digits 2", "was not asked"):  # fmt: skip
        assert text in shown.text, text
    assert ask(moving.remote, "rev-parse", "--short=12", "main") in shown.text
    assert (moving.commits, fields["site"]) == (2, ["edge-2", "edge-1"])
    done = moving.client.post(PROMOTE, data=fields, follow_redirects=False)
    assert (done.status_code, moving.commits) == (303, 3), done.text
    result = moving.get(done.headers["location"])
    checked(result)
    assert ask(moving.remote, "rev-parse", "main") in result.text
    assert "1 site was moved" in result.text and "/fleet?model=digits" in result.text
    again = moving.client.post(PROMOTE, data=fields, follow_redirects=False)
    assert (again.headers["location"], moving.commits) == (done.headers["location"], 3)
    assert f"Promote digits 2 ({TWO}) to edge-2" in ask(moving.remote, "log", "-1", "--format=%s")
    assert moving.audited() == [("promote", "unchanged"), ("promote", "done"), ("promote", "unchanged")]
    fleet = moving.get("/fleet?site=edge-2").text
    assert f"/models/digits/releases/{TWO}" in fleet and f"{BACK}?site=edge-2" in fleet


def test_sites_are_set_back(moving):
    form = moving.get(f"{BACK}?site=edge-1")
    checked(form)
    assert "what each site ran before" in form.text
    shown, fields = moving.look(BACK, to="previous", site="edge-1")
    checked(shown)
    assert "Rolled-back: edge-1" in shown.text and "grave" in shown.text
    done = moving.client.post(BACK, data=fields, follow_redirects=False)
    assert "1 site was moved" in moving.get(done.headers["location"]).text
    assert f'<code class="soft">{ONE}</code>' in moving.get(BACK).text
    shown, fields = moving.look(BACK, to="previous", site="edge-1")
    checked(shown)
    assert "Nothing would change." in shown.text and "was set back by" in shown.text
    assert "plan" not in fields, "there is nothing to confirm"
    assert moving.commits == 3


def test_a_double_click_is_one_move(moving, monkeypatch):
    _, fields = moving.look(PROMOTE, to=TWO, site="edge-2")
    waiting, waited = [], Doing.take
    monkeypatch.setattr(Doing, "take", lambda *these: (waiting.append(these), waited(*these))[1])
    slow, within = Doing.within_slots, []

    def until_both_came(self, *these):
        within.append(these)
        for _ in range(3000):
            if len(waiting) == 2:
                break
            time.sleep(0.01)
        return slow(self, *these)

    monkeypatch.setattr(Doing, "within_slots", until_both_came)
    send = lambda _: moving.client.post(PROMOTE, data=fields, follow_redirects=False)  # noqa: E731  # for two threads
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(send, "12"))
    assert {one.status_code for one in answers} == {303}
    assert len({one.headers["location"] for one in answers}) == 1
    assert (len(within), moving.commits) == (1, 3)


def test_what_changed_meanwhile_is_looked_at_again(moving):
    _, fields = moving.look(PROMOTE, to=ONE, site="edge-1")
    _, other = moving.look(BACK, to=ONE, site="edge-1")
    moving.client.post(BACK, data=other)
    late = moving.client.post(PROMOTE, data=fields, follow_redirects=False)
    assert (late.status_code, moving.commits) == (412, 3)
    page = checked(late)
    assert page.of("div", role="alert") and "it would do something else now" in late.text
    assert "<title>Error: " in late.text
    assert ticked(late) == ["edge-1"] and page.of("option", value=ONE, selected=None)
    assert moving.audited()[-1] == ("promote", "refused")


@pytest.mark.parametrize(
    ("choice", "status", "words"),
    [
        ({"to": TWO}, 422, "choose at least one site"),
        ({"site": "edge-1"}, 422, "choose a release"),
        ({"to": "--x=y", "site": "edge-1"}, 422, "release: "),
        ({"to": TWO, "site": "../x"}, 422, "sites: "),
        ({"to": "9" * 12, "site": "edge-1"}, 422, "never held"),
        ({"to": TWO, "site": "edge-9"}, 422, "runs no model"),
        ({"to": "previous", "site": "edge-1"}, 422, "name one"),
    ],
)
def test_what_cannot_be_is_said_in_the_form(still, choice, status, words):
    answer, fields = still.look(PROMOTE, status, **choice)
    checked(answer)
    assert words in answer.text and "Nothing was changed" in answer.text
    assert "plan" not in fields
    assert ticked(answer) == [site for site in [choice.get("site")] if site == "edge-1"]


def test_what_was_not_shown_is_not_done(still):
    _, fields = still.look(PROMOTE, to=TWO, site="edge-2")
    for wrong in ({"plan": ""}, {"key": "../x"}, {"key": ""}):
        assert still.client.post(PROMOTE, data=fields | wrong).status_code == 400, wrong
    assert still.client.post(PROMOTE, data=fields | {"plan": "0" * 32}).status_code == 412
    assert still.client.post(PROMOTE, data=fields | {"form-token": ""}).status_code == 403


def test_what_there_is_not(still, pages):
    still.get("/models/digits/dance", 404)
    still.get("/models/none/promote", 404)
    still.get(f"/models/digits/moves/{'0' * 32}", 404)
    assert still.get(f"{PROMOTE}/preview", 303).headers["location"] == PROMOTE
    pages.get("/models/digits/promote", 404)
    assert "there is no GitOps repository" in pages.send(f"{PROMOTE}/preview", "/start/greet", 404, to=TWO,
                                                        site="edge-1").text  # fmt: skip


def test_the_registry_is_asked_where_it_shall_be(still):
    settings = still.source.settings
    seen = []

    def check(_release, site):
        seen.append(site)
        if len(seen) > 1:
            raise OutsideError("the registry lacks it; nothing was changed")

    still.source.settings = replace(settings, new_check=lambda: check)
    shown, fields = still.look(PROMOTE, to=TWO, site="edge-2")
    assert "it holds the image" in shown.text
    gone = still.client.post(PROMOTE, data=fields, follow_redirects=False)
    assert gone.status_code == 502
    checked(gone)
    assert "the registry lacks it" in gone.text


def test_who_may_only_read_moves_nothing(engine, own, tmp_path):
    """Nor do they see what others moved."""
    access = Access(
        Tokens({Caller("ann", "manage"): MANAGE_TOKEN.encode(), Caller("ray", "read"): READ_TOKEN.encode()})
    )
    moving = Moving(engine, tmp_path, own, access)
    moving.send("/login", "/login", token=READ_TOKEN, next="/")
    for path in ("/fleet", "/fleet?model=digits", "/models/digits", f"/models/digits/releases/{TWO}"):
        text = moving.get(path).text
        assert "promote" not in text and "rollback" not in text, path
    for path in (PROMOTE, BACK):
        moving.get(path, 403)
        for there in (f"{path}/preview", path):
            moving.send(there, "/fleet", 403, to=TWO, site="edge-2", plan="0" * 32, key="0" * 32)
    assert moving.commits == 2
    moving.send("/logout", "/fleet")
    moving.get(PROMOTE, 303)
    moving.send("/login", "/login", token=MANAGE_TOKEN, next="/")
    _, fields = moving.look(PROMOTE, to=TWO, site="edge-2")
    where = moving.client.post(PROMOTE, data=fields, follow_redirects=False).headers["location"]
    moving.send("/logout", "/fleet")
    moving.send("/login", "/login", token=READ_TOKEN, next="/")
    moving.get(where, 404)
    assert re.search(r'"who": "ann".*"done"', moving.log.getvalue())


def test_many_sites_are_filtered_and_ticked(monkeypatch):
    sites = {(f"store-{number:02}", "digits"): Desired("base", "", "c", None) for number in range(40)}
    now = Timeline(sites=sites)
    every = move_form.rows(now, "digits", None, Choice("x", []), tick="all")
    assert (len(every.rows), every.total, every.all) == (40, 40, 40)
    assert all(row.ticked for row in every.rows)
    monkeypatch.setattr(move_form, "MOST_SITES", 3)
    some = move_form.rows(now, "digits", None, Choice("x", ["store-39"]), words="1 STORE")
    assert [(row.placement.site, row.ticked) for row in some.rows] == [
        ("store-01", False), ("store-10", False), ("store-39", True),
    ]  # fmt: skip
    assert (some.total, some.all) == (14, 40)
