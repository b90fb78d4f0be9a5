"""Publishing to real repositories: one commit, all publishers land, refusals are one line and leave nothing."""

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nearedge.delivery import git
from nearedge.delivery.gitops import deployed, publish, render
from nearedge.delivery.gitops.message import message
from nearedge.errors import InputError, OutsideError, UnsupportedError, UsageError
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
AUTHOR = publish.Author("Ada", "ada@example.com")


def named(name: str, digest: str = "d") -> Record:
    image = RECORD.evidence.image
    assert image is not None
    evidence = RECORD.evidence.model_copy(
        update={"image": image.model_copy(update={"digest": f"sha256:{digest * 64}"})}
    )
    return Record(identity=RECORD.identity.model_copy(update={"name": name}), evidence=evidence)


def tree(folder: Path, record: Record, *sites: str) -> publish.Rendered:
    for path, text in render.render(record, profiles.read("microshift-small"), sites).items():
        write_text(folder / path, text)
    return publish.rendered(folder)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    publish.create_local(path, "main")
    return path


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever happens, no folder of ours stays behind."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def push(url: str | Path, release: publish.Rendered, branch: str = "main") -> publish.Published:
    with git.session(git.Access()) as client:
        return publish.publish(client, publish.Target(str(url), branch), release, AUTHOR, message)


def ask(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


def test_first_again_and_upgrade(tmp_path: Path, remote: Path) -> None:
    first = push(remote, tree(tmp_path / "one", named("digits"), "edge-1"))
    assert first == publish.Published(ask(remote, "rev-parse", "main"), changed=True, sites=["edge-1"])
    assert ask(remote, "show", "main:README.md").startswith("# What runs where")
    assert ask(remote, "log", "-1", "--format=%an %ae %cn %ce") == "Ada ada@example.com Ada ada@example.com"
    again = push(remote, tree(tmp_path / "same", named("digits"), "edge-1"))
    assert again == publish.Published(first.commit, changed=False)
    upgrade = push(remote, tree(tmp_path / "two", named("digits", "9"), "edge-1"))
    assert upgrade.changed
    assert ask(remote, "rev-list", "--count", "main") == "2"
    changes = ask(remote, "diff", "--name-only", "main~1", "main").split()
    assert {"models/digits/base/deployment.yaml", "models/digits/base/release.json"} <= set(changes)
    assert all(path.startswith("models/digits/base/") for path in changes)
    assert "Previous-image: sha256:dddd" in ask(remote, "log", "-1", "--format=%B")


def test_only_its_own_folders_are_touched(tmp_path: Path, remote: Path) -> None:
    clone = tmp_path / "clone"
    ask(tmp_path, "clone", "-q", str(remote), str(clone))
    write_text(clone / "README.md", "ours\n")
    write_text(clone / ".gitignore", "*.json\n*.yaml\n")
    write_text(clone / "models" / "other" / "base" / "x", "1")
    write_text(clone / "models" / "digits" / "base" / "stale.yaml", "1")
    write_text(clone / "sites" / "edge-2" / "digits" / "kustomization.yaml", "1")
    ask(clone, "add", "-fA")
    ask(clone, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-qm", "before")
    ask(clone, "push", "-q", "origin", "HEAD:main")
    push(f"file://{remote}", tree(tmp_path / "one", named("digits"), "edge-1"))
    files = ask(remote, "ls-tree", "-r", "--name-only", "main").split()
    assert "models/digits/base/release.json" in files
    assert "models/digits/base/stale.yaml" not in files
    assert {"models/other/base/x", "sites/edge-2/digits/kustomization.yaml"} <= set(files)
    assert ask(remote, "show", "main:README.md") == "ours"
    assert ask(remote, "rev-list", "--count", "main") == "2"


def test_another_branch_begins_anew(tmp_path: Path, remote: Path) -> None:
    push(remote, tree(tmp_path / "one", named("digits")))
    done = push(remote, tree(tmp_path / "one", named("digits")), "staging/next")
    assert done.changed
    assert ask(remote, "rev-list", "--count", "staging/next") == "1"


def test_many_at_once_all_land(tmp_path: Path, remote: Path) -> None:
    releases = [tree(tmp_path / f"r{number}", named(f"model-{number}"), "edge-1") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda release: push(remote, release), releases))
    assert all(one.changed for one in done)
    assert ask(remote, "rev-list", "--count", "main") == "4"
    assert ask(remote, "rev-list", "--merges", "main") == ""
    for number, one in enumerate(done):
        assert ask(remote, "show", f"main:models/model-{number}/base/release.json")
        assert ask(remote, "merge-base", "--is-ancestor", one.commit, "main") == ""


def test_who_is_overtaken_tries_again_on_top(tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = publish.committed
    times = []

    def overtaken(*arguments) -> str:
        found = commit(*arguments)
        if not times:
            times.append(1)
            push(remote, tree(tmp_path / "other", named("faster")))
        return found

    monkeypatch.setattr(publish, "committed", overtaken)
    done = push(remote, tree(tmp_path / "one", named("digits")))
    assert ask(remote, "rev-list", "--count", "main") == "2"
    assert ask(remote, "rev-parse", "main") == done.commit


def test_who_is_always_overtaken_gives_up(tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "pauses", lambda: iter([0.0, 0.0]))
    monkeypatch.setattr(publish, "pushed", lambda *_: False)
    with pytest.raises(OutsideError, match="others pushed to main first"):
        push(remote, tree(tmp_path / "one", named("digits")))


@pytest.mark.parametrize(
    ("said", "overtaken"),
    [
        ("! [rejected] (fetch first)", True),
        ("remote: error: cannot lock ref 'refs/heads/main': is at 1 but expected 2", True),
        ("remote: error: cannot lock ref 'refs/heads/main': Unable to create 'x.lock': Permission denied", False),
        ("! [remote rejected] (pre-receive hook declined)", False),
    ],
)
def test_overtaken_or_refused(tmp_path: Path, said: str, overtaken: bool) -> None:
    class Saying(git.Git):
        def run(self, *_: str, **__) -> str:
            raise git.RefusedError(f"git push: {said}", said)

    client = Saying(tmp_path, {}, ())
    target = publish.Target("https://host/x", "main")
    if overtaken:
        assert not publish.pushed(client, target, tmp_path)
    else:
        with pytest.raises(OutsideError, match="nothing was published"):
            publish.pushed(client, target, tmp_path)


def hook(remote: Path) -> None:
    path = remote / "hooks" / "pre-receive"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    path.chmod(0o755)


def not_bare(remote: Path) -> None:
    shutil.rmtree(remote)
    ask(remote.parent, "init", "-q", "-b", "main", str(remote))
    ask(remote, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-q", "--allow-empty", "-m", "x")


def gone(remote: Path) -> None:
    shutil.rmtree(remote)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (hook, "main is protected.*; the branch is protected; publish by a pull request"),
        (not_bare, "checked out"),
        (gone, "git init --bare .*remote.git` makes one"),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_remote_that_refuses(tmp_path: Path, remote: Path, spoil, words: str, scheme: str) -> None:
    spoil(remote)
    with pytest.raises(OutsideError, match=words) as raised:
        push(f"{scheme}{remote}", tree(tmp_path / "one", named("digits")))
    assert "\n" not in str(raised.value)
    if remote.exists():
        assert "digits" not in ask(remote, "log", "--all", "--format=%s")


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/x.git", "git://127.0.0.1:1/x", "ext::sh -c true"])
def test_a_remote_that_is_not_there(tmp_path: Path, url: str) -> None:
    with pytest.raises(OutsideError):
        push(url, tree(tmp_path / "one", named("digits")))


@pytest.mark.parametrize("branch", ["", "a b", "..", "x.lock", "-x"])
def test_a_branch_that_is_none(tmp_path: Path, remote: Path, branch: str) -> None:
    with pytest.raises(UsageError, match="git-branch"):
        push(remote, tree(tmp_path / "one", named("digits")), branch)


def commit_to(remote: Path, tmp_path: Path, prepare) -> None:
    clone = tmp_path / "clone"
    ask(tmp_path, "clone", "-q", str(remote), str(clone))
    prepare(clone)
    ask(clone, "add", "-A")
    ask(clone, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-qm", "before")
    ask(clone, "push", "-q", "origin", "HEAD:main")


def linked(clone: Path) -> None:
    (clone / "sites").symlink_to(clone.parent / "astray")


def file_there(clone: Path) -> None:
    write_text(clone / "models", "a file")


@pytest.mark.parametrize(("prepare", "where"), [(linked, "sites"), (file_there, "models")])
def test_a_repository_that_would_lead_us_astray(tmp_path: Path, remote: Path, prepare, where: str) -> None:
    (tmp_path / "astray").mkdir()
    commit_to(remote, tmp_path, prepare)
    with pytest.raises(InputError, match=f"{where} in the GitOps repository is a link or a file"):
        push(remote, tree(tmp_path / "one", named("digits"), "edge-1"))
    assert list((tmp_path / "astray").iterdir()) == []
    assert ask(remote, "rev-list", "--count", "main") == "1"


@pytest.mark.parametrize("name", ["sites/edge-1/kustomization.yaml", "models/digits/base/deployment.yaml"])
def test_a_folder_in_the_place_of_a_file(tmp_path: Path, remote: Path, name: str) -> None:
    commit_to(remote, tmp_path, lambda clone: write_text(clone / name / "own", ""))
    with pytest.raises(InputError, match=rf"^{name} in the GitOps repository is a folder"):
        push(remote, tree(tmp_path / "one", named("digits"), "edge-1"))
    assert ask(remote, "rev-list", "--count", "main") == "1"


@pytest.mark.parametrize(("version", "kind"), [("7", UnsupportedError), ('"x"', InputError)])
def test_a_record_we_cannot_read_is_not_replaced(tmp_path: Path, remote: Path, version: str, kind) -> None:
    text = records.dump(named("digits")).replace('"schema_version": 1', f'"schema_version": {version}')
    commit_to(remote, tmp_path, lambda clone: write_text(clone / "models/digits/base/release.json", text))
    with pytest.raises(kind, match=r"remote.git: models/digits/base/release.json"):
        push(remote, tree(tmp_path / "one", named("digits")))


def test_what_render_did_not_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 0 releases"):
        publish.rendered(tmp_path / "nothing")
    tree(tmp_path / "two", named("a"))
    with pytest.raises(InputError, match="holds 2 releases"):
        tree(tmp_path / "two", named("b"))


def test_the_local_repository_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "made" / "gitops.git"
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: publish.create_local(path, "release"), range(3)))
    assert [entry.name for entry in path.parent.iterdir()] == ["gitops.git"]
    assert (path / "HEAD").read_text() == "ref: refs/heads/release\n"
    publish.create_local(path, "other")
    assert (path / "HEAD").read_text() == "ref: refs/heads/release\n"


def test_a_folder_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="file"):
            publish.create_local(tmp_path / "file" / "gitops.git", "main")
    else:
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError):
            publish.create_local(tmp_path / "gitops.git", "main")


def test_what_is_deployed_is_read_back(tmp_path: Path, remote: Path) -> None:
    def read(name: str, branch: str = "main") -> str | None:
        with git.session(git.Access()) as client, tempfile.TemporaryDirectory() as at:
            there = deployed.fetch(client, str(remote), branch, Path(at))
            return deployed.record_text(client, name, Path(at)) if there else None

    assert read("digits") is None
    push(remote, tree(tmp_path / "one", named("digits")))
    assert read("digits") == records.dump(named("digits"))
    assert read("other") is None
    assert read("digits", "none") is None


def test_the_previous_record_is_kept_or_gone(tmp_path: Path) -> None:
    path = tmp_path / "previous" / "release.json"
    deployed.keep_previous(records.dump(RECORD), path, "x")
    assert records.read(path) == RECORD
    deployed.keep_previous(None, path, "x")
    assert not path.exists()
    with pytest.raises(InputError, match="the record in https://host/x: "):
        deployed.keep_previous("{}", path, "https://me:pw@host/x")
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("", "/release/gitops.git"),
        ("https://host/x", "https://host/x"),
        ("git@host:x", "git@host:x"),
        ("/srv/x.git", "/srv/x.git"),
        ("x.git", f"{Path.cwd()}/x.git"),
    ],
)
def test_which_repository(url: str, found: str) -> None:
    assert deployed.remote(url, Path("/release")) == found


def foreign(clone: Path) -> None:
    write_text(clone / "src" / "main.c", "int main;")


def test_a_repository_that_is_not_ours(tmp_path: Path, remote: Path) -> None:
    commit_to(remote, tmp_path, foreign)
    with pytest.raises(InputError, match="holds src and neither models nor sites, so it is no GitOps repository"):
        push(remote, tree(tmp_path / "one", named("digits"), "edge-1"))
    assert ask(remote, "rev-list", "--count", "main") == "1"


def test_a_new_repository_with_a_readme_is_taken(tmp_path: Path, remote: Path) -> None:
    def begun(clone: Path) -> None:
        write_text(clone / "LICENSE", "x")
        write_text(clone / ".github" / "CODEOWNERS", "x")

    commit_to(remote, tmp_path, begun)
    assert push(remote, tree(tmp_path / "one", named("digits"), "edge-1")).changed


def test_a_branch_that_was_rewritten_meanwhile(tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Diverged: what we committed on is no longer in the branch; the release lands on what is there now."""
    push(remote, tree(tmp_path / "one", named("other")))
    commit, times = publish.committed, []

    def rewritten(*arguments) -> str:
        found = commit(*arguments)
        if not times:
            times.append(1)
            ask(remote, "update-ref", "-d", "refs/heads/main")
            push(remote, tree(tmp_path / "anew", named("anew")))
        return found

    monkeypatch.setattr(publish, "committed", rewritten)
    push(remote, tree(tmp_path / "two", named("digits")))
    assert sorted(ask(remote, "ls-tree", "--name-only", "main:models").split()) == ["anew", "digits"]
