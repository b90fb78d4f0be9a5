"""Asks a model again and again with Triton's clients: `python triton_client.py rest|grpc PORT MODEL COUNT`."""

import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http

kind, port, model, count = sys.argv[1:]
module = tritonclient.http if kind == "rest" else tritonclient.grpc
shape = [1, 64] if model == "tiny" else [1, 3, 224, 224]
given = module.InferInput("x", shape, "FP32")
given.set_data_from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))
client = module.InferenceServerClient(f"127.0.0.1:{port}")
for _ in range(int(count)):
    answer = client.infer(model, [given])
print(answer.as_numpy("y").shape)
