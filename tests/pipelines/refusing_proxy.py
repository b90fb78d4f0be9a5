"""A proxy that shows who would have been asked."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """A proxy on loopback that notes every request line and refuses it."""

    def __init__(self) -> None:
        asked: list[str] = []

        class Refusing(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                line = self.rfile.readline(4096).decode("latin-1").strip()
                if line:
                    asked.append(line)
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self.close_connection = True

        self.asked = asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        self.server.shutdown()
        self.server.server_close()
