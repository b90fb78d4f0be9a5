"""The OpenAPI document: that it is one, and that the real server does what it says, by schemathesis."""

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

from serving_image import openapi
from serving_image.app import SERVER_PATHS

ROOT = Path(__file__).parents[3]
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}
UNFIT = ["2xx", "400", "404", "408", "413", "415"]
"""What is valid for some model need not fit this one; which sizes go together no schema says."""

SEEN: Counter[tuple[str, int]] = Counter()
"""Answers by operation and status."""


def api():
    """The document, in which the models' names are those that the server has and one that it has not."""
    document = json.loads(openapi.text())
    for path, item in document["paths"].items():
        for parameter in item.get("parameters", []):
            known = ["digits", "mixed", "absent"] if parameter["name"] == "model_name" else ["1", "7"]
            parameter["schema"] = {"enum": known}
        if path.endswith("/infer"):
            content = item["post"]["requestBody"]["content"]["application/json"]
            content["example"] = {"inputs": [IMAGE], "outputs": [{"name": "logits"}]}
    project = ProjectConfig(
        generation=GenerationConfig(max_examples=12, deterministic=True),
        checks=ChecksConfig(positive_data_acceptance=PositiveDataAcceptanceConfig(expected_statuses=UNFIT)),
        request_timeout=20,
    )
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(document, config=config)


def asking(method: str, path: str):
    """A test of one operation. schemathesis gives the tests of one function one name, of which xdist runs one."""

    @api().include(method=method, path=path).parametrize()
    def test(case, server) -> None:
        answer = case.call_and_validate(base_url=server.url(""), session=server.session)
        SEEN[case.operation.label, answer.status_code] += 1

    return test


for operation in [found.ok() for found in api().get_all_operations()]:
    words = re.sub(r"\W+", "_", f"{operation.method} {operation.path}").strip("_").lower()
    globals()[f"test_the_server_does_what_the_document_says_of_{words}"] = asking(operation.method, operation.path)


def test_it_was_asked_well_and_badly() -> None:
    infer = "POST /v2/models/{model_name}/infer"
    assert all(SEEN[infer, status] for status in (200, 400, 404, 415)), SEEN
    assert all(
        SEEN[f"GET /v2/models/{{model_name}}{action}", 200] for action in ("", "/ready", "/release", "/self-test")
    )
    assert SEEN["GET /v2/health/ready", 405] and sum(SEEN.values()) > 300


def test_it_is_served_and_checked_in(server) -> None:
    answer = server.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads((ROOT / "docs/openapi/serving.json").read_text())


def test_it_speaks_of_every_path(server) -> None:
    assert {path for path in SERVER_PATHS if path != "/v2/"} <= set(server.get("/openapi.json").json()["paths"])
