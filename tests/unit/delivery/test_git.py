"""Git as a program that cannot be talked into anything else, and that tells no secret."""

import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from nearedge.delivery import git
from nearedge.errors import InputError, MachineError, OutsideError

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nnone\n-----END OPENSSH PRIVATE KEY-----\n"


def test_it_runs_and_says_what_git_says(tmp_path: Path) -> None:
    with git.session(git.Access()) as client:
        client.run("init", "--quiet", at=tmp_path)
        assert client.run("symbolic-ref", "HEAD", at=tmp_path) == "refs/heads/main\n"
        assert client.run("hash-object", "--stdin", at=tmp_path, text="hello\n").startswith("ce013625")
        home = client.home
        assert home.stat().st_mode & 0o777 == 0o700
        with pytest.raises(git.RefusedError, match="git rev-parse: fatal: ") as raised:
            client.run("rev-parse", "--verify", "nothing", at=tmp_path)
        assert "\n" not in str(raised.value)
    assert not home.exists()


def test_a_url_cannot_start_a_program(tmp_path: Path) -> None:
    with git.session(git.Access()) as client:
        client.run("init", "--quiet", at=tmp_path)
        with pytest.raises(OutsideError, match="transport 'ext' not allowed"):
            client.run("fetch", "--", f"ext::sh -c touch% {tmp_path}/made", "HEAD", at=tmp_path)
        with pytest.raises(OutsideError):
            client.run("fetch", "--", f"--upload-pack=touch {tmp_path}/made", "HEAD", at=tmp_path)
    assert not (tmp_path / "made").exists()


def test_hooks_and_configuration_of_the_machine_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = somebody\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    with git.session(git.Access()) as client:
        client.run("init", "--quiet", at=tmp_path)
        hook = tmp_path / ".git" / "hooks" / "post-checkout"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/made\n")
        hook.chmod(0o755)
        client.run("checkout", "--orphan", "other", at=tmp_path)
        client.run("checkout", "--orphan", "another", at=tmp_path)
        assert "somebody" not in client.run("config", "--list", at=tmp_path)
    assert not (tmp_path / "made").exists()


def test_a_repository_of_another_owner_is_read(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "theirs.git"], check=True)
    subprocess.run(["chown", "-R", "12345", tmp_path / "theirs.git"], check=False)
    with git.session(git.Access()) as client:
        assert client.run("ls-remote", f"file://{tmp_path}/theirs.git", at=tmp_path) == ""


def test_credentials_are_private_and_never_told(tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    auth.mkdir()
    (auth / ".git-credentials").write_text("https://me:s3cr%40t@git.example.com\nhttps://t0ken@other.example.com\n")
    (auth / ".gitconfig").write_text('[http]\n\textraHeader = "X-Test: yes"\n')
    with git.session(git.Access(basic_auth=auth)) as client:
        assert (client.home / ".git-credentials").stat().st_mode & 0o777 == 0o600
        assert client.secrets == ("s3cr%40t", "s3cr@t", "t0ken")
        asked = "protocol=https\nhost=git.example.com\n"
        assert "password=s3cr@t" in client.run("credential", "fill", at=tmp_path, text=asked)
        assert client.run("config", "http.extraHeader", at=tmp_path) == "X-Test: yes\n"
        said = client.clean("fatal: https://you:other@host/x: s3cr@t and s3cr%40t and t0ken")
        assert said == "fatal: https://host/x: *** and *** and ***"
        assert client.clean("remote: \x1b[2Jgone\r\n\tx") == "remote:  [2Jgone \n\tx"


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (lambda folder: git.Access(basic_auth=folder), "neither .gitconfig nor .git-credentials"),
        (lambda folder: git.Access(ssh_directory=folder), "no known_hosts"),
        (lambda folder: git.Access(ca_bundle=folder), "ca-bundle.crt"),
    ],
)
def test_a_workspace_that_holds_nothing(tmp_path: Path, access, words: str) -> None:
    with pytest.raises(InputError, match=words), git.session(access(tmp_path)):
        pass


def test_the_ca_bundle_is_trusted_besides_the_machines(tmp_path: Path) -> None:
    (tmp_path / "ca-bundle.crt").write_text("-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n")
    with git.session(git.Access(ca_bundle=tmp_path)) as client:
        text = Path(client.environment["GIT_SSL_CAINFO"]).read_text()
    assert "ours" in text
    assert text.count("BEGIN CERTIFICATE") > 50


def test_ssh_talks_to_known_hosts_only(tmp_path: Path) -> None:
    folder = tmp_path / "ssh $(touch made)"
    folder.mkdir()
    (folder / "known_hosts").write_text("host ssh-ed25519 AAAA\n")
    (folder / "id_ed25519").write_text(KEY)
    (folder / "id_ed25519.pub").write_text("ssh-ed25519 AAAA\n")
    (folder / "config").write_text("Host short\n  HostName long.example.com\n")
    with git.session(git.Access(ssh_directory=folder)) as client:
        command = client.environment["GIT_SSH_COMMAND"]
        assert "StrictHostKeyChecking=yes" in command
        assert "touch" not in command
        keys = [Path(word[2:]) for word in command.split() if word.startswith("-i")]
        assert [key.read_text() for key in keys] == [KEY]
        assert keys[0].stat().st_mode & 0o777 == 0o600
        shown = subprocess.run([*command.split(), "-G", "short"], capture_output=True, text=True, check=True).stdout
    assert "hostname long.example.com" in shown
    assert "stricthostkeychecking true" in shown


def test_without_an_ssh_directory_the_machines_keys_are_used() -> None:
    with git.session(git.Access()) as client:
        assert "UserKnownHostsFile" not in client.environment["GIT_SSH_COMMAND"]


def test_a_remote_that_never_answers_is_left(tmp_path: Path) -> None:
    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(1.5)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with git.session(git.Access()) as client, pytest.raises(OutsideError, match=r"no end after 0\.5 s"):
            client.run("ls-remote", f"http://127.0.0.1:{server.server_port}/x", at=tmp_path, timeout_s=0.5)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_full_disk_is_the_machines_fault_and_the_remotes_is_not() -> None:
    with pytest.raises(MachineError, match="no space left on device"):
        git.refuse_machine("error: file write error: No space left on device\nfatal: cannot\n")
    git.refuse_machine("remote: fatal: write error: No space left on device\n")


def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="git is not installed"), git.session(git.Access()):
        pass


def test_the_proxy_for_plain_http_reaches_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("HTTPS_PROXY", "")
    monkeypatch.delenv("http_proxy", raising=False)
    with git.session(git.Access()) as client:
        assert client.environment["http_proxy"] == "http://proxy.example.com:3128"
        assert "HTTPS_PROXY" not in client.environment


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "remote: hook says no\nTo /x\n!\tHEAD:refs/heads/main\t[remote rejected] (pre-receive hook declined)\n",
            "hook",
        ),
        ("warning: x\nfatal: nothing there\n", "fatal: nothing there"),
        ("only this\n", "only this"),
        ("", "failed without a word"),
    ],
)
def test_the_line_that_says_why(said: str, line: str) -> None:
    assert git.telling(said).startswith(line)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:pw@host:8443/x?sig=1#part", "https://host:8443/x#part"),
        ("git@host:org/repo.git", "git@host:org/repo.git"),
        ("/srv/repo.git", "/srv/repo.git"),
        ("ssh://git@host/x", "ssh://host/x"),
    ],
)
def test_urls_without_credentials(url: str, clean: str) -> None:
    assert git.without_credentials(url) == clean
