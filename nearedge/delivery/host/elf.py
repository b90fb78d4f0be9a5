"""Leaves out of an ELF file what only debuggers and linkers read: symbols, debug information, section headers.

The loader maps segments and looks at nothing else (System V ABI, ELF-64), so everything behind the last segment can go,
and every byte that is mapped stays as it was. `strip` moves parts about, which has damaged libraries that were patched.
"""

import struct
from pathlib import Path

HEADER_BYTES = 64
MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
WORTH_BYTES = 4096


def end_of_segments(content: bytes) -> int:
    """Bytes of the file up to the end of its last segment; the whole length where it is no ELF-64 file."""
    if len(content) < HEADER_BYTES or not content.startswith(MAGIC):
        return len(content)
    (table,) = struct.unpack_from("<Q", content, 0x20)
    entry_bytes, entries = struct.unpack_from("<HH", content, 0x36)
    end = table + entry_bytes * entries
    if entry_bytes != 56 or not HEADER_BYTES <= table <= end <= len(content):
        return len(content)
    for number in range(entries):
        offset, _, _, size = struct.unpack_from("<QQQQ", content, table + number * entry_bytes + 8)
        end = max(end, offset + size)
    return min(int(end), len(content))


def without_symbols(source: Path, target: Path) -> bool:
    """Write `source` without what is behind its segments to `target`; False, and no file, where that saves little."""
    content = source.read_bytes()
    end = end_of_segments(content)
    if len(content) - end < WORTH_BYTES:
        return False
    kept = bytearray(content[:end])
    struct.pack_into("<Q", kept, 0x28, 0)  # where section headers were
    struct.pack_into("<HH", kept, 0x3C, 0, 0)  # how many there were, and which one held their names
    target.write_bytes(kept)
    return True
