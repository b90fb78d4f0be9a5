"""ModelInfer's messages, raw and typed contents, to and from those of the data plane.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md; the field numbers
are those of open_inference_grpc.proto beside this file.
"""

from dataclasses import dataclass, field

from serving_image.faults import BadRequestError, TooLargeError
from serving_image.grpc import wire
from serving_image.grpc.contents import FIELDS, Contents, from_contents, to_contents
from serving_image.grpc.wire import Budget, Value, block, fields, message, number, string, text
from serving_image.messages import InferenceRequest, InferenceResponse
from serving_image.protocol_binary import dumped, of_bytes
from serving_image.protocol_rest import MAX_TENSORS
from serving_image.tensors import DTYPES, MAX_RANK, Array, Tensor, checked_datatype, checked_shape, elements, quoted

BINARY_OUTPUT = "binary_data_output"


@dataclass
class Input:
    """An InferInputTensor as it is read."""

    name: str = ""
    datatype: str = ""
    shape: list[int] = field(default_factory=list)
    contents: Contents | None = None


def decode(payload: memoryview, max_typed: int) -> tuple[InferenceRequest, bool]:
    """A ModelInferRequest, and whether its outputs are wanted raw: as the inputs came, unless it says otherwise.

    Raises BadRequestError, TooLargeError where typed contents are over `max_typed` bytes.
    """
    budget = Budget()
    model = version = identifier = ""
    inputs: list[Input] = []
    outputs: list[str] = []
    raws: list[memoryview] = []
    binary: bool | None = None
    for at, kind, value in fields(payload, budget):
        if at == 1:
            model = text("model_name", value, kind)
        elif at == 2:
            version = text("model_version", value, kind)
        elif at == 3:
            identifier = text("id", value, kind)
        elif at == 4:
            found = binary_parameter(message("parameters", value, kind), budget)
            binary = binary if found is None else found
        elif at == 5:
            inputs.append(input_tensor(message("inputs", value, kind), budget, max_typed))
        elif at == 6:
            outputs.append(output_name(message("outputs", value, kind), budget, len(outputs)))
        elif at == 7:
            raws.append(message("raw_input_contents", value, kind))
    tensors = taken(inputs, raws)
    if len(set(outputs)) != len(outputs):
        twice = next(name for name in outputs if outputs.count(name) > 1)
        raise BadRequestError(f"output {quoted(twice)}: asked for twice")
    request = InferenceRequest(model, version or None, identifier, tensors, outputs)
    return request, bool(raws) if binary is None else binary


def input_tensor(view: memoryview, budget: Budget, max_typed: int) -> Input:
    """An InferInputTensor; its parameters have no effect."""
    made = Input()
    for at, kind, value in fields(view, budget):
        if at == 1:
            made.name = text("an input's name", value, kind)
        elif at == 2:
            made.datatype = text("an input's datatype", value, kind)
        elif at == 3:
            made.shape += sizes(value, kind)
            if len(made.shape) > MAX_RANK:
                raise BadRequestError(f"input {quoted(made.name)}: shape has more than {MAX_RANK} dimensions")
        elif at == 5:
            made.contents = made.contents or Contents()
            made.contents.read(message("contents", value, kind), budget)
    if made.contents is not None and made.contents.size > max_typed:
        raise TooLargeError(
            f"input {quoted(made.name)}: typed contents have {made.contents.size} bytes, at most {max_typed} are read; "
            "send raw_input_contents, or raise --max-json-mib"
        )
    return made


def sizes(value: Value, kind: int) -> list[int]:
    """Dimensions of a shape, packed or one."""
    if kind == wire.VARINT:
        return [wire.signed(number("shape", value, kind))]
    view = message("shape", value, kind)
    found: list[int] = []
    at = 0
    while at < len(view) and len(found) <= MAX_RANK:
        size, at = wire.varint(view, at)
        found.append(wire.signed(size))
    return found


def output_name(view: memoryview, budget: Budget, at: int) -> str:
    """The name in an InferRequestedOutputTensor; its parameters have no effect."""
    names = [text("an output's name", value, kind) for key, kind, value in fields(view, budget) if key == 1]
    if at >= MAX_TENSORS:
        raise BadRequestError(f"outputs holds more than {MAX_TENSORS} entries")
    if not names or not names[-1]:
        raise BadRequestError(f"output {at}: has no name")
    return names[-1]


def binary_parameter(view: memoryview, budget: Budget) -> bool | None:
    """The value of one entry of parameters where it is binary_data_output, else None."""
    name, given = "", memoryview(b"")
    for at, kind, value in fields(view, budget):
        if at == 1:
            name = text("a parameter's name", value, kind)
        elif at == 2:
            given = message("a parameter", value, kind)
    if name != BINARY_OUTPUT:
        return None
    choices = [(at, value) for at, _, value in fields(given, budget)]
    if len(choices) != 1 or choices[0][0] != 1 or not isinstance(choices[0][1], int):
        raise BadRequestError(f"parameter {name} must be true or false")
    return choices[0][1] != 0


def taken(inputs: list[Input], raws: list[memoryview]) -> list[Tensor]:
    """The tensors of a request; raw contents go with the inputs in their order. Raises BadRequestError."""
    if len(inputs) > MAX_TENSORS:
        raise BadRequestError(f"inputs holds {len(inputs)} entries, at most {MAX_TENSORS} are read")
    if raws and len(raws) != len(inputs):
        raise BadRequestError(f"raw_input_contents holds {len(raws)} entries, there are {len(inputs)} inputs")
    tensors = []
    for at, given in enumerate(inputs):
        if not given.name:
            raise BadRequestError(f"input {at}: has no name")
        datatype = checked_datatype(given.name, given.datatype)
        shape = checked_shape(given.name, given.shape)
        if raws and given.contents is not None and given.contents.size:
            raise BadRequestError(f"input {quoted(given.name)}: has both contents and raw_input_contents")
        if raws:
            array = from_raw(given.name, datatype, shape, raws[at])
        else:
            array = from_contents(given.name, datatype, shape, given.contents or Contents())
        tensors.append(Tensor(given.name, datatype, array))
    return tensors


def from_raw(name: str, datatype: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    """A view of an entry of raw_input_contents. Raises BadRequestError."""
    needed = elements(shape) * DTYPES[datatype].itemsize
    if datatype != "BYTES" and len(raw) != needed:
        raise BadRequestError(
            f"input {quoted(name)}: raw_input_contents has {len(raw)} bytes, "
            f"{datatype} of shape {list(shape)} needs {needed}"
        )
    return of_bytes(name, datatype, shape, raw)


def encode(response: InferenceResponse, *, raw: bool) -> bytes:
    """A ModelInferResponse; raw contents for all outputs where one of them has a datatype without typed contents."""
    raw = raw or any(tensor.datatype not in FIELDS for tensor in response.tensors)
    parts = [string(1, response.model), string(2, response.version), string(3, response.id)]
    for tensor in response.tensors:
        head = string(1, tensor.name) + string(2, tensor.datatype) + wire.shape(3, tensor.array.shape)
        parts.append(block(5, head if raw else head + block(5, to_contents(tensor))))
    if raw:
        for tensor in response.tensors:
            content = dumped(tensor)
            parts += [small_head(content), content]
    return b"".join(parts)


def small_head(content: bytes) -> bytes:
    """Tag and length of an entry of raw_output_contents."""
    return b"\x32" + wire.small(len(content))
