"""Setting sites back by a new commit: what previous means, what can be named, and how little of the past is fetched."""

from pathlib import Path

import pytest

from nearedge.delivery.gitops import publish, rollback
from nearedge.errors import InputError, NearedgeError, OutsideError, UnsupportedError
from nearedge.files import write_text
from tests.gitops_repository import Place, ask


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_all_sites_go_back_to_what_each_ran(place: Place) -> None:
    place.put("a", "edge-1", "edge-2")
    place.put("b", "edge-2")
    place.put("c", "edge-1", "edge-2")
    old = ask(place.remote, "rev-parse", "main~2:models/digits/base")
    done, _ = place.back()
    assert (done.changed, done.sites) == (True, ["edge-1", "edge-2"])
    assert place.runs() == {"edge-1": "a", "edge-2": "b"}
    assert ask(place.remote, "rev-parse", f"main:models/digits/releases/{'a' * 12}") == old
    assert place.commits == 4
    said = ask(place.remote, "log", "-1", "--format=%B")
    assert f"- edge-1: 1.c ({'c' * 12}) -> 1.a ({'a' * 12})" in said
    assert f"Rolled-back: edge-2 sha256:{'c' * 64} -> sha256:{'b' * 64}" in said
    assert "deployed (f16) p50" in said or "p50" in said


def test_asked_for_twice_it_is_done_once(place: Place) -> None:
    place.put("a", "edge-1")
    place.put("b", "edge-1")
    first, _ = place.back("edge-1")
    second, plan = place.back("edge-1")
    assert second == publish.Published(first.commit, changed=False)
    assert f"set back by {first.commit[:12]} already" in plan.stay["edge-1"]
    assert place.back("edge-1", to="1.b")[0].changed
    assert place.runs() == {"edge-1": "b"}
    assert ask(place.remote, "ls-tree", "--name-only", "main:models/digits") == "base"


def test_some_sites_only_and_what_follows(place: Place) -> None:
    place.put("a", "edge-1", "edge-2")
    place.put("b", "edge-1", "edge-2")
    place.back("edge-2")
    assert place.runs() == {"edge-1": "b", "edge-2": "a"}
    place.put("c", "edge-2")
    assert place.runs() == {"edge-1": "b", "edge-2": "c"}
    place.back("edge-2")
    assert place.runs() == {"edge-1": "b", "edge-2": "a"}


def test_any_release_can_be_named(place: Place) -> None:
    commit = place.put("a", "edge-1")
    place.put("b", "edge-1")
    place.put("c", "edge-1")
    for name in (commit, commit[:9], f"sha256:{'a' * 64}", "a" * 12, "1.a"):
        assert place.runs() == {"edge-1": "c"}
        done, _ = place.back(to=name)
        assert done.sites == ["edge-1"]
        assert place.runs() == {"edge-1": "a"}
        assert place.back(to=name)[0] == publish.Published(done.commit, changed=False)
        place.back(to="1.c")


def test_the_sites_own_files_come_back_as_they_were(place: Place) -> None:
    place.put("a", "edge-1")
    overlay = "sites/edge-1/digits/kustomization.yaml"
    place.edit(lambda clone: write_text(clone / overlay, (clone / overlay).read_text() + "# by hand\n"))
    place.put("b", "edge-1")
    place.back()
    assert ask(place.remote, "show", f"main:{overlay}").endswith("# by hand")


def test_the_past_is_fetched_no_further_than_needed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for digest in "0123456789":
        place.put(digest, "edge-1")
    steps = []
    deepen = rollback.History.deepen

    def counted(self: rollback.History, step: int) -> None:
        deepen(self, step)
        steps.append((step, int(self.ask("rev-list", "--count", "HEAD"))))

    monkeypatch.setattr(rollback.History, "deepen", counted)
    place.back()
    assert steps == [(8, 9)]
    steps.clear()
    place.back(to="1.0")
    assert [step for step, _ in steps] == [8, 16]


def unknown_site(place: Place) -> None:
    place.back("edge-9")


def unknown_model(place: Place) -> None:
    place.back(name="other")


def unknown_release(place: Place) -> None:
    place.back(to="9.9")


def nothing_before(place: Place) -> None:
    place.back("edge-1")


def newer_record(place: Place) -> None:
    def spoil(clone: Path) -> None:
        path = clone / "models/digits/base/release.json"
        path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 7'))

    place.edit(spoil)
    place.back("edge-1")


def damaged_record(place: Place) -> None:
    place.edit(lambda clone: write_text(clone / "models/digits/base/release.json", "{"))
    place.back("edge-1")


def foreign_site(place: Place) -> None:
    place.edit(lambda clone: write_text(clone / "sites/edge-1/digits/kustomization.yaml", "resources: [x]\n"))
    place.back("edge-1")


def no_branch(place: Place) -> None:
    place.target = publish.Target(place.target.url, "next")
    place.back("edge-1")


def protected(place: Place) -> None:
    place.put("b", "edge-1")
    hook = place.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed for refs/heads/main.' >&2\nexit 1\n")
    hook.chmod(0o755)
    place.back("edge-1")


def without_its_image(place: Place) -> None:
    place.put("b", "edge-1")

    def check(*_: object) -> None:
        raise OutsideError("registry.example.com/digits: has no image; nothing was changed")

    place.back("edge-1", check=check)


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        (unknown_site, InputError, "site 'edge-9': runs no model 'digits'; sites that do: edge-1"),
        (unknown_model, InputError, "model 'other': runs at no site"),
        (unknown_release, InputError, "to '9.9': the branch never held such a release"),
        (nothing_before, InputError, "ran no release of 'digits' before this one; name sites that did"),
        (
            newer_record,
            UnsupportedError,
            r"models/digits/base/release.json in commit \w{12}: schema_version 7 is newer than this nearedge reads",
        ),
        (damaged_record, InputError, "is no release of ours"),
        (foreign_site, InputError, "is no release of ours"),
        (no_branch, InputError, "has no branch 'next'"),
        (protected, OutsideError, "GH006: Protected branch update failed.*by a pull request"),
        (without_its_image, OutsideError, "has no image"),
    ],
)
def test_one_line_and_git_is_left_as_it_was(place: Place, act, kind: type[NearedgeError], words: str) -> None:
    place.put("a", "edge-1")
    with pytest.raises(kind, match=words) as raised:
        act(place)
    assert "\n" not in str(raised.value)
    assert "Roll back" not in ask(place.remote, "log", "--all", "--format=%s")


def test_a_publisher_at_the_same_time_also_lands(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("a", "edge-1", "edge-2")
    place.put("b", "edge-1", "edge-2")
    commit, times = publish.committed, []

    def overtaken(*arguments) -> str:
        found = commit(*arguments)
        if not times:
            times.append(1)
            place.put("c", "edge-2")
        return found

    monkeypatch.setattr(publish, "committed", overtaken)
    place.back("edge-1")
    assert place.runs() == {"edge-1": "a", "edge-2": "c"}
    assert place.commits == 4
