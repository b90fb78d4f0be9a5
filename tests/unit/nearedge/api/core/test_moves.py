"""Promoting and rolling back over HTTP: the same commits as the Tasks make, done once, refused in one line, audited."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from nearedge.errors import OutsideError
from nearedge.release.sections import Layer
from tests.fleet import READ, Place
from tests.gitops_repository import ask, release

LAYER = Layer(digest=f"sha256:{'7' * 64}", size_bytes=9000, title="model")
URL = "/api/v1/models/digits"


@pytest.fixture
def place(tmp_path):
    found = Place(tmp_path)
    found.put("a", "edge-1", "edge-2")
    found.put(release("b", layers=[LAYER]), "edge-2")
    return found


@pytest.fixture
def client(place):
    with place.client() as found:
        yield found


def test_promote_then_back(client, place) -> None:
    dry = client.post(f"{URL}/promote", json={"release": "b" * 12, "sites": ["edge-1"], "dry_run": True}).json()
    assert (dry["dry_run"], dry["changed"], place.commits) == (True, True, 2)
    assert dry["commit"] == ask(place.remote, "rev-parse", "main")
    files = {one["path"]: one for one in dry["files"]}
    assert files["sites/edge-1/digits/kustomization.yaml"]["change"] == "modified"
    assert files[f"models/digits/releases/{'a' * 12}/release.json"]["change"] == "removed"
    assert "+++ b/sites/edge-1/digits/kustomization.yaml" in dry["diff"] and not dry["diff_cut"]
    done = client.post(f"{URL}/promote", json={"release": "b" * 12, "sites": ["edge-1"]})
    assert done.status_code == 200, done.text
    assert done.json()["commit"] == ask(place.remote, "rev-parse", "main")
    assert {key: done.json()["sites"][0][key] for key in ("site", "from_version", "to_id", "at_most")} == {
        "site": "edge-1", "from_version": "1.a", "to_id": "b" * 12, "at_most": True,
    }  # fmt: skip
    assert done.json()["sites"][0]["pull_bytes"] == 61_000_000 - 9000 + 9000
    said = ask(place.remote, "log", "-1", "--format=%an%n%B")
    assert said.startswith("Ada\nPromote digits 1.b (bbbbbbbbbbbb) to edge-1") and "Rolled-back" not in said
    assert said.split("\n", 1)[1].strip() == dry["message"].strip()
    assert client.get(URL).json()["sites"] == {"edge-1": "b" * 12, "edge-2": "b" * 12}
    again = client.post(f"{URL}/promote", json={"release": "1.b", "sites": ["edge-1"]}).json()
    assert again["changed"] is False and "already" in again["stay"]["edge-1"]
    back = client.post(f"{URL}/rollback", json={"sites": ["edge-1"]}).json()
    assert (back["changed"], back["sites"][0]["to_id"]) == (True, "a" * 12)
    assert client.get(URL).json()["sites"] == {"edge-1": "a" * 12, "edge-2": "b" * 12}
    lines = place.audited()
    assert [(one["who"], one["action"], one["outcome"]) for one in lines] == [
        ("ada", "promote", "unchanged"), ("ada", "promote", "done"), ("ada", "promote", "unchanged"),
        ("ada", "rollback", "done"),
    ]  # fmt: skip
    assert lines[1]["what"] == {"model": "digits", "to": "b" * 12, "sites": ["edge-1"]}


def test_who_only_reads_moves_nothing(client, place) -> None:
    reader = {"Authorization": f"Bearer {READ}"}
    answer = client.post(f"{URL}/rollback", json={}, headers=reader)
    assert (answer.status_code, place.commits) == (403, 2)


def test_nothing_is_moved_that_changed_meanwhile(client, place) -> None:
    tag = client.get(URL).headers["etag"]
    place.put("c", "edge-1")
    body = {"release": "b" * 12, "sites": ["edge-1"]}
    late = client.post(f"{URL}/promote", json=body, headers={"If-Match": tag})
    assert (late.status_code, place.commits) == (412, 3)
    other = client.post(f"{URL}/promote", json={**body, "expected": "a" * 12})
    assert other.status_code == 409
    assert "runs 1.c" in other.json()["detail"]
    tag = client.get(URL).headers["etag"]
    assert client.post(f"{URL}/promote", json=body, headers={"If-Match": tag}).json()["changed"]
    assert client.post(f"{URL}/promote", json={**body, "expected": "1.b"}).status_code == 200
    assert [one["outcome"] for one in place.audited()] == ["refused", "refused", "done", "unchanged"]


def test_a_key_is_one_move(client, place) -> None:
    body, key = {"sites": ["edge-2"]}, {"Idempotency-Key": "k1"}
    first = client.post(f"{URL}/rollback", json=body, headers=key)
    place.put("c", "edge-2")
    with place.client() as other:  # after a restart
        again = other.post(f"{URL}/rollback", json=body, headers=key)
        assert (again.status_code, again.json()) == (200, first.json())
        assert other.post(f"{URL}/rollback", json={"sites": ["edge-1"]}, headers=key).status_code == 409
    assert place.commits == 4
    with ThreadPoolExecutor(3) as pool:
        some = list(
            pool.map(lambda _: client.post(f"{URL}/rollback", json=body, headers={"Idempotency-Key": "k2"}), "123")
        )
    assert {one.status_code for one in some} <= {200, 409} and place.commits == 5


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("promote", {"release": "b" * 12, "sites": ["edge-9"]}, 422, "runs no model"),
        ("promote", {"release": "0" * 12, "sites": ["edge-1"]}, 422, "never held"),
        ("promote", {"release": "previous", "sites": ["edge-1"]}, 422, "name one"),
        ("promote", {"release": "b" * 12, "sites": []}, 422, "at least 1"),
        ("promote", {"release": "b" * 12, "sites": ["../x"]}, 422, "pattern"),
        ("promote", {"release": "b" * 12}, 422, "required"),
        ("rollback", {"to": "--output=x"}, 422, "pattern"),
        ("rollback", {"sites": ["edge-1"]}, 422, "ran no release"),
        ("rollback", {"more": 1}, 422, "not permitted"),
    ],
)
def test_what_cannot_be_is_one_line(client, place, path, body, status, words) -> None:
    answer = client.post(f"{URL}/{path}", json=body)
    assert (answer.status_code, place.commits) == (status, 2), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_an_image_that_is_gone_moves_nothing(place) -> None:
    asked = []

    def check(release, site):
        asked.append((release.digest[7], site))
        raise OutsideError("the registry lacks it; nothing was changed")

    with place.client(new_check=lambda: check) as client:
        for dry in (True, False):
            answer = client.post(f"{URL}/promote", json={"release": "1.b", "sites": ["edge-1"], "dry_run": dry})
            assert (answer.status_code, place.commits) == (502, 2)
    assert asked == [("b", "edge-1")] * 2


def test_git_away_moves_nothing(place) -> None:
    with place.client() as client:
        client.get(URL)
        place.remote.rename(place.folder / "away.git")
        answer = client.post(f"{URL}/rollback", json={})
        assert answer.status_code == 502 and "remote.git" in answer.json()["detail"]


def test_what_a_dry_run_said_and_nothing_else(client, place) -> None:
    body = {"release": "b" * 12, "sites": ["edge-1"]}
    plan = client.post(f"{URL}/promote", json={**body, "dry_run": True}).json()["plan"]
    place.put("d", "edge-1", name="other")
    same = client.post(f"{URL}/promote", json={**body, "dry_run": True}).json()["plan"]
    assert same == plan, "what happens to other models does not matter"
    place.put("c", "edge-1")
    late = client.post(f"{URL}/promote", json={**body, "plan": plan}, headers={"Idempotency-Key": "k"})
    assert (late.status_code, place.commits) == (412, 4)
    assert "it would do something else now" in late.json()["detail"]
    plan = client.post(f"{URL}/promote", json={**body, "dry_run": True}).json()["plan"]
    done = client.post(f"{URL}/promote", json={**body, "plan": plan}, headers={"Idempotency-Key": "k"})
    assert (done.json()["changed"], done.json()["plan"]) == (True, "")
    assert client.post(f"{URL}/promote", json=body, headers={"Idempotency-Key": "k"}).status_code == 409


def test_a_rollback_that_would_lead_elsewhere_by_now(client, place) -> None:
    """The sites run what they ran at the dry run, but what they ran before is another release."""
    plan = client.post(f"{URL}/rollback", json={"sites": ["edge-2"], "dry_run": True}).json()["plan"]
    place.put("c", "edge-2")
    place.put(release("b", layers=[LAYER]), "edge-2")
    late = client.post(f"{URL}/rollback", json={"sites": ["edge-2"], "plan": plan})
    assert (late.status_code, place.commits) == (412, 4)
