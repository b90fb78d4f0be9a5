"""What git finds in its home folder and its environment: settings of ours, and credentials from bound workspaces.

Files with secrets are copied, readable by this user only, since mounted ones have names and modes that ssh refuses.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from nearedge.errors import InputError

TRANSPORTS = "file:git:http:https:ssh"
CA_FILE = "ca-bundle.crt"
KEPT = ("PATH", "TMPDIR", "SSH_AUTH_SOCK", "NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "http_proxy")
SETTINGS = """\
[safe]
\tdirectory = *
[init]
\tdefaultBranch = main
[advice]
\tdetachedHead = false
[gc]
\tauto = 0
[fetch]
\tunpackLimit = 1
[http]
\tlowSpeedLimit = 1
\tlowSpeedTime = 60
"""
"""A pack is written to disk as it arrives, however few files it holds; unpacked, each would be in memory first."""


@dataclass(frozen=True)
class Access:
    """Folders with what git needs to reach a remote, in the shape of the Tekton catalog's workspaces; None: unbound.

    `signing_key` holds the key that commits are signed with (see `nearedge.delivery.signing`).
    """

    basic_auth: Path | None = None
    ssh_directory: Path | None = None
    ca_bundle: Path | None = None
    signing_key: Path | None = None


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
        "GIT_TEMPLATE_DIR": "",
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
    private(home / CA_FILE, own_trust().read_text(encoding="utf-8") + "\n" + given.read_text(encoding="utf-8"))
    return home / CA_FILE


def own_trust() -> Path:
    """The file with the CAs that this machine trusts; SSL_CERT_FILE is heard."""
    return Path(ssl.get_default_verify_paths().cafile or DEFAULT_CA_BUNDLE_PATH)


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
