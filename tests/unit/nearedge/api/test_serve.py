"""TLS while it is renewed, and who calls through a proxy."""

import asyncio
import shutil
import ssl
import threading
import time

import pytest
import uvicorn

from nearedge.api import serve
from tests.cluster_api.certificates import made

END_S = 30.0


async def hello(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@pytest.fixture
def renewing(tmp_path, monkeypatch):
    """A server that looks at its certificate's files every time; its port, and those files."""
    monkeypatch.setattr(serve, "RENEW_TICKS", 1)
    certificate, key = made(tmp_path)
    listening = serve.Listening("127.0.0.1", 0, certificate, key)
    config = uvicorn.Config(hello, log_level="error", lifespan="off", ssl_certfile=certificate, ssl_keyfile=key)
    config.load()
    server = serve.Renewing(config)
    with serve.bind(listening) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield listener.getsockname()[1], certificate, key
        server.should_exit = True
        thread.join(END_S)
        assert not thread.is_alive()


def test_a_renewed_certificate_is_taken_and_a_broken_one_is_not(renewing, tmp_path, capfd):
    port, certificate, key = renewing
    served = "127.0.0.1", port
    first = ssl.get_server_certificate(served)
    (tmp_path / "next").mkdir()
    for new, old in zip(made(tmp_path / "next"), (certificate, key), strict=True):
        shutil.copy(new, old)
    second = certificate.read_text()
    until(lambda: ssl.get_server_certificate(served) == second)
    assert first != second
    certificate.write_text("no certificate")
    until(lambda: "cannot be used, the old one stays" in capfd.readouterr().err)
    assert ssl.get_server_certificate(served) == second


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([], "10.0.0.1"),
        ([(b"x-forwarded-for", b"192.0.2.7")], "192.0.2.7"),
        ([(b"x-forwarded-for", b"203.0.113.9, 192.0.2.7")], "192.0.2.7"),
        ([(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-for", b"2001:db8::7")], "2001:db8::7"),
        ([(b"x-forwarded-for", b"192.0.2.7, nobody")], "10.0.0.1"),
    ],
)
def test_behind_a_proxy_a_callers_address_is_what_the_proxy_saw(headers, wanted):
    """What the caller wrote there itself stands before it."""
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["client"][0])

    asyncio.run(serve.Forwarded(app)({"type": "http", "headers": headers, "client": ("10.0.0.1", 1)}, None, None))
    assert seen == [wanted]


def until(test):
    end = time.monotonic() + END_S
    while not test():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
