"""Bringing a model to a folder: model.yaml, and the model and data that it names, from wherever they are.

A `Place` is where model.yaml was found; `collect` copies out of it what belongs to the model, and nothing else. Links
that lead out of the place, and files that are none, are refused, and so are Git LFS pointers.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nearedge.errors import InputError
from nearedge.files import inside, sha256_file, sha256_tree, size_of
from nearedge.release import description as descriptions
from nearedge.release.description import Description
from nearedge.release.sections import Rebuilt

LFS = b"version https://git-lfs.github.com/spec/v1"
LFS_MAX = 1024
"""A pointer file is smaller than this (git-lfs, docs/spec.md)."""

BYTECODE = "__pycache__"
"""Made by Python from what lies beside it; it would differ from machine to machine."""

MAX_DESCRIPTION = 1 << 20
"""Bytes of a model.yaml."""

Companions = Callable[[Path], list[str]]
"""The names of the files that belong to a model file, relative to its folder; they need not be there yet."""


def nothing_to_bring(relative: str) -> None:
    """All files are there already: see `Place.bring`."""


@dataclass(frozen=True)
class Place:
    """A model.yaml and the folder it lies in, where other files of that folder may have to be brought first.

    `description` is the file, `root` the folder that nothing may lead out of, `origin` where they come from, free of
    credentials. `bring` gets a path relative to model.yaml and sees to it that the file is there, if it exists at all.
    `rebuilt` is set where it is a release of ours.
    """

    root: Path
    description: Path
    origin: str
    bring: Callable[[str], None] = nothing_to_bring
    rebuilt: Rebuilt | None = None


@dataclass(frozen=True)
class Collected:
    """What `collect` put into a folder; digests are empty where there are no data, or no code."""

    description: Description
    model: Path
    sha256: str
    size_bytes: int
    data_sha256: str
    code_sha256: str = ""


def find_description(root: Path, subpath: str, what: str) -> Path:
    """The model.yaml in the folder `root`: at `subpath`, in the folder `subpath`, or in the only folder there is.

    Raises InputError where there is none; `what` names the place in the message.
    """
    path = inside(root, subpath) if subpath else root
    if path.is_dir():
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        direct = path / descriptions.FILE_NAME
        if not direct.exists() and len(entries) == 1 and entries[0].is_dir():
            path = entries[0]
        path = inside(root, str((path / descriptions.FILE_NAME).relative_to(root)))
    if not path.is_file():
        name = subpath or descriptions.FILE_NAME
        raise InputError(f"{what}: holds no {name}; `nearedge init MODEL` writes a {descriptions.FILE_NAME}")
    return path


def collect(place: Place, into: Path, companions: Companions, max_bytes: int) -> Collected:
    """Copy model.yaml and what it names into the folder `into`, under the same relative paths.

    Raises InputError where something is missing, leads out, is too large, or is not what `source.sha256` says.
    """
    if place.description.stat().st_size > MAX_DESCRIPTION:
        raise InputError(f"{place.origin}: is too large for a model.yaml; give the model.yaml, which names the model")
    refuse_pointer(place.description, descriptions.FILE_NAME)
    text = place.description.read_bytes()
    (into / descriptions.FILE_NAME).write_bytes(text)
    wanted = descriptions.read(into / descriptions.FILE_NAME)
    copying = Copying(place, into, max_bytes)
    found = copying.find(wanted.source.path, "source.path")
    beside = PurePosixPath(wanted.source.path).parent
    if found.is_file():
        refuse_pointer(found, found.name)  # before anybody takes it for a text file
    extra = [str(beside / name) for name in (companions(found) if found.is_file() else [])]
    model = copying.copy(wanted.source.path, "source.path")
    others = [copying.copy(name, f"{wanted.source.path} needs") for name in extra]
    data = copying.copy(wanted.data.path, "data.path") if wanted.data else None
    code = copying.copy(wanted.code, "code") if wanted.code else None
    if code is not None and not code.is_dir():
        raise InputError(f"model.yaml: code: {wanted.code!r} is a file; name the folder that holds the Python")
    if wanted.target.profile.endswith((".yaml", ".yml")):
        copying.copy(wanted.target.profile, "target.profile")
    return Collected(
        description=wanted,
        model=model,
        sha256=digest(model, others),
        size_bytes=size_of(model) + sum(size_of(other) for other in others),
        data_sha256=sha256_tree(data) if data else "",
        code_sha256=sha256_tree(code) if code else "",
    )


def digest(model: Path, others: list[Path]) -> str:
    """Hex sha256 of the model file or folder; with files that belong to it, of their names and contents as a folder's.

    The digest of a folder is `nearedge.files.sha256_tree`.
    """
    if not others:
        return sha256_tree(model)
    names = sorted({os.path.relpath(path, model.parent): path for path in (model, *others)}.items())
    whole = "".join(f"{name}\0{sha256_file(path)}\n" for name, path in names)
    return hashlib.sha256(whole.encode()).hexdigest()


class Copying:
    """Copies out of a place into a folder, counting bytes."""

    def __init__(self, place: Place, into: Path, max_bytes: int) -> None:
        """`max_bytes` is for all copies together."""
        self.place, self.into, self.max_bytes, self.size = place, into, max_bytes, 0

    def copy(self, relative: str, key: str) -> Path:
        """Copy one file or folder, found as `find` does; its new path."""
        found = self.find(relative, key)
        target = self.into / os.path.normpath(relative)
        self.tree(found, target) if found.is_dir() else self.file(found, target)
        return target

    def find(self, relative: str, key: str) -> Path:
        """The file or folder that is `relative` to model.yaml, brought where needed; `key` says where it is named."""
        name = os.path.normpath(relative)
        if name == "." or name.startswith("..") or Path(name).is_absolute():
            raise InputError(f"model.yaml: {key}: {relative!r} does not lie beside or below model.yaml; move it there")
        self.place.bring(name)
        found = inside(self.place.root, str(self.place.description.parent.relative_to(self.place.root) / name))
        if not found.exists():
            raise InputError(f"model.yaml: {key}: no file or folder {relative!r} beside {self.place.origin}")
        return found

    def tree(self, found: Path, target: Path) -> None:
        """Copy a folder; links to folders and files that are none are refused."""
        for folder, folders, files in os.walk(found, onerror=refuse):
            folders[:] = [name for name in folders if name != BYTECODE]
            for name in folders:
                if (Path(folder) / name).is_symlink():
                    raise self.fault(Path(folder) / name, "is a link to a folder; put the folder itself there")
            for name in files:
                path = Path(folder) / name
                self.file(path, target / path.relative_to(found))

    def file(self, found: Path, target: Path) -> None:
        """Copy a file's content; a link is followed where it stays inside."""
        real = found.resolve()
        if not real.is_relative_to(self.place.root.resolve()):
            raise self.fault(found, "is a link that leads out")
        if not real.is_file():
            raise self.fault(found, "is no file")
        refuse_pointer(real, found.name)
        self.size += real.stat().st_size
        if self.size > self.max_bytes:
            raise InputError(f"{self.place.origin}: model and data are more than max-bytes {self.max_bytes}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(real, target)
            target.chmod(0o644)

    def fault(self, path: Path, what: str) -> InputError:
        """The error for one file, named as a person knows it."""
        name = os.path.relpath(path, self.place.root.resolve())
        return InputError(f"{self.place.origin}: {name!r} {what}")


def refuse(error: OSError) -> None:
    """Raise what `os.walk` would pass over: a folder that cannot be read is not empty."""
    raise error


def refuse_pointer(path: Path, name: str) -> None:
    """Raise InputError where the file is a Git LFS pointer instead of the content."""
    if path.stat().st_size >= LFS_MAX:
        return
    if path.read_bytes().startswith(LFS):
        raise InputError(
            f"{name}: is a Git LFS pointer, not the file itself; LFS content is not fetched from git: "
            "give the model as oci:// or https://, or a path where `git lfs pull` was run"
        )
