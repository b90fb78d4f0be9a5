"""Models in S3: a real store in this process (moto), and a server before it that cuts, slows down and refuses."""

import http.client
import io
import os
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from nearedge.delivery.sources.bucket import Access as Store
from nearedge.delivery.sources.bucket import opened
from nearedge.delivery.sources.bucket_faults import refusal
from nearedge.delivery.sources.bucket_place import relative_names
from nearedge.delivery.sources.download import Client
from nearedge.delivery.sources.fetch import Place
from nearedge.delivery.sources.places import Access, locate
from nearedge.errors import InputError, OutsideError

CONTENT = bytes(range(256)) * 4000
TEXT = b"schema: 1\n"
QUICK = Client(attempts=4, first_wait_s=0.001)
KEY, SECRET = "AKIAEDGE", "s3cret-of-the-store"


class Faulty(ThreadingHTTPServer):
    """Hands requests on to the store; `plan` says what goes wrong with each in turn."""

    store: int
    plan: list[dict[str, Any]]
    asked: list[tuple[str, dict[str, str]]]


class Handler(BaseHTTPRequestHandler):
    """Hands on, cuts the body after `cut` bytes, damages it, or answers `status` with the error `code`."""

    protocol_version = "HTTP/1.1"
    server: Faulty

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        step = self.server.plan.pop(0) if self.server.plan else {}
        if "status" in step:
            body = f"<Error><Code>{step['code']}</Code><Message>{SECRET}</Message></Error>".encode()
            self.answer(step["status"], {}, body, len(body))
            return
        store = http.client.HTTPConnection("127.0.0.1", self.server.store)
        store.request("GET", self.path, headers=dict(self.headers))
        found = store.getresponse()
        body = found.read()
        store.close()
        if step.get("damaged"):
            body = b"\xff" + body[1:]
        headers = {name: value for name, value in found.getheaders() if name.lower() not in NOT_HANDED_ON}
        if step.get("no_length"):
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        self.answer(found.status, headers, body, step.get("cut", len(body)))

    def answer(self, status: int, headers: dict[str, str], body: bytes, cut: int) -> None:
        self.send_response(status)
        length = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(body))}
        for name, value in {**headers, **length}.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")  # said, or the next request may go into a connection that is closing
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


AUTHORITY = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
NOT_HANDED_ON = ("content-length", "transfer-encoding", "connection", "date", "server")


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    """The port of a store with the bucket `models`."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def put(moto: int):
    """A function that puts an object into the bucket `models`, which is empty at first."""
    names = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{moto}", **names)
    client.create_bucket(Bucket="models")
    for entry in client.list_objects_v2(Bucket="models").get("Contents", []):
        client.delete_object(Bucket="models", Key=entry["Key"])
    yield lambda key, body, **more: client.put_object(Bucket="models", Key=key, Body=body, **more)
    client.close()


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of the credentials of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def faulty(moto: int) -> Iterator[Faulty]:
    """The server before the store."""
    server = Faulty(("127.0.0.1", 0), Handler)
    server.store, server.plan, server.asked = moto, [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """The workspace aws-credentials."""
    path = tmp_path / "aws"
    path.mkdir()
    (path / "credentials").write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    (path / "config").write_text("[default]\nregion = eu-central-1\n")
    return path


@pytest.fixture
def access(faulty: Faulty, credentials: Path) -> Store:
    return Store(f"http://127.0.0.1:{faulty.server_port}", credentials, web=QUICK)


def found(reference: str, tmp_path: Path, access: Store, cap: int = 2_000_000) -> Place:
    scratch = tmp_path / "scratch"
    scratch.mkdir(parents=True)
    return locate(reference, None, scratch, Access(max_bytes=cap, store=access))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("reference", ["m/model.yaml", "m", "m/"])
def test_a_model_yaml_and_what_lies_beside_it(put, access: Store, tmp_path: Path, reference: str) -> None:
    for name in (
        "model.yaml",
        "model.onnx",
        "saved/a",
        "saved/variables/b",
        "saved/",
        "ir.xml",
        "ir.bin",
        "not-asked-for",
    ):
        put(f"m/{name}", TEXT if name == "model.yaml" else b"" if name.endswith("/") else name.encode())
    place = found(f"s3://models/{reference}", tmp_path, access)
    assert place.origin == "s3://models/m/model.yaml"
    assert place.description.read_bytes() == TEXT
    for name in ("saved/a", "model.onnx", "saved", "saved/variables", "ir.xml", "none", "model.onnx/below"):
        place.bring(name)
    brought = ["ir.bin", "ir.xml", "model.onnx", "model.yaml", "saved/a", "saved/variables/b"]
    assert names(place.root) == brought
    assert (place.root / "saved" / "variables" / "b").read_bytes() == b"saved/variables/b"


def test_at_the_top_of_a_bucket(put, access: Store, tmp_path: Path) -> None:
    put("model.yaml", TEXT)
    put("w", b"1")
    place = found("s3://models", tmp_path, access)
    place.bring("w")
    assert names(place.root) == ["model.yaml", "w"]


def test_an_archive_in_a_bucket(put, access: Store, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("m/model.yaml")
        info.size = len(TEXT)
        tar.addfile(info, io.BytesIO(TEXT))
    put("all models/#1?.tgz", packed.getvalue())
    place = found("s3://models/all models/#1?.tgz", tmp_path, access)
    assert place.description.read_bytes() == TEXT
    assert place.origin == "s3://models/all models/#1?.tgz"


@pytest.mark.parametrize(
    ("plan", "ranges"),
    [
        ([], [0]),
        ([{"cut": 500_000}], [0, 500_000]),
        ([{"cut": 500_000}, {"cut": 100_000}], [0, 500_000, 600_000]),
        ([{"cut": 500_000}, {"status": 503, "code": "SlowDown"}], [0, 500_000, 500_000]),
        ([{"status": 503, "code": "SlowDown"}, {"status": 500, "code": "InternalError"}], [0, 0, 0]),
        ([{"cut": 500_000}, {"status": 412, "code": "PreconditionFailed"}], [0, 500_000, 0]),
        ([{"damaged": True}], [0, 0]),
        ([{"cut": 500_000, "damaged": True}], [0, 500_000, 0]),
    ],
)
@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32"])
def test_it_arrives_whole(
    put, faulty: Faulty, access: Store, tmp_path: Path, algorithm: str, plan: list[dict[str, Any]], ranges: list[int]
) -> None:
    put("m", CONTENT, ChecksumAlgorithm=algorithm)
    faulty.plan = list(plan)
    with opened("models", access) as bucket:
        bucket.download("m", tmp_path / "m", len(CONTENT))
    assert (tmp_path / "m").read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in faulty.asked] == [f"bytes={at}-" if at else None for at in ranges]


def test_what_changed_meanwhile_is_not_mixed(put, faulty: Faulty, access: Store, tmp_path: Path) -> None:
    """The real store's answer to If-Match."""
    put("m", b"0" * len(CONTENT))
    changes = {"cut": 500_000}
    faulty.plan = [changes]
    path = tmp_path / "m"
    with opened("models", access) as bucket:
        ask = bucket.ask

        def change(*arguments: Any, **named: Any) -> Any:
            if "Range" in named:
                put("m", CONTENT)
            return ask(*arguments, **named)

        bucket.ask = change
        bucket.download("m", path, len(CONTENT))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "access is denied"),
        (403, "InvalidAccessKeyId", "does not know this access key; check the workspace aws-credentials"),
        (403, "SignatureDoesNotMatch", "the secret key does not fit"),
        (400, "ExpiredToken", "the session token has expired"),
        (403, "RequestTimeTooSkewed", "the clock of this machine or of the store is wrong; set it"),
        (400, "AuthorizationHeaderMalformed", "the region is wrong"),
        (403, "InvalidObjectState", "the object is archived"),
        (418, "Teapot", r"refuses with status 418 \(Teapot\)"),
        (407, "", "the proxy wants another user"),
    ],
)
@pytest.mark.usefixtures("put")
def test_a_refusal_is_one_line_and_final(
    faulty: Faulty, access: Store, tmp_path: Path, status: int, code: str, words: str
) -> None:
    faulty.plan = [{"status": status, "code": code}] * 9
    with pytest.raises(OutsideError, match=words) as raised:
        found("s3://models/m/model.yaml", tmp_path, access)
    assert len(faulty.asked) == 1
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not names(tmp_path / "scratch")


@pytest.mark.usefixtures("put")
def test_a_fault_that_stays(faulty: Faulty, access: Store, tmp_path: Path) -> None:
    faulty.plan = [{"status": 503, "code": "SlowDown"}] * 4
    with pytest.raises(OutsideError, match="s3://models/m: status 503 SlowDown, 4 times; try again later"):
        found("s3://models/m", tmp_path, access)


@pytest.mark.parametrize(
    ("reference", "kind", "words"),
    [
        ("s3://none/m", OutsideError, "s3://none/m: there is no such bucket"),
        ("s3://models/m", OutsideError, "s3://models/m: there is neither such an object nor m/model.yaml"),
        ("s3://models/m.yaml", OutsideError, "s3://models/m.yaml: there is no such object"),
        ("s3://a:b@models/m", InputError, "an address holds no credentials"),
        ("s3:///m", InputError, "s3://BUCKET/KEY"),
        ("s3://models/\x07", InputError, "s3://BUCKET/KEY"),
        ("s3://no bucket/m", InputError, "is no name of a bucket and key"),
    ],
)
@pytest.mark.usefixtures("put")
def test_what_is_not_there(access: Store, tmp_path: Path, reference: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        found(reference, tmp_path, access)


def test_the_cap_is_for_all_together(put, access: Store, tmp_path: Path) -> None:
    put("m/model.yaml", TEXT)
    put("m/data/a", b"0" * 50)
    put("m/data/b", b"0" * 50)
    put("m/w", b"0" * 91)
    place = found("s3://models/m", tmp_path, access, cap=len(TEXT) + 90)
    with pytest.raises(InputError, match="holds more than max-bytes 90"):
        place.bring("data")
    with pytest.raises(InputError, match="91 bytes, more than max-bytes 90"):
        place.bring("w")
    assert names(place.root) == ["model.yaml"]


def test_the_cap_holds_where_the_store_does_not_say_how_much_comes(
    put, faulty: Faulty, access: Store, tmp_path: Path
) -> None:
    put("m", CONTENT)
    for cap in (len(CONTENT), len(CONTENT) - 1):
        faulty.plan = [{"no_length": True}]
        with opened("models", access) as bucket:
            if cap == len(CONTENT):
                bucket.download("m", tmp_path / "m", cap)
                assert (tmp_path / "m").read_bytes() == CONTENT
                continue
            with pytest.raises(InputError, match=f"more than max-bytes {cap}"):
                bucket.download("m", tmp_path / "m", cap)
            assert not (tmp_path / "m").exists()


def test_a_private_ca(put, faulty: Faulty, credentials: Path, tmp_path: Path) -> None:
    put("model.yaml", TEXT)
    names = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca-bundle.crt")]
    subprocess.run(["openssl", *AUTHORITY.split(), *names], check=True, capture_output=True)
    plain = Store(f"https://127.0.0.1:{faulty.server_port}", credentials, web=QUICK)
    with pytest.raises(OutsideError, match="it speaks no TLS; give s3-endpoint with http://"):
        found("s3://models/model.yaml", tmp_path / "1", plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca-bundle.crt", tmp_path / "key.pem")
    faulty.socket = context.wrap_socket(faulty.socket, server_side=True)
    with pytest.raises(OutsideError, match="certificate is not trusted; give its CA in ca-bundle"):
        found("s3://models/model.yaml", tmp_path / "2", plain)
    trusting = Store(plain.endpoint, credentials, tmp_path, web=QUICK)
    assert found("s3://models/model.yaml", tmp_path / "3", trusting).description.read_bytes() == TEXT


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["m/../../x"], "leads out"),
        (["m/..", "m/a"], "leads out"),
        (["m//etc/passwd"], "leads out"),
        (["m/a//b"], "no name that every system takes"),
        (["m/a/"], "no name that every system takes"),
        (["m/a\\b"], "no name that every system takes"),
        (["m/a\nb"], "no name that every system takes"),
        (["m/" + "a" * 256], "no name that every system takes"),
        (["m/a", "m/a/b"], "a file and a folder"),
    ],
)
def test_keys_that_are_no_paths(keys: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        relative_names(keys, "m/")


def test_a_hostile_key_in_a_real_bucket_leaves_nothing(put, access: Store, tmp_path: Path) -> None:
    put("m/model.yaml", TEXT)
    put("m/data/../../../outside", b"1")
    place = found("s3://models/m", tmp_path, access)
    with pytest.raises(InputError, match="leads out of the folder"):
        place.bring("data")
    assert not list(tmp_path.rglob("outside"))


def test_a_listing_has_pages_and_an_end(put, access: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        put(f"many/{number}", b"1")
    with opened("models", access) as bucket:
        listed = bucket.client.list_objects_v2
        bucket.client.list_objects_v2 = lambda **named: listed(MaxKeys=3, **named)
        assert len(bucket.sizes_below("many/", 7)) == 7
        monkeypatch.setattr("nearedge.delivery.sources.bucket.MOST_OBJECTS", 6)
        with pytest.raises(InputError, match="more than 6 objects"):
            bucket.sizes_below("many/", 7)


def test_requests_are_signed_with_what_the_workspace_holds(put, faulty: Faulty, access: Store, tmp_path: Path) -> None:
    put("model.yaml", TEXT)
    found("s3://models/model.yaml", tmp_path, access)
    ((_, headers),) = faulty.asked
    assert f"Credential={KEY}/" in headers["Authorization"]
    assert "/eu-central-1/s3/" in headers["Authorization"]


def test_without_credentials_nothing_is_signed(put, faulty: Faulty, access: Store, tmp_path: Path) -> None:
    put("model.yaml", TEXT, ACL="public-read")
    anonymous = Store(access.endpoint, None, web=QUICK)
    found("s3://models/model.yaml", tmp_path, anonymous)
    assert "Authorization" not in faulty.asked[0][1]
    faulty.plan = [{"status": 403, "code": "AccessDenied"}]
    with pytest.raises(OutsideError, match="access is denied; no credentials were found; bind"):
        found("s3://models/model.yaml", tmp_path / "again", anonymous)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("credentials", "[other]\naws_access_key_id = k\n", r"no profile \[default\]"),
        ("credentials", "[default]\naws_access_key_id = k\n", "only a part of"),
        ("credentials", "no section\n", "cannot be parsed"),
        ("config", "[default\n", "cannot be parsed"),
        ("config", "[default]\nregion = no region\n", "names a region that is none"),
    ],
)
def test_a_workspace_at_fault(
    access: Store, credentials: Path, tmp_path: Path, file: str, text: str, words: str
) -> None:
    if "other" in text:
        (credentials / "config").unlink()
    (credentials / file).write_text(text)
    with pytest.raises(InputError, match=words):
        found("s3://models/m", tmp_path, access)


def test_an_empty_workspace(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match="holds neither credentials nor config"):
        locate("s3://b/k", None, tmp_path / "scratch", Access(1000, store=Store("", tmp_path)))


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("s3.example.com", "is no http"),
        ("ftp://s3.example.com", "is no http"),
        ("https://s3.example.com:port", "is no http"),
        ("https://user:pw@s3.example.com", "holds credentials"),
    ],
)
def test_an_endpoint_that_is_none(tmp_path: Path, endpoint: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        found("s3://models/m", tmp_path, Store(endpoint))
    assert "pw" not in str(raised.value)


def test_nobody_there(credentials: Path, tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="s3://models/m: connection refused, 2 times"):
        found(
            "s3://models/m", tmp_path, Store("http://127.0.0.1:1", credentials, web=Client(attempts=2, first_wait_s=0))
        )


def test_an_error_of_the_way_passes_others_do_not() -> None:
    class TokenRetrievalError(Exception):
        """As botocore names those of single sign-on."""

    assert isinstance(refusal(TokenRetrievalError(), "x", signed=True), OutsideError)
