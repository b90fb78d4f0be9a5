"""Releases, sites and the fleet do as the core's OpenAPI document says, by schemathesis, on a real repository."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import requests
import schemathesis
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.config._checks import NegativeDataRejectionConfig

from nearedge.api.audit import Audit
from nearedge.api.core.fleet_source import FleetSettings, FleetSource
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
SEEN: Counter[tuple[str, int]] = Counter()


def api():
    """Our part of the document, in which names are some that there are and some that there are not."""
    document = json.loads(DOCUMENT.read_text())
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith(OURS)}
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] != "header" and parameter["name"] in KNOWN:
                    parameter["schema"] = {"enum": KNOWN[parameter["name"]]}
    schemas = document["components"]["schemas"]
    schemas["Promote"]["properties"]["release"] = RELEASES
    schemas["Rollback"]["properties"]["to"] = RELEASES
    for name in ("Promote", "Rollback"):
        schemas[name]["properties"]["sites"]["items"] = {"enum": KNOWN["site"]}
    project = ProjectConfig(
        generation=GenerationConfig(max_examples=5, deterministic=True),
        checks=ChecksConfig(
            positive_data_acceptance=PositiveDataAcceptanceConfig(expected_statuses=UNFIT),
            negative_data_rejection=NegativeDataRejectionConfig(expected_statuses=UNFIT),  # KNOWN is less than fits
        ),
    )
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig(projects=ProjectsConfig(default=project)))


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The routes served over HTTP: a session, and the address."""
    place = Place(tmp_path_factory.mktemp("place"))
    place.put("a", "edge-1", "edge-2")
    place.put("b", "edge-1")
    source = FleetSource(FleetSettings(state=place.folder / "state", url=place.target.url, git_every_s=5))
    with served(app(source, Audit(place.log))) as url, requests.Session() as session:
        session.headers.update(BEARER)
        yield session, url


def asking(method, path):
    """A test of one operation."""

    @api().include(method=method, path=path).parametrize()
    def test(case, asked) -> None:
        session, url = asked
        answer = case.call_and_validate(base_url=url, session=session)
        assert answer.status_code < 500
        SEEN[case.operation.label, answer.status_code] += 1

    return test


for operation in [found.ok() for found in api().get_all_operations()]:
    words = re.sub(r"\W+", "_", f"{operation.method} {operation.path}").strip("_").lower()
    globals()[f"test_the_api_does_what_the_document_says_of_{words}"] = asking(operation.method, operation.path)


def test_the_document_is_of_ten_operations() -> None:
    assert sum(len(item) for item in json.loads(DOCUMENT.read_text())["paths"].values()) > 10
    assert len(list(api().get_all_operations())) == 10
