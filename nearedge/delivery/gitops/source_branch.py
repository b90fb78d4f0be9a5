"""A change on a branch of its own, for people to review before it comes to the target branch, which stays untouched.

The branch is one commit of ours on top of the target's newest. It is made again, by a push that holds only if nobody
else pushed meanwhile, where its content differs or no longer goes with the target; commits of others are never lost.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.git import Git, without_credentials
from nearedge.delivery.gitops import publish
from nearedge.delivery.gitops.deployed import advice, fetch_branch, how_to_make
from nearedge.delivery.gitops.publish import Author, Plan, Target
from nearedge.errors import InputError, NearedgeError, OutsideError, UsageError

PREFIX = "nearedge/"
TRAILER = "Nearedge-branch"
"""The line of a commit message that says which branch the commit was made for, so that we know our own."""
LONGEST = 100
"""Letters of a branch's name that lists the sites."""


@dataclass(frozen=True)
class Proposed:
    """The newest commit of the source branch, whether it is a new one, and whether it differs from the target.

    Where nothing differs, `commit` is the target's. `sites` are those that move once it is merged.
    """

    commit: str
    changed: bool
    differs: bool
    sites: list[str] = field(default_factory=list)


def default_branch(name: str, sites: list[str]) -> str:
    """The source branch for a model and its sites: the same for the same, and no two alike."""
    listed = "+".join(sorted(sites)) or "+base"
    full = f"{PREFIX}{name}/{listed}"
    if len(full) <= LONGEST:
        return full
    return f"{PREFIX}{name}/{len(sites)}-sites+{hashlib.sha256(listed.encode()).hexdigest()[:12]}"


def propose(
    client: Git, target: Target, source: str, author: Author, plan: Plan, ask: Callable[[], None] = lambda: None
) -> Proposed:
    """Put what the plan wants onto the branch `source`, on top of the target's newest commit, and `ask` for its merge.

    `ask` is not called where nothing differs; where it raises, the branch is put back as it was. Raises what
    `publish.landed` and `ask` raise, and OutsideError where somebody else's commits are on the branch.
    """
    if source == target.branch:
        raise UsageError(f"source-branch {source!r}: is the branch to merge into; give another, or none")
    with tempfile.TemporaryDirectory(prefix="nearedge-publish-") as folder:
        for branch in (target.branch, source):
            publish.check_branch(client, branch, Path(folder))
    for pause_s in publish.pauses():
        with tempfile.TemporaryDirectory(prefix="nearedge-publish-") as folder:
            done = attempt(client, target, source, author, plan, ask, Path(folder))
        if done is not None:
            return done
        time.sleep(pause_s)
    where = without_credentials(target.url)
    raise OutsideError(f"{where}: others pushed to {source} first, {publish.ATTEMPTS} times; run it again")


def attempt(
    client: Git, target: Target, source: str, author: Author, plan: Plan, ask: Callable[[], None], at: Path
) -> Proposed | None:
    """One try in the empty folder `at`; None where somebody else was faster."""
    where = without_credentials(target.url)
    client.run("init", "--quiet", at=at)
    tip = fetched_tip(client, target.url, source, at)
    if not fetch_branch(client, target.url, target.branch, at):
        raise InputError(f"{where}: has no branch {target.branch!r} to merge into; check git-branch, or make it first")
    client.run("checkout", "--quiet", "--detach", "FETCH_HEAD", at=at)
    publish.refuse_foreign(at, target)
    base = client.run("rev-parse", "HEAD", at=at).strip()
    try:
        change = plan(client, at)
    except NearedgeError as error:
        raise type(error)(f"{where}: {error}") from error
    if not publish.apply(client, change.files, at):
        return Proposed(base, changed=False, differs=False)
    commit = publish.committed(client, at, author, f"{change.message.rstrip()}\n{TRAILER}: {source}\n")
    if tip and holds(client, tip, base, commit, source, at):
        ask()
        return Proposed(tip, changed=False, differs=True, sites=change.sites)
    if tip and not is_ours(client, tip, source, at):
        raise OutsideError(
            f"{where}: branch {source} holds commits of others; merge or remove it, or give another source-branch"
        )
    if not pushed(client, target.url, source, commit, tip, at):
        return None
    try:
        ask()
    except BaseException:
        with suppress(NearedgeError):  # the first error is the one to tell
            pushed(client, target.url, source, tip, commit, at)
        raise
    return Proposed(commit, changed=True, differs=True, sites=change.sites)


def fetched_tip(client: Git, url: str, source: str, at: Path) -> str:
    """The newest commit of the source branch, fetched with its parents; empty where there is no such branch."""
    try:
        client.run("fetch", "--quiet", "--depth=2", "--no-tags", "--", url, f"refs/heads/{source}", at=at)
    except git.RefusedError as error:
        if "find remote ref" in error.output:
            return ""
        raise OutsideError(f"{without_credentials(url)}: {error}{how_to_make(url)}{advice(error)}") from error
    return client.run("rev-parse", "FETCH_HEAD", at=at).strip()


def holds(client: Git, tip: str, base: str, commit: str, source: str, at: Path) -> bool:
    """Whether the branch needs no new commit: it has the content already, or our commit there is the same change.

    The same change: the same files from the same old content to the same new one, so that merging it into the
    target's newest commit gives what the new commit would.
    """
    if tree_of(client, tip, at) == tree_of(client, commit, at):
        return True
    if not is_ours(client, tip, source, at):
        return False
    parents = client.run("rev-list", "--parents", "--max-count=1", tip, at=at).split()[1:]
    return len(parents) == 1 and difference(client, parents[0], tip, at) == difference(client, base, commit, at)


def tree_of(client: Git, commit: str, at: Path) -> str:
    """The id of all that a commit holds."""
    return client.run("rev-parse", f"{commit}^{{tree}}", at=at).strip()


def difference(client: Git, old: str, new: str, at: Path) -> str:
    """The files that differ, with modes and ids of their content before and after (git-diff-tree's raw format)."""
    return client.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new, at=at)


def is_ours(client: Git, commit: str, source: str, at: Path) -> bool:
    """Whether the commit was made by `attempt` for this branch."""
    only = f"--format=%(trailers:key={TRAILER},valueonly,separator=%x00)"
    return source in client.run("log", "--max-count=1", only, commit, at=at).strip("\n").split("\0")


def pushed(client: Git, url: str, source: str, commit: str, tip: str, at: Path) -> bool:
    """Let the source branch be at `commit` (empty: gone) if it still is at `tip` (empty: not there); else False."""
    lease = f"--force-with-lease=refs/heads/{source}:{tip}"
    try:
        client.run("push", "--porcelain", lease, "--", url, f"{commit}:refs/heads/{source}", at=at)
    except git.RefusedError as error:
        overtaken = (*publish.OVERTAKEN, "(stale info)")
        if publish.says(error, overtaken) and not publish.says(error, publish.NOT_WRITABLE):
            return False
        raise OutsideError(f"{without_credentials(url)}: {error}; nothing was published{advice(error)}") from error
    return True
