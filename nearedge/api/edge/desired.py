"""What git says that the site shall run, now and earlier, read through a small repository that is kept on disk.

Only the branch's newest commit is fetched, and more of the past where somebody asks for upgrades. An unchanged branch
costs one `git ls-remote`.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

from nearedge.api.edge.documents import Version
from nearedge.api.problems import conflict
from nearedge.delivery import git
from nearedge.delivery.git import Git
from nearedge.delivery.gitops import deployed, fleet, publish, render, rollback
from nearedge.delivery.gitops.history import History, Release
from nearedge.delivery.gitops.publish import Target
from nearedge.errors import InputError
from nearedge.files import size_of

LONGEST_S = 20.0
"""Seconds that one call of git may take."""
MOST_COMMITS, MOST_MOVES = 100, 20
"""How far back upgrades are looked for: commits about the model, and upgrades."""
LARGEST = 256 << 20
"""Bytes of the repository on disk, after which it is fetched anew."""


class QuickGit(Git):
    """Git that nobody waits for: each call ends within LONGEST_S."""

    def run(self, *arguments: str, timeout_s: float = LONGEST_S, **more: Any) -> str:
        """As `Git.run`, with less patience."""
        return super().run(*arguments, timeout_s=timeout_s, **more)


@dataclass(frozen=True)
class Desired:
    """What the branch says: its commit, and what our site shall run, None where the record there cannot be read."""

    commit: str
    models: Mapping[str, Version | None]


@dataclass(frozen=True)
class Move:
    """A commit that moved the site to another release; `bytes`: what it pulls for that, as reckoned beforehand."""

    commit: str
    committed: str
    to: Version
    left: Version | None
    rolled_back: bool
    bytes: int | None


@dataclass(frozen=True)
class Image:
    """An image of a release: its name by digest, and what is in it."""

    name: str
    digest: str
    version: str
    flavour: str


class Mirror:
    """The GitOps repository as one site sees it. Everything here blocks: call it from a thread."""

    def __init__(self, target: Target, site: str, at: Path, access: git.Access) -> None:
        """`at` is the folder of the small repository."""
        self.target, self.site, self.at, self.access = target, site, at, access
        self.lock = Lock()
        self.desired: Desired | None = None
        self.known: dict[str, list[Move]] = {}

    @contextmanager
    def client(self) -> Iterator[Git]:
        """Git with our credentials and little patience; one at a time."""
        with self.lock, git.session(self.access) as client:
            yield QuickGit(client.home, client.environment, client.secrets)

    def read(self) -> Desired:
        """What the branch says now. Raises InputError, OutsideError or MachineError where that is not known."""
        with self.client() as client:
            if not (self.at / "HEAD").is_file():
                self.at.mkdir(parents=True, exist_ok=True)
                client.run("init", "--quiet", "--bare", at=self.at)
            name = f"refs/heads/{self.target.branch}"
            head = client.run("ls-remote", "--", self.target.url, name, at=self.at).partition("\t")[0]
            if self.desired is None or head != self.desired.commit:
                self.desired, self.known = self.fetched(client), {}
            return self.desired

    def fetched(self, client: Git) -> Desired:
        """Fetch the newest commit, and read it."""
        if size_of(self.at) > LARGEST:
            shutil.rmtree(self.at)
            self.at.mkdir()
            client.run("init", "--quiet", "--bare", at=self.at)
        if not deployed.fetch_branch(client, self.target.url, self.target.branch, self.at):
            raise InputError(f"{self.target.shown}: there is no such branch")
        commit = client.run("rev-parse", "FETCH_HEAD", at=self.at).strip()
        client.run("update-ref", "--no-deref", "HEAD", commit, at=self.at)
        models: dict[str, Version | None] = {}
        for (site, name), folder in sorted(fleet.named_in(client, self.at, commit).items()):
            if site == self.site:
                release = History(client, self.target, self.at, name).releases(commit).get(folder)
                models[name] = None if release is None else version_of(release)
        return Desired(commit, models)

    def moves(self, name: str) -> list[Move]:
        """The latest moves of the site to other releases of a model, the newest first. Raises as `read` does."""
        desired = self.read()
        if name not in desired.models:
            return []
        if name not in self.known:
            with self.client() as client:
                past = History(client, self.target, self.at, name)
                self.known[name] = list(islice(moves(past, self.site), MOST_MOVES))
        return self.known[name]

    def image(self, name: str, digest: str | None) -> Image:
        """The image of a model that git wants here, or that of a digest. Raises ProblemError 409, or as `read` does."""
        commit = self.read().commit
        with self.client() as client:
            past = History(client, self.target, self.at, name)
            wanted, there = past.at_site(commit, self.site), past.releases(commit)
        if digest is not None:
            wanted = next((one for one in there.values() if one.digest == digest), None)
        if wanted is None:
            why = f"no release with the image {digest} of it" if digest else f"nothing of it that {self.site} shall run"
            raise conflict(f"model {name!r}: git has {why} at {commit[:12]}")
        image = wanted.record.evidence.image
        if image is None or render.is_layout(image):
            raise conflict(f"model {name!r}: the image of {wanted.record.identity.version} is in no registry")
        return Image(
            render.image_name(wanted.record, image), wanted.digest, wanted.record.identity.version, image.flavour
        )

    def roll_back(self, name: str, to: str, author: publish.Author) -> tuple[publish.Published, rollback.Rollback]:
        """Commit that the site goes back; what was done, and the plan. Raises as `publish.landed` does."""
        plan = rollback.Rollback(self.target, rollback.Asked(name, to, [self.site]), lambda _release, _site: None)
        with self.client() as client:
            return publish.landed(client, self.target, author, plan, begin=False), plan


def version_of(release: Release) -> Version:
    """A release in a few words."""
    identity = release.record.identity
    return Version(
        version=identity.version, digest=release.digest or None, bin_sha256=identity.ir.bin_sha256,
        precision=identity.precision,
    )  # fmt: skip


def moves(past: History, site: str) -> Iterator[Move]:
    """The site's moves, the newest first, as far back as we look."""
    now: Release | None = None
    since = ""
    looked = 0
    for commit in islice(past.commits(), MOST_COMMITS):
        looked += 1
        release = past.at_site(commit, site)
        if now is not None and (release is None or release.digest != now.digest):
            yield move(past, site, since, now, release)
        now, since = release, commit
    if now is not None and looked < MOST_COMMITS:
        yield move(past, site, since, now, None)


def move(past: History, site: str, commit: str, to: Release, left: Release | None) -> Move:
    """One move."""
    image, back = to.record.evidence.image, rollback.took_back(past.message(commit), site)
    own = [one.bytes for one in image.sites if one.site == site] if image else []
    reckoned = own[0] if own else image.upgrade_bytes if image else None
    return Move(
        commit=commit,
        committed=past.ask("show", "--no-patch", "--format=%cI", commit).strip(),
        to=version_of(to),
        left=None if left is None else version_of(left),
        rolled_back=back,
        bytes=None if back else reckoned,
    )
