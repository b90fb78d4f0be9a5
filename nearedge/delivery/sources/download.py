"""Downloads over http(s): resumed where they broke off, tried again with backoff, capped in size.

Resuming follows RFC 9110 section 14 (Range, Content-Range) with If-Range, so that a file which changed meanwhile is
read from its start again.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import requests

from nearedge.delivery import transport
from nearedge.delivery.git import without_credentials
from nearedge.errors import InputError, OutsideError
from nearedge.progress import LINE_EVERY_S, say

ATTEMPTS = 6
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
PIECE = 1 << 16
"""Bytes that a broken connection may cost us."""
HINTS = {401: "is it private?", 403: "is it private?", 407: transport.PROXY_LOGIN}
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)$")


class PassingError(Exception):
    """A fault that may be gone at the next attempt; `wait_s` is how long the server asked us to wait, or 0."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        """`reason` completes the sentence "URL: ..."."""
        super().__init__(reason)
        self.wait_s = wait_s


class Attempt(Protocol):
    """What `Client.persist` tries until it is through; `size` is what has arrived so far, in bytes."""

    name: str
    size: int

    def attempt(self) -> None:
        """Try once. Raises PassingError where another attempt makes sense."""


@dataclass
class Client:
    """How to reach web servers. `ca_bundle` is a folder that holds ca-bundle.crt; proxies come from the environment."""

    ca_bundle: Path | None = None
    attempts: int = ATTEMPTS
    first_wait_s: float = FIRST_WAIT_S

    def download(self, url: str, path: Path, max_bytes: int) -> None:
        """Write what `url` holds to `path`, which must not exist.

        Raises InputError for more than `max_bytes` bytes or a bad URL, OutsideError where the server cannot be
        reached, refuses, or breaks off more often than we try. `path` is then gone again.
        """
        try:
            with session(url, self.ca_bundle) as web:
                self.persist(Transfer(url, path, max_bytes, web))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def persist(self, transfer: "Attempt") -> None:
        """Try until the transfer is whole. An attempt that came further than all before starts the count anew."""
        failed, wait_s, furthest = 0, self.first_wait_s, 0
        while True:
            try:
                transfer.attempt()
                return
            except PassingError as fault:
                failed, wait_s = (0, self.first_wait_s) if transfer.size > furthest else (failed, wait_s)
                furthest, failed = max(furthest, transfer.size), failed + 1
                if failed >= self.attempts:
                    raise OutsideError(f"{transfer.name}: {fault}, {failed} times; try again later") from fault
                pause = min(max(wait_s, fault.wait_s), LONGEST_WAIT_S)
                say(f"{transfer.name}: {fault}; again in {pause:.0f} s, from byte {transfer.size}")
                time.sleep(pause)
                wait_s *= 2


def session(url: str, ca_bundle: Path | None) -> requests.Session:
    """A session for the host of `url`, with the user and password in it, where there are any; it retries nothing."""
    parts = urlsplit(url)
    web = transport.new_session(parts.netloc.rpartition("@")[2], ca_bundle, retries=0)
    if parts.username:
        web.auth = (unquote(parts.username), unquote(parts.password or ""))
    return web


class Transfer:
    """One file on its way; `size` is what has arrived of it, in bytes."""

    def __init__(self, url: str, path: Path, max_bytes: int, web: requests.Session) -> None:
        """As `Client.download`."""
        self.url, self.path, self.max_bytes, self.web = url, path, max_bytes, web
        self.name = without_credentials(url)
        self.size = 0
        self.validator = ""
        self.said = time.monotonic()

    def attempt(self) -> None:
        """Ask for what is missing and append it. Raises PassingError where another attempt makes sense."""
        headers = {}
        if self.size and self.validator:
            headers = {"Range": f"bytes={self.size}-", "If-Range": self.validator}
        try:
            with self.web.get(self.url, headers=headers, stream=True) as response:
                total = self.check(response)
                self.receive(response)
        except requests.exceptions.SSLError as error:
            raise OutsideError(f"{self.name}: {transport.reason(error)}") from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise PassingError(transport.reason(error)) from error
        except (requests.RequestException, ValueError) as error:
            raise InputError(f"{self.name}: cannot be asked for ({type(error).__name__}); check the URL") from error
        if total is not None and self.size < total:
            raise PassingError(f"broke off after {self.size} of {total} bytes")

    def check(self, response: requests.Response) -> int | None:
        """Judge the status; the total size in bytes where the server says it."""
        status = response.status_code
        if status in transport.PASSING:
            raise PassingError(f"status {status}", transport.asked_wait_s(response.headers.get("Retry-After", "")))
        if status == 416:
            self.validator = ""  # what we hold is no beginning of what is there now
            raise PassingError("refuses to resume")
        if status not in (200, 206):
            raise OutsideError(f"{self.name}: status {status}; {HINTS.get(status, 'check the URL')}")
        total = self.start(response) if status == 206 else self.restart(response)
        if total is not None and total > self.max_bytes:
            raise InputError(f"{self.name}: {total} bytes, more than max-bytes {self.max_bytes}")
        return total

    def start(self, response: requests.Response) -> int | None:
        """A part arrives: it has to begin where we stand."""
        found = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != self.size:
            self.validator = ""
            raise PassingError("answered with another part than asked for")
        return None if found[2] == "*" else int(found[2])

    def restart(self, response: requests.Response) -> int | None:
        """The whole arrives: what we hold is dropped. A weak validator cannot be used with If-Range."""
        self.size = 0
        if response.headers.get("Content-Encoding", "identity") != "identity":  # what arrives is not what is counted
            self.validator = ""
            return None
        etag = response.headers.get("ETag", "")
        self.validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else None

    def receive(self, response: requests.Response) -> None:
        """Append the body to the file, no more than the cap."""
        with self.path.open("r+b" if self.size else "wb") as file:
            file.seek(self.size)
            for chunk in response.iter_content(PIECE):
                self.size += len(chunk)
                if self.size > self.max_bytes:
                    raise InputError(f"{self.name}: more than max-bytes {self.max_bytes}")
                file.write(chunk)
                self.report()

    def report(self) -> None:
        """A line now and then for whoever waits."""
        if time.monotonic() - self.said > LINE_EVERY_S:
            self.said = time.monotonic()
            say(f"{self.name}: {self.size / 1e6:.0f} MB so far")
