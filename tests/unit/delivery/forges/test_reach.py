"""Behind a private CA and through a real forward proxy (tinyproxy).

The forge listens on loopback and is asked for as 0.0.0.0, which Linux connects to loopback and which counts as no
loopback address: those are never asked through a proxy.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearedge.delivery.forges.base import Wanted
from nearedge.delivery.forges.pull_request import Choice, connect, ensure
from nearedge.errors import OutsideError

from .conftest import TOKEN, Start

WANTED = Wanted("next", "main", "Release digits 1 (int8)", "text")
REQUEST = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:0.0.0.0,IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace ca-bundle; pair.pem in it is the server's."""
    folder = tmp_path_factory.mktemp("ca")
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca-bundle.crt")]
    subprocess.run(["openssl", *REQUEST.split(), *files], check=True, capture_output=True)
    (folder / "pair.pem").write_text((folder / "key.pem").read_text() + (folder / "ca-bundle.crt").read_text())
    return folder


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Tinyproxy's host:port and its log."""
    if shutil.which("tinyproxy") is None:
        pytest.skip("tinyproxy is not installed (apt-get install tinyproxy)")
    folder = tmp_path_factory.mktemp("proxy")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [f"Port {port}", "Listen 127.0.0.1", f'LogFile "{folder}/log"', "LogLevel Connect", "BasicAuth edge gate-3"]
    (folder / "configuration").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(["tinyproxy", "-d", "-c", str(folder / "configuration")], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, "tinyproxy ended"
        time.sleep(0.02)
    yield f"127.0.0.1:{port}", folder / "log"
    process.terminate()
    process.wait(60)


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
def test_behind_a_private_ca(kind: str, start: Start, authority: Path, token: Path) -> None:
    site = start(kind, authority / "pair.pem")
    assert site.git_url.startswith("https:")
    assert ensure(connect(Choice(kind, "", token, authority), site.git_url), WANTED).outcome == "created"
    strange = connect(Choice(kind, "", token), site.git_url, lambda _: None)
    with pytest.raises(OutsideError, match="its certificate is not trusted; give its CA in ca-bundle"):
        ensure(strange, WANTED)


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
def test_through_a_proxy(
    kind: str,
    start: Start,
    authority: Path,
    token: Path,
    proxy: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = start(kind, authority / "pair.pem", "0.0.0.0")  # the address that is asked, not bound
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://edge:gate-3@{proxy[0]}")
    said = proxy[1].read_text().count("CONNECT 0.0.0.0:")
    assert ensure(connect(Choice(kind, "", token, authority), site.git_url), WANTED).outcome == "created"
    assert proxy[1].read_text().count("CONNECT 0.0.0.0:") > said
    assert TOKEN not in proxy[1].read_text()
    monkeypatch.setenv("HTTPS_PROXY", f"http://edge:wrong@{proxy[0]}")
    with pytest.raises(OutsideError) as caught:
        ensure(connect(Choice(kind, "", token, authority), site.git_url, lambda _: None), WANTED)
    assert "the proxy cannot be reached or refuses" in str(caught.value)
    assert "wrong" not in str(caught.value)
