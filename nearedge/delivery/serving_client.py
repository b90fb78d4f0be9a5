"""A client of a serving image that runs on this machine: Open Inference Protocol over REST, JSON and binary."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray

from nearedge.errors import GateError
from nearedge.release.inputs import Datatype
from nearedge.release.sections import TensorSpec

Array = NDArray[Any]
Arrays = Mapping[str, Array]

BINARY_HEADER = "Inference-Header-Content-Length"
POLL_S = 0.05
CALL_TIMEOUT_S = 60
FOREIGN_S = 10
"""How long what is no server of ours may answer in its place, such as a proxy that starts together with it."""
DTYPES: dict[Datatype, str] = {
    "BOOL": "|b1", "UINT8": "|u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "|i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "BF16": "<u2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""Element types on the wire. BF16 has none in numpy: its bits are, and values are handed over as float32."""


class ServingClient:
    """One server on the loopback interface. Proxies of the environment are not used."""

    def __init__(self, port: int) -> None:
        """`port` is where it listens."""
        self.port = port
        self.session = requests.Session()
        self.session.trust_env = False

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """The answer to one request. Raises GateError where none comes."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            return self.session.request(method, url, data=body, headers=headers, timeout=CALL_TIMEOUT_S)
        except requests.RequestException as error:
            raise GateError(
                f"port {self.port}: the serving image stopped answering ({type(error).__name__}); see the sidecar's log"
            ) from error

    def document(self, path: str) -> dict[str, Any]:
        """The JSON object at a path. Raises GateError where the answer is another."""
        answer = self.call("GET", path)
        found = json_object(answer)
        if answer.status_code != 200 or found is None:
            said = (found or {}).get("error", f"status {answer.status_code}")
            raise GateError(f"port {self.port}: GET {path}: {said}; is another server on this port?")
        return found

    def wait_ready(self, timeout: float) -> float:
        """Wait until the server is ready; milliseconds from the start of its process.

        Raises GateError as soon as the server says that it never will be, after FOREIGN_S seconds of another server's
        answers, or after `timeout` seconds, with its reason.
        """
        start = time.monotonic()
        foreign: float | None = None
        reason = "nothing answers; did the sidecar start?"
        while True:
            try:
                answer = self.session.get(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=CALL_TIMEOUT_S)
                found = json_object(answer)
                if answer.status_code == 200:
                    taken_ms = (time.monotonic() - start) * 1000
                    return float((found or {}).get("ready_after_ms", taken_ms))
                if found is None or "error" not in found:
                    reason = f"answers {answer.status_code} to /v2/health/ready; is another server on this port?"
                    foreign = time.monotonic() if foreign is None else foreign
                else:
                    foreign = None
                    reason = f"the serving image is not ready: {found['error']}"
                    if found.get("state") == "failed":
                        raise GateError(reason)
            except requests.ConnectionError:
                pass
            except requests.RequestException as error:
                reason = f"no HTTP server ({type(error).__name__})"
            waited = time.monotonic() - start
            if waited > timeout or (foreign is not None and time.monotonic() - foreign > FOREIGN_S):
                raise GateError(f"port {self.port}: {reason} (waited {waited:.0f} s)")
            time.sleep(POLL_S)

    def infer(
        self, path: str, inputs: Sequence[TensorSpec], arrays: Arrays, *, binary: bool
    ) -> dict[str, Array] | None:
        """Outputs by name; None where the server finds the JSON too large. Raises GateError for any other refusal."""
        body, headers = encode(inputs, arrays, binary=binary)
        answer = self.call("POST", f"{path}/infer", body, headers)
        if answer.status_code == 413 and not binary:
            return None
        if answer.status_code != 200:
            said = (json_object(answer) or {}).get("error", "no reason given")
            raise GateError(f"the serving image refused a request with status {answer.status_code}: {said}")
        try:
            return decode(answer.content, answer.headers.get(BINARY_HEADER))
        except (ValueError, KeyError, TypeError) as error:
            raise GateError(f"the serving image's answer cannot be read: {type(error).__name__}: {error}") from error


def json_object(answer: requests.Response) -> dict[str, Any] | None:
    """The JSON object of an answer, None where it holds none."""
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def encode(inputs: Sequence[TensorSpec], arrays: Arrays, *, binary: bool) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a request for all outputs, in the same form as the inputs."""
    entries: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for spec in inputs:
        array = arrays[spec.name]
        entry: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape)}
        if binary:
            chunks.append(to_bytes(spec.datatype, array))
            entry["parameters"] = {"binary_data_size": len(chunks[-1])}
        else:
            entry["data"] = array.ravel().tolist()
        entries.append(entry)
    head = json.dumps({"inputs": entries, "parameters": {"binary_data_output": binary}}).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    return b"".join([head, *chunks]), {"Content-Type": "application/octet-stream", BINARY_HEADER: str(len(head))}


def decode(body: bytes, header: str | None) -> dict[str, Array]:
    """Outputs by name. Raises ValueError, KeyError or TypeError where the body is not what the protocol says."""
    length = len(body) if header is None else int(header)
    found: dict[str, Array] = {}
    for entry in json.loads(body[:length])["outputs"]:
        datatype, shape = entry["datatype"], entry["shape"]
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is None:
            dtype = "<f4" if datatype == "BF16" else DTYPES[datatype]
            found[entry["name"]] = np.array(entry["data"], dtype=dtype).reshape(shape)
        else:
            found[entry["name"]] = from_bytes(datatype, body[length : length + size]).reshape(shape)
            length += size
    return found


def to_bytes(datatype: Datatype, array: Array) -> bytes:
    """An array on the wire; bfloat16 by cutting float32 off, which is exact for values that are bfloat16 already."""
    if datatype == "BF16" and array.dtype.kind == "f":
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return array.astype(DTYPES[datatype]).tobytes()


def from_bytes(datatype: Datatype, content: bytes) -> Array:
    """A flat array from the wire; bfloat16 as float32."""
    array = np.frombuffer(content, dtype=DTYPES[datatype])
    return (array.astype("<u4") << 16).view("<f4") if datatype == "BF16" else array
