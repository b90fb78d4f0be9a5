"""Taking models and sites out: nothing of them is left in the tree, and all else stays."""

import shutil
import subprocess
from pathlib import Path

import pytest

from nearedge.delivery import git
from nearedge.delivery.gitops import publish, render
from nearedge.delivery.gitops.message import message
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record
from scripts import retire

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
AUTHOR = publish.Author("Ada", "ada@example.com")


def ask(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


def files(remote: Path) -> list[str]:
    return ask(remote, "ls-tree", "-r", "--name-only", "main").split()


@pytest.fixture
def remote(tmp_path: Path, published_once: Path) -> Path:
    """A repository of this test's own, as `published_once` made it."""
    return Path(shutil.copytree(published_once, tmp_path / "remote.git"))


@pytest.fixture(scope="session")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models: digits at edge-1 and edge-2 (held at an older release there), other at edge-1."""
    tmp_path = tmp_path_factory.mktemp("retire")
    path = tmp_path / "remote.git"
    publish.create_local(path, "main")
    image = RECORD.evidence.image
    assert image is not None
    published = [("digits", "a", "edge-1", "edge-2"), ("digits", "b", "edge-1"), ("other", "c", "edge-1")]
    for number, (name, digest, *sites) in enumerate(published):
        evidence = RECORD.evidence.model_copy(
            update={"image": image.model_copy(update={"digest": "sha256:" + digest * 64})}
        )
        record = Record(identity=RECORD.identity.model_copy(update={"name": name}), evidence=evidence)
        folder = tmp_path / f"rendered-{number}"
        for file, text in render.render(record, profiles.read("microshift-small"), sites).items():
            write_text(folder / file, text)
        with git.session(git.Access()) as client:
            publish.publish(client, publish.Target(str(path), "main"), publish.rendered(folder), AUTHOR, message)
    return path


def test_a_model_leaves_one_site(remote: Path, capsys) -> None:
    assert retire.main([f"--git-url={remote}", "--model=digits", "edge-2"]) == 0
    left = files(remote)
    assert [path for path in left if "edge-2" in path or "releases" in path] == ["sites/edge-2/kustomization.yaml"]
    assert "sites/edge-1/digits/kustomization.yaml" in left
    assert "gone: edge-2/digits" in capsys.readouterr().err
    assert f"- edge-2: digits {RECORD.identity.version} ({'a' * 12})" in ask(remote, "log", "-1", "--format=%B")


def test_a_model_leaves_all_sites(remote: Path) -> None:
    assert retire.main([f"--git-url={remote}", "--model=digits", "--all"]) == 0
    assert not [path for path in files(remote) if "digits" in path]
    assert "models/other/base/release.json" in files(remote)


def test_a_site_leaves_as_a_whole(remote: Path) -> None:
    assert retire.main([f"--git-url={remote}", "edge-1"]) == 0
    left = files(remote)
    assert not [path for path in left if "edge-1" in path or "other" in path]
    assert f"models/digits/releases/{'a' * 12}/release.json" in left
    assert "sites/edge-2/digits/kustomization.yaml" in left


def test_after_all_of_it_nothing_is_left(remote: Path) -> None:
    assert retire.main([f"--git-url={remote}", "edge-1", "edge-2"]) == 0
    assert files(remote) == ["README.md"]
    assert ask(remote, "rev-list", "--count", "main") == "4"


def test_a_folder_of_links_is_left_to_people(tmp_path: Path, remote: Path, capsys) -> None:
    clone = tmp_path / "clone"
    ask(tmp_path, "clone", "-q", "-b", "main", str(remote), str(clone))
    (clone / "sites" / "edge-7").mkdir()
    (clone / "sites" / "edge-7" / "digits").symlink_to("../edge-1/digits")
    ask(clone, "add", "sites")
    ask(clone, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-qm", "links")
    ask(clone, "push", "-q")
    capsys.readouterr()
    assert retire.main([f"--git-url={remote}", "edge-7"]) == 1
    assert "nothing but links lies in the folders of these sites" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["edge-9"], 1, "site 'edge-9': is not in the repository; sites that are: edge-1, edge-2"),
        (["--model=digits", "edge-1", "edge-9"], 1, "site 'edge-9'"),
        (
            ["--model=nothing", "--all"],
            1,
            "model 'nothing': is not at these sites; models in the repository: digits, other",
        ),
        (["--model=other", "edge-2"], 1, "model 'other': is not at these sites"),
        ([], 2, "give --model and sites"),
        (["--model=digits"], 2, "give --model and sites"),
        (["--all"], 2, "give --model and sites"),
        (["--model=digits", "--all", "edge-1"], 2, "give --model and sites"),
        (["../models"], 2, "is no name of a model or site"),
        (["--git-branch=next", "edge-1"], 1, "has no branch 'next'"),
    ],
)
def test_refusals_are_one_line(remote: Path, capsys, options: list[str], status: int, words: str) -> None:
    before = ask(remote, "rev-parse", "main")
    assert retire.main([f"--git-url={remote}", *options]) == status
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert words in said
    assert ask(remote, "rev-parse", "main") == before
