"""What a run made: its release record and report; a hostile report, and whose workspace another run took."""

import json
import os

import pytest

from tests.core_api import serving
from tests.unit.nearedge.api.core.test_lists import fabricate, moment

HOSTILE = "<h1><script>alert(1)</script></h1>"


@pytest.fixture
def released(tmp_path, digits_release, small_catalog):
    """A server with a run whose workspace `release` holds what convert-model left, and a report."""
    import shutil

    place = shutil.copytree(digits_release, tmp_path / "release")
    (place / "report").mkdir()
    (place / "report" / "report.html").write_text(HOSTILE)
    (place / "report" / "report.md").write_text("# fine")
    (place / "report" / "latency.png").write_bytes(b"\x89PNG")
    (place / "report" / "notes.txt").write_text("another kind")
    (place / "report" / "secret.md").symlink_to("/etc/passwd")
    (place / "report" / "folder.md").mkdir()
    home = tmp_path / "home"
    folder = fabricate(home / "runs", "made", started=moment(10**9))
    (folder / "request.json").write_text(json.dumps({"workspaces": {"release": str(place)}}))
    fabricate(home / "runs", "bare", started=moment(1))
    with serving(home, small_catalog) as core:
        yield core, place, folder


def test_the_files_of_a_report(released):
    core = released[0]
    files = core.get("/runs/made/report")["files"]
    assert [one["name"] for one in files] == ["folder.md", "latency.png", "report.html", "report.md"]
    for file, kind in (("report.html", "text/html; charset=utf-8"), ("latency.png", "image/png")):
        answer = core.ask("GET", f"/runs/made/report/{file}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert core.session.get(core.url + files[1]["href"], timeout=30).content == b"\x89PNG"


def test_no_script_of_a_report_runs(released):
    answer = released[0].ask("GET", "/runs/made/report/report.html")
    assert answer.text == HOSTILE
    policy = answer.headers["content-security-policy"].split("; ")
    assert "sandbox" in policy and "default-src 'none'" in policy
    assert not any(part.startswith("script-src") or "allow-scripts" in part for part in policy)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("file", "status"),
    [
        ("secret.md", 404), ("folder.md", 404), ("absent.html", 404), ("notes.txt", 422), ("..%2f..%2frelease.md", 404),
        ("%2e%2e%2fsource%2fmodel.md", 404), (".hidden.md", 422), ("report.html%00.md", 422),
    ],
)  # fmt: skip
def test_nothing_else_is_given_out(released, file, status):
    answer = released[0].ask("GET", f"/runs/made/report/{file}")
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_a_record_comes_when_the_run_is_that_far(released):
    core, place, _ = released
    answer = core.ask("GET", "/runs/made/record")
    assert (answer.status_code, "has no release record yet" in answer.json()["detail"]) == (404, True)
    for path in ("record", "report"):
        answer = core.ask("GET", f"/runs/bare/{path}")
        assert (answer.status_code, "has no workspace release" in answer.json()["detail"]) == (404, True)
    for path in (place / "report").iterdir():
        if not path.is_dir():
            path.unlink()
    (place / "report" / "folder.md").rmdir()
    assert "benchmark-model writes it" in core.ask("GET", "/runs/made/report").json()["detail"]


def test_what_a_later_run_made_is_not_shown_as_this_ones(released):
    core, place, folder = released
    document = json.loads((folder / "run.json").read_text())
    document["status"]["completionTime"] = moment(0)
    (folder / "run.json").write_text(json.dumps(document))
    os.utime(folder)
    answer = core.ask("GET", "/runs/made/report")
    assert (answer.status_code, "what a later run made" in answer.json()["detail"]) == (404, True)
    document["status"]["results"] = [{"name": "IMAGE_DIGEST", "value": "sha256:aa"}]
    (folder / "run.json").write_text(json.dumps(document))
    os.utime(folder)
    (place / "release" / "image.json").write_text('{"digest": "sha256:bb"}')
    assert core.ask("GET", "/runs/made/report").status_code == 404
    (place / "release" / "image.json").write_text('{"digest": "sha256:aa"}')
    assert core.ask("GET", "/runs/made/report").status_code == 200
