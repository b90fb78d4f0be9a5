"""OCI digests: `sha256:` and 64 hex digits (OCI image specification, descriptor.md)."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from nearedge.errors import OutsideError, UnsupportedError
from nearedge.files import sha256_file

PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


def of_bytes(content: bytes) -> str:
    """The digest of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    """The digest of one file, read in chunks."""
    return "sha256:" + sha256_file(path)


def is_digest(text: object) -> bool:
    """Whether `text` is a sha256 digest."""
    return isinstance(text, str) and PATTERN.fullmatch(text) is not None


def require(text: object, where: str) -> str:
    """`text` where it is a sha256 digest; it becomes part of paths and addresses only after this.

    Raises UnsupportedError for another algorithm, OutsideError for what is no digest.
    """
    if isinstance(text, str) and PATTERN.fullmatch(text):
        return text
    if isinstance(text, str) and re.fullmatch(r"(?!sha256:)[a-z0-9+._-]+:[0-9A-Za-z=_-]{32,}", text):
        raise UnsupportedError(f"{where}: digest {text[:20]}… is not sha256; nearedge reads sha256 digests only")
    raise OutsideError(f"{where}: {str(text)[:80]!r} is no digest (sha256: and 64 hex digits); the manifest is damaged")


def verified(chunks: Iterable[bytes], digest: str, size: int, where: str) -> Iterator[bytes]:
    """Yield `chunks`, and raise OutsideError as soon as they are longer than `size`, or at the end do not match.

    The last chunk is handed on only after the whole was found right, so that a reader that takes what it gets never
    holds a complete but wrong blob.
    """
    hasher = hashlib.sha256()
    seen = 0
    held = b""
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            raise OutsideError(f"{where}: more than the {size} bytes its manifest says; it was not taken")
        hasher.update(chunk)
        if held:
            yield held
        held = chunk
    if seen != size:
        raise OutsideError(f"{where}: ends after {seen} of {size} bytes; it was not taken, try again")
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise OutsideError(f"{where}: its bytes do not match the digest {digest}; it was not taken")
    if held:
        yield held
