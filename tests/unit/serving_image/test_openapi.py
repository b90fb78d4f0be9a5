"""The OpenAPI document: that it is one, and that the real server does what it says, by schemathesis."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from serving_image import openapi
from serving_image.app import SERVER_PATHS
from tests import openapi as documents

ROOT = Path(__file__).parents[3]
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}
UNFIT = ["2xx", "400", "404", "408", "413", "415"]
"""What is valid for some model need not fit this one; which sizes go together no schema says."""

SEEN = documents.Seen()


def api():
    """The document, in which the models' names are those that the server has and one that it has not."""
    document = json.loads(openapi.text())
    for _, parameter in documents.parameters(document):
        if parameter["in"] == "path":
            known = ["digits", "mixed", "absent"] if parameter["name"] == "model_name" else ["1", "7"]
            parameter["schema"] = {"enum": known}
    for path, item in document["paths"].items():
        if path.endswith("/infer"):
            content = item["post"]["requestBody"]["content"]["application/json"]
            content["example"] = {"inputs": [IMAGE], "outputs": [{"name": "logits"}]}
    return documents.judged(document, UNFIT, examples=12)


@pytest.fixture(scope="session")
def asked(server):
    """The shared server, as the tests of documents ask one."""
    return SimpleNamespace(url=server.url(""), session=server.session)


globals().update(documents.tests(api(), "the_server", SEEN))


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
