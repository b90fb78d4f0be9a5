"""One request a branch on each forge: made, found, changed, left alone; and every refusal in one line."""

import dataclasses
import socket
import time
from pathlib import Path

import pytest

from nearedge.delivery.forges import connection, pull_request
from nearedge.delivery.forges.base import Forge, Wanted
from nearedge.delivery.forges.pull_request import Choice, Opened, connect, ensure
from nearedge.errors import InputError, OutsideError, UsageError

from .conftest import READER, TOKEN, Open, Site

WANTED = Wanted("next", "main", "Release digits 1 (int8)", "# All is well\n")
NUMBER = {"github": "pull/1", "gitlab": "-/merge_requests/1", "gitea": "pulls/1"}


def test_created_once_then_found_then_updated(site: Site, forge: Forge) -> None:
    url = f"{site.root}/{site.project}/{NUMBER[site.kind]}"
    assert ensure(forge, WANTED) == Opened(1, url, "created")
    assert ensure(forge, WANTED) == Opened(1, url, "unchanged")
    assert [method for method, _ in site.calls] == ["GET", "POST", "GET"]
    newer = dataclasses.replace(WANTED, body="new figures", title="Release digits 2")
    assert ensure(forge, newer) == Opened(1, url, "updated")
    assert (site.requests[0].title, site.requests[0].body) == ("Release digits 2", "new figures")
    assert len(site.requests) == 1


def test_a_forge_that_ends_lines_its_own_way_is_not_asked_again(site: Site, forge: Forge) -> None:
    site.requests.append(Open(1, "next", "main", WANTED.title, "# All is well\r\n\r\n"))
    assert ensure(forge, WANTED).outcome == "unchanged"


@pytest.mark.parametrize("state", ["closed", "merged"])
def test_closed_and_merged_ones_are_left(site: Site, forge: Forge, state: str) -> None:
    site.requests.append(Open(1, "next", "main", "old", "old", state))
    assert ensure(forge, WANTED).number == 2
    assert site.requests[0] == Open(1, "next", "main", "old", "old", state)


def test_it_is_found_on_a_later_page_and_not_mistaken(site: Site, forge: Forge) -> None:
    site.requests += [Open(number, f"other-{number}", "main", "x", "x") for number in range(1, 8)]
    site.requests.append(Open(8, "next", "release", "x", "x"))
    site.requests += [Open(number, "next", "main", "theirs", "x", fork=True) for number in (9, 10, 11)]
    site.requests.append(Open(12, "next", "main", WANTED.title, WANTED.body))
    assert ensure(forge, WANTED).number == 12
    assert len(site.calls) > 1


def test_made_by_another_run_meanwhile(site: Site, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    real, looked = forge.find, []

    def find(source: str, target: str):
        looked.append(source)
        found = real(source, target)
        if len(looked) == 1:
            site.requests.append(Open(1, "next", "main", "theirs", "theirs"))
        return found

    monkeypatch.setattr(forge, "find", find)
    assert ensure(forge, WANTED).outcome == "updated"
    assert len(site.requests) == 1
    monkeypatch.setattr(forge, "find", lambda *_: None)
    with pytest.raises(OutsideError, match=r"status (409|422)"):
        ensure(forge, WANTED)


def test_a_long_title_is_cut(site: Site, forge: Forge) -> None:
    ensure(forge, dataclasses.replace(WANTED, title="x" * 300))
    assert len(site.requests[0].title) == 255


def told(capsys: pytest.CaptureFixture[str], forge: Forge, wanted: Wanted = WANTED) -> str:
    """The one line of a refusal; the token is nowhere."""
    with pytest.raises(OutsideError) as caught:
        ensure(forge, wanted)
    line = str(caught.value)
    printed = capsys.readouterr()
    assert "\n" not in line
    assert TOKEN not in line + printed.out + printed.err
    assert READER not in line + printed.out + printed.err
    return line


def test_a_token_that_is_not_known(site: Site, token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (token / "token").write_text("tok-nobody")
    line = told(capsys, connect(Choice(site.kind, "", token), site.git_url))
    assert f"{site.project}: status 401; the token is not accepted" in line
    assert "put a valid one into forge-token" in line
    assert "tok-nobody" not in line
    assert site.requests == []


def test_a_token_without_rights(site: Site, token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (token / "token").write_text(READER)
    line = told(capsys, connect(Choice(site.kind, "", token), site.git_url))
    assert "status 403; the token may not do that (" in line
    needs = {"github": "'Pull requests: write'", "gitlab": "the scope 'api'", "gitea": "'write:repository'"}
    assert needs[site.kind] in line


def test_a_project_that_is_not_there(site: Site, token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = told(capsys, connect(Choice(site.kind, "", token), site.git_url.replace("fleet", "other")))
    assert "status 404; no such project, or the token may not see it; check git-url" in line


def test_a_branch_that_is_not_there(forge: Forge, capsys: pytest.CaptureFixture[str]) -> None:
    assert "status " in told(capsys, forge, dataclasses.replace(WANTED, source="nowhere"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (301, "the project or the API moved"),
        (307, "the project or the API moved"),
        (405, "not understood"),
        (407, "the proxy wants another user"),
        (410, "turned off"),
        (422, "mend that there"),
        (423, "locked or archived"),
    ],
)
def test_other_statuses(site: Site, forge: Forge, capsys: pytest.CaptureFixture[str], status: int, words: str) -> None:
    said = {"message": f"it is\nso, {TOKEN}", "errors": ["why", {"message": "because"}]}
    site.faults = [(200, {}, []), (status, {"Location": "http://localhost:1/"}, said)]
    assert f"status {status}; " in (line := told(capsys, forge))
    assert words in line


def test_what_is_no_api(site: Site, forge: Forge, capsys: pytest.CaptureFixture[str]) -> None:
    for answer in (b"<html>", {"an": "object"}, [1, {"number": "x"}]):
        site.faults = [(200, {}, answer), (201, {}, b"<html>")]
        assert "does not answer as the API of" in told(capsys, forge)
    site.faults = [(200, {}, []), (201, {}, {"number": 1})]
    assert "does not answer as the API of" in told(capsys, forge)


LIMITED = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}


@pytest.mark.parametrize(
    ("status", "headers", "body", "waited_s"),
    [
        (429, {"Retry-After": "7"}, {"message": "Retry later"}, 7),
        (403, {"Retry-After": "9"}, LIMITED, 9),
        (403, {}, LIMITED, 60),
        (429, {}, b"Retry later\n", 60),
        (503, {"Retry-After": "3"}, b"", 3),
        (502, {}, b"<html>", 0.4),
    ],
)
def test_it_waits_as_asked(
    site: Site, forge: Forge, waits: list[float], status: int, headers: dict[str, str], body: object, waited_s: float
) -> None:
    site.faults = [(200, {}, []), (status, headers, body)]
    assert ensure(forge, WANTED).outcome == "created"
    assert len(waits) == 1
    assert waited_s <= waits[0] < waited_s + 1


def test_it_waits_until_the_limit_is_reset(site: Site, forge: Forge, waits: list[float]) -> None:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 100)}
    site.faults = [(403, headers, {"message": "API rate limit exceeded for user ID 1."})]
    assert ensure(forge, WANTED).outcome == "created"
    assert 95 < waits[0] < 102


def test_a_limit_that_lasts_is_said(site: Site, forge: Forge, waits: list[float], capsys) -> None:
    site.faults = [(429, {"Retry-After": "3000"}, {})]
    assert "its limit on the rate of requests is reached; run it again in 3000 s or later" in told(capsys, forge)
    assert waits == []
    site.faults = [(503, {}, b"")] * connection.ATTEMPTS
    assert "status 503; run it again in" in told(capsys, forge)
    assert len(waits) == connection.ATTEMPTS - 1


def test_a_post_whose_answer_was_lost_is_found_again(site: Site, forge: Forge) -> None:
    real = site.answer

    def lossy(method: str, *rest):
        said = real(method, *rest)
        return (504, {}, b"") if method == "POST" and len(site.calls) == 2 else said

    site.answer = lossy
    assert ensure(forge, WANTED).outcome == "unchanged"
    assert len(site.requests) == 1


def test_a_server_that_is_down(token: Path, waits: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    down = connect(Choice("gitea", "", token), f"http://{address}/edge/fleet.git", waits.append)
    assert told(capsys, down) == f"{address}: connection refused; run it again when it can be reached"
    assert len(waits) == connection.ATTEMPTS - 1


def test_a_list_that_leads_elsewhere_or_never_ends(
    site: Site, forge: Forge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.faults = [(200, {"Link": '<http://localhost:1/next>; rel="next"'}, [])]
    assert "the next page of its list is on another host" in told(capsys, forge)
    monkeypatch.setattr(connection, "MOST_PAGES", 3)
    site.faults = [(200, {"Link": f'<{forge.connection.api}/x>; rel="next"'}, [])] * 5
    assert "more than 3 pages" in told(capsys, forge)


def test_choices_and_tokens_that_cannot_be(token: Path, tmp_path: Path) -> None:
    address = "https://git.example.com/edge/fleet.git"
    with pytest.raises(UsageError, match=r"is none of none, github, gitlab, gitea; Forgejo is 'gitea'"):
        connect(Choice("forgejo", "", token), address)
    with pytest.raises(InputError, match="bind the workspace forge-token"):
        connect(Choice("gitea"), address)
    with pytest.raises(InputError, match="holds the file token"):
        connect(Choice("gitea", "", tmp_path), address)
    for content in (b"", b"two words", b"\xff\xfe", b"x" * 9000):
        (token / "token").write_bytes(content)
        with pytest.raises(InputError, match="is no token") as caught:
            connect(Choice("gitea", "", token), address)
        assert "two words" not in str(caught.value)
    assert set(pull_request.FORGES) == {"github", "gitlab", "gitea"}
