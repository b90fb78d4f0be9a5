"""JSON Schemas of what the REST interface takes and gives, for the OpenAPI document."""

from typing import Any

from serving_image.logs import LEVELS
from serving_image.protocol_rest import MAX_TENSORS
from serving_image.tensors import DTYPES, MAX_DIMENSION, MAX_RANK

Json = dict[str, Any]


def record(*required: str, **properties: Json) -> Json:
    """An object that has the `required` properties and may have others."""
    return {"type": "object", "required": list(required), "properties": properties}


def listed(items: Json, **more: Any) -> Json:
    """A list."""
    return {"type": "array", "items": items, **more}


TEXT: Json = {"type": "string"}
NAME: Json = {"type": "string", "minLength": 1}
FLAG: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}
NUMBER: Json = {"type": "number"}
DATATYPE: Json = {"enum": list(DTYPES)}
STATE: Json = {"enum": ["loading", "ready", "failed"]}
SHAPE = listed({"type": "integer", "minimum": 1, "maximum": MAX_DIMENSION}, maxItems=MAX_RANK)
"""Of a tensor that is sent or given back."""
OPEN_SHAPE = listed({"type": "integer", "minimum": -1, "maximum": MAX_DIMENSION})
"""Of a model's tensor: -1 where it may vary."""
SIZE = record("binary_data_size", binary_data_size=COUNT)
DATA = listed({"type": ["number", "boolean", "string", "array"]}, description="Flat, or nested as the shape says.")
SPEC = record("name", "datatype", "shape", name=TEXT, datatype=DATATYPE, shape=OPEN_SHAPE)


def optional(schema: Json) -> Json:
    """The same, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def without_required(schema: Json) -> Json:
    """The same object, of which nothing is required."""
    return {key: value for key, value in schema.items() if key != "required"}


INPUT: Json = {
    **record(
        "name", "datatype", "shape",
        name=NAME, datatype=DATATYPE, shape=SHAPE, data=DATA, parameters=optional(without_required(SIZE)),
    ),
    "anyOf": [
        {"required": ["data"]},
        {"required": ["parameters"], "properties": {"parameters": SIZE}},
    ],
}  # fmt: skip
ASKED = record("name", name=NAME, parameters=optional(without_required(record(binary_data=FLAG))))
GIVEN = record("name", "datatype", "shape", name=TEXT, datatype=DATATYPE, shape=SHAPE, data=DATA, parameters=SIZE)
TESTED = record(
    "output", "kind", "largest_difference", "decisions_held", "samples", "passed",
    output=TEXT, kind={"enum": ["top1", "value"]}, largest_difference=optional(NUMBER), decisions_held=COUNT,
    samples=COUNT, passed=FLAG,
)  # fmt: skip
MODEL_STATE = record("name", "version", "state", "reason", name=TEXT, version=TEXT, state=STATE, reason=TEXT)

LOG_SETTINGS: Json = {
    "log_file": {"const": ""}, "log_error": {"const": True}, "log_format": {"const": "default"},
    "log_info": FLAG, "log_warning": FLAG,
    "log_verbose_level": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
}  # fmt: skip
"""Of Triton's logging extension."""
LEVEL: Json = {"enum": list(LEVELS)}

SCHEMAS: Json = {
    "Error": record("error", error=TEXT),
    "Document": {"type": "object"},
    "Live": record("live", live={"const": True}),
    "Readiness": record(
        "ready", "state", "models",
        ready=FLAG, state={"enum": ["loading", "ready", "failed", "draining"]}, ready_after_ms=NUMBER,
        error={**TEXT, "description": "Why it is not ready."}, models=listed(MODEL_STATE),
    ),
    "ServerMetadata": record("name", "version", "extensions", name=TEXT, version=TEXT, extensions=listed(TEXT)),
    "ModelReadiness": record("name", "version", "ready", name=TEXT, version=TEXT, ready=FLAG, error=TEXT),
    "ModelMetadata": record(
        "name", "versions", "platform", "inputs", "outputs",
        name=TEXT, versions=listed(TEXT), platform=TEXT, inputs=listed(SPEC), outputs=listed(SPEC),
    ),
    "LogSettings": record(
        *LOG_SETTINGS, "log_level", "log_level_at_start",
        **LOG_SETTINGS, log_level=LEVEL,
        log_level_at_start={**LEVEL, "description": "What holds again when the server is started the next time."},
    ),
    "WantedLogSettings": {
        **record(**LOG_SETTINGS), "additionalProperties": False,
        "description": "What is left out is changed only as far as the level needs it.",
    },
    "SelfTest": record(
        "passed", "reason", "samples", "outputs",
        passed={"type": ["boolean", "null"], "description": "null: there are no golden samples."}, reason=TEXT,
        samples=COUNT, instruction_set=TEXT, golden_instruction_set=optional(TEXT), largest_difference=optional(NUMBER),
        outputs=listed(TESTED),
    ),
    "Request": record(
        "inputs",
        id=TEXT, inputs=listed(INPUT, maxItems=MAX_TENSORS), outputs=optional(listed(ASKED, maxItems=MAX_TENSORS)),
        parameters=optional(without_required(record(binary_data_output=FLAG))),
    ),
    "Answer": record(
        "model_name", "model_version", "outputs",
        model_name=TEXT, model_version=TEXT, id=TEXT, outputs=listed(GIVEN),
    ),
}  # fmt: skip
"""By the name that the document gives them. Objects may grow: readers pass over what they do not know."""
