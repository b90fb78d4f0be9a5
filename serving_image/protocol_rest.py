"""Inference requests and responses of the Open Inference Protocol's REST flavour, JSON and binary.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from dataclasses import dataclass
from typing import Any

from serving_image import protocol_binary, protocol_json
from serving_image.faults import BadRequestError
from serving_image.messages import InferenceRequest, InferenceResponse
from serving_image.tensors import Tensor, checked_datatype, checked_shape, quoted

JSON = b"application/json"
OCTETS = b"application/octet-stream"
MAX_TENSORS = 1024
"""More inputs or outputs than any model has."""


@dataclass(frozen=True)
class Wanted:
    """How the client wants its outputs: all as `binary`, but for those that `outputs` names otherwise."""

    binary: bool
    outputs: dict[str, bool]

    def is_binary(self, name: str) -> bool:
        """Whether this output goes behind the JSON part."""
        return self.outputs.get(name, self.binary)


def decode(
    model: str, version: str | None, body: bytes, header: bytes | None, max_json: int
) -> tuple[InferenceRequest, Wanted]:
    """A request from its body and its Inference-Header-Content-Length.

    Raises BadRequestError for whatever is wrong, TooLargeError where the JSON part is over `max_json` bytes.
    """
    head, binary = protocol_binary.split(body, header, max_json)
    document = protocol_json.document(head)
    identifier = document.get("id", "")
    if not isinstance(identifier, str):
        raise BadRequestError("id must be a string")
    chunks = protocol_binary.Chunks(binary)
    tensors = [tensor(entry, at, chunks) for at, entry in enumerate(entries(document, "inputs", required=True))]
    chunks.finish()
    all_binary = flag(parameters(document, "the request"), "binary_data_output", default=False)
    outputs: dict[str, bool] = {}
    for at, entry in enumerate(entries(document, "outputs", required=False)):
        name = name_of(entry, "output", at)
        if name in outputs:
            raise BadRequestError(f"output {quoted(name)}: asked for twice")
        outputs[name] = flag(parameters(entry, f"output {quoted(name)}"), "binary_data", default=all_binary)
    request = InferenceRequest(model, version, identifier, tensors, list(outputs))
    return request, Wanted(all_binary, outputs)


def entries(document: dict[str, Any], key: str, *, required: bool) -> list[dict[str, Any]]:
    """The list of objects under `key`."""
    value = document.get(key)
    if value is None and not required:
        return []
    if not isinstance(value, list) or not all(type(entry) is dict for entry in value):
        raise BadRequestError(f"{key} must be a list of objects")
    if len(value) > MAX_TENSORS:
        raise BadRequestError(f"{key} holds {len(value)} entries, at most {MAX_TENSORS} are read")
    return value


def name_of(entry: dict[str, Any], kind: str, at: int) -> str:
    """The name of an input or output."""
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequestError(f"{kind} {at}: has no name")
    return name


def parameters(holder: dict[str, Any], where: str) -> dict[str, Any]:
    """The parameters of a request, an input or an output; those we do not know have no effect."""
    value = holder.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError(f"{where}: parameters must be an object")
    return value


def flag(given: dict[str, Any], name: str, *, default: bool) -> bool:
    """A parameter that is true or false."""
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise BadRequestError(f"parameter {name} must be true or false")
    return value


def tensor(entry: dict[str, Any], at: int, chunks: protocol_binary.Chunks) -> Tensor:
    """One input, its data taken from JSON or from the binary part."""
    name = name_of(entry, "input", at)
    datatype = checked_datatype(name, entry.get("datatype"))
    shape = checked_shape(name, entry.get("shape"))
    given = parameters(entry, f"input {quoted(name)}")
    if "binary_data_size" not in given:
        return Tensor(name, datatype, protocol_json.array(name, datatype, shape, entry.get("data")))
    if "data" in entry:
        raise BadRequestError(f"input {quoted(name)}: has both data and binary_data_size")
    return Tensor(name, datatype, chunks.take(name, datatype, shape, given["binary_data_size"]))


def encode(response: InferenceResponse, wanted: Wanted) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body of a response and its headers but for the length. Raises BadRequestError for NaN in a JSON output."""
    outputs: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for output in response.tensors:
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.array.shape),
        }
        if wanted.is_binary(output.name):
            binary.append(protocol_binary.dumped(output))
            entry["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            entry["data"] = protocol_json.values(output)
        outputs.append(entry)
    document: dict[str, Any] = {"model_name": response.model, "model_version": response.version, "outputs": outputs}
    if response.id:
        document["id"] = response.id
    head = protocol_json.dumped(document)
    if not binary:
        return head, [(b"content-type", JSON)]
    length = (protocol_binary.HEADER_BYTES, str(len(head)).encode())
    return b"".join([head, *binary]), [(b"content-type", OCTETS), length]
