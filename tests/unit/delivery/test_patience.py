"""Trying for hours, by a clock of ours; and Retry-After, as registries send it."""

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from nearedge.delivery import digest, oci, patience, transport
from nearedge.delivery.access import Access
from nearedge.delivery.bandwidth import PIECE, Bandwidth
from nearedge.delivery.patience import Patience
from nearedge.delivery.registry import PassingFaultError, Registry
from nearedge.delivery.repository import Repository
from nearedge.delivery.spool import Spool
from nearedge.errors import OutsideError

NOW = 1_800_000_000.0
HOUR = 3600


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.slept = []

    def now(self):
        return NOW + sum(self.slept)


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(time, "time", found.now)
    monkeypatch.setattr(time, "monotonic", found.now)
    monkeypatch.setattr(time, "sleep", found.slept.append)
    return found


def date(after_s):
    return format_datetime(datetime.fromtimestamp(NOW + after_s, UTC), usegmt=True)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7), (" 7 ", 7), ("0", 0), ("", 0), ("soon", 0), ("-3", 0), ("1.5", 0), ("\u00b2", 0),
        (date(90), 90), (date(-90), 0), ("Fri, 99 Xyz 2027", 0),
        ("999999", transport.LONGEST_ASKED_S), ("9" * 400, transport.LONGEST_ASKED_S),
        (date(10**7), transport.LONGEST_ASKED_S), ("Fri, 31 Dec 99999 23:59:59 GMT", 0),
    ],
)  # fmt: skip
def test_what_a_registry_asks_for(text, expected):
    assert transport.asked_wait_s(text) == pytest.approx(expected)


@pytest.mark.parametrize("asked", ["120", date(120)])
def test_a_mirror_waits_as_long_as_the_registry_asks(serve, answer, clock, tmp_path, asked):
    content = bytes(1000)
    blob = oci.Descriptor("x/y", digest.of_bytes(content), len(content))
    asked_for = []

    def respond(request):
        if "/blobs/" not in request.path:
            return answer()
        asked_for.append(clock.now())
        return answer(429, headers={"Retry-After": asked}) if clock.now() < NOW + 120 else answer(body=content)

    source = Repository(Registry(serve(respond).host, Access()), "a/b")
    spool = Spool(tmp_path, Bandwidth(), Patience(4 * HOUR))
    spool.bring(source, blob)
    assert spool.path(blob).read_bytes() == content
    assert all(wait <= transport.LONGEST_ASKED_S for wait in clock.slept)
    assert len(asked_for) <= 6, "asked again and again while it was to wait"


@pytest.mark.usefixtures("clock")
def test_a_header_of_nonsense_is_no_traceback(serve, answer):
    server = serve(lambda request: answer(503 if "/manifests/" in request.path else 200, b"", {"Retry-After": "soon"}))
    with pytest.raises(PassingFaultError, match="status 503"):
        Repository(Registry(server.host, Access()), "a/b").find("1")


def test_an_upload_waits_no_longer_than_half_a_minute_for_one_registry(serve, answer, clock):
    server = serve(lambda request: answer(404 if request.method == "HEAD" else 503, b"", {"Retry-After": "99999"}))
    with pytest.raises(PassingFaultError) as raised:
        Repository(Registry(server.host, Access(plain_http=True)), "a/b").add_bytes(
            oci.Descriptor("x/y", digest.of_bytes(b"x"), 1), b"x"
        )
    assert max(clock.slept) == 30
    assert raised.value.wait_s == transport.LONGEST_ASKED_S


def test_three_hours_without_a_link_are_waited_for(clock):
    tried = []

    def attempt():
        tried.append(clock.now())
        if clock.now() < NOW + 3 * HOUR:
            raise PassingFaultError("down")
        return "there"

    assert Patience(4 * HOUR).persist(attempt) == "there"
    assert tried[-1] - tried[-2] == patience.LONGEST_WAIT_S
    assert len(tried) < 60
    assert tried[-1] < NOW + 3 * HOUR + patience.LONGEST_WAIT_S


def test_five_hours_are_too_long_for_four(clock):
    def attempt():
        raise PassingFaultError("down")

    with pytest.raises(OutsideError, match=r"down; gave up after 1\d{4} s without progress; what arrived is kept"):
        Patience(4 * HOUR).persist(attempt)
    assert 4 * HOUR - patience.LONGEST_WAIT_S < sum(clock.slept) <= 4 * HOUR


def test_what_asks_for_longer_than_there_is_patience_is_given_up_at_once(clock):
    def attempt():
        fault = PassingFaultError("busy")
        fault.wait_s = 600.0
        raise fault

    with pytest.raises(OutsideError, match="gave up after 0 s"):
        Patience(60).persist(attempt)
    assert clock.slept == []


@pytest.mark.parametrize("mbit_s", [1, 8, 100])
def test_the_limit_holds_over_every_second(clock, mbit_s):
    """No second sees more than a second's bytes and the one piece that goes first; all of it takes its time."""
    sent = []
    for piece in Bandwidth(mbit_s).paced([bytes(700_000), bytes(300_000)]):
        sent.append((clock.now(), len(piece)))
    rate = mbit_s * 1e6 / 8
    assert sum(clock.slept) == pytest.approx(1_000_000 / rate, rel=1e-4)
    for begin, _ in sent:
        assert sum(size for at, size in sent if begin <= at < begin + 1) <= rate + PIECE + 1
