"""The least that one can write: ASGI on uvicorn with the standard library's json, one request at a time, no checks.

`python raw_asgi.py MODELS NAME PORT`; JSON bodies, and binary ones where the header is there.
"""

import json
import sys
from typing import Any

import numpy as np
import openvino as ov
import uvicorn

folder, name, port = sys.argv[1:]
compiled = ov.Core().compile_model(f"{folder}/{name}/1/model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
request = compiled.create_infer_request()
RESPONSE = {"model_name": name, "model_version": "1"}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request as an inference."""
    if scope["method"] == "GET":
        body, headers = b"{}", []
    else:
        pieces, more = [], True
        while more:
            message = await receive()
            pieces.append(message["body"])
            more = message["more_body"]
        given = b"".join(pieces)
        length = dict(scope["headers"]).get(b"inference-header-content-length")
        tensor = json.loads(given[: int(length)] if length else given)["inputs"][0]
        values = (
            np.frombuffer(given, np.float32, offset=int(length)) if length else np.array(tensor["data"], np.float32)
        )
        found = request.infer({0: values.reshape(tensor["shape"])})[0]
        output = {"name": "y", "datatype": "FP32", "shape": list(found.shape)}
        if length:
            head = json.dumps({**RESPONSE, "outputs": [{**output, "parameters": {"binary_data_size": found.nbytes}}]})
            body = head.encode() + found.tobytes()
            headers = [(b"inference-header-content-length", str(len(head)).encode())]
        else:
            body = json.dumps({**RESPONSE, "outputs": [{**output, "data": found.ravel().tolist()}]}).encode()
            headers = [(b"content-type", b"application/json")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


uvicorn.run(app, port=int(port), access_log=False, log_level="warning", lifespan="off")
