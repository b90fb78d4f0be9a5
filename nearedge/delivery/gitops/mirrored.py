"""A bare clone of one branch that is kept and brought up to date, so that much can be read of it, also while the remote
is away. Its past is bounded, and so is what lies around in it.
"""

import fcntl
import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nearedge.delivery.git import Git, RefusedError, without_credentials
from nearedge.delivery.gitops.deployed import advice, how_to_make
from nearedge.delivery.gitops.target import Target
from nearedge.errors import InputError, OutsideError

DEPTH = 5000
"""Commits of the branch's past."""
TIMEOUT_S = 60.0
"""Of one fetch."""
MOST_PACKS = 30
"""Each fetch adds one; then they are made one, and what nothing names any more goes."""
MOST_MIRRORS = 4
FETCHED = "nearedge-fetched"
"""A file whose time is that of the last fetch."""


@dataclass(frozen=True)
class Mirror:
    """The clone of a target's branch below the folder `parent`."""

    parent: Path
    target: Target

    @property
    def at(self) -> Path:
        """The clone's folder."""
        return self.parent / hashlib.sha256(self.target.shown.encode()).hexdigest()[:16]

    @property
    def fetched(self) -> float | None:
        """When it was brought up to date, in Unix seconds; None: never."""
        path = self.at / FETCHED
        return path.stat().st_mtime if path.is_file() else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the clone against other processes that mirror the same."""
        self.parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{self.at}.lock").open("w") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield

    def fetch(self, client: Git) -> None:
        """Bring it up to date. Raises OutsideError where the remote is away or refuses, InputError for no branch."""
        if not (self.at / "HEAD").is_file():
            self.begin(client)
        try:
            self.fetch_once(client)
        except RefusedError as error:
            if ".lock'" in error.output:  # left behind by a process that was killed; we hold the clone
                self.begin(client)
                self.fetch_once(client)
            else:
                url = self.target.url
                raise OutsideError(f"{without_credentials(url)}: {error}{how_to_make(url)}{advice(error)}") from error
        if len(list((self.at / "objects" / "pack").glob("*.pack"))) > MOST_PACKS:
            client.run("gc", "--quiet", "--prune=now", at=self.at)

    def begin(self, client: Git) -> None:
        """Make it anew, empty; mirrors of what was mirrored long ago go."""
        shutil.rmtree(self.at, ignore_errors=True)
        self.at.mkdir(parents=True)
        client.run("init", "--quiet", "--bare", "--initial-branch=mirror", at=self.at)
        there = sorted((path for path in self.parent.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for path in [one for one in there if one != self.at][: max(0, len(there) - MOST_MIRRORS)]:
            shutil.rmtree(path, ignore_errors=True)
            Path(f"{path}.lock").unlink(missing_ok=True)

    def fetch_once(self, client: Git) -> None:
        """As `fetch`, raising RefusedError as git does."""
        reference = f"+refs/heads/{self.target.branch}:refs/heads/mirror"
        options = ("--quiet", f"--depth={DEPTH}", "--no-tags", "--update-head-ok", "--")
        try:
            client.run("fetch", *options, self.target.url, reference, at=self.at, timeout_s=TIMEOUT_S)
        except RefusedError as error:
            if "find remote ref" in error.output:
                raise InputError(f"{self.target.shown}: there is no such branch yet") from error
            raise
        (self.at / FETCHED).write_text(f"{time.time()}\n")

    def begun(self, client: Git) -> bool:
        """Whether a commit was ever fetched into it; it may be damaged since."""
        if not (self.at / "HEAD").is_file():
            return False
        try:
            client.run("rev-parse", "--verify", "--quiet", "HEAD", at=self.at)
        except RefusedError:
            return False
        return True
