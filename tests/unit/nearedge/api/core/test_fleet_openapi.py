"""Releases, sites and the fleet do as the core's OpenAPI document says, by schemathesis, on a real repository."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from nearedge.api.audit import Audit
from nearedge.api.core.fleet_source import FleetSettings, FleetSource
from tests import openapi
from tests.fleet import BEARER, Place, app
from tests.served import served

DOCUMENT = Path(__file__).parents[5] / "docs" / "openapi" / "core.json"
OURS = ("/api/v1/models", "/api/v1/sites", "/api/v1/fleet")
UNFIT = ["2xx", "304", "400", "404", "409", "412", "422"]
"""What is valid in form need not fit this server."""
KNOWN = {
    "name": ["digits", "absent"], "site": ["edge-1", "edge-9"], "id": ["a" * 12, "0" * 12], "a": ["1.a", "9"],
    "b": ["b" * 12, "9"], "model": ["digits", "absent"],
}  # fmt: skip
RELEASES = {"enum": ["a" * 12, "1.b", "previous", "absent"]}
SEEN = openapi.Seen()


def api():
    """Our part of the document, in which names are some that there are and some that there are not."""
    document = json.loads(DOCUMENT.read_text())
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith(OURS)}
    for _, parameter in openapi.parameters(document):
        if parameter["in"] != "header" and parameter["name"] in KNOWN:
            parameter["schema"] = {"enum": KNOWN[parameter["name"]]}
    schemas = document["components"]["schemas"]
    schemas["Promote"]["properties"]["release"] = RELEASES
    schemas["Rollback"]["properties"]["to"] = RELEASES
    for name in ("Promote", "Rollback"):
        schemas[name]["properties"]["sites"]["items"] = {"enum": KNOWN["site"]}
    return openapi.judged(document, UNFIT, examples=5, narrowed=True)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The routes served over HTTP: a session, and the address."""
    place = Place(tmp_path_factory.mktemp("place"))
    place.put("a", "edge-1", "edge-2")
    place.put("b", "edge-1")
    source = FleetSource(FleetSettings(state=place.folder / "state", url=place.target.url, git_every_s=5))
    with served(app(source, Audit(place.log))) as url, requests.Session() as session:
        session.headers.update(BEARER)
        yield SimpleNamespace(url=url, session=session)


API = api()
globals().update(openapi.tests(API, "the_api", SEEN))


def test_the_document_is_of_ten_operations() -> None:
    assert sum(len(item) for item in json.loads(DOCUMENT.read_text())["paths"].values()) > 10
    assert len(list(API.get_all_operations())) == 10
