"""Every kind of place through a real forward proxy (tinyproxy), with and without a password, and behind a private CA.

The servers listen on loopback and are asked for as 0.0.0.0: Linux connects that to loopback, and it counts as no
loopback address, which would never be asked through a proxy.
"""

import functools
import io
import os
import shutil
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from nearedge.delivery import access as registry
from nearedge.delivery import git
from nearedge.delivery.reference import parse
from nearedge.delivery.sources import bucket
from nearedge.delivery.sources.artifact import push_artifact
from nearedge.delivery.sources.download import Client
from nearedge.delivery.sources.places import Access, locate
from nearedge.errors import OutsideError
from tests.forward_proxy import PASSWORD, USER, Proxy, tinyproxy

TEXT = b"schema: 1\n"
AUTHORITY = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:0.0.0.0"
KINDS = ("http", "https", "oci", "s3", "git+http", "git+https")


@pytest.fixture(scope="module", params=["open", "with a password"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, bool]]:
    """tinyproxy, and whether it wants a password."""
    if shutil.which("tinyproxy") is None:
        pytest.skip("tinyproxy is not installed (apt-get install tinyproxy)")
    private = request.param != "open"
    with tinyproxy(tmp_path_factory.mktemp("proxy"), private=private) as found:
        yield found, private


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder, and git's own web server below /git/."""

    def do_GET(self) -> None:
        self.backend() if self.path.startswith("/git/") else super().do_GET()

    def do_POST(self) -> None:
        self.backend()

    def backend(self) -> None:
        """A CGI call of `git http-backend`."""
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        values = {
            "GIT_PROJECT_ROOT": self.directory,
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        answer = subprocess.run(["git", "http-backend"], env=values, input=body, check=True, capture_output=True).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().split("\r\n"):
            self.send_header(*line.split(": ", 1))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(handler: type[BaseHTTPRequestHandler], folder: Path, certificate: Path | None = None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "ca-bundle.crt", certificate / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def packed() -> bytes:
    """A tar with a model.yaml."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        info = tarfile.TarInfo("model.yaml")
        info.size = len(TEXT)
        tar.addfile(info, io.BytesIO(TEXT))
    return stream.getvalue()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca-bundle.crt and its key."""
    folder = tmp_path_factory.mktemp("ca")
    names = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca-bundle.crt")]
    subprocess.run(["openssl", *AUTHORITY.split(), *names], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, certificate: Path, plain_registry: str
) -> Iterator[dict[str, str]]:
    """By kind, the address of an archive in a server of that kind; `s3-endpoint` too."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "model.tgz").write_bytes(packed())
    push_artifact(parse(f"{plain_registry}/proxied:1"), folder, registry.Access())
    (folder / "git").mkdir()
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost"]
    shutil.copy(folder / "model.tgz", folder / "git")
    for command in (["init", "-qb", "main"], ["add", "model.tgz"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *who, *command], cwd=folder / "git", check=True, capture_output=True)
    store = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    store.start()
    port = store.get_host_and_port()[1]
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **keys)
    client.create_bucket(Bucket="proxied")
    client.put_object(Bucket="proxied", Key="model.tgz", Body=packed(), ACL="public-read")
    client.close()
    servers = [serve(Handler, folder), serve(Handler, folder, certificate)]
    plain, tls = (f"0.0.0.0:{server.server_port}" for server in servers)
    yield {
        "http": f"http://{plain}/model.tgz",
        "https": f"https://{tls}/model.tgz",
        "oci": f"oci://{plain_registry.replace('127.0.0.1', '0.0.0.0')}/proxied:1",
        "s3": "s3://proxied/model.tgz",
        "git+http": f"git+http://{plain}/git/.git#model.tgz",
        "git+https": f"git+https://{tls}/git/.git#model.tgz",
        "s3-endpoint": f"http://0.0.0.0:{port}",
    }
    for server in servers:
        server.shutdown()
        server.server_close()
    store.stop()


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxies and credentials of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))


def fetch(place: str, endpoint: str, scratch: Path, ca_bundle: Path | None) -> bytes:
    """What model.yaml holds in the archive at `place`."""
    scratch.mkdir()
    web = Client(ca_bundle, attempts=2, first_wait_s=0)
    reach = Access(
        max_bytes=100_000,
        repository=git.Access(ca_bundle=ca_bundle),
        registry=registry.Access(ca_bundle=ca_bundle, plain_http=True),
        web=web,
        store=bucket.Access(endpoint, None, ca_bundle, web),
    )
    return locate(place, None, scratch, reach).description.read_bytes()


def through(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Set the environment as the Tasks do."""
    for name, value in (("HTTP_PROXY", url), ("HTTPS_PROXY", url), ("NO_PROXY", "")):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("kind", KINDS)
def test_it_arrives_through_the_proxy(
    proxy: tuple[Proxy, bool], places: dict[str, str], certificate: Path, monkeypatch, tmp_path: Path, kind: str
) -> None:
    server, private = proxy
    through(monkeypatch, server.url(f"{USER}:{PASSWORD}@" if private else ""))
    before = server.connections()
    assert fetch(places[kind], places["s3-endpoint"], tmp_path / "scratch", certificate) == TEXT
    assert server.connections() > before


@pytest.mark.parametrize("user", ["", f"{USER}:wr0ng@"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_refuses(
    proxy: tuple[Proxy, bool],
    places: dict[str, str],
    certificate: Path,
    monkeypatch,
    tmp_path: Path,
    kind: str,
    user: str,
) -> None:
    """Without a user it answers 407; with a wrong password this version of tinyproxy answers 401, as a server would."""
    server, private = proxy
    if not private:
        return
    through(monkeypatch, server.url(user))
    with pytest.raises(
        OutsideError, match="status|HTTP code|response|denied|Username|proxy" if user else "proxy"
    ) as raised:
        fetch(places[kind], places["s3-endpoint"], tmp_path / "scratch", certificate)
    assert "wr0ng" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["https", "git+https"])
def test_a_certificate_of_ones_own_needs_the_ca_bundle(
    proxy: tuple[Proxy, bool], places: dict[str, str], monkeypatch, tmp_path: Path, kind: str
) -> None:
    server, private = proxy
    through(monkeypatch, server.url(f"{USER}:{PASSWORD}@" if private else ""))
    with pytest.raises(OutsideError, match="certificate"):
        fetch(places[kind], places["s3-endpoint"], tmp_path / "scratch", None)


def test_a_host_of_no_proxy_is_asked_directly(places: dict[str, str], monkeypatch, tmp_path: Path) -> None:
    through(monkeypatch, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "0.0.0.0")
    for kind in ("http", "s3"):
        assert fetch(places[kind], places["s3-endpoint"], tmp_path / kind, None) == TEXT
