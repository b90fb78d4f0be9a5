"""What a page is sent while it is looked at."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from nearedge.api.core.engine import Change
from nearedge.api.core.models import LogLine, RunSummary
from nearedge.api.core.web import live, timeline, wording
from nearedge.api.core.web.live import Picture
from nearedge.api.problems import missing
from tests.core_web import NEVER_S
from tests.unit.nearedge.api.core.web.conftest import run_of


def change(name):
    run = run_of(name)
    return Change(
        number="1", kind="changed", run=RunSummary(**{one: getattr(run, one) for one in RunSummary.model_fields})
    )


def sent(engine, pictures):
    """The events where `pictures` are what is to be seen, one after the other, with a change between each two."""
    left = list(pictures)

    async def shown():
        found = left.pop(0)
        engine.queue.put_nowait(change("r"))
        if isinstance(found, Exception):
            raise found
        return found

    async def collected():
        engine.queue = asyncio.Queue()
        return [(event.kind, event.data) async for event in live.pictures(engine, "", "r", shown)]

    return asyncio.run(asyncio.wait_for(collected(), NEVER_S))


def test_a_picture_now_after_each_change_and_at_the_end(engine):
    found = sent(engine, [Picture("a", "1"), Picture("b", "2"), Picture("c", "3", last=True)])
    assert [kind for kind, _ in found] == ["picture", "picture", "picture", "end"]
    assert [data["html"] for kind, data in found if kind == "picture"] == ["a", "b", "c"]
    assert found[0][1]["said"] == "1"


def test_the_same_picture_is_not_sent_again(engine):
    same = Picture("a", "1")
    found = sent(engine, [same, same, Picture("b", "2", last=True)])
    assert [data.get("html") for _, data in found] == ["a", "b", None]


def test_changes_of_other_runs_do_not_matter():
    assert not live.matters(change("other"), "r")
    assert live.matters(change("r"), "r")
    assert live.matters(change("other"), "")


def test_a_run_that_is_deleted_meanwhile(engine):
    found = sent(engine, [Picture("a", "1"), missing("gone")])
    assert found[-2:] == [("picture", {"html": "a", "said": "It is not there any more"}), ("end", {})]


def test_the_page_of_a_run_that_has_ended(pages, engine):
    engine.add(run_of("done"))
    engine.lines = [LogLine(task="one", step="s", number=1, text="\x1b[1mbold\x00 <b>")]
    text = pages.get("/runs/done/live").text
    assert [line for line in text.splitlines() if line.startswith("event: ")] == ["event: picture", "event: end"]
    assert '<span class=\\"name\\">one</span>' in text
    text = pages.get("/runs/done/log/live?task=one&tail=5").text
    assert [line for line in text.splitlines() if line.startswith("event: ")] == [
        "event: begin", "event: line", "event: end",
    ]  # fmt: skip
    assert '"text": "bold <b>"' in text
    assert ("logs", "one", "5", "True") in engine.asked
    pages.get("/runs/none/live", 404)
    pages.get("/runs/none/log/live", 404)


def test_bars_of_tasks():
    first, second = (
        run_of("x").tasks[0],
        run_of("x")
        .tasks[0]
        .model_copy(update={"name": "two", "started": "2026-11-23T10:01:00Z", "ended": "2026-11-23T10:01:00Z"}),
    )
    waiting = first.model_copy(update={"name": "three", "started": None})
    run = run_of("x", started="2026-11-23T10:00:00Z", tasks=[first, second, waiting])
    found = timeline.bars(run.model_copy(update={"ended": "2026-11-23T10:02:05Z"}))
    assert set(found) == {"one", "two"}
    assert (found["one"].start, found["one"].width) == (0, 100)
    assert (found["two"].start, found["two"].width) == (48.0, timeline.NARROWEST)
    assert timeline.bars(run_of("x", "Pending", None)) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (2.34, "2.3 s"),
        (10, "10 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (7200, "2 h"),
        (90061, "1 d 1 h"),
    ],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


def test_what_lasts_still():
    started = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
    assert wording.lasted(started, None).startswith("3 min")
    assert wording.lasted(None, None) == wording.DASH
    assert wording.clock("yesterday") == "yesterday"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, wording.DASH), (0, "0"), (0.01234, "0.0123"), (21.04, "21"), (1234.5, "1,234"), (4.3, "4.3")],
)
def test_figures(value, text):
    assert wording.figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, wording.DASH), (12, "12 B"), (2048, "2.0 kB"), (61_000_000, "61.0 MB"), (5e12, "5000.0 GB")],
)
def test_sizes(value, text):
    assert wording.size(value) == text
