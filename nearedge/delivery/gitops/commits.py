"""What many commits of a GitOps repository changed in the files that say what runs where, by one call of git."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nearedge.delivery.git import Git

PATHS = (
    ":(glob)models/*/base/release.json", ":(glob)models/*/releases/*/release.json",
    ":(glob)sites/*/*/kustomization.yaml",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A commit, its time in Unix seconds, whether it is the first one there is, and the new blob of each path (None:
    it is gone).
    """

    commit: str
    when: int
    first: bool
    files: Mapping[str, str | None]


def entries(client: Git, at: Path, commits: list[str], cut: set[str]) -> Iterator[Entry]:
    """What these commits changed, in their order; `cut` are those whose parents are not here."""
    how = ("--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames", "-z", "--format=%x1e%H %ct")
    said = client.run("log", "--no-walk=unsorted", "--first-parent", *how, *commits, "--", *PATHS, at=at)
    words = iter(said.split("\0"))
    head: list[str] = []
    files: dict[str, str | None] = {}
    for word in words:
        if word.startswith("\x1e"):
            if head:
                yield Entry(head[0], int(head[1]), head[0] in cut, files)
            head, files = word[1:].split(), {}
        elif word.lstrip("\n").startswith(":"):
            _, mode, _, blob, _ = word.lstrip("\n").split()
            files[next(words)] = blob if mode.startswith("100") else None
    if head:
        yield Entry(head[0], int(head[1]), head[0] in cut, files)
