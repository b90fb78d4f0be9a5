"""Forward proxies for tests: tinyproxy, with a password or without, and one of ours that looks into TLS.

The second answers CONNECT, makes the client believe that it is the host by a certificate of its own CA, and speaks TLS
of its own to a server on loopback, whatever host was asked for: it routes names that exist nowhere.
"""

import contextlib
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

USER, PASSWORD = "edge", "gate-crane-3"


@dataclass
class Proxy:
    """A running tinyproxy."""

    port: int
    log: Path

    def url(self, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}"

    def connections(self) -> int:
        """How many it has made to any host."""
        return self.log.read_text().count("Established connection to host")


@contextlib.contextmanager
def tinyproxy(folder: Path, *, private: bool) -> Iterator[Proxy]:
    """One that wants USER and PASSWORD where it is private."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [f"Port {port}", "Listen 127.0.0.1", f'LogFile "{folder}/log"', "LogLevel Connect", "Timeout 20"]
    lines += [f"BasicAuth {USER} {PASSWORD}"] if private else []
    (folder / "configuration").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(["tinyproxy", "-d", "-c", str(folder / "configuration")], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "tinyproxy ended"
            time.sleep(0.02)
        yield Proxy(port, folder / "log")
    finally:
        process.terminate()
        process.wait(60)


def authority(folder: Path, names: str) -> None:
    """`ca-bundle.crt`, and `leaf.pem` with its key, a certificate by that CA for `names` as subjectAltName has them."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *new, "-days", "2", "-subj", "/CN=proxy CA", "-keyout", "ca.key", "-out", "ca-bundle.crt")
    openssl("req", *new, "-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.csr")
    (folder / "leaf.ext").write_text(f"subjectAltName={names}\n")
    signer = ["-CA", "ca-bundle.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    openssl("x509", "-req", "-in", "leaf.csr", *signer, "-days", "2", "-extfile", "leaf.ext", "-out", "leaf.crt")
    (folder / "leaf.pem").write_text((folder / "leaf.crt").read_text() + (folder / "leaf.key").read_text())


@dataclass
class Interceptor:
    """The proxy that looks into TLS. `asked`: the hosts of its CONNECTs; `seen`: the first bytes it read inside."""

    folder: Path
    asked: list[str] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.inside.load_cert_chain(self.folder / "leaf.pem")
        self.outside = ssl.create_default_context()
        for context in (self.inside, self.outside):  # 1.3 sends what is no data, for which `pump` would wait
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.outside.check_hostname, self.outside.verify_mode = False, ssl.CERT_NONE
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.listen, daemon=True).start()

    def close(self) -> None:
        self.server.close()

    def listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.server.accept()[0],), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        """One tunnel, until either side ends it."""
        with client, contextlib.suppress(OSError):
            client.settimeout(20)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(1)
                if not piece:
                    return
                head += piece
            method, place, _ = head.split(b" ", 2)
            if method != b"CONNECT":
                client.sendall(b"HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            self.asked.append(place.decode())
            client.sendall(b"HTTP/1.1 200 Go ahead\r\n\r\n")
            raw = socket.create_connection(("127.0.0.1", int(place.rpartition(b":")[2])), 20)
            with raw, self.inside.wrap_socket(client, server_side=True) as near, self.outside.wrap_socket(raw) as far:
                self.pump(near, far)

    def pump(self, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        """Carry bytes both ways."""
        other = {near: far, far: near}
        while True:
            ready = [one for one in other if one.pending()] or select.select(list(other), [], [], 20)[0]
            for one in ready:
                data = one.recv(1 << 16)
                if not data:
                    return
                if one is near:
                    self.seen.append(data[:80])
                other[one].sendall(data)
