"""An OCI image layout on disk: `oci-layout`, `index.json`, `blobs/sha256/…` (OCI image layout specification 1.1).

Blobs and index are written by rename, so a reader never sees half of one, and two writers never damage each other:
blobs are named by what they hold, and the index is changed under a lock on the folder.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.errors import InputError, OutsideError
from nearedge.files import CHUNK, write_bytes

MARKER, MARKER_TEXT = "oci-layout", '{"imageLayoutVersion":"1.0.0"}'
INDEX = "index.json"


class Source(Protocol):
    """What a blob can be taken from."""

    def chunks(self, blob: oci.Descriptor) -> Iterator[bytes]:
        """The blob's bytes, verified."""


class Layout:
    """One layout. `where` is its folder, for messages."""

    def __init__(self, folder: Path) -> None:
        """Use `open` or `create`."""
        self.folder = folder
        self.where = f"oci:{folder}"

    @classmethod
    def open(cls, folder: Path) -> "Layout":
        """The layout in `folder`. Raises InputError where there is none or it has a version we do not read."""
        try:
            marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
            version = marker["imageLayoutVersion"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(f"{folder}: is no OCI layout (it holds no {MARKER} file)") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / MARKER}: is damaged; write the layout anew") from error
        if version != "1.0.0":
            raise InputError(f"{folder}: is a layout of version {str(version)[:20]!r}; nearedge reads 1.0.0")
        return cls(folder)

    @classmethod
    def create(cls, folder: Path) -> "Layout":
        """The layout in `folder`, made where there is none. Raises InputError where the folder holds something else."""
        if not (folder / MARKER).exists():
            if folder.is_dir() and any(folder.iterdir()) and not (folder / "blobs").is_dir():
                raise InputError(f"{folder}: holds files that are no OCI layout; give another folder")
            (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            write_bytes(folder / MARKER, MARKER_TEXT.encode())
        layout = cls.open(folder)
        with layout.locked():
            if not (folder / INDEX).exists():
                layout.write_index({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []})
        return layout

    def path(self, digest: str) -> Path:
        """Where the blob of that digest lies."""
        return self.folder / "blobs" / "sha256" / digests.require(digest, self.where).removeprefix("sha256:")

    def find(self, which: str) -> oci.Manifest | None:
        """The manifest of a tag or digest, None where there is none; an index is followed to linux/amd64."""
        found = self.entry(which)
        for _ in range(3):  # an index may name an index, but not for ever
            if found is None or not self.path(found.digest).is_file():
                return None
            content = self.read(found, oci.LARGEST_DOCUMENT)
            document = oci.decode(content, self.where)
            if oci.media_type(document, found.media_type) not in oci.INDEXES:
                return oci.manifest(content, f"{self.where}:{which}", found.media_type)
            found = oci.for_platform(document, f"{self.where}:{which}")
        raise OutsideError(f"{self.where}:{which}: indexes name indexes more than twice over")

    def entry(self, which: str) -> oci.Descriptor | None:
        """The descriptor of a tag in the index, or of a digest that is in the index or among the blobs."""
        for number, value in enumerate(oci.listed(self.index(), "manifests", self.where)):
            found = oci.descriptor(value, f"{self.where}: {INDEX} entry {number}")
            if which in (found.digest, found.annotations.get(oci.REF_NAME)):
                return found
        if digests.is_digest(which) and self.path(which).is_file():
            return oci.Descriptor(oci.MANIFEST, which, self.path(which).stat().st_size)
        return None

    def resolve(self, which: str) -> oci.Manifest:
        """As `find`; OutsideError that names the tags there are where there is none."""
        found = self.find(which)
        if found is None:
            tags = ", ".join(map(oci.shown, self.tags()[:20]))
            raise OutsideError(f"{self.where}: holds no {which!r}; it holds {tags or 'no tags'}")
        return found

    def tags(self) -> list[str]:
        """The names in the index."""
        entries = (
            oci.texts(value.get("annotations")) for value in self.index()["manifests"] if isinstance(value, dict)
        )
        return sorted(entry[oci.REF_NAME] for entry in entries if oci.REF_NAME in entry)

    def has(self, blob: oci.Descriptor) -> bool:
        """Whether the blob lies there with its size; its bytes are verified whenever they are read."""
        path = self.path(blob.digest)
        return path.is_file() and path.stat().st_size == blob.size

    def chunks(self, blob: oci.Descriptor) -> Iterator[bytes]:
        """The blob's bytes, verified. Raises OutsideError where they are missing, too few, too many or wrong."""
        path = self.path(blob.digest)
        try:
            with path.open("rb") as file:
                pieces = iter(lambda: file.read(CHUNK), b"")
                yield from digests.verified(pieces, blob.digest, blob.size, str(path))
        except FileNotFoundError as error:
            raise OutsideError(f"{self.where}: blob {blob.digest} is missing; the layout is not complete") from error

    def read(self, blob: oci.Descriptor, limit: int) -> bytes:
        """A small blob in one piece."""
        if blob.size > limit:
            raise OutsideError(f"{self.where}: {blob.digest} has {blob.size} bytes, more than the {limit} expected")
        return b"".join(self.chunks(blob))

    def add_bytes(self, blob: oci.Descriptor, content: bytes) -> int:
        """Add a blob; the bytes written, 0 where it was there."""
        return self.add(blob, lambda out: out.write(content))

    def add_file(self, blob: oci.Descriptor, path: Path) -> int:
        """Add a blob from a file that nobody changes any more, by hard link where that works; the bytes added."""
        return self.link(blob, path) or self.add(blob, lambda out: copy(path, out))

    def add_copy(self, blob: oci.Descriptor, path: Path) -> int:
        """Add a blob from a file that others may go on to change; the bytes written."""
        return self.add(blob, lambda out: copy(path, out))

    def adopt(self, blob: oci.Descriptor, source: Source) -> int:
        """Take a blob from another store by copying it, verified; the bytes written.

        Layouts share no file: whoever damages a blob in the one must not damage the other, or a cache.
        """
        return self.add(blob, lambda out: out.writelines(source.chunks(blob)))

    def add(self, blob: oci.Descriptor, write: Callable[[BinaryIO], object]) -> int:
        """Let `write` fill a temporary file and rename it to the blob's name; 0 where the blob was there."""
        if self.has(blob):
            return 0
        path = self.path(blob.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as out:
                write(out)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return blob.size

    def link(self, blob: oci.Descriptor, path: Path) -> int:
        """Hard-link a file as a blob; 0 where the blob was there or the file system does not link."""
        if self.has(blob):
            return 0
        target = self.path(blob.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".link-{os.getpid()}-{target.name}")
        try:
            temporary.unlink(missing_ok=True)
            os.link(path, temporary)
        except OSError:  # another file system, or one without links: the caller copies
            return 0
        temporary.chmod(0o644)
        temporary.replace(target)
        return blob.size

    def publish(self, manifest: oci.Document, tag: str, artifact_type: str = "") -> int:
        """Add the manifest and let `tag` name it; where it already does nothing is written.

        `artifact_type` is put into the index, as it is for referrers.
        """
        added = self.add_bytes(manifest.descriptor, manifest.content)
        with self.locked():
            index = self.index()
            entry = manifest.descriptor.to_json() | ({"annotations": {oci.REF_NAME: tag}} if tag else {})
            entry |= {"artifactType": artifact_type} if artifact_type else {}
            others = [value for value in oci.listed(index, "manifests", self.where) if not replaced(value, entry, tag)]
            changed = index | {"manifests": [*others, entry]}
            if entry not in index["manifests"]:
                self.write_index(changed)
        return added

    def index(self) -> dict[str, Any]:
        """`index.json`. Raises OutsideError where it is missing or damaged."""
        try:
            document = oci.decode((self.folder / INDEX).read_bytes(), f"{self.folder / INDEX}")
        except FileNotFoundError as error:
            raise OutsideError(f"{self.folder}: has no {INDEX}; the layout is not complete") from error
        oci.listed(document, "manifests", f"{self.folder / INDEX}")
        return document

    def write_index(self, document: dict[str, Any]) -> None:
        """Write `index.json` by rename, entries in order of tag and digest."""
        document["manifests"].sort(key=lambda value: (tag_of(value), value.get("digest", "")))
        write_bytes(self.folder / INDEX, oci.encode(document))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock on the folder, so that of two writers of the index the second sees what the first wrote."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def copy(path: Path, out: BinaryIO) -> None:
    """Copy a file in chunks."""
    with path.open("rb") as file:
        out.writelines(iter(lambda: file.read(CHUNK), b""))


def tag_of(value: object) -> str:
    """The name an index entry carries, empty where it has none."""
    return oci.texts(value.get("annotations")).get(oci.REF_NAME, "") if isinstance(value, dict) else ""


def replaced(value: object, entry: dict[str, Any], tag: str) -> bool:
    """Whether the index entry `value` gives way to the new `entry`: the same tag, or the same and without a name."""
    if not isinstance(value, dict):
        return True
    return tag_of(value) == tag and (tag != "" or value.get("digest") == entry["digest"])
