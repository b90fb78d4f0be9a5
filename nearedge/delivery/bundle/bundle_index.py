"""What a bundle says of itself: `bundle.json`, the tar's first member but one.

The first is its sha256, `bundle.sha256`: that one number is the bundle's id and stands for every byte of it, since the
index lists every further member in order, with size and sha256. The members are an OCI layout and the release's files.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from nearedge.delivery import digest as digests
from nearedge.delivery.reference import NAME, TAG
from nearedge.delivery.sources.archives import printable
from nearedge.errors import InputError

INDEX, SUM = "bundle.json", "bundle.sha256"
SCHEMA = 1
LARGEST = 8 << 20
"""Bytes of an index."""
MOST = 20_000
BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
FILES = "files/"
PLAIN = ("oci-layout", "index.json")


@dataclass(frozen=True)
class Member:
    """A file in the tar after the index; `sha256` in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Image:
    """An image by its name without registry. `subject` is not empty for what refers to an image: a descriptor."""

    name: str
    tag: str
    digest: str
    subject: dict[str, Any] = field(default_factory=dict)
    kind: str = ""


@dataclass(frozen=True)
class Absent:
    """A blob that the site has: in the repository `name`, brought by the bundle `bundle` (both may be empty)."""

    digest: str
    size: int
    name: str = ""
    bundle: str = ""


@dataclass(frozen=True)
class Index:
    """The whole of it."""

    images: tuple[Image, ...]
    members: tuple[Member, ...]
    absent: tuple[Absent, ...] = ()

    def encode(self) -> bytes:
        """JSON bytes, the same for the same bundle."""
        document = {"schema": SCHEMA, **asdict(self)}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def decode(content: bytes, where: str) -> Index:
    """The index in `content`, every part checked. Raises InputError for anything else."""
    try:
        document = json.loads(content)
        if document["schema"] != SCHEMA:
            raise InputError(f"{where}: has schema {str(document['schema'])[:20]!r}; this nearedge reads {SCHEMA}")
        index = Index(
            tuple(Image(**one) for one in document["images"]),
            tuple(Member(**one) for one in document["members"]),
            tuple(Absent(**one) for one in document["absent"]),
        )
        sound = sound_members(index.members) and sound_images(index.images) and sound_absent(index.absent)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: its index is damaged or is none; carry the bundle over again") from error
    if not sound:
        raise InputError(f"{where}: its index names what a bundle cannot hold; nothing was imported")
    return index


def sound_members(members: tuple[Member, ...]) -> bool:
    """Whether every member has a name that leads nowhere else, comes once, and has a size and a sum."""
    paths = {member.path for member in members}
    parents = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return (
        len(paths) == len(members) <= MOST
        and not paths & parents
        and all(is_size(member.size) and digests.is_digest(f"sha256:{member.sha256}") for member in members)
        and all(is_path(member) for member in members)
    )


def is_path(member: Member) -> bool:
    """Whether a member is a blob under its own sum, one of the layout's two files, or a file below `files/`."""
    found = BLOB.fullmatch(member.path)
    if found:
        return found[1] == member.sha256
    path = PurePosixPath(member.path)
    below = member.path.startswith(FILES) and ".." not in path.parts and str(path) == member.path
    return member.path in PLAIN or (
        below and printable(member.path) and "\\" not in member.path and len(member.path.encode()) <= 1000
        and all(len(part.encode()) <= 255 for part in path.parts)
    )  # fmt: skip


def is_size(value: object) -> bool:
    """Whether `value` is a number of bytes."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 50


def sound_images(images: Iterable[Image]) -> bool:
    """Whether every image has a name, a tag or none, and a digest."""
    return all(
        NAME.fullmatch(image.name)
        and (image.tag == "" or TAG.fullmatch(image.tag))
        and digests.is_digest(image.digest)
        and isinstance(image.subject, dict)
        and isinstance(image.kind, str)
        for image in images
    )


def sound_absent(absent: tuple[Absent, ...]) -> bool:
    """Whether every absent blob has a digest and a size, and says where it should be in words that can be shown."""
    return len(absent) <= MOST and all(
        digests.is_digest(one.digest)
        and is_size(one.size)
        and (one.name == "" or NAME.fullmatch(one.name))
        and (one.bundle == "" or re.fullmatch("[0-9a-f]{64}", one.bundle))
        for one in absent
    )
