"""The git command, run so that neither a repository nor a URL can make it do anything but git.

Argument vectors only, no prompts, no hooks of ours, only the transports named here, and credentials from files that
are copied to a private home folder and never reach an argument or a message.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from nearedge.delivery import signing, transport
from nearedge.delivery.git_home import Access as Access
from nearedge.delivery.git_home import environment, private_home
from nearedge.errors import MachineError, OutsideError

TIMEOUT_S = 1800.0
POLL_S, GRACE_S = 0.2, 2.0
"""Seconds between two looks at what git does, and from asking it to end to killing it."""
TELLING = re.compile(r"^(fatal|error|remote|ssh|!|Host key|(\S+: )?Permission denied|No RSA|kex_)", re.IGNORECASE)
MACHINE_FAULTS = ("No space left on device", "Read-only file system", "Disk quota exceeded")
PROXY_LOGIN = re.compile(r"(error: |response |HTTP code )407\b")
USERINFO = re.compile(r"(?<=://)[^/@\s']+@")


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
        watch: Callable[[], None] = lambda: None,
    ) -> str:
        """Run `git *arguments` in the folder `at`, `text` on its standard input; its standard output.

        `watch` is called every POLL_S seconds while git runs without `text`; what it raises stops git and is passed on.
        Raises RefusedError where git fails, OutsideError where it takes longer than `timeout_s` seconds, MachineError
        where it fails for want of space here.
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
            output, complaints = ended(process, (text or "").encode(), timeout_s, watch)
        except BaseException as error:
            stop(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise OutsideError(f"git {arguments[0]}: no end after {timeout_s:g} s; is the remote there?") from None
            raise
        if process.returncode != 0:
            said = self.clean(complaints.decode(errors="replace") + output.decode(errors="replace"))
            refuse_machine(said)
            raise RefusedError(f"git {arguments[0]}: {telling(said)}", said)
        return output.decode(errors="replace")

    def clean(self, text: str) -> str:
        """`text` without users and passwords of URLs, secrets we were given, and what would upset a terminal."""
        text = USERINFO.sub("", text)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in text)


def ended(
    process: subprocess.Popen[bytes], text: bytes, timeout_s: float, watch: Callable[[], None]
) -> tuple[bytes, bytes]:
    """What git wrote to its standard output and error until its end. Raises TimeoutExpired, and what `watch` raises."""
    end = time.monotonic() + timeout_s
    while not text:  # what is written to it cannot be taken up again after a time-out
        left = end - time.monotonic()
        try:
            return process.communicate(timeout=max(0.0, min(POLL_S, left)))
        except subprocess.TimeoutExpired:
            if left <= POLL_S:
                raise
        watch()
    return process.communicate(text, timeout_s)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End git and the transport helpers it started, by force where they take long, and reap it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    process.communicate()


def refuse_machine(said: str) -> None:
    """Raise MachineError where git complains of this disk; what the remote says of its own begins otherwise."""
    for line in said.splitlines():
        for words in MACHINE_FAULTS:
            if words in line and not line.startswith("remote:"):
                raise MachineError(f"git: {words.lower()}; free some space, or use another workspace and TMPDIR")


def telling(said: str) -> str:
    """The lines of git's complaint that say why, as one line."""
    if PROXY_LOGIN.search(said):
        return f"status 407; {transport.PROXY_LOGIN}"
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
        with signing.prepared(home, access.signing_key) as signed:
            yield Git(home, {**environment(home, access), **signed.environment}, (*secrets, *signed.secrets))
    finally:
        shutil.rmtree(home, ignore_errors=True)
