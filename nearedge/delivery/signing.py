"""Signing commits with an SSH or a GPG key from a bound workspace, through git's private home folder.

Git is told by its environment (GIT_CONFIG_COUNT, git-config(1)), so neither key nor passphrase is ever an argument.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.errors import InputError, MachineError

SSH_KEY, GPG_KEY, PASSPHRASE = "id_ed25519", "signing.asc", "passphrase"
LONGEST = 1 << 20
"""Bytes of a key's file."""
GPG_SETTINGS = "batch\nno-tty\npinentry-mode loopback\n"
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Signing:
    """What git needs in its environment to sign, and what no message may hold."""

    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


@contextmanager
def prepared(home: Path, folder: Path | None) -> Iterator[Signing]:
    """Signing with the key in `folder` (None: none), its copies in `home`, which the caller removes.

    Raises InputError where the folder holds no key that can be used, MachineError without the program that signs.
    """
    if folder is None:
        yield Signing()
        return
    ssh, gpg = folder / SSH_KEY, folder / GPG_KEY
    if ssh.is_file() == gpg.is_file():
        found = "both" if ssh.is_file() else "neither"
        raise InputError(f"{folder}: workspace signing-key holds {found} of {SSH_KEY} and {GPG_KEY}; it takes one")
    phrase = secret(folder / PASSPHRASE).rstrip("\r\n") if (folder / PASSPHRASE).is_file() else ""
    if phrase:
        write(home / PASSPHRASE, phrase + "\n")
    if ssh.is_file():
        yield with_ssh(home, ssh, phrase)
        return
    gnupg = home / "gnupg"
    gnupg.mkdir(mode=0o700)
    try:
        yield with_gpg(home, gnupg, gpg, phrase)
    finally:
        if agent := shutil.which("gpgconf"):  # ends gpg-agent, which holds the key in memory
            subprocess.run([agent, "--kill", "all"], env=gpg_environment(gnupg), capture_output=True, check=False)


def with_ssh(home: Path, path: Path, phrase: str) -> Signing:
    """Signing with an SSH key; git hands it to ssh-keygen, which asks a program of ours for the passphrase."""
    program = needed("ssh-keygen", "signing with an SSH key")
    key = home / "signing_key"
    text = secret(path)
    write(key, text if text.endswith("\n") else text + "\n")
    asking = {"SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"}
    if phrase:
        write(home / "askpass", f"#!/bin/sh\nexec cat '{home / PASSPHRASE}'\n", 0o700)
        asking["SSH_ASKPASS"] = str(home / "askpass")
    arguments = [program, "-y", "-f", str(key)]  # the public half, which shows that the key can be read
    done = subprocess.run(
        arguments, env={**base(), **asking}, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S,
        check=False, start_new_session=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise InputError(f"{path}: is no SSH private key that opens{with_phrase(phrase)}; check workspace signing-key")
    settings = {"gpg.format": "ssh", "user.signingKey": str(key), "commit.gpgSign": "true"}
    return Signing({**asking, **as_environment(settings)}, secrets_of(phrase))


def with_gpg(home: Path, gnupg: Path, path: Path, phrase: str) -> Signing:
    """Signing with an armoured secret key, imported into a keyring of its own."""
    extra = f"passphrase-file {home / PASSPHRASE}\n" if phrase else ""
    write(gnupg / "gpg.conf", GPG_SETTINGS + extra)
    gpg(gnupg, path, "--import", text=secret(path))
    listed = gpg(gnupg, path, "--with-colons", "--list-secret-keys")
    prints = [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]
    if not prints:
        raise InputError(f"{path}: holds no secret key; export one with gpg --armor --export-secret-keys")
    gpg(gnupg, path, "--local-user", prints[0], "--detach-sign", "--output", "-", text="x")
    settings = {"gpg.format": "openpgp", "user.signingKey": prints[0], "commit.gpgSign": "true"}
    return Signing({"GNUPGHOME": str(gnupg), **as_environment(settings)}, secrets_of(phrase))


def gpg(gnupg: Path, path: Path, *arguments: str, text: str = "") -> str:
    """What gpg prints. Raises InputError where it refuses; what it says is not passed on, it may hold names."""
    program = needed("gpg", "signing with a GPG key")
    done = subprocess.run(
        [program, *arguments], env=gpg_environment(gnupg), input=text.encode(), capture_output=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise InputError(f"{path}: gpg cannot sign with it; is it a secret key, valid still, and {PASSPHRASE} right?")
    return done.stdout.decode(errors="replace")


def base() -> dict[str, str]:
    """What a program that signs sees of the environment."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def gpg_environment(gnupg: Path) -> dict[str, str]:
    """The same, with the keyring."""
    return {**base(), "GNUPGHOME": str(gnupg), "HOME": str(gnupg)}


def as_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Git's settings as its environment carries them."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def secret(path: Path) -> str:
    """The text of a file with a secret. Raises InputError where it is none."""
    content = path.read_bytes()
    try:
        if len(content) <= LONGEST:
            return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise InputError(f"{path}: is no key or passphrase in text; export it armoured")


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that only this user may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)


def secrets_of(phrase: str) -> tuple[str, ...]:
    """What no message may hold."""
    return (phrase,) if phrase else ()


def with_phrase(phrase: str) -> str:
    """A few words on the passphrase."""
    return f" with the file {PASSPHRASE}" if phrase else f" without a passphrase (the file {PASSPHRASE} would hold it)"


def needed(program: str, what: str) -> str:
    """The program's path. Raises MachineError where it is not there."""
    found = shutil.which(program)
    if found is None:
        raise MachineError(f"{program} is not installed, which {what} needs; use a step image that holds it")
    return found
