"""The bearer token that clients must send, where one is asked for (RFC 6750, section 2.1)."""

import hmac
from pathlib import Path

from serving_image.faults import UnauthorizedError

OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready"})
"""Answered without a token: a kubelet's probes cannot read one from a Secret. They tell names, states and
reasons, nothing that a client sent or was answered (decision 0018)."""


class Token:
    """What `Authorization: Bearer ...` has to carry. Its text stays in here: not in settings, arguments or logs."""

    __slots__ = ("expected",)

    def __init__(self, path: Path | None) -> None:
        """Read the token from the first line of `path`; None asks for no token. Raises ValueError, OSError."""
        self.expected: bytes | None = None
        if path is None:
            return
        text = path.read_bytes().strip()
        if not text or len(text.split()) != 1:
            raise ValueError(f"{path} must hold one line, the token, without blanks")
        self.expected = b"bearer " + text

    def check(self, header: bytes | None) -> None:
        """Raise UnauthorizedError unless `header`, the value of Authorization, carries the token.

        The comparison takes as long wherever the first difference is. The scheme may be in capitals.
        """
        if self.expected is None:
            return
        scheme, _, given = (header or b"").partition(b" ")
        if not hmac.compare_digest(scheme.lower() + b" " + given.strip(), self.expected):
            raise UnauthorizedError("a bearer token is missing or wrong; send the header Authorization: Bearer TOKEN")
