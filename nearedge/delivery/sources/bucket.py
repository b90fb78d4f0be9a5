"""Objects of S3 and compatible stores: fetched with boto3, resumed where they broke off, checked on arrival.

botocore's own retries are off: `download.Client.persist` tries again, so that a broken body goes on from where it
stands. A resumed GET carries If-Match, so that an object which changed meanwhile is read from its start. An ETag is no
digest of the content (multipart uploads, encryption): what arrives is held against the checksum that the store keeps of
the whole object, where it keeps one, and its length; source.sha256 of model.yaml judges beyond that.
"""

import hashlib
import tempfile
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nearedge.delivery import transport
from nearedge.delivery.git_home import own_trust, trusted
from nearedge.delivery.sources.bucket_faults import ChangedError, refusal
from nearedge.delivery.sources.download import PIECE, Client, PassingError
from nearedge.errors import InputError
from nearedge.files import CHUNK
from nearedge.progress import LINE_EVERY_S, say

FILES = ("credentials", "config")
"""What boto3 reads; at least one of them is in the workspace aws-credentials."""
MOST_OBJECTS = 10_000


@dataclass(frozen=True)
class Access:
    """How to reach a store. `endpoint` is its URL, empty for AWS (or endpoint_url of `config`).

    `credentials` is a folder with the files `credentials` and `config`, None for what the environment gives (a pod's
    role); where nothing is found, requests are not signed, as public buckets want it.
    """

    endpoint: str = ""
    credentials: Path | None = None
    ca_bundle: Path | None = None
    web: Client = field(default_factory=Client)


@dataclass
class Bucket:
    """One bucket, open. `client` is boto3's; `signed` whether there are credentials."""

    name: str
    client: Any
    signed: bool
    access: Access

    def download(self, key: str, path: Path, max_bytes: int) -> None:
        """Write an object to `path`, whose folder is there.

        Raises MissingError where there is no such object, InputError for more than `max_bytes` bytes, OutsideError
        where the store refuses, cannot be reached or breaks off more often than we try. `path` is then gone again.
        """
        try:
            self.access.web.persist(ObjectTransfer(self, key, path, max_bytes))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def sizes_below(self, prefix: str, max_bytes: int) -> dict[str, int]:
        """The keys that begin with `prefix` and their sizes in bytes, without folder markers (empty, slash at the end).

        Raises InputError for more objects or bytes than may be.
        """
        listing = Listing(self, prefix, max_bytes)
        self.access.web.persist(listing)
        return listing.found

    def ask(self, operation: Callable[..., Any], where: str, **arguments: Any) -> Any:
        """Call boto3; its errors become ours (`bucket_faults.refusal`)."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return operation(Bucket=self.name, **arguments)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise refusal(error, where, signed=self.signed) from error


@contextmanager
def opened(name: str, access: Access) -> Iterator[Bucket]:
    """The bucket `name`. Raises InputError where endpoint, credentials or CA bundle are at fault."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    host = endpoint_host(access.endpoint)
    core = Session(profile="default") if access.credentials else Session()
    core.register_component("data_loader", loader())
    for variable, path in files_of(access.credentials).items():
        core.set_config_variable(variable, str(path))
    with tempfile.TemporaryDirectory(prefix="nearedge-s3-") as home:
        trust = trusted(Path(home), access.ca_bundle) if access.ca_bundle else own_trust()
        try:
            signed = core.get_credentials() is not None
            config = Config(
                connect_timeout=transport.CONNECT_S,
                read_timeout=transport.READ_S,
                retries={"mode": "standard", "total_max_attempts": 1},
                response_checksum_validation="when_required",
                signature_version=None if signed else UNSIGNED,
                proxies={} if transport.is_loopback(host) else None,
            )
            session = boto3.Session(botocore_session=core)
            client = session.client("s3", endpoint_url=access.endpoint or None, verify=str(trust), config=config)
        except (BotoCoreError, ValueError) as error:
            raise refusal(error, "workspace aws-credentials", signed=True) from error
        with closing(client):
            yield Bucket(name, client, signed, access)


@cache
def loader() -> Any:
    """What reads botocore's description of S3; each session of its own would read those megabytes again."""
    from botocore.loaders import Loader

    return Loader()


def endpoint_host(endpoint: str) -> str:
    """Host and port of the endpoint, empty for none. Raises InputError where it is no plain URL of a server."""
    if not endpoint:
        return ""
    try:
        parts = urlsplit(endpoint)
        fine = parts.scheme in ("http", "https") and parts.hostname and not parts.query and (parts.port or 1)
    except ValueError:
        fine = False
    if not fine:
        raise InputError("s3-endpoint: is no http(s) URL of a server, such as https://s3.example.com:9000")
    if "@" in parts.netloc:
        raise InputError("s3-endpoint: holds credentials; put them into the workspace aws-credentials")
    return parts.netloc


def files_of(credentials: Path | None) -> dict[str, Path]:
    """Settings of botocore's for the files of the workspace aws-credentials."""
    if credentials is None:
        return {}
    if not any((credentials / name).is_file() for name in FILES):
        raise InputError(f"{credentials}: workspace aws-credentials holds neither credentials nor config")
    return {"credentials_file": credentials / "credentials", "config_file": credentials / "config"}


class Listing:
    """The objects below a prefix, page by page; a listing that breaks off begins anew."""

    size = 0

    def __init__(self, bucket: Bucket, prefix: str, max_bytes: int) -> None:
        """As `Bucket.sizes_below`."""
        self.bucket, self.prefix, self.max_bytes = bucket, prefix, max_bytes
        self.name = f"s3://{bucket.name}/{prefix}"
        self.found: dict[str, int] = {}

    def attempt(self) -> None:
        """List all pages."""
        self.found = {}
        token: dict[str, str] = {}
        while True:
            page = self.bucket.ask(self.bucket.client.list_objects_v2, self.name, Prefix=self.prefix, **token)
            for entry in page.get("Contents", []):
                if entry["Size"] or not entry["Key"].endswith("/"):
                    self.found[entry["Key"]] = entry["Size"]
            if len(self.found) > MOST_OBJECTS:
                raise InputError(f"{self.name}: holds more than {MOST_OBJECTS} objects; pack them as tar or zip")
            if sum(self.found.values()) > self.max_bytes:
                raise InputError(f"{self.name}: holds more than max-bytes {self.max_bytes}")
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}


class ObjectTransfer:
    """One object on its way; `size` is what has arrived of it, in bytes."""

    def __init__(self, bucket: Bucket, key: str, path: Path, max_bytes: int) -> None:
        """As `Bucket.download`."""
        self.bucket, self.key, self.path, self.max_bytes = bucket, key, path, max_bytes
        self.name = f"s3://{bucket.name}/{key}"
        self.size = self.total = 0
        self.etag = ""
        self.checksums: dict[str, str] = {}
        self.said = time.monotonic()

    def attempt(self) -> None:
        """Ask for what is missing, append it, and check the whole."""
        resuming = bool(self.size and self.etag)
        part = {"Range": f"bytes={self.size}-", "IfMatch": self.etag}
        wanted = part if resuming else {"ChecksumMode": "ENABLED"}
        try:
            answer = self.bucket.ask(self.bucket.client.get_object, self.name, Key=self.key, **wanted)
        except ChangedError:
            self.size, self.etag = 0, ""
            raise
        if not (resuming and answer.get("ContentRange", "").startswith(f"bytes {self.size}-")):
            self.restart(answer)
        self.receive(answer["Body"])
        self.check()

    def restart(self, answer: Mapping[str, Any]) -> None:
        """The whole arrives: what we hold is dropped."""
        self.size, self.total, self.etag = 0, answer.get("ContentLength", 0), answer.get("ETag", "")
        self.checksums = {name: answer[f"Checksum{name}"] for name in CHECKSUMS if answer.get(f"Checksum{name}")}
        if self.total > self.max_bytes:
            raise InputError(f"{self.name}: {self.total} bytes, more than max-bytes {self.max_bytes}")

    def receive(self, body: Any) -> None:
        """Append the body to the file, no more than the cap; a store may not say how much comes."""
        from botocore.exceptions import BotoCoreError, FlexibleChecksumError

        with self.path.open("r+b" if self.size else "wb") as file, body:
            file.seek(self.size)
            try:
                for chunk in body.iter_chunks(PIECE):
                    self.size += len(chunk)
                    if self.size > self.max_bytes:
                        raise InputError(f"{self.name}: more than max-bytes {self.max_bytes}")
                    file.write(chunk)
                    self.report()
            except FlexibleChecksumError:
                return  # `check` says so, as it does for what was resumed
            except (BotoCoreError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                    raise
                raise PassingError(f"broke off after {self.size} of {self.total} bytes") from error

    def check(self) -> None:
        """Hold the file against what the store says of the whole object."""
        for name, expected in self.checksums.items():
            if (
                "-" not in expected and CHECKSUMS[name](self.path) != expected
            ):  # with a dash: of parts, not of the whole
                self.size, self.etag = 0, ""
                raise PassingError(f"arrived damaged: its {name} is not the one that the store keeps")

    def report(self) -> None:
        """A line now and then for whoever waits."""
        if time.monotonic() - self.said > LINE_EVERY_S:
            self.said = time.monotonic()
            say(f"{self.name}: {self.size / 1e6:.0f} of {self.total / 1e6:.0f} MB so far")


def sha256_of(path: Path) -> str:
    """SHA-256 as S3 writes it: base64."""
    with path.open("rb") as file:
        return b64encode(hashlib.file_digest(file, "sha256").digest()).decode()


def crc32_of(path: Path) -> str:
    """CRC-32 as S3 writes it: base64 of four bytes, the highest first."""
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            value = zlib.crc32(chunk, value)
    return b64encode(value.to_bytes(4, "big")).decode()


CHECKSUMS: dict[str, Callable[[Path], str]] = {"SHA256": sha256_of, "CRC32": crc32_of}
"""What is computed here of the checksums that a store may keep, by the name that S3's answers give them."""
