"""A watch that lasts: through its ends, cuts, 410, silence and an API server that is away."""

import asyncio
import itertools

import pytest

from nearedge.api.cluster import changes, connection, watched
from nearedge.api.cluster.resources import PODS
from nearedge.api.cluster.watched import Watched, pause

PATIENCE_S = 30.0


def labels(item):
    if item["metadata"]["name"].startswith("hidden"):
        return None
    return dict(item["metadata"]["labels"])


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(watched, "SHORTEST_S", 0.02)
    monkeypatch.setattr(watched, "LONGEST_S", 0.1)


@pytest.fixture
def watching(connected):
    """Runs `work(watched)` beside a watch of pods."""

    def run(work, token="", **more):
        async def both():
            async with connected() as cluster:
                found = Watched(cluster, PODS, "default", labels, token=token, **more)
                task = asyncio.create_task(found.run())
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await work(found)
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

        asyncio.run(both())

    return run


async def until(found, test):
    while not test():
        await found.wait(PATIENCE_S)


async def quickly(work, *arguments, **more):
    """The test's cluster in a thread, so that the watch goes on meanwhile."""
    return await asyncio.to_thread(work, *arguments, **more)


def names(found):
    return sorted(found.known)


def test_what_is_there_and_what_changes(fake, pod, watching):
    pod("a", x="1")
    pod("hidden")

    async def work(found):
        assert await found.synced(PATIENCE_S)
        assert (names(found), found.fault) == (["a"], "")
        await quickly(pod, "b", x="2")
        await until(found, lambda: "b" in found.known)
        await quickly(pod, "a", x="3")
        await until(found, lambda: found.known["a"].value == {"x": "3"})
        await quickly(fake.delete, "/api/v1/namespaces/default/pods/a")
        await until(found, lambda: names(found) == ["b"])

    watching(work)


@pytest.mark.parametrize("how", ["end", "cut", "gone", "silence", "http 410", "500", "away"])
def test_it_goes_on(fake, pod, watching, monkeypatch, how):
    pod("a")
    if how == "silence":
        monkeypatch.setattr(watched, "QUIET_S", 0.3)
        fake.faults.silence("pods", times=1)

    async def work(found):
        assert await found.synced(PATIENCE_S)
        stream = found.changes()
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        if how == "end":
            await quickly(fake.end_watches)
        elif how == "cut":
            await quickly(fake.cut)
        elif how == "gone":
            await quickly(fake.faults.expire, "pods")
            await quickly(fake.cut)
        elif how == "http 410":
            await quickly(fake.faults.answer, 410, "watch", "pods", times=1)
            await quickly(fake.cut)
        elif how == "500":
            await quickly(fake.faults.answer, 500, "watch", "pods", times=3)
            await quickly(fake.cut)
        elif how == "away":
            with fake.away():
                await until(found, lambda: "does not answer" in found.fault)
        await quickly(pod, "b")
        assert (await first)[1:3] == ("changed", "b")
        await until(found, lambda: found.fault == "")
        assert names(found) == ["a", "b"]

    watching(work)


def test_what_was_deleted_while_it_was_away_is_told(fake, pod, watching):
    for name in "abc":
        pod(name)

    async def work(found):
        assert await found.synced(PATIENCE_S)
        stream = found.changes()
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        with fake.away():
            await until(found, lambda: found.fault)
            await quickly(fake.delete, "/api/v1/namespaces/default/pods/b")
            await quickly(pod, "c", x="1")
            await quickly(fake.compact)
        told = {(await first)[1:3], (await anext(stream))[1:3]}
        assert told == {("deleted", "b"), ("changed", "c")}
        assert names(found) == ["a", "c"]

    watching(work)


def test_a_follower_takes_up_where_it_was(pod, watching):
    pod("a")

    async def work(found):
        assert await found.synced(PATIENCE_S)
        stream = found.changes()
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await quickly(pod, "b")
        seen = (await first).version
        for name in ("c", "d"):
            await quickly(pod, name)
        await until(found, lambda: "d" in found.known)
        again = found.changes(seen)
        assert [(await anext(again)).name for _ in range(2)] == ["c", "d"]

    watching(work)


def test_a_follower_that_falls_far_behind_gets_each_object_once(pod, watching, monkeypatch):
    monkeypatch.setattr(changes, "REMEMBERED", 3)
    pod("a")

    async def work(found):
        assert await found.synced(PATIENCE_S)
        stream = found.changes()
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await quickly(pod, "b", x="0")
        assert (await first).name == "b"
        for number in range(1, 6):
            await quickly(pod, "b", x=str(number))
        await quickly(pod, "c")
        await until(found, lambda: "c" in found.known)
        some = [await anext(stream) for _ in range(2)]
        assert [(one.name, one.value) for one in some] == [("b", {"x": "5"}), ("c", {})]

    watching(work)


def test_it_is_bounded(pod, watching):
    for number in range(5):
        pod(f"p{number}")

    async def work(found):
        assert await found.synced(PATIENCE_S)
        assert len(found.known) == 3 and "more than 3 pods" in found.fault
        await quickly(pod, "p9")
        await until(found, lambda: found.left_out)
        assert len(found.known) == 3

    watching(work, most=3)


def test_lists_come_in_chunks(fake, pod, watching, monkeypatch):
    monkeypatch.setattr(connection, "CHUNK", 2)
    for number in range(5):
        pod(f"p{number}", even=str(number % 2 == 0))

    async def work(found):
        assert await found.synced(PATIENCE_S)
        assert names(found) == ["p0", "p2", "p4"]

    watching(work, labels="even=True")
    assert [one.verb for one in itertools.islice(fake.requests, len(fake.requests))].count("list") >= 2


def test_who_may_not_watch_is_told_at_once(fake, watching):
    async def work(found):
        assert not await found.synced(PATIENCE_S)
        assert found.refused == 403 and "cannot list" in found.fault

    watching(work, token=fake.user("bob"))


def test_an_object_that_cannot_be_read_is_left_out(fake, pod, watching):
    pod("a")
    fake.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "default"}, "spec": {}})

    async def work(found):
        assert await found.synced(PATIENCE_S)
        assert names(found) == ["a"]

    watching(work)


@pytest.mark.parametrize("text", ['{"items": []}', '{"items": [{}]}', '{"items": 7}'])
def test_an_answer_that_is_no_list_ends_nothing(fake, pod, watching, text):
    async def work(found):
        await until(found, lambda: found.fault and "not listed yet" not in found.fault)
        assert "\n" not in found.fault
        fault.end()
        await quickly(pod, "a", x="1")
        await until(found, lambda: (names(found), found.fault) == (["a"], ""))

    with fake.faults.text(200, text, "list", "pods") as fault:
        watching(work)


def test_the_back_off_grows_and_is_bounded(monkeypatch):
    monkeypatch.setattr(watched, "SHORTEST_S", 0.5)
    monkeypatch.setattr(watched, "LONGEST_S", 30.0)
    assert all(0.25 <= pause(1) <= 0.5 for _ in range(20))
    assert all(15 <= pause(failures) <= 30 for failures in range(8, 60))
