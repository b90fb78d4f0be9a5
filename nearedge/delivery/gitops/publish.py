"""One commit in a GitOps repository that makes it say what the rendered tree says, however many publish at once.

Every attempt starts from the newest commit of the branch, so that a push which came second is simply made again on top
of the first. Nothing is ever forced.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.git import Git, without_credentials
from nearedge.delivery.gitops.deployed import fetch_branch, record_path
from nearedge.errors import InputError, NearedgeError, OutsideError, UsageError
from nearedge.release import record as records
from nearedge.release.record import Record

ATTEMPTS = 12
README = "README.md"
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
OVERTAKEN = ("(fetch first)", "(non-fast-forward)", "cannot lock ref", "failed to update ref", "incorrect old value")
"""What git says where somebody else pushed between our fetch and our push."""
NOT_WRITABLE = ("Permission denied", "Read-only file system", "No space left on device")
"""What it says besides, where a lock could not be taken for another reason."""

Message = Callable[[Record, Record | None, list[str]], str]


@dataclass(frozen=True)
class Author:
    """Who commits."""

    name: str
    email: str


@dataclass(frozen=True)
class Target:
    """The repository and its branch."""

    url: str
    branch: str


@dataclass(frozen=True)
class Rendered:
    """What render-gitops wrote: the folder, the record in it, and the sites."""

    folder: Path
    record: Record
    sites: list[str]

    @property
    def owned(self) -> list[str]:
        """The folders of the repository that belong to this release, whatever was in them."""
        name = self.record.identity.name
        return [f"models/{name}", *(f"sites/{site}/{name}" for site in self.sites)]


@dataclass(frozen=True)
class Published:
    """The commit that holds the release, and whether it is a new one."""

    commit: str
    changed: bool


def rendered(folder: Path) -> Rendered:
    """The tree that render-gitops wrote. Raises InputError where there is none or it is not one release."""
    found = sorted(folder.glob(record_path("*")))
    if len(found) != 1:
        raise InputError(f"{folder}: holds {len(found)} releases instead of one; render-gitops has to run first")
    record = records.read(found[0])
    name = record.identity.name
    sites = sorted(path.parent.parent.name for path in folder.glob(f"sites/*/{name}/kustomization.yaml"))
    return Rendered(folder, record, sites)


def create_local(path: Path, branch: str) -> None:
    """Make the bare repository `path` by rename, unless it is there; two at once end with one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        with git.session(git.Access()) as client:
            check_branch(client, branch, building)
            client.run("init", "--quiet", "--bare", f"--initial-branch={branch}", at=building)
        building.chmod(0o755)
        building.rename(path)
    except OSError:
        if not path.exists():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def publish(client: Git, target: Target, release: Rendered, author: Author, message: Message) -> Published:
    """Commit the release to the target's branch and push it.

    Raises OutsideError where the repository is not there, refuses, or was overtaken too often; UsageError for a branch
    that cannot be one; InputError for a repository whose folders are not what they should be. Nothing is left behind.
    """
    check_branch(client, target.branch, release.folder)
    for pause_s in pauses():
        with tempfile.TemporaryDirectory(prefix="nearedge-publish-") as folder:
            done = attempt(client, target, release, author, message, Path(folder))
        if done is not None:
            return done
        time.sleep(pause_s)
    name = without_credentials(target.url)
    raise OutsideError(f"{name}: others pushed to {target.branch} first, {ATTEMPTS} times; run it again")


def pauses() -> Iterator[float]:
    """Seconds to wait after each attempt: longer each time, and by chance, so that two publishers come apart."""
    for number in range(ATTEMPTS):
        yield min(FIRST_WAIT_S * 2**number, LONGEST_WAIT_S) * random.uniform(0.5, 1.5)  # noqa: S311  # no secret


def check_branch(client: Git, branch: str, at: Path) -> None:
    """Raise UsageError where git would not take the name."""
    try:
        client.run("check-ref-format", f"refs/heads/{branch}", at=at)
        if branch.startswith("-"):
            raise UsageError(f"git-branch {branch!r}: a branch's name cannot begin with '-'")
    except git.RefusedError as error:
        raise UsageError(f"git-branch {branch!r}: is no name of a branch") from error


def attempt(
    client: Git, target: Target, release: Rendered, author: Author, message: Message, at: Path
) -> Published | None:
    """One try in the empty folder `at`; None where somebody else was faster."""
    client.run("init", "--quiet", at=at)
    if fetch_branch(client, target.url, target.branch, at):
        client.run("checkout", "--quiet", "--detach", "FETCH_HEAD", at=at)
        before = deployed_record(at, release.record.identity.name, target)
    else:
        before = None
    replace(release, at)
    paths = [*release.owned, README]
    client.run("add", "--all", "--force", "--", *paths, at=at)
    if not client.run("status", "--porcelain", "--untracked-files=no", at=at).strip():
        return Published(client.run("rev-parse", "HEAD", at=at).strip(), changed=False)
    commit = committed(client, at, author, message(release.record, before, release.sites))
    return Published(commit, changed=True) if pushed(client, target, at) else None


def deployed_record(at: Path, name: str, target: Target) -> Record | None:
    """The record that the branch holds now, None where it has none. Raises where we must not replace it."""
    path = at / record_path(name)
    if not path.is_file():
        return None
    try:
        return records.read(path)
    except NearedgeError as error:
        text = str(error).replace(f"{at}/", "")
        raise type(error)(f"{without_credentials(target.url)}: {text}") from error


def replace(release: Rendered, at: Path) -> None:
    """Put the release's folders in the place of those that are there; a README only where there is none."""
    for name in release.owned:
        refuse_links(at, name)
        if (at / name).exists():
            shutil.rmtree(at / name)
        shutil.copytree(release.folder / name, at / name)
    if not (at / README).exists() and not (at / README).is_symlink():
        shutil.copyfile(release.folder / README, at / README)


def refuse_links(at: Path, name: str) -> None:
    """Raise InputError where a folder of the repository is a link or a file: writing there would go astray."""
    path = at
    for part in Path(name).parts:
        path = path / part
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            where = path.relative_to(at)
            raise InputError(f"{where} in the GitOps repository is a link or a file, not a folder; mend it there")


def committed(client: Git, at: Path, author: Author, text: str) -> str:
    """Commit what is staged; the commit's id."""
    who = {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_COMMITTER_NAME": author.name,
        "GIT_COMMITTER_EMAIL": author.email,
    }
    client.run("commit", "--quiet", "--no-verify", "--cleanup=verbatim", "--file=-", at=at, text=text, env=who)
    return client.run("rev-parse", "HEAD", at=at).strip()


def pushed(client: Git, target: Target, at: Path) -> bool:
    """Push HEAD; False where the branch moved meanwhile. Raises OutsideError where the remote refuses."""
    try:
        client.run("push", "--porcelain", "--", target.url, f"HEAD:refs/heads/{target.branch}", at=at)
    except git.RefusedError as error:
        if says(error, OVERTAKEN) and not says(error, NOT_WRITABLE):
            return False
        raise OutsideError(f"{without_credentials(target.url)}: {error}; nothing was published") from error
    return True


def says(error: git.RefusedError, words: tuple[str, ...]) -> bool:
    """Whether git's complaint holds one of these."""
    return any(word in error.output for word in words)
