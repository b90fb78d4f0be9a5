"""The core's pages on a cluster: each sees what their own token may, and is told what it may not."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
import requests

from tests.cluster.apis import ClusterCore
from tests.cluster.ground import Ground, manages


class Visitor:
    """A browser without JavaScript, logged in with a token."""

    def __init__(self, api: ClusterCore, token: str) -> None:
        """Log in."""
        self.api, self.session = api, requests.Session()
        self.session.trust_env = False
        self.answer = self.send("/login", "/login", token=token, next="/")

    def close(self) -> None:
        """Close the browser."""
        self.session.close()

    def get(self, path: str) -> requests.Response:
        """A page, wherever it leads."""
        return self.session.get(f"{self.api.url}{path}", timeout=60)

    def send(self, path: str, page: str, **fields: str) -> requests.Response:
        """What follows a form of that page."""
        found = re.search(r'name="form-token" value="(\w+)"', self.get(page).text)
        assert found is not None, "the page has a form"
        fields["form-token"] = found[1]
        return self.session.post(f"{self.api.url}{path}", data=fields, timeout=60)


Visit = Callable[[ClusterCore, str], Visitor]


@pytest.fixture
def visit() -> Iterator[Visit]:
    """A function that opens a browser on the pages of an API, and logs in with a token."""
    with ExitStack() as stack:
        yield lambda api, token: stack.enter_context(closing(Visitor(api, token)))


def test_an_engineer_sees_a_run_and_deletes_it(api: ClusterCore, ground: Ground, visit: Visit) -> None:
    """With where they run, their logs, and why there is no record."""
    engineer = visit(api, api.token)
    assert engineer.answer.ok, engineer.answer.text
    assert f"Tekton in the namespace {ground.namespace}" in engineer.answer.text
    name = api.ended(api.start().json()["name"])["name"]
    page = engineer.get(f"/runs/{name}").text
    assert "Succeeded" in page
    assert '<span class="text">hello you</span>' in page
    assert "name no image" in page
    assert f"/runs/{name}/confirm/delete" in page
    gone = engineer.send(f"/runs/{name}/confirm/delete", f"/runs/{name}/confirm/delete")
    assert gone.ok, gone.text
    assert engineer.get(f"/runs/{name}").status_code == 404


def test_who_may_only_look_is_offered_no_more(api: ClusterCore, reader: str, visit: Visit) -> None:
    """And refused where they ask all the same."""
    name = api.ended(api.start().json()["name"])["name"]
    seen = visit(api, reader)
    page = seen.get(f"/runs/{name}")
    assert page.ok, page.text
    assert "/confirm/" not in page.text
    assert seen.get(f"/runs/{name}/confirm/delete").status_code == 403


def test_who_has_no_right_reads_which(api: ClusterCore, ground: Ground, visit: Visit) -> None:
    """Already at the login."""
    nobody = visit(api, ground.user())
    assert nobody.answer.status_code == 403
    assert "<dt>May not</dt><dd><code>list pipelineruns.tekton.dev</code>" in nobody.answer.text
    assert f"<code>{ground.namespace}</code>" in nobody.answer.text


def test_a_page_without_its_log(called: ClusterCore, ground: Ground, visit: Visit) -> None:
    """Who may not read the logs of pods sees the rest."""
    some = [rule | {"resources": [one for one in rule["resources"] if one != "pods/log"]} for rule in manages()]
    name = called.ended(called.start().json()["name"])["name"]
    page = visit(called, ground.user([rule for rule in some if rule["resources"]])).get(f"/runs/{name}")
    assert page.ok, page.text
    assert "Succeeded" in page.text
    assert "pods/log" in page.text
    assert '<span class="text">' not in page.text
