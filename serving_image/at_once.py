"""Small inference requests whose answer waits for nothing: given in the turn of the event loop that read them.

A task, ASGI's messages and uvicorn's cycle cost such a request more than its inference. What may have to wait (a batch,
a slow model, a large answer to compress) or is unusual in any way takes the ordinary way through `App.__call__`; both
share what decides about the request, so that no client can tell them apart.
"""

from urllib.parse import quote

from serving_image import protocol_rest
from serving_image.app import Answer, App, Request
from serving_image.protocol_binary import HEADER_BYTES

Header = tuple[bytes, bytes]

ORDINARY = frozenset({b"content-encoding", b"expect", b"transfer-encoding", b"upgrade"})
"""Headers of requests that are left to the ordinary way."""

Reply = tuple[int, list[Header], bytes]
"""Status, all headers, body."""


class AtOnce:
    """Answers what it can, and says of everything else that it cannot."""

    def __init__(self, app: App) -> None:
        """The paths are those of the models there are, as nearly every client writes them."""
        self.app = app
        self.targets: dict[bytes, tuple[str, str | None]] = {}
        for entry in app.dataplane.repository.entries():
            for version, middle in ((None, ""), (entry.version, f"/versions/{entry.version}")):
                path = f"/v2/models/{entry.name}{middle}/infer"
                self.targets[quote(path).encode()] = (entry.name, version)

    def __call__(self, path: bytes, headers: list[Header], body: bytes) -> Reply | None:
        """The whole answer to a POST; None where it has to be awaited. Never raises."""
        app = self.app
        target = self.targets.get(path)
        if target is None or app.dataplane.draining:
            return None
        request = Request("POST", path.decode(), headers)
        limit = app.settings.max_json if HEADER_BYTES not in request.headers else app.settings.max_body
        if len(body) > limit or not ORDINARY.isdisjoint(request.headers):
            return None
        try:
            answer = self.infer(request, target, body)
        except Exception as error:  # as in App.__call__
            answer = app.refusal(request, error)
        if answer is None:
            return None
        if 0 < app.settings.gzip_min <= len(answer[2]):
            del self.targets[path]  # its answers may have to be compressed: not tried again
            return None
        status, _, content = answer
        return status, app.finished(request, answer), content

    def infer(self, request: Request, target: tuple[str, str | None], body: bytes) -> Answer | None:
        """One inference, None where it has to wait. Raises RequestError."""
        app = self.app
        app.token.check(request.headers.get(b"authorization"))
        entry = app.dataplane.repository.entry(*target)
        request.infers, request.model, request.version = True, entry.name, entry.version
        if entry.loaded is None or not entry.loaded.is_quick():
            return None
        decoded, wanted = protocol_rest.decode(*target, body, request.headers.get(HEADER_BYTES), app.settings.max_json)
        response = app.dataplane.infer_at_once(decoded)
        if response is None:
            return None
        content, headers = protocol_rest.encode(response, wanted)
        return 200, headers, content
