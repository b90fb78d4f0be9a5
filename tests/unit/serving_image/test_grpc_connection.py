"""HTTP/2 byte by byte against the real port: what the protocol forbids, floods, clients that send or take slowly."""

import contextlib
import socket
import struct
from types import SimpleNamespace

import pytest
from hpack import Decoder, Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving_image.grpc import frames, headers
from serving_image.grpc.frames import HEAD, PREFACE, frame
from serving_image.grpc.headers import Heads, percent_encoded

LIVE = "/inference.GRPCInferenceService/ServerLive"
METADATA = "/inference.GRPCInferenceService/ModelMetadata"
ENDS = frames.END_HEADERS | frames.END_STREAM
EMPTY = bytes(5)


class Client:
    """A client that sends what it is told and reads frames."""

    def __init__(self, port: int, hello: bytes = PREFACE + frames.settings({})) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.buffer = b""
        self.send(hello)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self, path: str = LIVE, **more: str) -> bytes:
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
        return self.encoder.encode({**fields, "content-type": "application/grpc", **more}.items())

    def call(self, stream: int, path: str = LIVE, message: bytes = b"", **more: str) -> bytes:
        """The frames of a whole call."""
        body = b"\0" + len(message).to_bytes(4, "big") + message
        return frame(1, frames.END_HEADERS, stream, self.head(path, **more)) + frame(0, 1, stream, body)

    def frame(self) -> SimpleNamespace | None:
        """The next frame, None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.buffer += data
        high, low, kind, flags, stream = HEAD.unpack_from(self.buffer)
        size = high << 8 | low
        payload, self.buffer = self.buffer[9 : 9 + size], self.buffer[9 + size :]
        return SimpleNamespace(kind=kind, flags=flags, stream=stream, payload=payload)

    def until(self, kind: int, stream: int | None = None) -> SimpleNamespace | None:
        """The next frame of a kind; None where the connection ended before it."""
        while (found := self.frame()) is not None:
            if found.kind == frames.HEADERS:
                found.fields = dict(self.decoder.decode(found.payload))
            if found.kind == kind and stream in (None, found.stream):
                return found
        return None

    def trailers(self, stream: int) -> dict[str, str]:
        """The headers that end a call."""
        while True:
            found = self.until(frames.HEADERS, stream)
            assert found is not None
            if found.flags & frames.END_STREAM:
                return found.fields

    def works(self, stream: int) -> bool:
        self.send(self.call(stream))
        return self.trailers(stream)["grpc-status"] == "0"

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def client(server):
    made = Client(server.grpc_port)
    yield made
    made.close()


def test_a_call_in_any_pieces(server) -> None:
    made = Client(server.grpc_port, b"")
    first = made.call(1)
    block = b"\2" + bytes(5) + made.head() + b"\0\0"
    priority = frame(1, frames.END_HEADERS | frames.PADDED | frames.HAS_PRIORITY, 3, block)
    padded = frame(0, frames.PADDED | frames.END_STREAM, 3, b"\x04" + EMPTY + bytes(4))
    whole = PREFACE + frames.settings({3: 7, 5: 20000}) + first + frame(2, 0, 1, bytes(5)) + priority + padded
    for at in range(len(whole)):
        made.send(whole[at : at + 1])
    assert made.until(frames.SETTINGS).flags == 0
    assert made.trailers(1)["grpc-status"] == made.trailers(3)["grpc-status"] == "0"
    made.close()


def test_continuation_and_trailers_of_the_client(client) -> None:
    block = client.head()
    client.send(frame(1, 0, 1, block[:7]) + frame(9, 0, 1, block[7:9]) + frame(9, frames.END_HEADERS, 1, block[9:]))
    client.send(frame(0, 0, 1, EMPTY) + frame(1, ENDS, 1, client.encoder.encode([("x", "y")])))
    assert client.trailers(1)["grpc-status"] == "0"
    assert client.works(3)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(0, 1, 1, EMPTY), frames.PROTOCOL_ERROR),
        (frame(0, 1, 0, EMPTY), frames.PROTOCOL_ERROR),
        (frame(1, ENDS, 2, b"\x82"), frames.PROTOCOL_ERROR),
        (frame(1, ENDS, 1, b"\xff\xff\xff\xff\xff\xff"), frames.COMPRESSION_ERROR),
        (frame(1, ENDS, 1, b"\xbf"), frames.COMPRESSION_ERROR),
        (frame(1, ENDS | frames.PADDED, 1, b"\x09ab"), frames.PROTOCOL_ERROR),
        (frame(1, 0, 1, b"\x82") + frame(6, 0, 0, bytes(8)), frames.PROTOCOL_ERROR),
        (frame(1, 0, 1, b"\x82") + frame(9, 4, 3, b""), frames.PROTOCOL_ERROR),
        (frame(1, 0, 1, b"\x82") + frame(9, 0, 1, bytes(30000)) * 2, frames.ENHANCE_YOUR_CALM),
        (frame(9, 4, 1, b"\x82"), frames.PROTOCOL_ERROR),
        (frame(1, ENDS, 1, headers.literal(b"a", b"b" * 17000)), frames.ENHANCE_YOUR_CALM),
        (frame(5, 4, 1, bytes(4)), frames.PROTOCOL_ERROR),
        (frame(3, 0, 1, bytes(4)), frames.PROTOCOL_ERROR),
        (frame(3, 0, 0, bytes(4)), frames.PROTOCOL_ERROR),
        (frame(4, 0, 0, bytes(5)), frames.FRAME_SIZE_ERROR),
        (frame(4, 0, 1, b""), frames.FRAME_SIZE_ERROR),
        (frames.settings({4: 2**31}), frames.FLOW_CONTROL_ERROR),
        (frames.settings({5: 100}), frames.PROTOCOL_ERROR),
        (frame(6, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
        (frame(8, 0, 0, bytes(4)), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(0, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
        (frame(8, 0, 0, bytes(3)), frames.FRAME_SIZE_ERROR),
        (HEAD.pack(0xFF, 0xFF, 4, 0, 0), frames.FRAME_SIZE_ERROR),
        (HEAD.pack(0xFFFF, 0xFF, 0, 0, 1), frames.FRAME_SIZE_ERROR),
        (frame(6, 0, 0, bytes(8)) * 1200, frames.ENHANCE_YOUR_CALM),
        (frames.settings({}) * 1200, frames.ENHANCE_YOUR_CALM),
        (frame(2, 0, 1, bytes(5)) * 1200, frames.ENHANCE_YOUR_CALM),
        (frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"") * 1200, frames.ENHANCE_YOUR_CALM),
    ],
)
def test_what_the_protocol_forbids_ends_the_connection(server, data, code) -> None:
    made = Client(server.grpc_port)
    made.send(data)
    told = made.until(frames.GOAWAY)
    assert told is not None and struct.unpack_from(">II", told.payload)[1] == code, told
    assert made.frame() is None
    made.close()


def test_rapid_resets_end_the_connection(client) -> None:
    for stream in range(1, 2600, 2):
        try:
            client.send(frame(1, frames.END_HEADERS, stream, client.head()) + frames.reset(stream, 8))
        except OSError:
            break
    told = client.until(frames.GOAWAY)
    assert told is None or struct.unpack_from(">II", told.payload)[1] == frames.ENHANCE_YOUR_CALM


def test_empty_data_frames_end_the_connection(client) -> None:
    client.send(frame(1, frames.END_HEADERS, 1, client.head()) + frame(0, 0, 1) * 1200)
    told = client.until(frames.GOAWAY)
    assert told is not None and struct.unpack_from(">II", told.payload)[1] == frames.ENHANCE_YOUR_CALM


def test_streams_over_the_limit_are_refused(client) -> None:
    for at in range(129):
        client.send(frame(1, frames.END_HEADERS, 2 * at + 1, client.head()))
    refused = client.until(frames.RST_STREAM)
    assert refused.stream == 257 and refused.payload[3] == frames.REFUSED_STREAM
    client.send(frame(0, 1, 257, EMPTY) + frame(0, 1, 1, EMPTY))
    assert client.trailers(1)["grpc-status"] == "0"


def test_what_is_not_http2_is_turned_away(server) -> None:
    for hello in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE[:-1] + b"x", PREFACE + frame(6, 0, 0, bytes(8))):
        made = Client(server.grpc_port, hello)
        assert made.until(frames.GOAWAY) is not None and made.frame() is None
        made.close()


@pytest.mark.parametrize(("more", "status"), [({":method": "GET"}, "405"), ({"content-type": "text/html"}, "415")])
def test_what_is_no_call_has_a_status_of_http(client, more, status) -> None:
    client.send(client.call(1, **more))
    assert client.trailers(1)[":status"] == status
    assert client.works(3)


@pytest.mark.parametrize(
    ("body", "more", "code"),
    [
        (b"", {}, "3"),
        (EMPTY * 2, {}, "3"),
        (b"\2" + bytes(4), {}, "13"),
        (b"\1" + bytes(4), {}, "13"),
        (b"\0\0\0\0\x09abc", {}, "3"),
        (b"\1\0\0\0\x03abc", {"grpc-encoding": "gzip"}, "3"),
        (EMPTY, {"grpc-encoding": "br"}, "12"),
        (EMPTY, {"grpc-timeout": "1x"}, "3"),
        (EMPTY, {"grpc-timeout": "123456789S"}, "3"),
        (EMPTY, {"content-type": "application/grpc+json"}, None),
        (b"\0\x7f\xff\xff\xff", {}, "8"),
    ],
)
def test_calls_that_are_wrong_have_a_status(client, body, more, code) -> None:
    client.send(frame(1, frames.END_HEADERS, 1, client.head(**more)) + frame(0, 1, 1, body))
    assert client.trailers(1).get("grpc-status") == code
    assert client.works(3)


def test_answers_wait_for_the_window(client) -> None:
    client.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 3}) + client.call(1, METADATA, b"\x0a\x06digits"))
    first = client.until(frames.DATA, 1)
    assert len(first.payload) == 3
    client.send(frames.window_update(1, 10))
    assert len(client.until(frames.DATA, 1).payload) == 10
    client.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 1000}))
    rest = client.until(frames.DATA, 1)
    assert int.from_bytes(first.payload[1:3], "big") == 0 and len(rest.payload) > 20
    assert client.trailers(1)["grpc-status"] == "0"


def test_windows_are_given_back(client) -> None:
    """30 MB in messages that are refused: more than the connection's window of 16 MiB."""
    for stream in range(1, 61, 2):
        client.send(frame(1, frames.END_HEADERS, stream, client.head()))
        client.send(frame(0, 1, stream, b"\0\0\x0f\x42\x3b" + bytes(999_995)))
    assert client.until(frames.WINDOW_UPDATE, 0) is not None
    assert client.trailers(59)["grpc-status"] == "3"


@pytest.fixture(scope="module")
def hasty(released, tools, tmp_path_factory):
    """A server that gives a call 0.5 s."""
    log = tmp_path_factory.mktemp("hasty") / "log"
    with tools.started(released.models, log, "--request-timeout-seconds=0.5") as running:
        yield running.wait_ready()


def test_clients_that_are_slow_are_let_go(hasty) -> None:
    sends, takes = Client(hasty.grpc_port), Client(hasty.grpc_port)
    sends.send(frame(1, frames.END_HEADERS, 1, sends.head()) + frame(0, 0, 1, b"\0\0\0\0\x09a"))
    assert sends.trailers(1)["grpc-status"] == "4"
    takes.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}) + takes.call(1, METADATA, b"\x0a\x06digits"))
    assert takes.until(frames.RST_STREAM, 1).payload[3] == frames.ENHANCE_YOUR_CALM
    assert sends.works(3)
    for made in (sends, takes):
        made.close()


def test_a_client_that_reads_nothing_is_not_answered_for_ever(hasty) -> None:
    made = Client(hasty.grpc_port)
    made.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.socket.settimeout(30)
    before, sent = memory(hasty), 0
    try:
        for at in range(200_000):
            made.send(made.call(2 * at + 1, "/absent", **{"x-request-id": "r" * 128}))
            sent += 1
    except OSError:
        pass
    assert 0 < sent < 200_000 and memory(hasty) - before < 30e6
    made.close()
    other = Client(hasty.grpc_port)
    assert other.works(1)
    other.close()


def memory(server) -> int:
    text = server.get("/metrics").text
    return int(next(line for line in text.splitlines() if line.startswith("process_resident_memory_bytes")).split()[1])


def test_the_last_calls_are_answered_behind_goaway(released, start) -> None:
    server = start(released.models).wait_ready()
    made = Client(server.grpc_port)
    assert made.works(1)
    server.process.terminate()
    first = made.until(frames.GOAWAY)
    assert struct.unpack_from(">II", first.payload) == (2**31 - 1, 0)
    ping = made.until(frames.PING)
    made.send(made.call(3) + frame(6, frames.ACK, 0, ping.payload) + made.call(5))
    assert made.trailers(3)["grpc-status"] == "0"
    last = made.until(frames.GOAWAY)
    assert last is None or struct.unpack_from(">II", last.payload)[0] == 3
    assert made.until(frames.DATA, 5) is None
    made.close()
    assert server.process.wait(20) == 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40)), max_size=8),
    st.binary(max_size=30),
)
def test_no_bytes_harm_the_server(server, made, junk) -> None:
    with (
        socket.create_connection(("127.0.0.1", server.grpc_port), timeout=10) as connection,
        contextlib.suppress(OSError),  # the server may have closed already
    ):
        connection.sendall(PREFACE + frames.settings({}) + b"".join(frame(*one) for one in made) + junk)


def test_the_server_is_whole_after_all_that(server, client) -> None:
    assert client.works(1) and server.process.poll() is None
    assert not [line for line in server.lines() if "exception" in line]


def test_heads_are_remembered_until_the_table_changes() -> None:
    encoder, heads = Encoder(), Heads()
    fields = [(":method", "POST"), (":path", "/a"), ("x-request-id", "r1"), ("grpc-timeout", "5S")]
    first, second = encoder.encode(fields), encoder.encode(fields)
    read = heads.read(first)
    assert (read.path, read.request_id, read.timeout) == ("/a", "r1", 5.0) and not heads.known
    assert heads.read(second) == read and second in heads.known
    assert heads.read(second) is heads.known[second]
    other = heads.read(encoder.encode([(":method", "POST"), (":path", "/b")]))
    assert other.path == "/b" and not heads.known
    assert heads.read(encoder.encode(fields)) == read


def test_messages_of_any_text_fit_a_header() -> None:
    assert percent_encoded("a%b\nü") == b"a%25b%0A%C3%BC"
    assert headers.integer(1337, 5) == bytes([31, 154, 10])  # RFC 7541, C.1.2
