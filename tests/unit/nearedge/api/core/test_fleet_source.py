"""Where releases are known from: the newest local run, options, a source that hangs; what is kept is bounded."""

import json
import threading
import time

import anyio
import pytest

from nearedge.api.core import pulls, remembered
from nearedge.api.core.fleet_source import newest_local
from nearedge.api.core.remembered import Remembered
from nearedge.api.kept import Got, Kept, timestamp
from nearedge.api.problems import ProblemError
from nearedge.delivery.gitops.timeline import Desired, Timeline, of_text
from nearedge.errors import InputError, UsageError
from nearedge.release import record as records
from nearedge.release.sections import Layer, SiteTransfer
from scripts import api, api_fleet
from tests.gitops_repository import release


def run(root, name, **request) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / ".lock").touch()
    (folder / "run.json").write_text("{}")
    (folder / "request.json").write_text(json.dumps(request))


def test_the_newest_run_that_published(tmp_path) -> None:
    root = tmp_path / "runs"
    with pytest.raises(InputError, match="run model-to-edge"):
        newest_local(root)
    (tmp_path / "work" / "gitops.git").mkdir(parents=True)
    (tmp_path / "work" / "gitops.git" / "HEAD").touch()
    run(root, "one", params={}, workspaces={"release": str(tmp_path / "work")})
    assert newest_local(root) == str(tmp_path / "work" / "gitops.git")
    run(root, "two", params={"git-url": "https://git.example.com/x.git"}, workspaces={})
    run(root, "three", params={"git-url": f"file://{tmp_path}/gone.git"}, workspaces={"release": "emptyDir"})
    (root / "four").mkdir()
    assert newest_local(root) == "https://git.example.com/x.git"
    (root / "three" / "volumes" / "release" / "gitops.git").mkdir(parents=True)
    (root / "three" / "volumes" / "release" / "gitops.git" / "HEAD").touch()
    assert newest_local(root).endswith("three/volumes/release/gitops.git")


def test_options(tmp_path) -> None:
    given = ["core", "--git-url=https://git.example.com/x.git", "--prometheus=http://p:9090", f"--ca-bundle={tmp_path}"]
    found = api_fleet.settings(api.parser().parse_args([*given, "--check-image=true"]), tmp_path)
    assert (found.url, found.branch, found.prometheus.url) == ("https://git.example.com/x.git", "main", "http://p:9090")
    assert found.prometheus.ca_bundle == tmp_path / "ca-bundle.crt" and found.access.ca_bundle == tmp_path
    own = api_fleet.settings(api.parser().parse_args([*given, f"--prometheus-ca={tmp_path}/own.crt"]), tmp_path)
    assert own.prometheus.ca_bundle == tmp_path / "own.crt"
    with pytest.raises(InputError, match="which no registry holds"):
        found.new_check()(type("R", (), {"record": release("a", url="oci:image:x")})(), "edge-1")
    with pytest.raises(UsageError, match="author-name"):
        api_fleet.settings(api.parser().parse_args(["core", "--author-name= "]), tmp_path)


def test_a_source_that_hangs_holds_nobody_up_and_is_asked_once() -> None:
    asked, free = [], threading.Event()

    def get(before):
        asked.append(before)
        free.wait(30)
        return Got(len(asked), time.time())

    kept = Kept(get, every_s=60, wait_s=0.2)

    async def all_of() -> list:
        first = [await kept.now() for _ in range(3)]
        free.set()
        while kept.under_way is not None:
            await anyio.sleep(0.01)
        return [*first, await kept.now()]

    found = anyio.run(all_of)
    assert [(one.value, one.stale) for one in found] == [(None, True)] * 3 + [(1, False)]
    assert "no answer yet" in found[0].problem and asked == [None]
    kept.expire()
    assert anyio.run(kept.now).value == 2


def test_a_fault_of_ours_does_not_end_a_source(monkeypatch) -> None:
    told, outcomes = [], [ValueError("no"), OSError("disk"), Got("x", time.time())]
    monkeypatch.setattr(threading, "excepthook", told.append)

    def get(_):
        found = outcomes.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    kept = Kept(get, every_s=0, wait_s=5)
    found = []
    for _ in range(3):
        kept.expire()
        found.append(anyio.run(kept.now))
    assert found[0].problem.startswith("ValueError") and len(told) == 1
    assert (found[1].problem, found[2].value, found[2].stale) == ("disk", "x", False)


def test_answers_are_kept_within_bounds(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 3)
    kept = Remembered(tmp_path)
    for number in range(6):
        kept.keep("ada", str(number), "request", f"answer {number}")
    assert len(list(tmp_path.glob("*.json"))) == 3
    assert (kept.find("ada", "5", "request"), kept.find("bob", "5", "request")) == ("answer 5", None)
    with pytest.raises(ProblemError, match="another request"):
        kept.find("ada", "5", "other")


def test_what_a_site_pulls() -> None:
    def layers(*names):
        return [Layer(digest=f"sha256:{name * 64}", size_bytes=1000 * int(name), title="") for name in names]

    here = release("a", layers=layers("1", "2"), size_bytes=3100)
    known = of_text("0" * 40, records.dump(here))
    there = Timeline(
        "", {"digits": {known.digest: known}}, {}, {("edge-1", "digits"): Desired("base", known.digest, "c", 1)}
    )
    new = release("b", layers=layers("1", "3"), size_bytes=4100)
    assert pulls.to_pull(there, "edge-1", new) == (3100, True)
    assert pulls.to_pull(there, "edge-2", new) == (4100, True)
    assert pulls.to_pull(there, "edge-1", here) == (0, False)
    transfer = SiteTransfer(
        site="edge-1", bytes=77, partial_bytes=77, whole_bytes=3100, link_mbit_s=8, against=[known.digest]
    )
    assert pulls.to_pull(there, "edge-1", release("b", layers=layers("1", "3"), sites=[transfer])) == (77, False)
    assert pulls.to_pull(there, "edge-2", release("b", layers=[], sites=[transfer], size_bytes=5)) == (5, True)


@pytest.mark.parametrize(("seconds", "text"), [(0, "1970-01-01T00:00:00+00:00"), (1e18, "9999-12-31T23:59:59+00:00")])
def test_times_that_no_calendar_has(seconds, text) -> None:
    assert timestamp(seconds) == text
