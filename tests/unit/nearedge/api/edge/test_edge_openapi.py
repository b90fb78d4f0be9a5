"""The edge's OpenAPI document: that it is one, and that the API does what it says, by schemathesis."""

import json
import re
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)

ROOT = Path(__file__).parents[5]
DOCUMENT = ROOT / "docs" / "openapi" / "edge.json"
UNFIT = ["2xx", "304", "400", "404", "409", "422"]
"""What is valid in form need not fit this site: which models, releases and cursors there are no schema says."""
ENDLESS = ("/api/v1/models/{name}/logs/follow",)
"""Streams that end with the client only; test_models.py reads them."""

SEEN: Counter[tuple[str, int]] = Counter()
"""Answers by operation and status."""


def api():
    """The document, in which the models' names are one that the site has and one that it has not."""
    document = json.loads(DOCUMENT.read_text())
    document["paths"] = {path: item for path, item in document["paths"].items() if path not in ENDLESS}
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    parameter["schema"] = {"enum": ["digits", "absent"]}
    project = ProjectConfig(
        generation=GenerationConfig(max_examples=8, deterministic=True),
        checks=ChecksConfig(positive_data_acceptance=PositiveDataAcceptanceConfig(expected_statuses=UNFIT)),
        request_timeout=20,
    )
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig(projects=ProjectsConfig(default=project)))


def asking(method: str, path: str):
    """A test of one operation."""

    @api().include(method=method, path=path).parametrize()
    def test(case, asked) -> None:
        answer = case.call_and_validate(base_url=asked.url, session=asked.session)
        SEEN[case.operation.label, answer.status_code] += 1

    return test


for operation in [found.ok() for found in api().get_all_operations()]:
    words = re.sub(r"\W+", "_", f"{operation.method} {operation.path}").strip("_").lower()
    globals()[f"test_the_api_does_what_the_document_says_of_{words}"] = asking(operation.method, operation.path)


def test_it_was_asked_well_and_badly() -> None:
    assert all(SEEN["GET /api/v1/models/{name}/availability", status] for status in (200, 404, 422)), SEEN
    assert SEEN["POST /api/v1/models/{name}/rollback", 422] and SEEN["GET /api/v1/models/{name}/logs", 200]
    assert not [key for key in SEEN if key[1] >= 500], SEEN


def test_it_is_served_and_checked_in(asked) -> None:
    answer = asked.session.get(f"{asked.url}/openapi.json", timeout=10)
    assert answer.json() == json.loads(DOCUMENT.read_text())
