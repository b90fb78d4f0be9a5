"""A connection that answers small, whole inference requests itself; everything else is uvicorn's, as before."""

from typing import Any

from serving_image.at_once import AtOnce, Header
from serving_image.connection import Connection
from serving_image.large_body import LARGE_BYTES


class DirectConnection(Connection):
    """What `uvicorn.Config(http=...)` takes, with `at_once` to ask for answers.

    The head of a request that may be answered at once is put aside until its body is there. Where the body does not
    come in the same read, or the answer has to be awaited, uvicorn is told of the head then, and of the body.
    """

    aside = False
    answered = False

    def __init__(self, *arguments: Any, at_once: AtOnce, **named: Any) -> None:  # uvicorn's own arguments
        """`arguments` and `named` are those of `Connection`."""
        super().__init__(*arguments, unparsed=at_once.app.unparsed, **named)
        self.at_once = at_once
        self.pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Some bytes have come; a request that is not complete with them is left to uvicorn."""
        super().data_received(data)
        if self.aside:
            self.proceed()
        if self.answered:
            self.answered = False
            if self.idle() and self.timeout_keep_alive_task is None:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def on_headers_complete(self) -> None:
        """The head of a request is here."""
        if self.url in self.at_once.targets and self.is_plain():
            self.in_head = False
            self.stop_timer()
            self.aside = True
        else:
            super().on_headers_complete()

    def is_plain(self) -> bool:
        """Whether the request is a POST with a small body, the connection stays open, and nothing is before it."""
        return (
            0 < self.length < LARGE_BYTES
            and self.parser.get_method() == b"POST"
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
            and not self.flow.write_paused
            and self.idle()
        )

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if self.aside:
            self.pieces.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The whole request is here."""
        if self.aside:
            body = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
            reply = self.at_once(self.url, self.headers, body)
            if reply is not None:
                self.aside = False
                self.pieces = []
                self.send(*reply)
                return
            self.proceed()
        super().on_message_complete()

    def proceed(self) -> None:
        """Let uvicorn have the request that was put aside, as far as it is here."""
        self.aside = False
        pieces, self.pieces = self.pieces, []
        super().on_headers_complete()
        for piece in pieces:
            super().on_body(piece)

    def send(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a whole answer."""
        self.transport.write_now(self.whole(status, headers, body))  # type: ignore[attr-defined]  # it is a Corked
        self.server_state.total_requests += 1
        self.answered = True
