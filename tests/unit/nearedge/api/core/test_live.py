"""Runs while they go on: events of one and of all, logs as they are written, many readers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from nearedge.api.core.engine import LogQuery
from nearedge.api.core.local_logs import LONGEST, Reader, last
from nearedge.runner.store import RunFolder
from tests.core_api import NEVER_S


@pytest.fixture
def holding(core, tmp_path):
    """A run that waits for a file, and a function that lets it go on with what it then prints."""
    name = f"hold-{abs(hash(tmp_path)) % 10**8}"
    file = tmp_path / "file"
    core.start("hold", name=name, params={"file": str(file)})
    core.until(name, "Running")

    def go_on(text="two\nthree\n"):
        new = tmp_path / "new"
        new.write_text(text)
        new.rename(file)

    yield name, go_on
    if not file.exists():
        go_on()
    core.ended(name)


def test_one_run_is_followed_to_its_end(core, holding):
    name, go_on = holding
    seen = []
    for kind, data, _ in core.events(f"/runs/{name}/events"):
        seen.append((kind, data["state"]))
        if len(seen) == 1:
            go_on()
        if kind == "run" and data["state"] == "Succeeded":
            assert [task["state"] for task in data["tasks"]] == ["Succeeded", "Succeeded"]
    assert seen[0] == ("run", "Running")
    assert seen[-2:] == [("run", "Succeeded"), ("end", "Succeeded")]


def test_the_changes_of_all_runs_and_those_missed_meanwhile(alone):
    stream = alone.events("/runs/events")
    found, numbers = [], []
    started = threading.Timer(0.2, lambda: alone.start(name="seen"))
    started.start()
    for kind, run, number in stream:
        found.append((kind, run["name"], run["state"]))
        numbers.append(number)
        if run["state"] == "Succeeded":
            break
    stream.close()
    started.join()
    assert {state for _, _, state in found} <= {
        "Pending",
        "Running",
        "Succeeded",
    }  # so short a run may be seen at its end
    assert numbers == sorted(numbers, key=int) and len(set(numbers)) == len(numbers)
    assert alone.ask("DELETE", "/runs/seen").status_code == 204
    again = alone.events("/runs/events", {"Last-Event-ID": numbers[-1]})
    assert next(again)[0] == "deleted"
    again.close()
    alone.start(name="later")
    alone.ended("later")
    missed = alone.events("/runs/events", {"Last-Event-ID": numbers[0]})
    assert {next(missed)[:1] for _ in range(2)} == {("deleted",), ("changed",)}
    missed.close()


def test_numbers_hold_after_a_restart(tmp_path, small_catalog):
    from tests.core_api import serving

    with serving(tmp_path / "home", small_catalog) as core:
        stream = core.events("/runs/events")
        threading.Timer(0.2, lambda: core.start(name="first")).start()
        number = next(stream)[2]
        stream.close()
        core.ended("first")
    with serving(tmp_path / "home", small_catalog) as core:
        stream = core.events("/runs/events", {"Last-Event-ID": number})
        kind, run, _ = next(stream)
        assert (kind, run["name"], run["state"]) == ("changed", "first", "Succeeded")
        stream.close()


def test_a_number_of_nobody_is_none(core):
    stream = core.events("/runs/events", {"Last-Event-ID": "nonsense"})
    core.start(name="nobody")
    assert next(stream)[0] == "changed"
    stream.close()
    core.ended("nobody")


def test_logs_are_seen_while_they_are_written(core, holding):
    name, go_on = holding
    url, query = f"{core.url}/api/v1/runs/{name}/logs", {"follow": "true"}
    with requests.get(url, params=query, stream=True, timeout=NEVER_S) as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert [next(lines) for _ in range(4)] == ["[first : s]", "one", "[wait : s]", "begin"]
        go_on("two\nthree without an end")
        assert list(lines) == ["two", "three without an end"]
    events = list(core.events(f"/runs/{name}/logs"))
    assert events[-1][0] == "end"
    assert events[2][1] == {"task": "wait", "step": "s", "number": 2, "text": "two"}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"task": "first"}, "[first : s]\none\n"),
        ({"task": "wait", "step": "s"}, "begin\ntwo\nthree\n"),
        ({"task": "wait", "step": "s", "tail": 1}, "three\n"),
        ({"tail": 3}, "[wait : s]\nbegin\ntwo\nthree\n"),
        ({"tail": 0}, ""),
        ({"task": "absent"}, ""),
        ({"step": "absent"}, ""),
    ],
)
def test_parts_of_the_logs(core, finished, query, text):
    answer = core.ask("GET", f"/runs/{finished}/logs", params=query)
    assert (answer.text, answer.headers["content-type"]) == (text, "text/plain; charset=utf-8")


@pytest.fixture(scope="session")
def finished(core, tmp_path_factory):
    file = tmp_path_factory.mktemp("finished") / "file"
    file.write_text("two\nthree\n")
    core.start("hold", name="finished", params={"file": str(file)})
    assert core.ended("finished")["state"] == "Succeeded"
    return "finished"


def test_fifty_follow_the_logs_of_one_run(core, holding):
    name, go_on = holding
    ready = threading.Barrier(51)

    def follow(_):
        url, text = f"{core.url}/api/v1/runs/{name}/logs", []
        with requests.get(url, params={"follow": "true"}, stream=True, timeout=NEVER_S) as answer:
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                text.append(line)
                if line == "begin":
                    ready.wait(NEVER_S)
        return text

    with ThreadPoolExecutor(50) as pool:
        followers = [pool.submit(follow, number) for number in range(50)]
        ready.wait(NEVER_S)
        assert core.get("/runs", params={"limit": 1})["items"]
        go_on("".join(f"line {number}\n" for number in range(1000)))
        found = [one.result(NEVER_S) for one in followers]
    assert all(text == found[0] for text in found)
    assert len(found[0]) == 4 + 1000 and found[0][-1] == "line 999"


def test_a_reader_takes_up_what_grows_and_starts_again_with_a_new_file(tmp_path):
    log = tmp_path / "logs" / "task" / "step.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"one\r\nt\xffwo\nthr")
    reader = Reader(RunFolder(tmp_path), None, None)
    assert [(line.number, line.text) for line in reader.more(whole=False)] == [(1, "one"), (2, "t\ufffdwo")]
    with log.open("ab") as file:
        file.write(b"ee\n")
    assert [(line.number, line.text) for line in reader.more(whole=False)] == [(3, "three")]
    assert reader.more(whole=False) == []
    log.unlink()
    log.with_name("other").write_bytes(b"")
    log.write_bytes(b"new\n")
    assert [(line.number, line.text) for line in reader.more(whole=False)] == [(1, "new")]


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path):
    log = tmp_path / "logs" / "task" / "step.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * (5 * LONGEST) + b"\ny")
    reader = Reader(RunFolder(tmp_path), "task", "step")
    lines = []
    while found := reader.more(whole=True):
        lines += found
    assert "".join(line.text for line in lines) == "x" * (5 * LONGEST) + "y"
    assert max(len(line.text) for line in lines) <= LONGEST
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    again = Reader(RunFolder(tmp_path), "task", "step")
    assert len(last(again, 2)) == 2
    assert LogQuery().follow is False
