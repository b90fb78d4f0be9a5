"""Blobs on their way, in a folder that outlives the process: what arrived of one is never asked for again.

A part is named by the blob's digest, so it can only become that blob; it is held against the digest before anybody
takes it, whatever happened to the folder in between.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.bandwidth import Bandwidth
from nearedge.delivery.patience import Patience
from nearedge.delivery.registry import PassingFaultError
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError, OutsideError
from nearedge.files import CHUNK
from nearedge.progress import LINE_EVERY_S, say

DAMAGED = 3
"""So many times a blob may arrive with other bytes than its digest says."""


class Spool:
    """A folder of parts; `arrived` counts the bytes that came in through this object."""

    def __init__(self, folder: Path, bandwidth: Bandwidth, patience: Patience) -> None:
        """The folder is made where there is none."""
        self.folder, self.bandwidth, self.patience = folder, bandwidth, patience
        self.arrived = 0
        self.said = time.monotonic()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process off the folder. Raises InputError where one has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise InputError(f"{self.folder}: another mirror-image works in this spool; give each its own") from error
        finally:
            os.close(handle)

    def path(self, blob: oci.Descriptor) -> Path:
        """Where the part of a blob lies."""
        return self.folder / (digests.require(blob.digest, "spool").removeprefix("sha256:") + ".part")

    def size(self, blob: oci.Descriptor) -> int:
        """Bytes of the blob that are here."""
        path = self.path(blob)
        return path.stat().st_size if path.is_file() else 0

    def bring(self, source: Repository, blob: oci.Descriptor) -> None:
        """Have the whole blob here, held against its digest; only what is missing is asked for.

        Raises OutsideError where the source refuses, stays away for longer than our patience, or sends other bytes.
        """
        for _ in range(DAMAGED):
            self.patience.persist(lambda: self.fetch(source, blob), lambda: self.size(blob))
            if digests.of_file(self.path(blob)) == blob.digest:
                return
            say(f"{source.where}: blob {blob.digest[:19]} arrived damaged; once more from its start")
            self.drop(blob)
        raise OutsideError(
            f"{source.where}: blob {blob.digest} arrived {DAMAGED} times with other bytes than its digest says"
        )

    def fetch(self, source: Repository, blob: oci.Descriptor) -> None:
        """One attempt to append what is missing. Raises PassingFaultError where another one makes sense."""
        start = self.size(blob)
        if start > blob.size:
            self.drop(blob)
            start = 0
        if start:
            say(f"{source.where}: blob {blob.digest[:19]} goes on from byte {start} of {blob.size}")
        with self.path(blob).open("ab", buffering=0) as file:
            if start < blob.size:
                self.append(source, blob, file.fileno(), start)
        if self.size(blob) < blob.size:
            raise PassingFaultError(f"{source.where}: blob {blob.digest[:19]} broke off at byte {self.size(blob)}")

    def append(self, source: Repository, blob: oci.Descriptor, file: int, start: int) -> None:
        """Write what the source sends from byte `start` on, never more than the blob has."""
        try:
            for chunk in source.from_byte(blob, start):
                part = memoryview(chunk)[: blob.size - start]
                start += len(part)
                self.arrived += len(part)
                write_all(file, part)
                self.report(source, blob, start)
                self.bandwidth.take(len(part))
        except requests.RequestException as error:
            raise source.registry.unreachable(error) from error

    def report(self, source: Repository, blob: oci.Descriptor, size: int) -> None:
        """A line now and then for whoever waits."""
        if time.monotonic() - self.said > LINE_EVERY_S:
            self.said = time.monotonic()
            say(f"{source.where}: blob {blob.digest[:19]}: {size / 1e6:.1f} of {blob.size / 1e6:.1f} MB")

    def chunks(self, blob: oci.Descriptor) -> Iterator[bytes]:
        """The blob's bytes, verified; it has to be here."""
        with self.path(blob).open("rb") as file:
            pieces = iter(lambda: file.read(CHUNK), b"")
            yield from digests.verified(pieces, blob.digest, blob.size, str(self.path(blob)))

    def drop(self, blob: oci.Descriptor) -> None:
        """Forget a blob."""
        self.path(blob).unlink(missing_ok=True)


def write_all(file: int, content: memoryview) -> None:
    """Write all of `content`; a full disk may take a part of it first."""
    while content:
        content = content[os.write(file, content) :]
