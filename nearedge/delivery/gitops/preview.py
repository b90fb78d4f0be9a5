"""What a plan would change in a GitOps repository, without a commit."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nearedge.delivery.git import Git
from nearedge.delivery.gitops import publish
from nearedge.delivery.gitops.deployed import fetch_branch
from nearedge.delivery.gitops.publish import Plan
from nearedge.delivery.gitops.target import Target
from nearedge.errors import InputError, UnsupportedError

MOST_DIFF = 200_000
"""Characters of a diff that are kept."""
KINDS: dict[str, Literal["added", "modified", "removed"]] = {"A": "added", "M": "modified", "D": "removed"}


@dataclass(frozen=True)
class FileChange:
    """One file that would change, and how many lines of it (None: it is no text)."""

    path: str
    kind: Literal["added", "modified", "removed"]
    added: int | None
    removed: int | None


@dataclass(frozen=True)
class Preview:
    """What would be committed on top of `commit`; `diff` is cut off where it is long."""

    commit: str
    message: str
    sites: list[str]
    files: list[FileChange]
    diff: str
    cut: bool


def preview(client: Git, target: Target, plan: Plan) -> Preview:
    """What `publish.landed` would commit now; raises what it raises."""
    with tempfile.TemporaryDirectory(prefix="nearedge-preview-") as folder:
        at = Path(folder)
        publish.check_branch(client, target.branch, at)
        client.run("init", "--quiet", at=at)
        if not fetch_branch(client, target.url, target.branch, at):
            raise InputError(f"{target.shown}: there is no such branch; check git-branch")
        client.run("checkout", "--quiet", "--detach", "FETCH_HEAD", at=at)
        publish.refuse_foreign(at, target)
        try:
            change = plan(client, at)
        except (InputError, UnsupportedError) as error:
            raise type(error)(f"{target.shown}: {error}") from error
        commit = client.run("rev-parse", "FETCH_HEAD", at=at).strip()
        if not publish.apply(client, change.files, at):
            return Preview(commit, "", [], [], "", cut=False)
        how = ("diff", "--cached", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv")
        diff = client.run(*how, at=at)
        return Preview(
            commit, change.message, change.sites, files(client, at, how), diff[:MOST_DIFF], cut=len(diff) > MOST_DIFF
        )


def files(client: Git, at: Path, how: tuple[str, ...]) -> list[FileChange]:
    """The files that are staged."""
    words = client.run(*how, "--name-status", "-z", at=at).split("\0")
    kinds = dict(zip(words[1::2], words[0::2], strict=False))
    found = []
    for line in filter(None, client.run(*how, "--numstat", "-z", at=at).split("\0")):
        added, removed, path = line.split("\t", 2)
        kind = KINDS.get(kinds.get(path, ""), "modified")
        found.append(FileChange(path, kind, whole(added), whole(removed)))
    return found


def whole(text: str) -> int | None:
    """A number of lines; git says a dash for what is no text."""
    return int(text) if text.isdigit() else None
