"""Reading xz with a cap on memory: lzma.LZMAFile has none, and a file of 100 kB can ask for 4 GB of it."""

import io
import lzma
from pathlib import Path

from nearedge.files import CHUNK

MOST_MEMORY = 128 << 20
"""`xz -9` needs 65 MiB to be read; the dictionary's size is the writer's choice, up to 4 GiB."""


class XzFile(io.RawIOBase):
    """The content of an .xz file of one or more streams, to be read and sought; seeking back reads from the start."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self.file = path.open("rb")
        self.at = 0
        self.rewind()

    def rewind(self) -> None:
        """Back to the first byte."""
        self.file.seek(0)
        self.decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, MOST_MEMORY)
        self.waiting = b""
        self.at = 0

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end.

        Raises LZMAError for damage and where more memory would be needed than the cap, EOFError for a cut file.
        """
        parts: list[bytes] = []
        missing = size
        while missing > 0 and (part := self.more(missing)):
            parts.append(part)
            missing -= len(part)
        self.at += size - missing
        return b"".join(parts)

    def more(self, most: int) -> bytes:
        """The next bytes, empty at the end."""
        while True:
            if self.decompressor.eof and not self.next_stream():
                return b""
            given = self.waiting
            if not given and self.decompressor.needs_input:
                given = self.file.read(CHUNK)
                if not given:
                    raise EOFError("the xz data end in the middle")
            self.waiting = b""
            found = self.decompressor.decompress(given, min(most, CHUNK))
            if found:
                return found

    def next_stream(self) -> bool:
        """Go on to another stream, past the padding of zeros between them; False where there is none."""
        rest = (self.decompressor.unused_data or self.file.read(CHUNK)).lstrip(b"\0")
        while not rest:
            following = self.file.read(CHUNK)
            if not following:
                return False
            rest = following.lstrip(b"\0")
        self.decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, MOST_MEMORY)
        self.waiting = rest
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to `offset` bytes from the start (the only way there is), or to the end where that is before."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("an xz file is sought from its start")
        if offset < self.at:
            self.rewind()
        while self.at < offset and self.read(min(CHUNK, offset - self.at)):
            pass
        return self.at

    def tell(self) -> int:
        """Where we are."""
        return self.at

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        super().close()
