"""One commit of a git repository: tried again with backoff, and stopped where it takes more than its share of disk.

Git tells its faults in words only, so whether one may pass is judged by what git, libcurl and ssh are known to say.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from nearedge.delivery import git, transport
from nearedge.delivery.sources.download import Client, PassingError
from nearedge.errors import InputError, OutsideError

STATUS = re.compile(r"(?:returned error:|HTTP|HTTP code|response) (\d{3})\b")
PASSING = re.compile(
    r"could not resolve (host|proxy)|unable to look up|temporary failure in name resolution"
    r"|early EOF|RPC failed|unexpected disconnect|hung up unexpectedly|empty reply from server"
    r"|connection (was )?(reset|refused|timed out|closed by remote host)|(operation|connection) timed out"
    r"|failed to connect to|couldn't connect to server|recv failure|transfer closed|operation too slow",
    re.IGNORECASE,
)
LASTING = re.compile(r"certificate|host key verification|permission denied|authentication failed", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """What to check out: the commit that `ref` of `url` names (empty: the remote's default branch).

    It goes to the folder `into`, which must not exist, and takes at most `max_bytes` bytes there, history and all.
    """

    url: str
    ref: str
    into: Path
    max_bytes: int


def bring(client: git.Git, wanted: Wanted, patience: Client) -> str:
    """Check out a commit, as often as `patience` tries; the commit's id.

    Raises InputError for a bad ref or more than `max_bytes` bytes, OutsideError where the remote cannot be reached,
    refuses, has no such ref, or fails more often than we try. The folder is then gone again.
    """
    ref = wanted.ref
    if ref.startswith("-") or any(letter.isspace() or letter in ":^~?*[\\" for letter in ref):
        raise InputError(f"{ref!r}: is no name of a branch, tag or commit")
    try:
        patience.persist(checkout := Checkout(client, wanted))
    except BaseException:
        shutil.rmtree(wanted.into, ignore_errors=True)
        raise
    return checkout.commit


class Checkout:
    """One commit on its way. Git resumes nothing, so `size`, what an attempt leaves to the next, is 0 bytes."""

    def __init__(self, client: git.Git, wanted: Wanted) -> None:
        """`commit` is the commit's id, once it is here."""
        self.client, self.wanted = client, wanted
        self.name = git.without_credentials(wanted.url)
        self.size = 0
        self.commit = ""

    def attempt(self) -> None:
        """Fetch and check out in an empty folder. Raises PassingError where another attempt makes sense."""
        url, ref, into = self.wanted.url, self.wanted.ref or "HEAD", self.wanted.into
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        self.run("init", "--quiet")
        try:
            self.run("fetch", "--quiet", "--depth=1", "--no-tags", "--", url, ref)
        except git.RefusedError as error:
            if "find remote ref" in error.output:
                raise OutsideError(f"{self.name}: has no branch, tag or commit {ref!r}; check the reference") from error
            if passing(error.output):
                raise PassingError(str(error)) from error
            raise OutsideError(f"{self.name}: {error}") from error
        self.run("checkout", "--quiet", "FETCH_HEAD")
        self.commit = self.run("rev-parse", "HEAD").strip()

    def run(self, *arguments: str) -> str:
        """Git in the folder, stopped once that is too large; its standard output."""
        output = self.client.run(*arguments, at=self.wanted.into, watch=self.weigh)
        self.weigh()
        return output

    def weigh(self) -> None:
        """Raises InputError where the folder holds more than the cap."""
        if growing(self.wanted.into) > self.wanted.max_bytes:
            raise InputError(f"{self.name}: the repository is more than max-bytes {self.wanted.max_bytes}")


def growing(folder: Path) -> int:
    """Bytes in all files of a folder whose files come and go meanwhile; links count as nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(place, name).lstat().st_size
            except OSError:  # git has renamed or removed it since
                continue
    return total


def passing(said: str) -> bool:
    """Whether what git said is of a fault that may be gone at the next attempt."""
    statuses = [int(status) for status in STATUS.findall(said)]
    if statuses:
        return all(status in transport.PASSING for status in statuses)
    return PASSING.search(said) is not None and LASTING.search(said) is None
