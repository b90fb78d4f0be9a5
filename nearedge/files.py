"""Reading and writing files so that a reader never sees half of one."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nearedge.errors import InputError

CHUNK = 1 << 20


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` by rename; the old file stays whole until the new one is.

    Raises OSError where the folder cannot be written (`nearedge.program` turns it into exit status 6).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as temporary:
            temporary.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` by rename."""
    write_bytes(path, text.encode())


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A folder to fill that becomes `path` when the block ends well, replacing what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield building
        building.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        building.replace(path)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def sha256_file(path: Path) -> str:
    """Hex sha256 of one file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_tree(path: Path) -> str:
    """Hex sha256 of a file, or of a folder's sorted relative names and contents."""
    if path.is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes in a file, or in all files of a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, refused when it leads out of `root` (`..`, an absolute path, a link out)."""
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InputError(f"{relative}: leads out of {root}; give a path inside it")
    return path
