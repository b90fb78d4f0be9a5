"""The OpenAPI document as clients are to read it: errors are problem+json and nothing else, tokens are named."""

import json
from typing import Any

from fastapi import FastAPI

from nearedge.api.models import Problem
from nearedge.api.problems import MEDIA_TYPE

NAME = "Problem"


def install(app: FastAPI) -> None:
    """Let the application give out the document as `mended` makes it."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = mended(made())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document


def mended(document: dict[str, Any]) -> dict[str, Any]:
    """The document with each error under the media type that it has."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas[NAME] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for item in document["paths"].values():
        for operation in item.values():
            for answer in operation["responses"].values():
                if MEDIA_TYPE in answer.get("content", {}):
                    answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{NAME}"}}}
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"bearer": []}]
    return document


def text(app: FastAPI) -> str:
    """The document as it is checked in."""
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"
