"""KServe's clients, unmodified, against a server of ours: `python talk_to_server.py REST_PORT GRPC_PORT`.

It runs in an environment of its own (test_kserve.py makes it) and prints what came back as one JSON object.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferInput, InferRequest, InferResponse
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

IMAGE = (np.arange(128, dtype=np.float32) / 128).reshape(2, 1, 8, 8)


def request(array: np.ndarray, *, binary: bool = True, **more: Any) -> InferRequest:
    """A request to digits."""
    image = InferInput("image", list(array.shape), "FP32")
    image.set_data_from_numpy(array, binary_data=binary)
    return InferRequest("digits", [image], **more)


def told(answer: InferResponse) -> dict[str, Any]:
    """What an answer holds."""
    outputs = {output.name: np.asarray(output.as_numpy(), np.float64).tolist() for output in answer.outputs}
    return {"id": answer.id, "model": answer.model_name, "outputs": outputs}


async def fault(asked: Awaitable[Any]) -> list[str]:
    """The error that a call ends with: its code and its text."""
    try:
        await asked
    except httpx.HTTPStatusError as error:
        return [str(error.response.status_code), str(error)]
    except grpc.aio.AioRpcError as error:
        return [error.code().name, error.details()]
    return ["none", ""]


async def rest(port: int) -> dict[str, Any]:
    """What InferenceRESTClient is told."""
    base, square = f"http://127.0.0.1:{port}", IMAGE.reshape(2, 8, 8)
    wanted = [RequestedOutput("probabilities", {"binary_data": True}), RequestedOutput("logits")]
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:

        async def infer(asked: InferRequest | dict[str, Any], model: str = "digits") -> Any:
            return await client.infer(base, asked, model_name=model)

        return {
            "live": await client.is_server_live(base),
            "ready": await client.is_server_ready(base),
            "model ready": await client.is_model_ready(base, "digits"),
            "absent ready": await client.is_model_ready(base, "absent"),
            "answers": {
                "json": told(await infer(request(IMAGE, binary=False, request_id="seven"))),
                "dict": told(await infer({**request(IMAGE, binary=False).to_rest()[0], "id": "seven"})),
                "binary": told(await infer(request(IMAGE, request_id="seven"))),
                "binary out": told(
                    await infer(request(IMAGE, request_id="seven", parameters={"binary_data_output": True}))
                ),
                "picked": told(await infer(request(IMAGE, request_id="seven", request_outputs=wanted))),
            },
            "faults": {
                "shape": await fault(infer(request(square))),
                "shape in json": await fault(infer(request(square, binary=False))),
                "absent": await fault(infer(request(IMAGE), "absent")),
            },
        }


async def by_grpc(port: int) -> dict[str, Any]:
    """What InferenceGRPCClient is told."""
    async with InferenceGRPCClient(f"127.0.0.1:{port}", retries=0) as client:
        picked = request(IMAGE, request_id="seven", request_outputs=[RequestedOutput("probabilities")])
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model ready": await client.is_model_ready("digits"),
            "answers": {
                "raw": told(await client.infer(request(IMAGE, request_id="seven"))),
                "typed": told(await client.infer(request(IMAGE, binary=False, request_id="seven"))),
                "picked": told(await client.infer(picked)),
            },
            "faults": {"shape": await fault(client.infer(request(IMAGE.reshape(2, 8, 8))))},
        }


async def main() -> None:
    """Ask by both protocols."""
    found = {"rest": await rest(int(sys.argv[1])), "grpc": await by_grpc(int(sys.argv[2]))}
    print(json.dumps({"image": IMAGE.ravel().tolist(), **found}))


asyncio.run(main())
