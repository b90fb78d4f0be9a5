"""Pages of an engine on a cluster: where it runs, what is not there yet and why, and what its RBAC refuses to whom."""

import asyncio

import pytest

from nearedge.api.core.models import LogLine
from nearedge.api.core.web import live, report_pages
from nearedge.api.core.web.live import STANDS, Picture
from nearedge.api.core.web.refusals import Lacking, lacking
from nearedge.api.problems import ProblemError, missing
from nearedge.errors import OutsideError
from tests.core_web import NEVER_S
from tests.unit.nearedge.api.core.web.conftest import MANAGE_TOKEN, checked, run_of

BY_SERVER = (
    'the cluster says: pipelineruns.tekton.dev is forbidden: User "system:serviceaccount:ci:ann" cannot list resource '
    '"pipelineruns" in API group "tekton.dev" in the namespace "ci"'
)
BY_US = "the cluster says: ann may not list pipelineruns.tekton.dev in the namespace ci"
NODES = 'nodes "a" is forbidden: User "ann" cannot get resource "nodes" in API group "" at the cluster scope'


@pytest.mark.parametrize(
    ("detail", "found"),
    [
        (BY_SERVER, Lacking("system:serviceaccount:ci:ann", "list", "pipelineruns.tekton.dev", "ci")),
        (BY_US, Lacking("ann", "list", "pipelineruns.tekton.dev", "ci")),
        (NODES, Lacking("ann", "get", "nodes", "")),
        ("ray may only read; this needs the role manage", None),
        ("the form is not from a page of this server", None),
    ],
)
def test_which_right_is_lacking(detail, found):
    assert lacking(detail) == found


def log_in(locked):
    pages = locked()
    pages.send("/login", "/login", token=MANAGE_TOKEN, next="/")
    return pages


def test_who_lacks_which_right_is_a_page(locked, engine):
    pages = log_in(locked)
    engine.denied = ProblemError(403, BY_SERVER)
    answer = pages.get("/", 403)
    checked(answer)
    for text in ("<code>system:serviceaccount:ci:ann</code>", "<code>list pipelineruns.tekton.dev</code>",
                 "namespace <code>ci</code>", "Log out"):  # fmt: skip
        assert text in answer.text


def test_a_token_that_is_good_no_more_leads_to_the_login(locked, engine):
    pages = log_in(locked)
    engine.denied = ProblemError(401, "the cluster says: Unauthorized", {"WWW-Authenticate": "Bearer"})
    where = pages.get("/?state=Failed", 303).headers["location"]
    assert where == "/login?next=%2F%3Fstate%3DFailed&over=true"
    login = pages.get(where)
    checked(login)
    assert "is not good any more" in login.text
    engine.denied = None
    assert pages.get("/", 303).headers["location"] == "/login?next=%2F", "the session is over"


def test_without_a_login_a_token_of_ours_that_is_refused_is_a_page(pages, engine):
    engine.denied = ProblemError(401, "the cluster says: Unauthorized")
    answer = pages.get("/", 401)
    checked(answer)
    assert "the cluster says: Unauthorized" in answer.text


def test_where_runs_run(pages, engine):
    engine.add(run_of("r"))
    for path in ("/", "/runs/r"):
        assert "Tekton in the namespace ci" in pages.get(path).text


def test_labels_that_a_person_gave_are_in_the_list(pages, engine):
    engine.add(run_of("r", labels={"team": "vision", "tekton.dev/pipeline": "greet", "nearedge.dev/owner": "ann"}))
    listed, whole = pages.get("/").text, pages.get("/runs/r").text
    assert "team=vision" in listed and "tekton.dev" not in listed and "nearedge.dev" not in listed
    assert "team=vision" in whole and "tekton.dev/pipeline=greet" in whole


def test_a_pod_that_waits_says_why(pages, engine):
    task = run_of("x", "Pending", None).tasks[0].model_copy(
        update={"reason": "ImagePullBackOff", "message": "Back-off pulling image core:1", "steps": []}
    )  # fmt: skip
    engine.add(run_of("r", "Running", tasks=[task], message="Tasks Completed: 0"))
    engine.add(run_of("queued", "Pending", None, message="waits for room", tasks=[]))
    answer = pages.get("/runs/r")
    page = checked(answer)
    assert page.of("details", id="task-one", open=None)
    assert "one waits: ImagePullBackOff" in answer.text
    assert "ImagePullBackOff: Back-off pulling image core:1" in answer.text and "Has not begun." not in answer.text
    assert "Tasks Completed" not in answer.text
    assert "waits for room" in pages.get("/runs/queued").text and "waits for room" in pages.get("/").text


@pytest.mark.parametrize("error", [ProblemError(403, BY_US), missing("pod r-one is gone"), OutsideError("no answer")])
def test_a_log_that_cannot_be_read_leaves_the_page(pages, engine, error):
    engine.add(run_of("r"), run_of("now", "Running"))
    engine.lines, engine.no_log = [LogLine(task="one", step="s", number=1, text="first words")], error
    for name in ("r", "now"):
        answer = pages.get(f"/runs/{name}")
        checked(answer)
        assert f"The log cannot be read: {error}" in answer.text
        assert "first words" in answer.text
    stream = pages.get("/runs/r/log/live").text
    kinds = [line for line in stream.splitlines() if line.startswith("event: ")]
    assert kinds == ["event: begin", "event: line", "event: trouble", "event: end"]
    assert str(error) in stream


def test_what_is_not_there_says_why(pages, engine):
    engine.add(run_of("r"), run_of("now", "Running"))
    text = pages.get("/runs/r").text
    assert "No report: no report" in text and "No record: no record" in text
    assert "No record" not in pages.get("/runs/now").text


def watched(engine, *found):
    """The events of a page that sees `found`, one after the other."""
    left = list(found)

    async def shown():
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    async def collected():
        return [(event.kind, event.data.get("said")) async for event in live.pictures(engine, "", "r", shown)]

    return asyncio.run(asyncio.wait_for(collected(), NEVER_S))


def test_a_watch_that_is_refused_is_said_and_ends(engine):
    engine.no_watch = ProblemError(403, BY_US)
    events = watched(engine, Picture("a", "1"), Picture("a", "1"))
    assert events[-1][0] == "end"
    assert f"{STANDS} {BY_US}" in events[-2][1]


def test_what_cannot_be_read_just_now_stays_as_it_was_seen():
    before = Picture("a", "1")
    assert live.without(before, OutsideError("away")) == Picture("a", "It cannot be read just now: away")
    assert live.without(None, missing("gone")) == Picture("", "It is not there any more", last=True)


def test_a_registry_that_does_not_answer_holds_no_page_up(pages, engine, monkeypatch):
    monkeypatch.setattr(report_pages, "PATIENCE_S", 0.01)
    asked, over = [], asyncio.Event()

    async def silent(*_):
        asked.append(1)
        await over.wait()

    engine.record = engine.report = silent
    engine.add(run_of("r"))
    answer = pages.get("/runs/r")
    checked(answer)
    assert "No report and no record: no answer within 0.01 s" in answer.text
    assert len(asked) == 2
