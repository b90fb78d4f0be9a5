"""Signing with real keys: git itself verifies, and no key or passphrase is anywhere it should not be."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearedge.delivery import git, signing
from nearedge.errors import InputError, MachineError

PHRASE = "under-the-mill-42"
WHO = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:  # noqa: ARG001  # made before
    """Private homes go; the folder is short, since gpg-agent's socket lies in it."""
    with tempfile.TemporaryDirectory(prefix="ne-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


def ssh_key(folder: Path, phrase: str = "") -> Path:
    folder.mkdir()
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-C", "x", "-f", str(key)], check=True)
    if phrase:
        (folder / "passphrase").write_text(phrase + "\n")
    return folder


@pytest.fixture(scope="module", params=["", PHRASE], ids=["bare", "with a passphrase"])
def gpg_key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an armoured secret key, and public.asc beside it for who verifies."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed (apt-get install gpg)")
    folder = tmp_path_factory.mktemp("key")
    with tempfile.TemporaryDirectory(prefix="ne-make-") as home:
        values = {"GNUPGHOME": home, "PATH": os.environ["PATH"]}
        phrase = ["--batch", "--pinentry-mode", "loopback", "--passphrase", request.param]

        def run(*arguments: str) -> bytes:
            return subprocess.run(["gpg", *phrase, *arguments], env=values, check=True, capture_output=True).stdout

        run("--quick-generate-key", "Ada <ada@example.com>", "ed25519", "sign", "never")
        (folder / "signing.asc").write_bytes(run("--armor", "--export-secret-keys"))
        (folder / "public.asc").write_bytes(run("--armor", "--export"))
        subprocess.run(["gpgconf", "--kill", "all"], env=values, check=True)
    if request.param:
        (folder / "passphrase").write_text(request.param)
    return folder


def commit(at: Path, key: Path | None) -> None:
    at.mkdir()
    with git.session(git.Access(signing_key=key)) as client:
        public = ("pubring.kbx", "pubring.kbx~")
        files = [path for path in client.home.rglob("*") if path.is_file() and path.name not in public]
        assert {path.stat().st_mode & 0o077 for path in (client.home, *files)} == {0}
        client.run("init", "--quiet", at=at)
        client.run("commit", "--quiet", "--allow-empty", "--file=-", at=at, text="signed\n", env=WHO)


@pytest.mark.parametrize("phrase", ["", PHRASE], ids=["bare", "with a passphrase"])
def test_ssh(tmp_path: Path, phrase: str) -> None:
    key = ssh_key(tmp_path / "key", phrase)
    commit(tmp_path / "repository", key)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"ada@example.com {(key / 'id_ed25519.pub').read_text()}")
    command = ["git", "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", "HEAD"]
    done = subprocess.run(command, cwd=tmp_path / "repository", capture_output=True, text=True, check=True)
    assert 'Good "git" signature for ada@example.com' in done.stdout + done.stderr
    allowed.write_text(f"eve@example.com {(ssh_key(tmp_path / 'other') / 'id_ed25519.pub').read_text()}")
    assert subprocess.run(command, cwd=tmp_path / "repository", capture_output=True, check=False).returncode != 0


def test_gpg(tmp_path: Path, gpg_key: Path) -> None:
    commit(tmp_path / "repository", gpg_key)
    with tempfile.TemporaryDirectory(prefix="ne-see-") as home:
        values = {**os.environ, "GNUPGHOME": home}
        subprocess.run(["gpg", "--import", gpg_key / "public.asc"], env=values, check=True, capture_output=True)
        command = ["git", "verify-commit", "--raw", "HEAD"]
        done = subprocess.run(command, cwd=tmp_path / "repository", env=values, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "GOODSIG" in done.stderr
        subprocess.run(["gpgconf", "--kill", "all"], env=values, check=True)


def test_no_key_no_signature(tmp_path: Path) -> None:
    commit(tmp_path / "repository", None)
    shown = subprocess.run(
        ["git", "cat-file", "-p", "HEAD"], cwd=tmp_path / "repository", capture_output=True, text=True
    )
    assert "gpgsig" not in shown.stdout


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught, git.session(git.Access(signing_key=folder)):
        pass
    assert PHRASE not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_keys_that_cannot_be_used(tmp_path: Path, gpg_key: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "neither of id_ed25519 and signing.asc" in refused(empty)
    both = ssh_key(tmp_path / "both")
    shutil.copy(gpg_key / "signing.asc", both)
    assert "both" in refused(both)
    wrong = ssh_key(tmp_path / "wrong", PHRASE)
    (wrong / "passphrase").write_text("another")
    assert "opens with the file passphrase" in refused(wrong)
    (wrong / "passphrase").unlink()
    assert "without a passphrase" in refused(wrong)
    noise = tmp_path / "noise"
    noise.mkdir()
    (noise / "id_ed25519").write_bytes(b"\xff\xfe\x00")
    assert "is no key or passphrase in text" in refused(noise)
    public = tmp_path / "public"
    public.mkdir()
    shutil.copy(gpg_key / "public.asc", public / "signing.asc")
    assert "holds no secret key" in refused(public)
    (public / "signing.asc").write_text("no key at all\n")
    assert "gpg cannot sign with it" in refused(public)
    if (gpg_key / "passphrase").is_file():
        shutil.copy(gpg_key / "signing.asc", public)
        (public / "passphrase").write_text("another")
        assert "gpg cannot sign with it" in refused(public)


def test_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="gpg is not installed"):
        signing.needed("gpg", "signing with a GPG key")
