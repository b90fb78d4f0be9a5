"""SHA-256 computed beside the work: hashlib lets go of the interpreter, so a second core takes it."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

AHEAD = 4
"""So many pieces may wait to be hashed; memory stays bounded by them."""
SMALL = 1 << 14
"""Bytes below which handing a piece over costs more than hashing it."""


class SideHash:
    """As `hashlib.sha256()`, on a thread of its own that ends with this object. Pieces must not change afterwards."""

    def __init__(self) -> None:
        """The hash of nothing yet; the thread starts with the first large piece."""
        self.hash = hashlib.sha256()
        self.thread = ThreadPoolExecutor(1)
        self.waiting: deque[Future[None]] = deque()

    def update(self, data: bytes) -> None:
        """Take `data`, in order, soon."""
        while self.waiting and (len(self.waiting) >= AHEAD or self.waiting[0].done()):
            self.waiting.popleft().result()
        if len(data) < SMALL and not self.waiting:
            self.hash.update(data)
        else:
            self.waiting.append(self.thread.submit(self.hash.update, data))

    def hexdigest(self) -> str:
        """The digest of all that was taken, in hex."""
        while self.waiting:
            self.waiting.popleft().result()
        return self.hash.hexdigest()
