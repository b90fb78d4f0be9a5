"""Where a forge's API is, from the address of the git repository."""

from pathlib import Path

import pytest

from nearedge.delivery.forges.place import Place
from nearedge.delivery.forges.pull_request import Choice, connect
from nearedge.errors import UsageError

from .conftest import TOKEN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "git_url", "api_url", "api", "project"),
    [
        ("github", "https://github.com/edge/fleet.git", "", "https://api.github.com", "edge/fleet"),
        ("github", "https://u:p@github.com/edge/fleet/", "", "https://api.github.com", "edge/fleet"),
        ("github", "git@github.com:edge/fleet.git", "", "https://api.github.com", "edge/fleet"),
        ("github", "ssh://git@ssh.github.com:443/edge/fleet.git", "", "https://api.github.com", "edge/fleet"),
        ("github", "https://acme.ghe.com/edge/fleet", "", "https://api.acme.ghe.com", "edge/fleet"),
        ("github", "git@ghe.example.com:edge/fleet", "", "https://ghe.example.com/api/v3", "edge/fleet"),
        ("github", "https://a.example:8443/e/f.js", "", "https://a.example:8443/api/v3", "e/f.js"),
        ("gitlab", "https://gitlab.com/a/b/c/d.git", "", "https://gitlab.com/api/v4", "a/b/c/d"),
        ("gitlab", "ssh://git@gl.example:2222/a/b.git", "", "https://gl.example/api/v4", "a/b"),
        (
            "gitlab",
            "https://x.example/git/a/b.git",
            "https://x.example/git/api/v4/",
            "https://x.example/git/api/v4",
            "a/b",
        ),
        (
            "gitlab",
            "git@x.example:git/a/b.git",
            "https://x.example/git/api/v4",
            "https://x.example/git/api/v4",
            "git/a/b",
        ),
        ("gitea", "https://[::1]:3000/edge/fleet.git", "", "https://[::1]:3000/api/v1", "edge/fleet"),
        ("gitea", "git@[2001:db8::1]:edge/fleet.git", "", "https://[2001:db8::1]/api/v1", "edge/fleet"),
        ("gitea", "http://127.0.0.1:3000/edge/fleet", "", "http://127.0.0.1:3000/api/v1", "edge/fleet"),
    ],
)
def test_found(kind: str, git_url: str, api_url: str, api: str, project: str, folder: Path) -> None:
    assert connect(Choice(kind, api_url, folder), git_url).place == Place(api, project)


@pytest.mark.parametrize(
    ("kind", "git_url", "api_url", "words"),
    [
        ("github", "", "", "the workspace's own gitops.git: is on no forge"),
        ("github", "/srv/gitops.git", "", "is on no forge"),
        ("github", "file:///srv/gitops.git", "", "is on no forge"),
        ("github", "https://github.com/fleet.git", "", "names no project of the form owner/name"),
        ("github", "https://github.com/a/b/c.git", "", "names no project of the form owner/name"),
        ("gitlab", "https://gitlab.com/a/../b.git", "", "names no project"),
        ("gitlab", "https://u:se%20cret@gitlab.com/a/b?x", "https://gitlab.com/a?token=se", "is no address of an API"),
        ("gitea", "https://x.example/a/b", "http://x.example/api/v1", "plain http would show the token"),
        ("gitea", "http://x.example/a/b", "", "plain http would show the token"),
        ("gitea", "https://x.example/a/b", "https://u:se@x.example/api/v1", "the token goes into the workspace"),
        ("gitea", "https://x.example/a/b", "ftp://x.example/api/v1", "is no address of an API"),
    ],
)
def test_not_found(kind: str, git_url: str, api_url: str, words: str, folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        connect(Choice(kind, api_url, folder), git_url)
    assert words in str(caught.value)
    assert "se" not in str(caught.value).replace("use", "").split()
    assert "cret" not in str(caught.value)
