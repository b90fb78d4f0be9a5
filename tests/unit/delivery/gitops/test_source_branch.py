"""A branch to review: names, two at once, a forge's own merge into it, what is put back."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nearedge.delivery import git
from nearedge.delivery.git import Git
from nearedge.delivery.gitops import publish, source_branch
from nearedge.delivery.gitops.publish import Author, Change, Target
from nearedge.delivery.gitops.source_branch import Proposed, default_branch, propose
from nearedge.errors import OutsideError
from nearedge.files import write_text

AUTHOR = Author("Ada", "ada@example.com")
BRANCH = "nearedge/digits/edge-1"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    publish.create_local(path, "main")
    change(tmp_path, path, "main", {"sites/.gitkeep": ""}, new=True)
    return path


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def ask(at: Path, *arguments: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost"]
    return subprocess.run(["git", *who, *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


def change(tmp_path: Path, remote: Path, branch: str, files: dict[str, str], *, new: bool = False) -> None:
    """Somebody's commit on a branch."""
    clone = Path(tempfile.mkdtemp(dir=tmp_path))
    ask(clone, "clone", "-q", *([] if new else ["--branch", branch]), str(remote), ".")
    for name, text in files.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    ask(clone, "add", "-A")
    ask(clone, "commit", "-qm", "theirs")
    ask(clone, "push", "-q", "origin", f"HEAD:{branch}")


def proposed(remote: Path, files: dict[str, str | None], asked=lambda: None, source: str = BRANCH) -> Proposed:
    def plan(_: Git, at: Path) -> Change:
        there = {name: text for name, text in files.items() if text is not None or (at / name).exists()}
        return Change(there, "Release\n\nImage: x\n", ["edge-1"])

    with git.session(git.Access()) as client:
        return propose(client, Target(str(remote), "main"), source, AUTHOR, plan, asked)


def test_names() -> None:
    assert default_branch("digits", ["b", "a"]) == default_branch("digits", ["a", "b"]) == "nearedge/digits/a+b"
    assert default_branch("digits", []) == "nearedge/digits/+base"
    assert default_branch("a-b", ["c"]) != default_branch("a", ["b-c"])
    many = [f"site-{number}" for number in range(40)]
    name = default_branch("digits", many)
    assert name.startswith("nearedge/digits/40-sites+")
    assert len(name) < source_branch.LONGEST
    assert name == default_branch("digits", many[::-1]) != default_branch("digits", [*many[:-1], "z"])


def test_two_at_once_leave_one_commit(remote: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda text: proposed(remote, {"sites/x": text}), ["1", "2"]))
    assert ask(remote, "rev-list", "--count", f"main..{BRANCH}") == "1"
    assert ask(remote, "rev-parse", BRANCH) in {one.commit for one in done}
    assert ask(remote, "rev-list", "--count", "main") == "1"


def test_who_is_overtaken_looks_again(tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = source_branch.pushed, []

    def pushed(client: Git, url: str, source: str, commit: str, tip: str, at: Path) -> bool:
        tries.append(tip)
        if len(tries) == 1:
            change(tmp_path, remote, BRANCH, {"note": "x"}, new=True)
        return real(client, url, source, commit, tip, at)

    monkeypatch.setattr(source_branch, "pushed", pushed)
    with pytest.raises(OutsideError, match="holds commits of others"):
        proposed(remote, {"sites/x": "1"})
    assert ask(remote, "show", f"{BRANCH}:note") == "x"
    monkeypatch.setattr(source_branch, "pushed", lambda *_: False)
    monkeypatch.setattr(publish, "FIRST_WAIT_S", 0.0)
    with pytest.raises(OutsideError, match=r"others pushed to other first, 12 times"):
        proposed(remote, {"sites/x": "1"}, source="other")


def test_a_forges_own_merge_is_no_new_commit(tmp_path: Path, remote: Path) -> None:
    proposed(remote, {"sites/x": "1"})
    change(tmp_path, remote, "main", {"sites/y": "1"})
    clone = tmp_path / "merge"
    ask(tmp_path, "clone", "-q", "--branch", BRANCH, str(remote), str(clone))
    ask(clone, "merge", "-q", "origin/main")
    ask(clone, "push", "-q", "origin", BRANCH)
    tip = ask(remote, "rev-parse", BRANCH)
    assert proposed(remote, {"sites/x": "1"}) == Proposed(tip, changed=False, differs=True, sites=["edge-1"])
    with pytest.raises(OutsideError, match="holds commits of others"):
        proposed(remote, {"sites/x": "2"})


def test_it_is_put_back_where_the_request_fails(remote: Path) -> None:
    def refuse() -> None:
        raise OutsideError("no")

    with pytest.raises(OutsideError, match=r"^no$"):
        proposed(remote, {"sites/x": "1"}, refuse)
    assert ask(remote, "for-each-ref", "--format=%(refname:short)") == "main"
    first = proposed(remote, {"sites/x": "1"})
    with pytest.raises(OutsideError, match=r"^no$"):
        proposed(remote, {"sites/x": "2"}, refuse)
    assert ask(remote, "rev-parse", BRANCH) == first.commit


def test_a_refusal_says_what_to_do(remote: Path) -> None:
    hook = remote / "hooks" / "pre-receive"
    write_text(hook, "#!/bin/sh\necho 'denied to robot' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(OutsideError, match=r"denied to robot.*nothing was published; .*give a token that may write"):
        proposed(remote, {"sites/x": "1"})
    shutil.rmtree(remote)
    with pytest.raises(OutsideError, match=r"`git init --bare .*remote.git` makes one"):
        proposed(remote, {"sites/x": "1"})


def test_nothing_differs(remote: Path) -> None:
    def never() -> None:
        raise AssertionError

    head = ask(remote, "rev-parse", "main")
    assert proposed(remote, {"sites/.gitkeep": ""}, never) == Proposed(head, changed=False, differs=False)
