"""The core's OpenAPI document: that it is one, and that the API does what it says, by schemathesis."""

import json
from pathlib import Path

import pytest

from nearedge.api.problems import MEDIA_TYPE
from tests import openapi
from tests.core_api import serving

ROOT = Path(__file__).parents[5]
DOCUMENT = ROOT / "docs" / "openapi" / "core.json"
UNFIT = ["2xx", "304", "400", "404", "409", "412", "422"]
"""What is valid in form need not fit this server: which runs and params there are no schema says."""
ENDLESS = ("/api/v1/runs/events",)
"""Streams that end with the client only; test_live.py reads them."""
OURS = ("/healthz", "/readyz", "/api/v1/pipelines", "/api/v1/tasks", "/api/v1/runs")
KNOWN = {"name": ["known", "absent"], "file": ["report.html", "absent.png"]}

SEEN = openapi.Seen()


def api(examples: int = 8):
    """The document, in which names are those that the server has and one that it has not."""
    document = json.loads(DOCUMENT.read_text())
    paths = {path: item for path, item in document["paths"].items() if path.startswith(OURS) and path not in ENDLESS}
    document["paths"] = paths
    own = {"/api/v1/pipelines": "greet", "/api/v1/tasks": "say"}
    for path, parameter in openapi.parameters(document):
        if parameter["in"] == "path" and parameter["name"] in KNOWN:
            here = next((name for start, name in own.items() if path.startswith(start)), None)
            parameter["schema"] = {"enum": [here, "absent"] if here else KNOWN[parameter["name"]]}
    document["components"]["schemas"]["NewRun"]["properties"]["pipeline"] = {"enum": ["absent", "hold"]}
    return openapi.judged(document, UNFIT, examples)


@pytest.fixture(scope="session")
def asked(tmp_path_factory, small_catalog):
    """A server with a run that has ended, and one that no request of schemathesis names."""
    with serving(tmp_path_factory.mktemp("asked"), small_catalog) as core:
        for name in ("known", "still"):
            core.start(name=name)
            core.ended(name)
        yield core


globals().update(openapi.tests(api(), "the_api", SEEN))


def test_every_operation_says_what_it_refuses_and_with_what():
    document = json.loads(DOCUMENT.read_text())
    for path, item in document["paths"].items():
        if path.startswith("/api/"):
            for operation in item.values():
                assert operation["summary"] and operation["description"], path
                for status, answer in operation["responses"].items():
                    if int(status) >= 400:
                        assert list(answer["content"]) == [MEDIA_TYPE], (path, status)
    assert document["security"] == [{}, {"bearer": []}]


def test_the_server_gives_out_the_same_document(asked):
    assert asked.session.get(f"{asked.url}/openapi.json", timeout=20).json() == json.loads(DOCUMENT.read_text())


def test_what_the_client_has_already_is_a_304_and_the_document_says_so(asked):
    names, tagged = {"/api/v1/pipelines": "greet", "/api/v1/tasks": "say"}, []
    for path, item in json.loads(DOCUMENT.read_text())["paths"].items():
        if "get" not in item or not path.startswith(OURS) or path.endswith(("/events", "/logs", "/{file}")):
            continue
        name = next((name for start, name in names.items() if path.startswith(start)), "still")
        url = asked.url + path.replace("{name}", name)
        tag = asked.session.get(url, timeout=20).headers.get("etag")
        if tag:
            assert asked.session.get(url, headers={"If-None-Match": tag}, timeout=20).status_code == 304, path
            assert "304" in item["get"]["responses"], path
            tagged.append(path)
    assert len(tagged) == 4, tagged


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/api/v1/runs", "GET, POST"), ("/api/v1/runs/known", "DELETE, GET"), ("/api/v1/runs/known/cancel", "POST")],
)
def test_what_is_allowed_is_said(asked, path, allow):
    answer = asked.session.request("PATCH", f"{asked.url}{path}", timeout=20)
    assert (answer.status_code, answer.headers["allow"], answer.json()["status"]) == (405, allow, 405)
