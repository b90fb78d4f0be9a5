"""publish-gitops with a pull request, as a program: real git over http, each forge, the whole way."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearedge.delivery.gitops import render
from nearedge.files import write_text
from nearedge.release import profile, sections
from nearedge.release import record as records
from nearedge.release.record import Record
from nearedge.release.sections import SiteTransfer
from scripts import publish_gitops

from .conftest import READER, TOKEN, Site

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
BRANCH = "nearedge/digits/edge-1"


def release(digest: str) -> Record:
    image = RECORD.evidence.image
    assert image is not None
    image = image.model_copy(update={"url": "127.0.0.1:9/digits:1", "digest": f"sha256:{digest * 64}"})
    return RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"image": image})})


def workspace_with(tmp_path: Path, digest: str = "d", *sites: str) -> Path:
    path = tmp_path / f"release-{digest}"
    files = render.render(release(digest), profile.read("microshift-small"), sites or ["edge-1"])
    for name, text in files.items():
        write_text(path / "gitops" / name, text)
    write_text(path / "report" / "report.md", "# digits\n\nIt is fast.\n")
    return path


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever happens, no folder of ours stays behind."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def ask(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


class Run:
    """publish-gitops against a forge; the results by name, and all that was printed."""

    def __init__(self, site: Site, token: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.site, self.token, self.tmp_path, self.capsys = site, token, tmp_path, capsys
        self.printed = ""

    def __call__(self, workspace: Path, *options: str) -> tuple[int, dict[str, str]]:
        results = self.tmp_path / "results"
        results.mkdir(exist_ok=True)
        for old in results.iterdir():
            old.unlink()
        names = ("commit", "changed", "pull-request-url", "pull-request-number")
        given = [f"--git-url={self.site.git_url}", f"--pull-request={self.site.kind}", f"--forge-token={self.token}"]
        flags = [f"--result-{name}={results / name}" for name in names]
        status = publish_gitops.main([f"--workspace={workspace}", *given, *options, *flags])
        said = self.capsys.readouterr()
        self.printed = said.out + said.err
        found = {path.name: path.read_text() for path in results.iterdir()}
        assert TOKEN not in self.printed + str(found)
        assert READER not in self.printed + str(found)
        return status, found


@pytest.fixture
def run(site: Site, token: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(site, token, tmp_path, capsys)


def branches(site: Site) -> dict[str, str]:
    lines = ask(site.repository, "for-each-ref", "--format=%(refname:short) %(objectname)").splitlines()
    return dict(line.split() for line in lines)


def test_twice_is_one_commit_and_one_request(run: Run, site: Site, tmp_path: Path) -> None:
    before = branches(site)
    status, first = run(workspace_with(tmp_path))
    assert (status, first["changed"], first["pull-request-number"]) == (0, "true", "1"), run.printed
    assert "pull request 1 created: " + first["pull-request-url"] in run.printed
    assert branches(site) == {**before, BRANCH: first["commit"]}
    assert ask(site.repository, "rev-list", "--count", f"main..{BRANCH}") == "1"
    assert ask(site.repository, "log", "-1", "--format=%(trailers:key=Nearedge-branch,valueonly)", BRANCH) == BRANCH
    one = site.requests[0]
    assert (one.source, one.target, one.title) == (BRANCH, "main", "Release digits 1 (int8) for edge-1")
    assert "It is fast." in one.body
    status, again = run(workspace_with(tmp_path))
    assert (status, again) == (0, {**first, "changed": "false"})
    assert "pull request 1 unchanged" in run.printed
    assert len(site.requests) == 1
    status, newer = run(workspace_with(tmp_path, "9"))
    assert (status, newer["changed"], newer["pull-request-number"]) == (0, "true", "1")
    assert "9" * 64 in site.requests[0].body
    assert ask(site.repository, "rev-list", "--count", f"main..{BRANCH}") == "1"
    assert branches(site)["main"] == before["main"]


@pytest.mark.parametrize("site", ["gitea"], indirect=True)
def test_request_and_commit_say_what_sites_pull_by_this_run(run: Run, site: Site, tmp_path: Path) -> None:
    workspace, image = workspace_with(tmp_path), release("d").evidence.image
    assert image is not None
    size = {"bytes": 5_000_000, "partial_bytes": 5_000_000, "whole_bytes": 5_000_000}
    pulled = SiteTransfer(site="edge-1", link_mbit_s=10, against=[], **size)
    sections.write(workspace, image.model_copy(update={"sites": [pulled]}))
    assert run(workspace)[0] == 0, run.printed
    assert "| `edge-1` | 5.0 MB, 4.0 s at 10 Mbit/s |" in site.requests[0].body
    assert "\n- edge-1: 5.0 MB, 4.0 s at 10 Mbit/s\n" in ask(site.repository, "log", "-1", "--format=%B", BRANCH)
    sections.write(workspace, image.model_copy(update={"digest": f"sha256:{'8' * 64}", "sites": [pulled]}))
    assert run(workspace)[0] == 0, "a section of another image"
    assert "| `edge-1` | not known |" in site.requests[0].body


@pytest.mark.parametrize("site", ["gitea"], indirect=True)
def test_merged_there_is_nothing_to_ask_for(run: Run, site: Site, tmp_path: Path) -> None:
    run(workspace_with(tmp_path))
    ask(site.repository, "update-ref", "refs/heads/main", BRANCH)
    site.requests[0].state = "merged"
    status, results = run(workspace_with(tmp_path))
    assert (status, results["changed"], results["pull-request-url"]) == (0, "false", "")
    assert "nothing to ask for" in run.printed
    status, results = run(workspace_with(tmp_path, "9"))
    assert (status, results["pull-request-number"]) == (0, "2")
    body = site.requests[1].body
    assert "Upgrade of `digits`" in body
    assert "d" * 64 in body
    assert "Changes of the SBOM: not known (" in body
    assert len(site.requests) == 2


@pytest.mark.parametrize("site", ["gitea"], indirect=True)
def test_a_target_that_moved(run: Run, site: Site, tmp_path: Path) -> None:
    _, first = run(workspace_with(tmp_path))
    onto(site, tmp_path, "main", {"models/other/x": "1"})
    _, same = run(workspace_with(tmp_path))
    assert (same["commit"], same["changed"]) == (first["commit"], "false"), "the change still goes with the target"
    onto(site, tmp_path, "main", {"README.md": "theirs"})
    _, other = run(workspace_with(tmp_path))
    assert other["changed"] == "true"
    assert ask(site.repository, "rev-parse", f"{BRANCH}~1") == branches(site)["main"]
    assert len(site.requests) == 1


def onto(site: Site, tmp_path: Path, branch: str, files: dict[str, str]) -> None:
    """Somebody's commit on a branch."""
    clone = tmp_path / "clone"
    ask(tmp_path, "clone", "-q", "--branch", branch, str(site.repository), str(clone))
    for name, text in files.items():
        write_text(clone / name, text)
    ask(clone, "add", "-A")
    ask(clone, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-qm", "theirs")
    ask(clone, "push", "-q", "origin", f"HEAD:{branch}")
    subprocess.run(["rm", "-rf", str(clone)], check=True)


@pytest.mark.parametrize("site", ["gitea"], indirect=True)
def test_commits_of_others_are_kept(run: Run, site: Site, tmp_path: Path) -> None:
    run(workspace_with(tmp_path))
    onto(site, tmp_path, BRANCH, {"note": "x"})
    before = branches(site)
    status, results = run(workspace_with(tmp_path, "9"))
    assert (status, results) == (4, {})
    assert f"branch {BRANCH} holds commits of others; merge or remove it, or give another source-branch" in run.printed
    assert branches(site) == before
    status, _ = run(workspace_with(tmp_path, "9"), "--source-branch=mine")
    assert status == 0
    assert [one.source for one in site.requests] == [BRANCH, "mine"]


@pytest.mark.parametrize("site", ["gitea"], indirect=True)
@pytest.mark.parametrize("fault", ["rights", "limit", "project"])
def test_git_is_left_as_it_was(run: Run, site: Site, token: Path, tmp_path: Path, fault: str) -> None:
    run(workspace_with(tmp_path))
    site.requests[0].state = "closed"
    before = branches(site)
    if fault == "rights":
        (token / "token").write_text(READER)
    if fault == "project":
        site.faults = [site.missing()]
    if fault == "limit":
        site.faults = [(200, {}, []), (200, {}, []), (429, {"Retry-After": "9000"}, {})]
    for workspace, more in (
        (workspace_with(tmp_path, "9"), []),
        (workspace_with(tmp_path, "8"), ["--source-branch=s"]),
    ):
        faults = list(site.faults)
        status, results = run(workspace, *more)
        assert (status, results) == (4, {})
        assert branches(site) == before
        assert len(run.printed.strip().splitlines()) == 1
        site.faults = faults


@pytest.mark.parametrize("site", ["gitea"], indirect=True)
@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--source-branch=main"], 2, "is the branch to merge into"),
        (["--source-branch=-x"], 2, "a branch's name cannot begin with '-'"),
        (["--source-branch=a..b"], 2, "is no name of a branch"),
        (["--git-branch=nowhere"], 1, "has no branch 'nowhere' to merge into"),
        (["--report-url=javascript:x"], 2, "report-url"),
        (["--forge-token="], 1, "bind the workspace forge-token"),
        (["--git-url="], 2, "is on no forge"),
        (["--api-url=http://forge.example/api/v1"], 2, "plain http would show the token"),
    ],
)
def test_wrong_usage(run: Run, site: Site, tmp_path: Path, options: list[str], status: int, words: str) -> None:
    before = branches(site)
    assert run(workspace_with(tmp_path), *options) == (status, {})
    assert words in run.printed
    assert branches(site) == before
    assert not (tmp_path / "release-d" / "gitops.git").exists()


@pytest.mark.parametrize("site", ["github"], indirect=True)
def test_a_signed_request(run: Run, site: Site, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key / "id_ed25519")], check=True)
    who = ["--author-name=Ada", "--author-email=ada@example.com", f"--signing-key={key}"]
    status, _ = run(workspace_with(tmp_path), *who)
    assert status == 0
    allowed = tmp_path / "allowed"
    allowed.write_text(f"ada@example.com {(key / 'id_ed25519.pub').read_text()}")
    ask(site.repository, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", BRANCH)
    assert ask(site.repository, "log", "-1", "--format=%an <%ae>", BRANCH) == "Ada <ada@example.com>"
    assert "PRIVATE KEY" not in run.printed
    assert os.environ.get("SSH_ASKPASS") is None or "nearedge" not in os.environ["SSH_ASKPASS"]
