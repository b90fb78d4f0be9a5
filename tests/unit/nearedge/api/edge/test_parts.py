"""The parts: figures from text, the availability store, journals, sources that are waited for, and a log's end."""

import asyncio
import os
import socket
import subprocess
import time

import pytest

from nearedge.api.edge import client, exposition, logs
from nearedge.api.edge.held import Held
from nearedge.api.edge.journal import Journal
from nearedge.api.edge.prometheus import Prometheus
from nearedge.api.edge.rings import MOST, SLOT, SLOTS, Rings
from nearedge.errors import InputError, MachineError, OutsideError, UsageError
from nearedge.runner import serving
from nearedge.runner.serving import Served
from scripts import api, api_edge

TEXT = """\
# TYPE h histogram
h_bucket{model="m",le="0.1"} 5
h_bucket{model="m",le="0.2"} 10
h_bucket{model="m",le="+Inf"} 10
h_sum{model="m"} 1
h_count{model="m"} 10
odd{model="a\\"b\\\\c\\nd"} NaN
broken{
words
x 1.5
"""


def test_text_is_read_and_estimated_as_prometheus_does():
    found = list(exposition.samples(TEXT))
    assert found[-2].labels == {"model": 'a"b\\c\nd'} and found[-1] == ("x", {}, 1.5)
    buckets = exposition.buckets(found, "h")
    assert [exposition.quantile(buckets, share) for share in (0.25, 0.5, 0.75, 1)] == pytest.approx(
        [0.05, 0.1, 0.15, 0.2]
    )
    assert exposition.mean(found, "h") == 0.1
    assert (exposition.quantile([], 0.5), exposition.mean([], "h"), exposition.first(found, "odd")) == (
        None,
        None,
        None,
    )
    assert (
        exposition.quantile(
            exposition.buckets(exposition.samples('h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 4'), "h"), 0.9
        )
        == 1
    )
    assert [exposition.is_error(code) for code in ("200", "404", "OK", "UNAVAILABLE")] == [False, True, False, True]


def test_the_store_counts_minutes_and_stays_as_large_as_it_is(tmp_path):
    rings, now = Rings(tmp_path), 100_000_000 * 60.0
    for minute in range(10):
        for look in range(4):
            rings.add("m", now - minute * 60, ready=minute != 3 or look == 0)
    found = rings.observed("m", now, 60)
    assert (found.minutes, found.looks, found.ready, found.first) == (10, 40, 37, 100_000_000 - 9)
    assert rings.observed("m", now, 2).looks == 8
    rings.add("m", now + SLOTS * 60, ready=True)  # the place of `now`, a whole ring later
    assert rings.observed("m", now + SLOTS * 60, SLOTS).looks == 1
    assert rings.path("m").stat().st_size <= SLOTS * SLOT.size
    assert Rings(tmp_path).observed("m", now, 5).looks == 16
    assert rings.observed("absent", now, 5).first is None
    for number in range(MOST + 3):
        rings.add(f"../{number}", now, ready=True)
    assert len(list(tmp_path.iterdir())) == MOST
    rings.path("m").write_bytes(b"\xff" * 13)
    assert rings.observed("m", now, 60).looks == 0


def test_a_journal_stays_small_and_numbers_go_on(tmp_path):
    journal = Journal(tmp_path / "a" / "j", largest=1000)
    for _ in range(100):
        journal.add(text="x" * 600)
    assert sum(path.stat().st_size for path in (tmp_path / "a").iterdir()) <= 2000
    assert [line["number"] for line in journal.lines()] == [99, 100] and len(journal.lines()[0]["text"]) == 500
    with journal.path.open("ab") as file:
        file.write(b'{"number": 101, "te')
    again = Journal(journal.path)
    assert again.add(text="y") == 101
    assert [line["number"] for line in again.lines()] == [99, 100, 101]
    assert journal.path.stat().st_mode & 0o077 == 0


def test_a_source_is_asked_by_one_and_not_waited_for():
    asked = []

    async def read() -> int:
        asked.append(1)
        if len(asked) == 2:
            raise InputError("gone")
        await asyncio.sleep(0.2 if len(asked) == 3 else 0)
        return len(asked)

    async def run() -> None:
        held = Held(read, 60, 0.05)
        first = await asyncio.gather(*(held.get() for _ in range(5)))
        assert {one.value for one in first} == {1} and len(asked) == 1
        failed = await held.get(anew=True)
        assert (failed.value, failed.fault, failed.state("s").state) == (1, "gone", "missing")
        held.forget()
        slow = await held.get()
        assert slow.value == 1 and "no answer within 0.05 s" in slow.fault
        assert (await held.get(patience_s=1)).value == 3
        held.forget()
        await held.get(patience_s=0)
        await held.close()

    asyncio.run(run())


def test_the_end_of_a_large_log_and_of_one_that_is_replaced(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f'{{"time": "2026-01-01T00:00:00+00:00", "message": "{n:060}"}}\n' for n in range(60_000)))
    found = logs.tail(path, "m", 5, None)
    assert len(found.lines) == 5 and found.cut and "59999" in found.lines[-1].text
    _, place = logs.added(path, None)
    with path.open("a") as file:
        file.write("whole\nhalf")
    content, place = logs.added(path, logs.place(str(place)))
    assert content == b"whole\n"
    path.replace(tmp_path / "log.1")
    path.write_text("new\n")
    assert logs.added(path, place)[0] == b"new\n"
    assert [logs.place(text) for text in ("", "x", "1-", "1-2-3", "9" * 60)] == [None] * 5
    with pytest.raises(MachineError, match="is no file"):
        logs.tail(tmp_path, "m", 1, None)


def test_what_serve_writes_down_is_bounded_and_damage_is_passed_over(tmp_path):
    for number in range(serving.MOST + 5):
        serving.began(Served(f"http://127.0.0.1:{number + 1}"), tmp_path)
    assert len(list(tmp_path.iterdir())) == serving.MOST
    served = Served("http://127.0.0.1:70", started="2")
    serving.began(served, tmp_path)
    serving.ended(served, tmp_path, 3)
    serving.began(served, tmp_path)
    assert "ended with status 3 at" in next(one for one in serving.found(tmp_path) if one.url == served.url).before
    for text in ("", "[]", '{"url": 1}', '{"a": "b"}', '{"url": "x", "status": "y"}'):
        (tmp_path / "80.json").write_text(text)
        assert serving.read(tmp_path / "80.json") is None
    (tmp_path / "file").write_text("")
    serving.began(served, tmp_path / "file")
    serving.forgotten(served, tmp_path / "file")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--server=ftp://x"], "--server 'ftp://x'"), (["--server="], "--server ''"),
        (["--prometheus=a b"], "--prometheus"),
        (["--site=a/b"], "--site"), (["--every=0"], "--every"), (["--host=0.0.0.0"], "give --tokens"),
        (["--git-url=-x"], "git-url"), (["--tls-cert=x"], "belong together"),
    ],
)  # fmt: skip
def test_what_cannot_be_served(more, says, capsys):
    assert api.main(["edge", *more]) == UsageError.status
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_the_program_serves_until_it_is_told_to_end(tmp_path):
    import sys

    command = [sys.executable, "-m", "scripts.nearedge", "api", "edge", "--port=0", "--site=edge-7"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "NEAREDGE_HOME": str(tmp_path)}
    ) as it:
        assert it.stdout.readline().endswith("(site edge-7)\n")
        it.terminate()
        assert it.wait(20) in (0, -15, 130)
    assert "--site" in api_edge.parser().format_help()


@pytest.fixture
def prometheus(tmp_path):
    """A real Prometheus that holds two hours of a model: ready, then half an hour without its server."""
    import shutil

    if shutil.which("promtool") is None or shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (apt-get install prometheus)")
    now = int(time.time()) // 60 * 60
    lines = ["# TYPE nearedge_model_ready gauge"]
    lines += [f'nearedge_model_ready{{model="m",version="1"}} 1 {at}' for at in range(now - 3600, now - 1800, 60)]
    lines += ["# TYPE up gauge", *(f'up{{job="other"}} 1 {at}' for at in range(now - 7200, now + 1, 60)), "# EOF", ""]
    (tmp_path / "data.txt").write_text("\n".join(lines))
    command = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(tmp_path / "data.txt"),
        str(tmp_path / "data"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "p.yaml").write_text("global: {}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "prometheus", f"--config.file={tmp_path}/p.yaml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--query.lookback-delta=1m", "--log.level=error",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def test_prometheus_counts_the_time_without_a_server_as_not_ready(prometheus):
    async def run():
        end = time.monotonic() + 60
        while True:
            try:
                known = await Prometheus(prometheus).window("m", "24h", 86_400)
                return known, await Prometheus(prometheus).window('no"body', "1h", 3600)
            except OutsideError:
                assert time.monotonic() < end
                await asyncio.sleep(0.1)

    known, absent = asyncio.run(run())
    assert known.ratio == pytest.approx(0.5, abs=0.05) and known.origin == "prometheus"
    assert known.observed == pytest.approx(60 / 1440, abs=0.005) and known.since
    assert (absent.ratio, absent.observed) == (None, 0.0)


def test_a_cancellation_at_the_end_of_an_answer_is_not_lost(monkeypatch):
    """Else what asks again and again would never end."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run():
        closing = asyncio.Event()

        async def never(_):
            closing.set()
            await asyncio.sleep(60)

        monkeypatch.setattr(asyncio.StreamWriter, "wait_closed", never)
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert (await client.ask(f"http://127.0.0.1:{port}/", 30)).status == 200
        closing.clear()
        task = asyncio.create_task(client.ask(f"http://127.0.0.1:{port}/", 30))
        await closing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.close()

    asyncio.run(run())
