"""The text of many files of a repository by two calls of git, however many they are."""

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from nearedge.delivery.git import Git
from nearedge.errors import OutsideError

LARGEST = 1 << 20
"""Bytes of one file; a record of ours has some ten thousand."""
AT_ONCE = 8 << 20
"""Bytes of files that are in memory at once, and a last one."""


def texts(client: Git, at: Path, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Git's name and the text of each of these blobs that is there and no larger than LARGEST, undecodable bytes
    replaced. Raises OutsideError where git does not answer as it should.
    """
    names = sorted(set(names))
    if not names:
        return
    asked = "\n".join(names) + "\n"
    sizes: dict[str, int] = {}
    for line in client.run("cat-file", "--batch-check", at=at, text=asked).splitlines():
        name, _, rest = line.partition(" ")
        kind, _, size = rest.partition(" ")
        if kind == "blob" and int(size) <= LARGEST:
            sizes[name] = int(size)
    for group in groups(sizes):
        yield from batch(client, at, group)


def groups(sizes: dict[str, int]) -> Iterator[list[str]]:
    """The names, so many together as fit into memory."""
    group: list[str] = []
    total = 0
    for name, size in sizes.items():
        group.append(name)
        total += size
        if total >= AT_ONCE:
            yield group
            group, total = [], 0
    if group:
        yield group


def batch(client: Git, at: Path, names: list[str]) -> Iterator[tuple[str, str]]:
    """As `texts`, of blobs that are known to be there.

    Behind each, one is asked for that nobody has: what git says of it is where the text ends, decoded as it is.
    """
    absent = secrets.token_hex(len(names[0]) // 2)
    asked = "".join(f"{name}\n{absent}\n" for name in names)
    said = client.run("cat-file", "--batch", at=at, text=asked)
    *parts, rest = said.split(f"\n{absent} missing\n")
    if rest or len(parts) != len(names):
        raise OutsideError("git cat-file: gives fewer files than it listed; the repository is damaged")
    for part in parts:
        head, _, text = part.partition("\n")
        yield head.partition(" ")[0], text
