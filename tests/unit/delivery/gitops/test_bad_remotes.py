"""Remotes that refuse, as real as one machine has them: no rights over http, a host key that changed over ssh."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearedge.delivery import git
from nearedge.delivery.gitops import publish, render, rollback
from nearedge.delivery.gitops.message import message
from nearedge.errors import OutsideError
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
NAME = RECORD.identity.name
AUTHOR = publish.Author("Ada", "ada@example.com")
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def ask(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def release(tmp_path: Path) -> publish.Rendered:
    folder = tmp_path / "rendered"
    for path, text in render.render(RECORD, profiles.read("microshift-small"), ["edge-1"]).items():
        write_text(folder / path, text)
    return publish.rendered(folder)


@pytest.mark.parametrize("status", [403, 401])
def test_a_token_without_rights(serve, answer, release: publish.Rendered, tmp_path: Path, status: int) -> None:
    """As GitHub does: a token that may read is told 403 where it asks to push; one that is unknown is asked again."""
    remote = tmp_path / "x.git"
    publish.create_local(remote, "main")
    exchanged = []

    def respond(request):
        exchanged.append(request.path)
        if "git-receive-pack" in request.path:
            headers = {"WWW-Authenticate": 'Basic realm="git"'} if status == 401 else {}
            return answer(status=status, body=b"denied", headers={"Content-Type": "text/plain", **headers})
        line = b"001e# service=git-upload-pack\n0000"
        head = b"0" * 40 + b" capabilities^{}\x00agent=git/2\n"
        body = line + f"{len(head) + 4:04x}".encode() + head + b"0000"
        return answer(body=body, headers={"Content-Type": "application/x-git-upload-pack-advertisement"})

    server = serve(respond)
    auth = tmp_path / "auth"
    write_text(auth / ".git-credentials", f"http://edge:t0k3n-of-mine@{server.host}\n")
    with git.session(git.Access(basic_auth=auth)) as client, pytest.raises(OutsideError) as raised:
        target = publish.Target(f"http://{server.host}/x.git", "main")
        publish.publish(client, target, release, AUTHOR, message)
    said = str(raised.value)
    assert ("403" if status == 403 else "Authentication failed") in said
    assert "nothing was published" in said
    assert ("give a token that may write" if status == 403 else "check the login in basic-auth") in said
    assert "\n" not in said and "t0k3n" not in said
    assert any("git-receive-pack" in path for path in exchanged)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An ssh server of this user on loopback, and a workspace ssh-directory that knows its key."""
    if not Path(SSHD).exists() or shutil.which("ssh-keygen") is None:
        pytest.skip("sshd is not installed (apt-get install openssh-server)")
    folder, port = tmp_path / "ssh", free_port()
    folder.mkdir()
    for name in ("host", "other", "id_ed25519"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    shutil.copy(folder / "id_ed25519.pub", folder / "authorized_keys")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": folder / "authorized_keys", "StrictModes": "no", "PermitRootLogin": "yes",
    }  # fmt: skip
    (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    log = (folder / "log").open("wb")
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, (folder / "log").read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    known(folder, port, "host")
    yield port, folder
    process.terminate()
    process.wait(60)
    log.close()


def known(folder: Path, port: int, key: str) -> None:
    """Let the workspace know this key as the server's."""
    kind, text = (folder / f"{key}.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {text}\n")


def test_over_ssh_and_with_a_host_key_that_changed(tmp_path: Path, sshd, release: publish.Rendered) -> None:
    port, folder = sshd
    remote = tmp_path / "remote.git"
    publish.create_local(remote, "main")
    target = publish.Target(f"ssh://127.0.0.1:{port}{remote}", "main")
    with git.session(git.Access(ssh_directory=folder)) as client:
        done = publish.publish(client, target, release, AUTHOR, message)
    assert ask(remote, "rev-parse", "main") == done.commit
    known(folder, port, "other")
    plan = rollback.Rollback(target, rollback.Asked(NAME, "previous", []), lambda *_: None)
    with git.session(git.Access(ssh_directory=folder)) as client:
        for act in (
            lambda: publish.publish(client, target, release, AUTHOR, message),
            lambda: publish.landed(client, target, AUTHOR, plan, begin=False),
        ):
            with pytest.raises(OutsideError, match=r"Host key verification failed.*into known_hosts") as raised:
                act()
            assert "\n" not in str(raised.value)
    (folder / "authorized_keys").write_text("")
    known(folder, port, "host")
    with (
        git.session(git.Access(ssh_directory=folder)) as client,
        pytest.raises(OutsideError, match="Permission denied"),
    ):
        publish.publish(client, target, release, AUTHOR, message)
    assert ask(remote, "rev-parse", "main") == done.commit
