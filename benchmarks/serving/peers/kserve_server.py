"""KServe's Python server with a model that computes with OpenVINO: `python kserve_server.py MODELS PORT NAME...`."""

import sys

import openvino as ov
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class OpenVino(Model):
    """One model of the folder."""

    def __init__(self, name: str, xml: str) -> None:
        """Compile it."""
        super().__init__(name)
        compiled = ov.Core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.request = compiled.create_infer_request()
        self.ready = True

    async def predict(self, payload: InferRequest, *_: object, **__: object) -> InferResponse:
        """One inference."""
        given = payload.inputs[0]
        found = self.request.infer({0: given.as_numpy()})[0]
        output = InferOutput("y", list(found.shape), "FP32")
        output.set_data_from_numpy(found, binary_data=given._raw_data is not None)
        return InferResponse(payload.id or "", self.name, [output])


folder, port, *names = sys.argv[1:]
models = [OpenVino(name, f"{folder}/{name}/1/model.xml") for name in names]
ModelServer(http_port=int(port), enable_grpc=False, workers=1).start(models)
