"""One layer of an image: its tar, out of what compresses it, checked against both of its digests."""

import gzip
import hashlib
import importlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from nearedge.errors import InputError, UnsupportedError
from nearedge.files import CHUNK
from nearedge.runner.layouts import Descriptor, blob_path


class Hashing(io.RawIOBase):
    """A reader that hashes what passes through it and counts it."""

    def __init__(self, file: IO[bytes]) -> None:
        """Read from `file`."""
        super().__init__()
        self.file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill `buffer`; the number of bytes, 0 at the end."""
        view = memoryview(cast(bytearray, buffer))
        content = self.file.read(len(view))
        view[: len(content)] = content
        self.digest.update(content)
        self.size += len(content)
        return len(content)


def decompress(layout: Path, layer: Descriptor, diff_id: str, out: IO[bytes], limit: int) -> None:
    """Write the layer's tar to `out`; checked against both digests before anything is unpacked.

    Raises InputError where it is damaged, not what its digests say, or larger than `limit` bytes.
    """
    path = blob_path(layout, layer.digest)
    if not path.is_file():
        raise InputError(f"{path}: the layout lacks this layer; copy it again")
    content = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        compressed = Hashing(file)
        buffered = cast(IO[bytes], io.BufferedReader(compressed, CHUNK))
        try:
            with opened(layer.media_type, buffered) as plain:
                while chunk := plain.read(CHUNK):
                    content.update(chunk)
                    size += len(chunk)
                    if size > limit:
                        raise InputError(f"{path}: unpacks to more than {limit} bytes; refused")
                    out.write(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{path}: damaged: {error}; copy the layout again") from error
        while buffered.read(CHUNK):
            continue  # what follows the compressed content belongs to the digest too
    if compressed.size != layer.size or f"sha256:{compressed.digest.hexdigest()}" != layer.digest:
        raise InputError(f"{path}: not what its digest says; the layout is damaged, copy it again")
    if f"sha256:{content.hexdigest()}" != diff_id:
        raise InputError(f"{path}: its tar is not what the config's diff_id says; build the image again")


@contextmanager
def opened(media_type: str, file: IO[bytes]) -> Iterator[IO[bytes]]:
    """The layer's tar as a stream. Raises UnsupportedError for a compression that nothing here can read."""
    kind = media_type.rpartition("+")[2] if "+" in media_type else media_type.rpartition(".")[2]
    if kind == "tar":
        yield file
    elif kind == "gzip":
        with gzip_stream(file) as stream:
            yield stream
    elif kind == "zstd":
        with zstd_stream(file) as stream:
            yield stream
    else:
        raise UnsupportedError(f"layer of media type {media_type!r}: not a tar, tar+gzip or tar+zstd; build it again")


def gzip_stream(file: IO[bytes]) -> IO[bytes]:
    """A gzip stream: with the package isal of extra core where it is here, since it is more than twice as fast."""
    try:
        igzip, isal = importlib.import_module("isal.igzip"), importlib.import_module("isal.isal_zlib")
    except ImportError:
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    return cast(IO[bytes], io.BufferedReader(Whole(igzip.IGzipFile(fileobj=file), isal.error), CHUNK))


@contextmanager
def zstd_stream(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """A zstd stream: Python's own (3.14), else the package zstandard. Raises UnsupportedError without either."""
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        try:
            module = importlib.import_module("zstandard")
        except ImportError as error:
            message = "zstd layers need Python 3.14 or the package zstandard; install it, or build with gzip layers"
            raise UnsupportedError(message) from error
        with module.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False) as stream:
            yield cast(IO[bytes], io.BufferedReader(Whole(stream, module.ZstdError)))
        return
    with module.ZstdFile(file) as stream:
        yield cast(IO[bytes], io.BufferedReader(Whole(stream, module.ZstdError)))


class Whole(io.RawIOBase):
    """A compressed stream whose faults are EOFError, as those of the standard library's gzip may be."""

    def __init__(self, stream: IO[bytes], fault: type[Exception]) -> None:
        """Read from `stream`, which raises `fault`."""
        super().__init__()
        self.stream = stream
        self.fault = fault

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill `buffer`; the number of bytes, 0 at the end."""
        view = memoryview(cast(bytearray, buffer))
        try:
            content = self.stream.read(len(view))
        except self.fault as error:
            raise EOFError(str(error)) from error
        view[: len(content)] = content
        return len(content)
