"""The tar-split of a layer: all of the tar but the files' contents, so that an engine gets the tar's digest back.

One JSON object a line: a segment (type 2, its bytes in base64) for each header together with the padding before it, and
a file (type 1, its size and the CRC-64 of its content by ISO's polynomial) after each header, one without content too.
Current engines refuse partial pulls without it. Source: vbatts/tar-split (tar/storage), as its tar/asm writes it.
"""

import base64
import json

from fastcrc import crc64

FILE, SEGMENT = 1, 2


class TarSplit:
    """Collects the lines of one layer."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.lines: list[bytes] = []
        self.waiting = bytearray()
        self.checksum = 0

    def raw(self, data: bytes) -> None:
        """Bytes of the tar that are no file's content."""
        self.waiting += data

    def cut(self) -> None:
        """A header ends here, or the tar."""
        if self.waiting:
            self.add({"type": SEGMENT, "payload": base64.b64encode(self.waiting).decode()})
            self.waiting.clear()
        self.checksum = 0

    def content(self, data: bytes) -> None:
        """Bytes of a file."""
        self.checksum = crc64.go_iso(data, self.checksum)

    def member(self, name: str, size: int) -> None:
        """A member ends, `size` bytes of content long; its padding comes next."""
        payload = base64.b64encode(self.checksum.to_bytes(8, "big")).decode() if size else None
        self.add({"type": FILE, "name": name, **({"size": size} if size else {}), "payload": payload})

    def add(self, line: dict[str, object]) -> None:
        """One line, numbered."""
        line["position"] = len(self.lines)
        self.lines.append(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode())

    def encoded(self) -> bytes:
        """All lines."""
        return b"".join(line + b"\n" for line in self.lines)
