"""One open request for a branch, however often it is asked for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nearedge.delivery.forges import token as tokens
from nearedge.delivery.forges.base import LONGEST_TITLE, AlreadyThereError, Forge, Request, Wanted
from nearedge.delivery.forges.connection import Connection
from nearedge.delivery.forges.gitea import Gitea
from nearedge.delivery.forges.github import Github
from nearedge.delivery.forges.gitlab import Gitlab
from nearedge.delivery.forges.place import place, remote_of
from nearedge.errors import UsageError

FORGES: dict[str, type[Forge]] = {"github": Github, "gitlab": Gitlab, "gitea": Gitea}
"""By the values of the param `pull-request`; Forgejo speaks Gitea's API."""
NONE = "none"


@dataclass(frozen=True)
class Opened:
    """The open request, and what was done to have it."""

    number: int
    url: str
    outcome: Literal["created", "updated", "unchanged"]


@dataclass(frozen=True)
class Choice:
    """Which forge, the address of its API (empty: from git-url), the folder with the token, and the CAs to trust."""

    forge: str
    api_url: str = ""
    token: Path | None = None
    ca_bundle: Path | None = None


def connect(choice: Choice, git_url: str, wait: Callable[[float], None] = time.sleep) -> Forge:
    """The project of `git_url` on the chosen forge; nothing is asked of it yet.

    Raises UsageError for an address that cannot be one of a forge's, InputError without a token that can be read.
    """
    kind = FORGES.get(choice.forge)
    if kind is None:
        known = ", ".join([NONE, *FORGES])
        raise UsageError(f"pull-request {choice.forge[:40]!r}: is none of {known}; Forgejo is 'gitea'")
    found = remote_of(git_url)
    where = place(git_url, choice.api_url, kind.api_base(found), kind.api_path, kind.depth)
    connection = Connection(where.api, tokens.read(choice.token), kind.scheme, choice.ca_bundle, wait)
    return kind(where, connection)


def ensure(forge: Forge, wanted: Wanted) -> Opened:
    """The open request from `wanted.source` to `wanted.target`, saying what is wanted: found, changed or made.

    Merged and closed ones are left as they are. Raises OutsideError.
    """
    wanted = Wanted(wanted.source, wanted.target, wanted.title[:LONGEST_TITLE], wanted.body)
    there = forge.find(wanted.source, wanted.target)
    if there is None:
        try:
            made = forge.create(wanted)
        except AlreadyThereError:  # made by another run since we looked, or by a call whose answer was lost
            there = forge.find(wanted.source, wanted.target)
            if there is None:
                raise
        else:
            return Opened(made.number, made.url, "created")
    if says(there, wanted):
        return Opened(there.number, there.url, "unchanged")
    forge.update(there, wanted)
    return Opened(there.number, there.url, "updated")


def says(request: Request, wanted: Wanted) -> bool:
    """Whether title and body are as wanted; a forge may end lines in its own way."""
    body = "\n".join(request.body.splitlines()).strip()
    return (request.title, body) == (wanted.title, "\n".join(wanted.body.splitlines()).strip())
