"""The OpenAPI 3.1 document of the REST interface: one for any models, which are a parameter of its paths.

It is built when it is first asked for. `hack/generate.py` keeps a copy of it in docs/openapi.
"""

from functools import cache
from typing import Any

from serving_image import __version__
from serving_image.openapi_schemas import SCHEMAS
from serving_image.protocol_binary import HEADER
from serving_image.protocol_json import dumped

Json = dict[str, Any]

JSON = "application/json"
OCTETS = "application/octet-stream"
DESCRIPTION = """\
The Open Inference Protocol with its binary tensor data extension, for models that OpenVINO computes on a CPU.

A path asked with another method than those here is answered with 405 and `Allow`, a path that is not here with 404. Over the \
limit of connections any request is answered with 503 and `Retry-After`. What is no HTTP, or has a head over 512 KiB, is answered \
with 400, a head that does not come in time with 408, and the connection is closed. While the server ends, answers carry `Connection: close`. Answers of 4 KiB and more are compressed for \
clients that accept gzip. Every answer but that over the limit of connections carries `x-request-id`: the request's own where that has 1 to 128 printable ASCII characters."""  # noqa: E501 - Markdown has no line breaks within a paragraph


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def answer(description: str, schema: str | None, *headers: str, media: str = JSON) -> Json:
    """A response of one of SCHEMAS, or of text where `schema` is None, with the headers of those names."""
    content = {"type": "string"} if schema is None else ref("schemas", schema)
    named = {name: ref("headers", name) for name in ("x-request-id", *headers)}
    return {"description": description, "headers": named, "content": {media: {"schema": content}}}


HEADERS: Json = {
    "x-request-id": {
        "description": "The request's id, as the log has it.", "required": True,
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    },
    "Retry-After": {"description": "Seconds after which another try is worth it.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}},
    "Allow": {"required": True, "schema": {"type": "string"}},
    HEADER: {"description": "Bytes of the JSON part, where binary data follow it.", "schema": {"type": "integer"}},
}  # fmt: skip

ERRORS: dict[str, tuple[str, Json]] = {
    "400": ("Malformed", answer("Malformed, or it does not fit the model; says which tensor, and why.", "Error")),
    "401": ("Unauthorized", answer("A token is asked for; none or a wrong one came.", "Error", "WWW-Authenticate")),
    "403": ("Forbidden", answer("Not to be changed here, or not without a token.", "Error")),
    "404": ("NotFound", answer("No such model, version or path.", "Error")),
    "405": ("WrongMethod", answer("The path takes other methods.", "Error", "Allow")),
    "408": ("SlowBody", answer("The body did not come within the time for a request.", "Error")),
    "413": ("TooLarge", answer("The body, its JSON part, or what it expands to is over the limit.", "Error")),
    "415": ("WrongEncoding", answer("Content-Encoding is none of gzip, deflate and identity.", "Error")),
    "500": ("Internal", answer("A fault of the server; its log says more.", "Error")),
    "503": ("Unavailable", answer("The queue is full, or the model is not ready.", "Error", "Retry-After")),
    "504": ("TimedOut", answer("No answer within the time for a request.", "Error")),
}  # fmt: skip
"""Name and meaning of each error answer."""

MODEL: Json = {
    "name": "model_name", "in": "path", "required": True, "description": "A model of the server.",
    "schema": {"type": "string", "minLength": 1},
}  # fmt: skip
VERSION: Json = {
    "name": "model_version", "in": "path", "required": True,
    "description": "One of its versions. Without one: the latest that could be loaded.",
    "schema": {"type": "string", "minLength": 1},
}  # fmt: skip
REQUEST_ID: Json = {
    "name": "x-request-id", "in": "header", "description": "Taken over where it is printable ASCII, 128 at most.",
    "schema": {"type": "string"},
}  # fmt: skip
HEADER_LENGTH: Json = {
    "name": HEADER, "in": "header", "schema": {"type": "integer", "minimum": 0},
    "description": "Bytes of the JSON part, behind which the inputs' binary data lie. Without it all is JSON.",
}  # fmt: skip
ENCODING: Json = {
    "name": "Content-Encoding", "in": "header", "description": "How the body is compressed.",
    "schema": {"enum": ["gzip", "deflate", "identity"]},
}  # fmt: skip
EXAMPLE: Json = {
    "id": "42", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1]}],
    "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
}  # fmt: skip


def errors(*codes: str) -> Json:
    """Responses of those codes and of the codes that any path may answer with."""
    return {code: ref("responses", ERRORS[code][0]) for code in sorted({*codes, "405", "500"})}


def reading(name: str, summary: str, responses: Json, parameters: list[Json]) -> Json:
    """The path item of what is read: GET, and HEAD without a body."""
    get = {"operationId": name, "summary": summary, "parameters": [REQUEST_ID], "responses": responses}
    bare = {code: {"description": "As GET, without a body."} for code in responses}
    head = {**get, "operationId": f"{name}Head", "summary": f"{summary} HEAD: without a body.", "responses": bare}
    return {"parameters": parameters, "get": get, "head": head} if parameters else {"get": get, "head": head}


def of_server() -> Json:
    """Paths that are about no model."""
    live = answer("It runs.", "Live")
    ready = {"200": answer("Every model answers.", "Readiness"), "503": answer("Why it is not ready.", "Readiness")}
    metadata = answer("Name, version, extensions.", "ServerMetadata")
    text = answer("Prometheus' text format 0.0.4.", None, media="text/plain")
    paths = {
        "/v2": reading("serverMetadata", "The server.", {"200": metadata, **errors("401")}, []),
        "/v2/health/live": reading("serverLive", "Whether the server runs.", {"200": live, **errors()}, []),
        "/v2/health/ready": reading("serverReady", "Whether every model answers.", {**ready, **errors()}, []),
        "/v2/logging": reading(
            "logSettings", "What is logged.", {"200": answer("It.", "LogSettings"), **errors("401")}, []
        ),
        "/metrics": reading("metrics", "The metrics.", {"200": text, **errors("401")}, []),
        "/openapi.json": reading(
            "openapi", "This document.", {"200": answer("It.", "Document"), **errors("401")}, []
        ),
    }  # fmt: skip
    paths["/v2/logging"]["post"] = log_settings()
    for path in ("/v2/health/live", "/v2/health/ready"):
        for operation in paths[path].values():
            operation["security"] = []
    return paths


def log_settings() -> Json:
    """The operation that sets the log level."""
    asked = {"schema": ref("schemas", "WantedLogSettings"), "example": {"log_verbose_level": 1}}
    return {
        "operationId": "setLogSettings",
        "summary": "Log more, or less, until the server ends; a level implies those above it.",
        "parameters": [REQUEST_ID, ENCODING],
        "requestBody": {"required": True, "content": {JSON: asked}},
        "responses": {
            "200": answer("What is logged now.", "LogSettings"),
            **errors("400", "401", "403", "408", "413", "415", "503"),
        },
    }


def of_model(prefix: str, suffix: str, parameters: list[Json]) -> Json:
    """Paths of a model; `suffix` tells the names of operations with a version from those without."""
    tested = answer("The golden samples gave what they should, or there are none.", "SelfTest")
    failed = {**ERRORS["503"][1], "description": "The samples gave something else, or cannot be repeated now."}
    either = [ref("schemas", "SelfTest"), ref("schemas", "Error")]
    failed["content"] = {JSON: {"schema": {"anyOf": either}}}
    ready = {"200": answer("It answers.", "ModelReadiness"), "503": answer("Why it does not.", "ModelReadiness")}
    told = answer("Versions, inputs, outputs.", "ModelMetadata")
    record = answer("The release record's identity.", "Document")
    around, unloaded = errors("401", "404"), errors("401", "404", "503")
    return {
        prefix: reading(f"modelMetadata{suffix}", "A model.", {"200": told, **unloaded}, parameters),
        f"{prefix}/ready": reading(
            f"modelReady{suffix}", "Whether a model answers.", {**ready, **around}, parameters
        ),
        f"{prefix}/release": reading(
            f"release{suffix}", "Where a model comes from.", {"200": record, **unloaded}, parameters
        ),
        f"{prefix}/self-test": reading(
            f"selfTest{suffix}", "Repeat its golden samples now.", {"200": tested, **around, "503": failed}, parameters
        ),
        f"{prefix}/infer": {"parameters": parameters, "post": infer(suffix)},
    }  # fmt: skip


def infer(suffix: str) -> Json:
    """The operation of an inference."""
    done = answer("The outputs, those that were asked for as binary data behind the JSON part.", "Answer", HEADER)
    done["content"][OCTETS] = {}
    asked = {"schema": ref("schemas", "Request"), "example": EXAMPLE}
    return {
        "operationId": f"infer{suffix}",
        "summary": "Compute the outputs for inputs. The Content-Type is not looked at.",
        "parameters": [REQUEST_ID, HEADER_LENGTH, ENCODING],
        "requestBody": {"required": True, "content": {JSON: asked, OCTETS: {}}},
        "responses": {"200": done, **errors("400", "401", "404", "408", "413", "415", "503", "504")},
    }


@cache
def text() -> bytes:
    """The document as JSON."""
    named = "/v2/models/{model_name}"
    document = {
        "openapi": "3.1.0",
        "info": {"title": "nearedge model server", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}],
        "paths": {
            **of_server(),
            **of_model(named, "", [MODEL]),
            **of_model(f"{named}/versions/{{model_version}}", "OfVersion", [MODEL, VERSION]),
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "With --token-file."}},
            "headers": HEADERS,
            "responses": dict(ERRORS.values()),
            "schemas": SCHEMAS,
        },
    }
    return dumped(document)
