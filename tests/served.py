"""An ASGI application served in a thread of the test's own process, as uvicorn serves it."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

END_S = 90.0
"""What was asked of git or a run when the server ends is waited for."""


class Server(uvicorn.Server):
    """Closes the connections of streams that still go on; at the end of a process nobody has to."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and leave no transport to be found unclosed by another test."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if (transport := getattr(connection, "transport", None)) is not None:
                transport.abort()
        await asyncio.sleep(0)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The application's address, until the block ends."""
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on", ws="none", timeout_graceful_shutdown=1)
    server = Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(END_S)
        assert not thread.is_alive()
