"""OpenVINO and nothing else: load `python bare.py MODEL.xml`, compute once, say so, wait to be ended."""

import sys

import numpy as np
import openvino as ov

compiled = ov.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
shape = [int(size.min_length) or 1 for size in compiled.inputs[0].get_partial_shape()]
compiled.create_infer_request().infer({0: np.zeros(shape, np.float32)})
print("ready", flush=True)
sys.stdin.read()
