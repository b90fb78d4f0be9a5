"""Each page as HTML: whole, escaped, readable without JavaScript."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from nearedge.api.access import Access
from nearedge.api.core.fleet_source import FleetSettings, FleetSource
from nearedge.api.core.models import LogLine
from nearedge.api.core.web.assets import Assets
from nearedge.release import record as records
from tests import core_web
from tests.unit.nearedge.api.core.web.conftest import EVIL, Checker, Pages, checked, declared, run_of

RECORD = records.read(core_web.RECORD)


def test_no_runs_yet(pages):
    answer = pages.get("/")
    checked(answer)
    assert "Nothing has run here yet." in answer.text


def test_runs_are_listed_filtered_and_paged(pages, engine):
    engine.add(*(run_of(f"r-{i:03}", "Failed" if i % 2 else "Succeeded", f"2026-11-23T10:{i % 60:02}:{i // 60:02}Z")
                 for i in range(120)))  # fmt: skip
    engine.add(run_of("waits", "Pending", None), run_of("other", pipeline="else", labels={"team": "vision"}))
    first = pages.get("/")
    page = checked(first)
    assert "122 runs" in first.text
    assert first.text.index("/runs/waits") < first.text.index("/runs/r-")
    assert page.of("div", **{"data-live": "/live?"})
    seen = re.findall(r'href="/runs/([\w-]+)"', first.text)
    nexts = page.of("a", rel="next")
    while nexts:
        answer = pages.get(nexts[0]["href"])
        page = checked(answer)
        seen += re.findall(r'href="/runs/([\w-]+)"', answer.text)
        nexts = page.of("a", rel="next")
        assert "Newest" in answer.text
    assert len(seen) == len(set(seen)) == 122
    assert "60 runs" in pages.get("/?state=Failed").text
    assert "1 run," in pages.get("/?words=VISION+other").text
    assert "1 run," in pages.get("/?pipeline=else").text
    assert "No run is like that." in pages.get("/?words=nowhere").text
    assert "is no cursor of ours" in pages.get("/?after=%C3%A4", 400).text


def test_a_run_that_goes_on(pages, engine):
    engine.add(run_of("now", "Running"))
    engine.lines = [LogLine(task="one", step="s", number=1, text="\x1b[31mred\x1b[0m")]
    answer = pages.get("/runs/now")
    page = checked(answer)
    assert page.of("div", **{"data-live": "/runs/now/live"})
    assert [one["data-log"] for one in page.of("div") if "data-log" in one] == ["/runs/now/log/live?task=&tail=300"]
    assert page.of("p", role="status")
    assert "Running: 0 of 1 Tasks done; one running" in answer.text
    assert '<span class="text">red</span>' in answer.text
    assert "/runs/now/confirm/cancel" in answer.text
    assert "confirm/delete" not in answer.text
    assert page.of("noscript")


def test_a_run_that_failed(pages, engine):
    task = run_of("x", "Failed").tasks[0].model_copy(update={"message": "step s exited with 3"})
    engine.add(run_of("bad", "Failed", message="Tasks Completed: 1", tasks=[task]))
    answer = pages.get("/runs/bad?task=one&tail=1000")
    page = checked(answer)
    assert page.of("details", id="task-one") == [{"id": "task-one", "open": None}]
    assert "step s exited with 3" in answer.text
    assert {"/runs/bad/confirm/retry", "/runs/bad/confirm/delete", "/start/greet?like=bad"} <= {
        one["href"] for one in page.of("a")
    }
    assert ("logs", "one", "1000", "False") in engine.asked
    assert "data-live" not in answer.text
    pages.get("/runs/bad?tail=99999", 422)


def test_report_and_record_of_a_run(pages, engine):
    engine.add(run_of("made"))
    engine.recorded = RECORD
    engine.reports = {"latency.png": b"png", "report.html": b"<h1>Report</h1>"}
    page = checked(pages.get("/runs/made"))
    assert page.of("a", href="/runs/made/report/report.html")
    assert page.of("a", href="/runs/made/record")
    report = pages.get("/runs/made/report/report.html")
    assert report.content == b"<h1>Report</h1>"
    assert report.headers["content-security-policy"].startswith("sandbox;")
    assert report.headers.get_list("x-frame-options") == ["DENY"]
    assert pages.get("/runs/made/report/latency.png").headers["content-type"] == "image/png"
    pages.get("/runs/made/report/none.html", 404)
    pages.get("/runs/made/report/..%2Fsecret.html", 404)
    record = pages.get("/runs/made/record")
    checked(record)
    assert "accuracy" in record.text
    assert "/runs/made/report/report.html" in record.text


def test_catalog(pages, engine):
    engine.catalog.append(declared(kind="Task", name="one", tasks=[]))
    listed = pages.get("/catalog")
    checked(listed)
    assert "/start/greet" in listed.text
    pipeline = pages.get("/catalog/pipeline/greet")
    checked(pipeline)
    assert "/catalog/task/one" in pipeline.text
    checked(pages.get("/catalog/task/one"))
    assert "not in the catalog" in pages.get("/catalog/task/none", 404).text


def test_what_is_not_there_is_a_page(pages):
    answer = pages.get("/runs/none", 404)
    checked(answer)
    assert "run none: there is none" in answer.text


def test_hostile_text_stays_text(pages, engine):
    param = declared().params[0].model_copy(update={"name": EVIL, "description": EVIL})
    engine.catalog = [declared(description=EVIL, title=EVIL, params=[param])]
    task = run_of("x", "Failed").tasks[0].model_copy(update={"name": EVIL, "message": EVIL, "results": {EVIL: [EVIL]}})
    engine.add(run_of("evil", "Failed", message=EVIL, labels={EVIL: EVIL}, params={EVIL: {EVIL: EVIL}},
                      results={EVIL: EVIL}, tasks=[task]))  # fmt: skip
    engine.lines = [LogLine(task=EVIL, step=EVIL, number=1, text=EVIL)]
    for path in ("/", "/runs/evil", "/start/greet", "/start/greet?like=evil", "/catalog", "/catalog/pipeline/greet",
                 f"/?words={EVIL}", "/runs/evil/confirm/delete"):  # fmt: skip
        answer = pages.get(path)
        found = Checker(answer.text)
        assert found.faults == [], path
        assert "<script>alert" not in answer.text, path
        assert len(found.of("script")) == 1, path
    missing = pages.get("/runs/%3Cscript%3E", 404).text
    assert "&lt;script&gt;" in missing
    assert "<script>" not in missing


def test_without_git(pages):
    for path in ("/models", "/fleet"):
        answer = pages.get(path)
        checked(answer)
        assert "No GitOps repository is configured." in answer.text
    pages.get("/models/digits", 404)


def test_git_that_is_not_there(engine, tmp_path):
    source = FleetSource(FleetSettings(tmp_path / "state", str(tmp_path / "none.git")))
    answer = Pages(core_web.application(engine, Access(), source)[1]).get("/fleet")
    checked(answer)
    assert "Nothing is known from git yet." in answer.text


def test_releases(with_git):
    pages, _ = with_git()
    assert "/models/digits" in pages.get("/models").text
    checked(pages.get("/models"))
    model = pages.get("/models/digits")
    page = checked(model)
    assert [one["value"] for one in page.of("input", type="radio", checked=None)] == ["b" * 12, "a" * 12]
    release = pages.get("/models/digits/releases/2")
    checked(release)
    assert f"sha256:{'b' * 64}" in release.text
    assert "3.2 ms" in release.text
    whole = re.search(r'<pre class="json"[^>]*>(.*?)</pre>', release.text, re.DOTALL)[1]
    assert json.loads(whole.replace("&#34;", '"'))["identity"]["version"] == "2"
    pages.get("/models/digits/releases/9", 404)
    pages.get("/models/none", 404)


def test_two_releases_side_by_side(with_git):
    pages, _ = with_git()
    answer = pages.get(f"/models/digits/compare?a={'a' * 12}&b={'b' * 12}")
    checked(answer)
    row = re.search(r"<th scope=\"row\">deployed p99</th>(.*?)</tr>", answer.text, re.DOTALL)[1]
    assert row.index("4 ms") < row.index("3.2 ms") < row.index("</span> better")
    assert "differs" in answer.text
    assert pages.get("/models/digits/compare?a=1", 303).headers["location"] == "/models/digits"
    pages.get("/models/digits/compare?a=1&b=9", 404)


def test_fleet(with_git):
    pages, source = with_git()
    answer = pages.get("/fleet")
    checked(answer)
    for text in ("edge-1", "edge-2", "differs", "as desired", "not ready", "97 %", "99.95 %", "21 ms", "4.3 ms"):
        assert text in answer.text
    assert "edge-2" not in pages.get("/fleet?site=edge-1").text
    assert "edge-1" not in pages.get("/fleet?differs=no").text
    assert "Nothing in the fleet is like that." in pages.get("/fleet?model=none").text
    source.health = dataclasses.replace(source.health, stale=True, problem="does not answer")
    stale = pages.get("/fleet")
    assert "Prometheus: does not answer" in stale.text
    assert stale.text.count("</span>stale</span>") == 3


def test_fleet_without_prometheus(with_git):
    pages, _ = with_git(watched_by_prometheus=False)
    answer = pages.get("/fleet")
    checked(answer)
    assert "no Prometheus is configured" in answer.text
    assert "not known" in answer.text


@pytest.mark.parametrize(("name", "kind"), [("page.css", "text/css"), ("page.js", "text/javascript"),
                                            ("icon.svg", "image/svg+xml")])  # fmt: skip
def test_assets_are_kept_for_ever_by_their_hash(pages, name, kind):
    answer = pages.get(Assets().url(name))
    assert answer.headers["content-type"].startswith(kind)
    assert "immutable" in answer.headers["cache-control"]
    assert pages.get(f"/assets/{name}", 404)


def test_an_asset_that_changed_has_another_name(tmp_path: Path):
    (tmp_path / "page.css").write_text("a")
    before = Assets(tmp_path).url("page.css")
    (tmp_path / "page.css").write_text("b")
    assert Assets(tmp_path).url("page.css") != before
