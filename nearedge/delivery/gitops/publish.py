"""One commit in a GitOps repository that makes it say what the rendered tree says, however many publish at once.

Every attempt starts from the newest commit of the branch, so that a push which came second is simply made again on top
of the first. Nothing is ever forced.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.git import Git, without_credentials
from nearedge.delivery.gitops import fleet, site_list
from nearedge.delivery.gitops.deployed import advice, fetch_branch, record_path
from nearedge.delivery.gitops.fleet import Changes, Fleet, Placed, Wanted
from nearedge.delivery.gitops.target import Author as Author
from nearedge.delivery.gitops.target import Target as Target
from nearedge.delivery.gitops.target import check_branch as check_branch
from nearedge.delivery.gitops.target import create_local as create_local
from nearedge.delivery.gitops.target import target_of as target_of
from nearedge.errors import InputError, OutsideError, UnsupportedError
from nearedge.files import write_bytes
from nearedge.release import record as records
from nearedge.release.record import Record

ATTEMPTS = 12
README = "README.md"
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
OVERTAKEN = ("(fetch first)", "(non-fast-forward)", "cannot lock ref", "failed to update ref", "incorrect old value")
"""What git says where somebody else pushed between our fetch and our push."""
NOT_WRITABLE = ("Permission denied", "Read-only file system", "No space left on device")
"""What it says besides, where a lock could not be taken for another reason."""

Message = Callable[[Record, Record | None, list[str], dict[str, str]], str]
"""The release, what it takes the place of, the sites it is for, and what the other sites stay at."""


@dataclass(frozen=True)
class Rendered:
    """What render-gitops wrote: the folder, the record in it, and the sites."""

    folder: Path
    record: Record
    sites: list[str]


@dataclass(frozen=True)
class Published:
    """The commit that says what was asked for, whether it is a new one, and the sites that it moves."""

    commit: str
    changed: bool
    sites: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """What a commit shall change (nothing: there will be none), its message, and the sites that it moves."""

    files: Changes
    message: str
    sites: list[str]


Plan = Callable[[Git, Path], Change]
"""Says what to change in the checked-out branch; asked again in each attempt, since the branch may have moved."""


def rendered(folder: Path) -> Rendered:
    """The tree that render-gitops wrote. Raises InputError where there is none or it is not one release."""
    found = sorted(folder.glob(record_path("*")))
    if len(found) != 1:
        raise InputError(f"{folder}: holds {len(found)} releases instead of one; render-gitops has to run first")
    record = records.read(found[0])
    name = record.identity.name
    sites = sorted(path.parent.parent.name for path in folder.glob(f"sites/*/{name}/kustomization.yaml"))
    return Rendered(folder, record, sites)


def publish(client: Git, target: Target, release: Rendered, author: Author, message: Message) -> Published:
    """Commit the release to the target's branch and push it; see `landed` for what is raised.

    Sites that the release is not for stay at what they run.
    """
    return landed(client, target, author, lambda _, at: of_release(release, at, message))


def landed(client: Git, target: Target, author: Author, plan: Plan, *, begin: bool = True) -> Published:
    """Commit what the plan wants to the target's branch and push it; `begin`: also a branch that is not there yet.

    Raises OutsideError where the repository is not there, refuses, or was overtaken too often; UsageError for a branch
    that cannot be one; InputError for a repository whose folders are not what they should be, and what the plan
    raises. Nothing is left behind then, here or there.
    """
    with tempfile.TemporaryDirectory(prefix="nearedge-publish-") as folder:
        check_branch(client, target.branch, Path(folder))
    for pause_s in pauses():
        with tempfile.TemporaryDirectory(prefix="nearedge-publish-") as folder:
            done = attempt(client, target, author, plan, Path(folder), begin=begin)
        if done is not None:
            return done
        time.sleep(pause_s)
    name = without_credentials(target.url)
    raise OutsideError(f"{name}: others pushed to {target.branch} first, {ATTEMPTS} times; run it again")


def pauses() -> Iterator[float]:
    """Seconds to wait after each attempt: longer each time, and by chance, so that two publishers come apart."""
    for number in range(ATTEMPTS):
        yield min(FIRST_WAIT_S * 2**number, LONGEST_WAIT_S) * random.uniform(0.5, 1.5)  # noqa: S311  # no secret


def attempt(client: Git, target: Target, author: Author, plan: Plan, at: Path, *, begin: bool) -> Published | None:
    """One try in the empty folder `at`; None where somebody else was faster."""
    where = without_credentials(target.url)
    client.run("init", "--quiet", at=at)
    if fetch_branch(client, target.url, target.branch, at):
        client.run("checkout", "--quiet", "--detach", "FETCH_HEAD", at=at)
        refuse_foreign(at, target)
    elif not begin:
        raise InputError(f"{where}: has no branch {target.branch!r}; check git-branch")
    try:
        change = plan(client, at)
    except (InputError, UnsupportedError) as error:
        raise type(error)(f"{where}: {error}") from error
    if not apply(client, change.files, at):
        return Published(client.run("rev-parse", "HEAD", at=at).strip(), changed=False)
    commit = committed(client, at, author, change.message)
    return Published(commit, changed=True, sites=change.sites) if pushed(client, target, at) else None


def of_release(release: Rendered, at: Path, message: Message) -> Change:
    """What publishing a release changes. Raises InputError or UnsupportedError where we must not replace what is there.

    The figures are held against what the release's sites run, where all of them run the same, else against the base.
    """
    name = release.record.identity.name
    placed = Fleet(at).placed(name)
    refuse_links(at, f"models/{name}/{fleet.BASE}")
    there = {site: placed.of_site(site) for site in placed.sites}
    before = [record for site, record in there.items() if site in release.sites and record is not None]
    base = placed.record(fleet.BASE)
    old = before[0] if before and len({fleet.digest_of(one) for one in before}) == 1 else base
    files = fleet.files_in(release.folder, f"models/{name}/{fleet.BASE}")
    to = {site: Wanted(files, fleet.files_in(release.folder, f"sites/{site}/{name}")) for site in release.sites}
    found = fleet.moved(placed, to, files)
    if not (at / README).exists() and not (at / README).is_symlink():
        found[README] = (release.folder / README).read_text(encoding="utf-8")
    held = {site: named(record) for site, record in there.items() if site not in release.sites}
    found = site_list.listed(Fleet(at), found, release.sites)
    return Change(found, message(release.record, old, release.sites, held), moves(placed, release))


def named(record: Record | None) -> str:
    """A release in a few words: its version and the start of its image's digest."""
    if record is None:
        return "what it runs"
    return f"{record.identity.version} ({fleet.digest_of(record).rpartition(':')[2][: fleet.ID_DIGITS]})"


def moves(placed: Placed, release: Rendered) -> list[str]:
    """The release's sites that run another release so far, or none."""
    new = fleet.digest_of(release.record)
    runs = {site: placed.of_site(site) for site in release.sites}
    return [site for site, record in runs.items() if record is None or fleet.digest_of(record) != new]


def refuse_foreign(at: Path, target: Target) -> None:
    """Raise InputError where the branch holds folders, and none of them is of a GitOps repository of ours."""
    entries = {entry.name for entry in at.iterdir() if entry.name != ".git"}
    folders = sorted(name for name in entries if (at / name).is_dir() and not name.startswith("."))
    if folders and not entries & {"models", "sites"}:
        raise InputError(
            f"{target.shown}: holds {', '.join(folders[:4])} and neither "
            "models nor sites, so it is no GitOps repository of ours; check git-url, or add sites/.gitkeep to it first"
        )


def apply(client: Git, files: Changes, at: Path) -> bool:
    """Write and stage the changes; whether the branch differs now. Raises InputError where something is in the way."""
    for name, text in files.items():
        refuse_links(at, str(Path(name).parent))
        if (at / name).is_dir() and not (at / name).is_symlink():
            raise InputError(f"{name} in the GitOps repository is a folder, not a file; mend it there")
        if text is None:
            (at / name).unlink()
        else:
            write_bytes(at / name, text.encode(errors="surrogateescape"))
    if files:
        names = ("--pathspec-from-file=-", "--pathspec-file-nul")
        literal = {"GIT_LITERAL_PATHSPECS": "1"}
        client.run("add", "--all", "--force", *names, at=at, text="\0".join(files), env=literal)
    return bool(files) and bool(client.run("status", "--porcelain", "--untracked-files=no", at=at).strip())


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
        raise OutsideError(
            f"{without_credentials(target.url)}: {error}; nothing was published{advice(error)}"
        ) from error
    return True


def says(error: git.RefusedError, words: tuple[str, ...]) -> bool:
    """Whether git's complaint holds one of these."""
    return any(word in error.output for word in words)
