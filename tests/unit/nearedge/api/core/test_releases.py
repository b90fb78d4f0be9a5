"""Models and releases over HTTP, from a real repository: lists, one, two side by side, and git that is away."""

import shutil
import time

import pytest

from nearedge.delivery.gitops import comparison, timeline
from nearedge.delivery.gitops.timeline import Timeline
from nearedge.release.metric import HIGHER_IS_BETTER
from tests.fleet import MANAGE, Place
from tests.gitops_repository import RECORD, ask, release


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    found = Place(tmp_path_factory.mktemp("place"))
    found.commits_of = {
        "a": found.put("a", "edge-1", "edge-2"),
        "b": found.put("b", "edge-2"),
        "c": found.put(release("c", size_bytes=50_000_000), "edge-1"),
    }
    found.put("e", "edge-1", name="other")
    return found


@pytest.fixture
def client(place):
    with place.client() as found:
        yield found


def test_models_and_what_each_site_shall_run(client) -> None:
    answer = client.get("/api/v1/models").json()
    assert [(one["name"], one["releases"], one["version"], one["sites"]) for one in answer["items"]] == [
        ("digits", 3, "1.c", 2), ("other", 1, "1.e", 1),
    ]  # fmt: skip
    assert (answer["stale"], answer["sources"]["git"], answer["next"]) == (False, "ok", None)
    assert answer["as_of"].endswith("+00:00")
    one = client.get("/api/v1/models/digits")
    assert one.json() == {"name": "digits", "newest": "c" * 12, "sites": {"edge-1": "c" * 12, "edge-2": "b" * 12}}
    assert int(one.headers["age"]) < 60
    again = client.get("/api/v1/models/digits", headers={"If-None-Match": one.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_releases_come_newest_first_in_pages(client, place) -> None:
    found, after = [], None
    while True:
        page = client.get("/api/v1/models/digits/releases", params={"limit": 2, **({"after": after} if after else {})})
        found += page.json()["items"]
        after = page.json()["next"]
        if after is None:
            break
    assert sorted(one["version"] for one in found) == ["1.a", "1.b", "1.c"]
    assert [one["when"] for one in found] == sorted((one["when"] for one in found), reverse=True)
    by_version = {one["version"]: one for one in found}
    assert {version: one["sites"] for version, one in by_version.items()} == {"1.a": 0, "1.b": 1, "1.c": 1}
    assert by_version["1.a"]["commit"] == place.commits_of["a"]
    assert by_version["1.a"]["digest"] == f"sha256:{'a' * 64}"
    assert by_version["1.a"]["precision"] == RECORD.identity.precision
    assert by_version["1.c"]["figures"]["image"] == "50.0 MB"


def test_one_release_with_its_record(client) -> None:
    answer = client.get(f"/api/v1/models/digits/releases/{'a' * 12}")
    assert answer.json()["record"] == release("a").model_dump(mode="json")
    tag = {"If-None-Match": f"W/{answer.headers['etag']}"}
    assert client.get(f"/api/v1/models/digits/releases/{'a' * 12}", headers=tag).status_code == 304


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("models/nothing", 404),
        ("models/nothing/releases", 404),
        ("models/digits/releases/0123456789ab", 404),
        ("models/digits/releases/zz", 422),
        ("models/digits/releases?after=%21", 400),
        ("models/digits/releases?limit=0", 422),
        ("models/digits/compare?a=1.a&b=9.9", 404),
        ("models/digits/compare?a=1.a", 422),
        ("models/..%2f..%2f", 404),
        ("sites/edge-9", 404),
    ],
)
def test_what_is_not_there(client, path, status) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_nobody_reads_without_a_token(client) -> None:
    for path in ("models", "models/digits/releases", "fleet", "sites"):
        assert client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer x{MANAGE}"}).status_code == 401


def test_two_side_by_side(client) -> None:
    answer = client.get("/api/v1/models/digits/compare", params={"a": "a" * 12, "b": f"sha256:{'c' * 64}"}).json()
    rows = {one["name"]: one for one in answer["figures"]}
    image = rows["image"]
    assert (image["a"], image["b"], image["better"]) == ("61.0 MB", "50.0 MB", "b")
    assert image["b_number"] == {"value": 50_000_000, "unit": "bytes"}
    assert rows["accuracy"]["better"] == "same"
    assert (answer["a"]["version"], answer["b"]["version"]) == ("1.a", "1.c")


def test_numbers_are_of_figures_and_know_what_is_better() -> None:
    numbers = comparison.numbers(RECORD)
    assert set(numbers) <= set(comparison.figures(RECORD))
    assert {"accuracy", "deployed p99", "image", "memory limit"} <= set(numbers)
    assert numbers["accuracy"].larger is HIGHER_IS_BETTER["accuracy"]
    slow = comparison.Number(2.0, "ms", larger=False)
    assert comparison.better(slow, comparison.Number(1.0, "ms", larger=False)) == "b"
    assert comparison.better(slow, comparison.Number(1.0, "bytes", larger=False)) is None
    assert comparison.better(slow, None) is None
    metric = RECORD.evidence.verification_deployed.metric
    own = metric.model_copy(update={"name": "shop:loss", "source": 1.0, "converted": 1.5, "drop": 0.5})
    assert comparison.rises(own) is False
    assert comparison.rises(own.model_copy(update={"drop": -0.5})) is True
    assert comparison.rises(own.model_copy(update={"drop": 0.0})) is None


def test_a_release_that_comes_back_keeps_its_time_and_a_rewritten_branch_is_read_anew(tmp_path) -> None:
    place = Place(tmp_path)
    first = place.put("a", "edge-1")
    place.put("b", "edge-1")
    place.put("a", "edge-1")
    with place.client() as client:
        items = client.get("/api/v1/models/digits/releases").json()["items"]
        assert {one["version"]: one["commit"] for one in items}["1.a"] == first
        ask(place.remote, "update-ref", "refs/heads/main", first)
        items = client.get("/api/v1/models/digits/releases").json()["items"]
        assert [one["version"] for one in items] == ["1.a"]
        place.put("d", "edge-2")
        assert client.get("/api/v1/models/digits").json()["sites"] == {"edge-1": "a" * 12, "edge-2": "d" * 12}


def test_what_came_on_top_is_as_if_all_were_read_anew(tmp_path) -> None:
    place = Place(tmp_path)
    with place.client() as client:
        for digest, sites in (("a", ["edge-1", "edge-2"]), ("b", ["edge-2"]), ("c", ["edge-1"])):
            place.put(digest, *sites)
            client.get("/api/v1/models")
        clone = tmp_path / "clone"
        ask(tmp_path, "clone", "-q", str(place.remote), str(clone))
        shutil.rmtree(clone / "sites" / "edge-2")
        (clone / "sites" / "edge-3" / "digits").mkdir(parents=True)
        (clone / "sites" / "edge-3" / "digits" / "kustomization.yaml").write_bytes(b"resources: [\xff./mine]\n")
        (clone / "models" / "digits" / "releases").mkdir(exist_ok=True)
        ask(clone, "add", "-A")
        ask(clone, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-qm", "by hand")
        ask(clone, "push", "-q", "origin", "HEAD:main")
        sites = client.get("/api/v1/models/digits").json()["sites"]
        assert sites == {"edge-1": "c" * 12, "edge-3": None}
        source = client.source
        from nearedge.delivery import git

        with git.session(git.Access()) as own:
            assert timeline.read(own, source.mirror.at, Timeline()) == source.git.known.value


def test_git_away_is_answered_from_the_mirror(tmp_path) -> None:
    place = Place(tmp_path)
    place.put("a", "edge-1")
    with place.client() as client:
        assert client.get("/api/v1/models").json()["stale"] is False
    place.remote.rename(tmp_path / "away.git")
    with place.client() as client:  # another process: nothing in memory
        answer = client.get("/api/v1/models").json()
        assert answer["stale"] is True
        assert "remote.git" in answer["sources"]["git"]
        assert [one["version"] for one in answer["items"]] == ["1.a"]
        assert client.get(f"/api/v1/models/digits/releases/{'a' * 12}").status_code == 200
        (tmp_path / "away.git").rename(place.remote)
        place.put("b", "edge-1")
        deadline = time.monotonic() + 60
        while client.get("/api/v1/models").json()["stale"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/api/v1/models/digits").json()["newest"] == "b" * 12


def test_git_that_never_was_there(tmp_path) -> None:
    place = Place(tmp_path)
    with place.client(url=f"file://{tmp_path}/none.git") as client:
        answer = client.get("/api/v1/models").json()
        assert (answer["items"], answer["stale"], answer["as_of"]) == ([], True, None)
        assert "git init --bare" in answer["sources"]["git"]
        one = client.get("/api/v1/models/digits")
        assert (one.status_code, one.headers["retry-after"]) == (503, "3")
    with place.client() as client:
        answer = client.get("/api/v1/fleet").json()
        assert answer["items"] == [] and "no such branch yet" in answer["sources"]["git"]


def test_a_damaged_mirror_is_made_anew(tmp_path) -> None:
    place = Place(tmp_path)
    place.put("a", "edge-1")
    with place.client() as client:
        client.get("/api/v1/models")
        at = client.source.mirror.at
    (at / "shallow.lock").touch()
    place.put("b", "edge-1")
    with place.client() as client:
        answer = client.get("/api/v1/models").json()
        assert (answer["sources"]["git"], answer["items"][0]["version"]) == ("ok", "1.b")
    for pack in (at / "objects" / "pack").iterdir():
        pack.chmod(0o644)
        pack.write_bytes(b"")
    with place.client() as client:
        answer = client.get("/api/v1/models").json()
        assert (answer["sources"]["git"], answer["items"][0]["version"]) == ("ok", "1.b")
