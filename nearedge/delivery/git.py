"""The git command, run so that neither a repository nor a URL can make it do anything but git.

Argument vectors only, no prompts, no hooks of ours, only the transports named here, and credentials from files that
are copied to a private home folder and never reach an argument or a message.
"""

import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import certifi

from nearedge.errors import InputError, MachineError, OutsideError

TIMEOUT_S = 1800.0
TRANSPORTS = "file:git:http:https:ssh"
CA_FILE = "ca-bundle.crt"
KEPT = ("PATH", "TMPDIR", "SSH_AUTH_SOCK", "NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "http_proxy")
TELLING = re.compile(r"^(fatal|error|remote|ssh|!|Host key|Permission denied|No RSA|kex_)", re.IGNORECASE)
USERINFO = re.compile(r"(?<=://)[^/@\s']+@")
SETTINGS = """\
[safe]
\tdirectory = *
[init]
\tdefaultBranch = main
[advice]
\tdetachedHead = false
[gc]
\tauto = 0
[http]
\tlowSpeedLimit = 1
\tlowSpeedTime = 60
"""


@dataclass(frozen=True)
class Access:
    """Folders with what git needs to reach a remote, in the shape of the Tekton catalog's workspaces; None: unbound."""

    basic_auth: Path | None = None
    ssh_directory: Path | None = None
    ca_bundle: Path | None = None


class RefusedError(OutsideError):
    """Git ended with a failure; `output` is all it said, cleaned of secrets."""

    def __init__(self, message: str, output: str) -> None:
        """`message` is the one line for a person, `output` what the caller may look for a reason in."""
        super().__init__(message)
        self.output = output


class Git:
    """Git with one set of credentials. Made by `session`, which removes the private home folder at its end."""

    def __init__(self, home: Path, environment: Mapping[str, str], secrets: tuple[str, ...]) -> None:
        """`home` is a private folder, `environment` all that git sees, `secrets` what no message may hold."""
        self.home = home
        self.environment = dict(environment)
        self.secrets = secrets

    def run(
        self,
        *arguments: str,
        at: Path,
        text: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> str:
        """Run `git *arguments` in the folder `at`, `text` on its standard input; its standard output.

        Raises RefusedError where git fails, OutsideError where it takes longer than `timeout_s` seconds.
        """
        argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments]
        process = subprocess.Popen(
            argv,
            cwd=at,
            env={**self.environment, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, complaints = process.communicate((text or "").encode(), timeout_s)
        except BaseException as error:
            stop(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise OutsideError(f"git {arguments[0]}: no end after {timeout_s:g} s; is the remote there?") from None
            raise
        if process.returncode != 0:
            said = self.clean(complaints.decode(errors="replace") + output.decode(errors="replace"))
            raise RefusedError(f"git {arguments[0]}: {telling(said)}", said)
        return output.decode(errors="replace")

    def clean(self, text: str) -> str:
        """`text` without users and passwords of URLs, secrets we were given, and what would upset a terminal."""
        text = USERINFO.sub("", text)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in text)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill git and the transport helpers it started, and reap it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    process.communicate()


def telling(said: str) -> str:
    """The lines of git's complaint that say why, as one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if TELLING.match(line)] or lines
    lines = list(dict.fromkeys(line.removeprefix("remote:").strip() for line in lines))
    return "; ".join(line for line in lines if line)[:400] or "failed without a word"


def without_credentials(url: str) -> str:
    """`url` without user, password and query (signed URLs carry secrets there)."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl()


@contextmanager
def session(access: Access) -> Iterator[Git]:
    """Git that works with the credentials in `access`, and nothing of this machine's own git configuration.

    Raises InputError where a bound folder does not hold what it should, MachineError without git.
    """
    if shutil.which("git") is None:
        raise MachineError("git is not installed; install it, or use a step image that holds it")
    home = Path(tempfile.mkdtemp(prefix="nearedge-git-"))
    try:
        secrets = private_home(home, access.basic_auth)
        yield Git(home, environment(home, access), secrets)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def private_home(home: Path, basic_auth: Path | None) -> tuple[str, ...]:
    """Fill `home` with git's settings and the credentials; the secrets that are now in there."""
    settings = SETTINGS
    secrets: tuple[str, ...] = ()
    if basic_auth is not None:
        given, stored = basic_auth / ".gitconfig", basic_auth / ".git-credentials"
        if not given.is_file() and not stored.is_file():
            raise InputError(f"{basic_auth}: workspace basic-auth holds neither .gitconfig nor .git-credentials")
        if given.is_file():
            settings = given.read_text(encoding="utf-8") + "\n" + settings
        if stored.is_file():
            text = stored.read_text(encoding="utf-8")
            private(home / ".git-credentials", text)
            settings += "[credential]\n\thelper = store\n"
            secrets = passwords(text)
    private(home / ".gitconfig", settings)
    return secrets


def private(path: Path, text: str) -> None:
    """Write a file that only this user may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def passwords(stored: str) -> tuple[str, ...]:
    """The passwords in the lines of a .git-credentials file, as written and decoded, the longest first."""
    found: set[str] = set()
    for line in stored.split():
        user, _, password = urlsplit(line).netloc.rpartition("@")[0].partition(":")
        found |= {password or user, unquote(password or user)} - {""}
    return tuple(sorted(found, key=len, reverse=True))


def environment(home: Path, access: Access) -> dict[str, str]:
    """All that git and its transports see of the environment."""
    values = {name: os.environ[name] for name in KEPT if os.environ.get(name)}
    if os.environ.get("HTTP_PROXY"):  # libcurl reads only the small letters for plain http
        values.setdefault("http_proxy", os.environ["HTTP_PROXY"])
    values |= {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": TRANSPORTS,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": ssh_command(home, access.ssh_directory),
        "LC_ALL": "C",
    }
    if access.ca_bundle is not None:
        values["GIT_SSL_CAINFO"] = str(trusted(home, access.ca_bundle))
    return values


def trusted(home: Path, ca_bundle: Path) -> Path:
    """A file with the CAs that this machine trusts and those of the bundle; git takes one file, not two."""
    given = ca_bundle / CA_FILE if ca_bundle.is_dir() else ca_bundle
    if not given.is_file():
        raise InputError(f"{given}: no such file; the workspace ca-bundle holds {CA_FILE}")
    own = Path(ssl.get_default_verify_paths().cafile or certifi.where())
    private(home / CA_FILE, own.read_text(encoding="utf-8") + "\n" + given.read_text(encoding="utf-8"))
    return home / CA_FILE


def ssh_command(home: Path, directory: Path | None) -> str:
    """The ssh command line: never asks, and talks only to hosts whose key is known.

    Paths in it are of the private home folder: git hands this line to a shell, and mounted paths may hold anything.
    """
    words = ["ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oConnectTimeout=30", "-oServerAliveInterval=30"]
    if directory is None:
        return " ".join(words)
    if not (directory / "known_hosts").is_file():
        raise InputError(f"{directory}: workspace ssh-directory has no known_hosts; add the remote's host key to it")
    known = home / "known_hosts"
    private(known, (directory / "known_hosts").read_text(encoding="utf-8"))
    words += [f"-oUserKnownHostsFile={known}", "-oGlobalKnownHostsFile=/dev/null", "-oIdentitiesOnly=yes"]
    configuration = directory / "config"
    private(home / "ssh_config", configuration.read_text(encoding="utf-8") if configuration.is_file() else "")
    words.append(f"-F{home / 'ssh_config'}")
    for number, file in enumerate(sorted(directory.iterdir())):
        if file.is_file() and b"PRIVATE KEY-----" in file.read_bytes()[:100]:
            key = home / f"key-{number}"
            private(key, file.read_text(encoding="utf-8"))
            words.append(f"-i{key}")
    return " ".join(words)
