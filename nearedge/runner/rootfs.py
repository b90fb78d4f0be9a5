"""A folder that an image's layers are applied to, though they may be hostile.

Rules of https://github.com/opencontainers/image-spec/blob/main/layer.md; what a layer must not do is in `RootFs`.
"""

import errno
import io
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from nearedge.errors import InputError, UnsupportedError
from nearedge.files import CHUNK

BYTES_LIMIT = 32 << 30
ENTRIES_LIMIT = 1_000_000
HEADER_LIMIT = 16 << 20  # a tar header that claims more would be read into memory whole
LINKS_LIMIT = 40
OPAQUE = ".wh..wh..opq"
WHITEOUT = ".wh."


class Bounded(io.FileIO):
    """A file that refuses to be read in pieces larger than a tar header may be."""

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes. Raises InputError for a piece that only a hostile header asks for."""
        if size is None or size < 0 or size > HEADER_LIMIT:
            raise InputError("a tar header claims an absurd size; the image is damaged or hostile")
        return super().read(size) or b""


class RootFs:
    """Layers applied to `root`, one after the other.

    Nothing is ever written through a link: the folder of each entry is resolved inside `root`, as the image will see
    it. Absolute names, `..`, hard links and relative links that lead out are refused; devices, FIFOs, setuid and setgid
    bits and extended attributes are left out.
    """

    def __init__(self, root: Path, only: str = "") -> None:
        """Unpack to `root`, an empty folder; where `only` is given, nothing but what is under that name."""
        self.root = root
        self.only = only
        self.size = 0
        self.entries = 0
        self.modes: dict[Path, int] = {}
        self.added: set[Path] = set()
        self.as_root = os.geteuid() == 0
        self.resolved: dict[PurePosixPath, Path] = {}

    def add(self, tar: IO[bytes]) -> None:
        """Apply one layer's tar. Raises InputError where it is damaged or hostile."""
        tar.flush()
        self.added = set()
        with Bounded(os.dup(tar.fileno())) as file:
            file.seek(0)
            try:
                with tarfile.open(fileobj=file, mode="r:") as layer:
                    for member in layer:
                        self.entry(layer, member)
            except (tarfile.TarError, ValueError, OverflowError) as error:
                raise InputError(f"a layer's tar is damaged: {error}; build the image again") from error

    def finish(self) -> None:
        """Set the folders' modes, the deepest first: until now every folder could be written."""
        for path in sorted(self.modes, reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.chmod(self.modes[path] if self.as_root else self.modes[path] | 0o700)

    def entry(self, layer: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Apply one entry."""
        self.entries += 1
        self.size += member.size
        if self.entries > ENTRIES_LIMIT or self.size > BYTES_LIMIT:
            raise InputError(f"the image has more than {ENTRIES_LIMIT} files or {BYTES_LIMIT} bytes; refused")
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or "\0" in member.name:
            raise InputError(f"a layer holds {member.name[:200]!r}, which leads out of the image; refused")
        if not name.parts or (self.only and name.parts[0] not in (self.only, WHITEOUT + self.only, OPAQUE)):
            return
        folder = self.resolved.get(name.parent) or self.folder(name.parent)
        self.resolved[name.parent] = folder
        if name.name.startswith(WHITEOUT):
            self.whiteout(folder, name.name)
        elif not (member.ischr() or member.isblk() or member.isfifo()):
            self.make(layer, member, folder / name.name)

    def folder(self, parent: PurePosixPath) -> Path:
        """The real folder for `parent`, made where it is missing; links are followed inside the image only."""
        path, rest, links = self.root, list(parent.parts), 0
        while rest:
            part = rest.pop(0)
            if part == "..":
                path = path.parent if path != self.root else path
                continue
            following = path / part
            if following.is_symlink():
                links += 1
                if links > LINKS_LIMIT:
                    raise InputError(f"a layer's links go round in circles at {parent}; refused")
                target = PurePosixPath(following.readlink())
                path = self.root if target.is_absolute() else path
                rest = [*(one for one in target.parts if one != "/"), *rest]
                continue
            if not following.is_dir():
                following.unlink(missing_ok=True)
                following.mkdir()
            path = following
        return path

    def whiteout(self, folder: Path, name: str) -> None:
        """Remove what a lower layer has and this one takes away; never what this layer itself brought."""
        kept = {path for one in self.added for path in (one, *one.parents)}
        hidden = name.removeprefix(WHITEOUT)
        self.resolved.clear()
        if name == OPAQUE:
            clear(folder, kept)
        elif hidden in ("", ".", ".."):
            raise InputError(f"a layer holds the whiteout {name!r}, which leads out of its folder; refused")
        elif folder / hidden not in kept:
            remove(folder / hidden)

    def make(self, layer: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        """Make a folder, file or link, replacing what a lower layer had there."""
        self.added.add(path)
        if member.isdir():
            if path.is_symlink() or not path.is_dir():
                self.make_way(path)
                path.mkdir()
            self.modes[path] = member.mode & 0o1777
        elif member.issym():
            self.symlink(member, path)
        elif member.islnk():
            self.hard_link(member, path)
            return  # mode and owner are those of the file it names
        elif member.isreg():
            self.make_way(path)
            self.file(layer, member, path)
        else:
            raise InputError(f"a layer holds {member.name!r} of an unknown kind {member.type!r}; refused")
        if self.as_root:
            own(path, member)

    def make_way(self, path: Path) -> None:
        """Remove what is at `path`; what was resolved through it no longer holds."""
        if os.path.lexists(path):
            self.resolved.clear()
            remove(path)

    def file(self, layer: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        """Write a file, without setuid and setgid; `path` is not there."""
        content = None if member.issparse() else layer.extractfile(member)
        if content is None:
            raise UnsupportedError(f"a layer holds {member.name!r} as a sparse file; build the image again without")
        with content, path.open("xb") as out:
            shutil.copyfileobj(content, out, CHUNK)
            os.fchmod(out.fileno(), member.mode & 0o777)

    def symlink(self, member: tarfile.TarInfo, path: Path) -> None:
        """Make a symbolic link. An absolute one is the image's own business; one that climbs out is refused."""
        target = PurePosixPath(member.linkname)
        if not target.is_absolute():
            depth = len(path.parent.relative_to(self.root).parts)
            for part in target.parts:
                depth += -1 if part == ".." else 1
                if depth < 0:
                    raise InputError(f"a layer's link {member.name!r} leads out of the image; refused")
        self.make_way(path)
        path.symlink_to(member.linkname)

    def hard_link(self, member: tarfile.TarInfo, path: Path) -> None:
        """Link to a file that is in the image already."""
        target = PurePosixPath(member.linkname)
        if target.is_absolute() or ".." in target.parts or not target.parts:
            raise InputError(f"a layer's link {member.name!r} leads out of the image; refused")
        source = self.folder(target.parent) / target.name
        if source.is_symlink() or not source.is_file():
            raise InputError(f"a layer's link {member.name!r} names {member.linkname!r}, which is no file; refused")
        if source != path:
            self.make_way(path)
            path.hardlink_to(source)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clear(folder: Path, kept: set[Path]) -> None:
    """Empty a folder of all but the paths in `kept`."""
    for path in list(folder.iterdir()):
        if path not in kept:
            remove(path)
        elif path.is_dir() and not path.is_symlink():
            clear(path, kept)


def own(path: Path, member: tarfile.TarInfo) -> None:
    """Give the file to the owner that the image names, where this root may (one in a user namespace may not)."""
    try:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise


def holds_only(tar: IO[bytes], name: str) -> bool:
    """Whether a layer's tar holds nothing but the folder `name` of the root and what is in it."""
    tar.flush()
    with Bounded(os.dup(tar.fileno())) as file:
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as layer:
                return all(PurePosixPath(member.name).parts[:1] in ((), (name,)) for member in layer)
        except (tarfile.TarError, ValueError):
            return False  # applying it will tell
