"""numpy's files as a model's data: an .npz, or a folder of .npy. Never unpickled."""

import io
import math
import struct
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nearedge.errors import InputError, NearedgeError
from nearedge.files import inside

Array = NDArray[Any]

MOST_BYTES = 4 << 30
"""Of the arrays read from one .npz, which may be compressed a thousandfold; .npy files are mapped and may be larger."""
MOST_HEAD = 10_000
"""Bytes of an array's head; numpy refuses more as well, but after reading gigabytes of them."""
HEAD_LENGTH = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}
"""How each version of the format writes its head's length (numpy.lib.format)."""


def load(path: Path, wanted: list[str]) -> dict[str, Array]:
    """The wanted arrays of an .npz file, or of a folder of .npy files (mapped, not read). Raises InputError."""
    with damage_told(path):
        return load_folder(path, wanted) if path.is_dir() else load_npz(path, wanted)


def names(path: Path) -> list[str]:
    """The names of the arrays there are. Raises InputError as `load` does."""
    if path.is_dir():
        return sorted(file.stem for file in path.glob("*.npy"))
    with damage_told(path), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def shown(found: list[str]) -> str:
    """Names for a message of one line."""
    return " ".join(", ".join(found).split())[:200] or "none"


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turn whatever numpy and zipfile raise on a damaged file into an InputError of one line."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required", UserWarning)  # of Python 2
            yield
    except (NearedgeError, MemoryError, PermissionError):
        raise
    except Exception as error:  # a damaged header is parsed as Python's literals, which fail in any way
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: damaged or no numpy data ({reason}); save it anew") from None


def load_folder(path: Path, wanted: list[str]) -> dict[str, Array]:
    """`NAME.npy` of each wanted name."""
    found = {}
    for name in wanted:
        file = inside(path, f"{name}.npy")
        if not file.is_file():
            raise InputError(f"{path}: no array {name!r}; there are: {shown(names(path))}")
        with file.open("rb") as opened:
            check_size(opened, file.stat().st_size, str(file))
        found[name] = np.load(file, mmap_mode="r", allow_pickle=False)
    return found


def load_npz(path: Path, wanted: list[str]) -> dict[str, Array]:
    """The wanted members of an .npz file. Raises InputError where they are missing, or larger than the cap."""
    with path.open("rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
            raise InputError(f"{path}: is a single array; save one for each input with numpy.savez")
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            there = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for name in wanted:
                if name not in there:
                    raise InputError(f"{path}: no array {name!r}; there are: {shown(sorted(there))}")
            if sum(there[name].file_size for name in wanted) > MOST_BYTES:
                raise InputError(f"{path}: unpacks to more than {MOST_BYTES} bytes; give a folder of .npy")
            return {name: member(archive, there[name], f"{path}: array {name!r}") for name in wanted}


def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Array:
    """One array of an archive."""
    with archive.open(info) as stream:
        check_size(stream, info.file_size, where)
    with archive.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def check_size(stream: IO[bytes], size: int, where: str) -> None:
    """Raise InputError where an array's header claims more than the `size` bytes there are, before it is allocated."""
    version = np.lib.format.read_magic(stream)
    if version not in HEAD_LENGTH:
        raise InputError(f"{where}: damaged: no numpy wrote version {version[0]}.{version[1]}; save it anew")
    length = struct.calcsize(HEAD_LENGTH[version])
    head = stream.read(length)
    if len(head) < length or struct.unpack(HEAD_LENGTH[version], head)[0] > MOST_HEAD:
        raise InputError(f"{where}: damaged: its head has no end; save it anew")
    stream.seek(-length, io.SEEK_CUR)
    read_header = np.lib.format.read_array_header_1_0 if length == 2 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed > size:
        raise InputError(
            f"{where}: damaged: its head claims shape {list(shape)[:8]} of {dtype}; save it as numbers anew"
        )
