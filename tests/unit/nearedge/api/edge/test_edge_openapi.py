"""The edge's OpenAPI document: that it is one, and that the API does what it says, by schemathesis."""

import json
from pathlib import Path

from tests import openapi

ROOT = Path(__file__).parents[5]
DOCUMENT = ROOT / "docs" / "openapi" / "edge.json"
UNFIT = ["2xx", "304", "400", "404", "409", "422"]
"""What is valid in form need not fit this site: which models, releases and cursors there are no schema says."""
ENDLESS = ("/api/v1/models/{name}/logs/follow",)
"""Streams that end with the client only; test_models.py reads them."""

SEEN = openapi.Seen()


def api(examples: int = 8):
    """The document, in which the models' names are one that the site has and one that it has not."""
    document = json.loads(DOCUMENT.read_text())
    document["paths"] = {path: item for path, item in document["paths"].items() if path not in ENDLESS}
    for _, parameter in openapi.parameters(document):
        if parameter["in"] == "path":
            parameter["schema"] = {"enum": ["digits", "absent"]}
    return openapi.judged(document, UNFIT, examples)


globals().update(openapi.tests(api(), "the_api", SEEN))


def test_it_was_asked_well_and_badly() -> None:
    assert all(SEEN["GET /api/v1/models/{name}/availability", status] for status in (200, 404, 422)), SEEN
    assert SEEN["POST /api/v1/models/{name}/rollback", 422] and SEEN["GET /api/v1/models/{name}/logs", 200]
    assert not [key for key in SEEN if key[1] >= 500], SEEN


def test_it_is_served_and_checked_in(asked) -> None:
    answer = asked.session.get(f"{asked.url}/openapi.json", timeout=10)
    assert answer.json() == json.loads(DOCUMENT.read_text())
