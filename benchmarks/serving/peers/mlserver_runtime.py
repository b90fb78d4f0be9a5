"""A custom runtime of MLServer that computes with OpenVINO, as its documentation has one written."""

import openvino as ov
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OpenVino(MLModel):
    """One model; `parameters.uri` is its IR."""

    async def load(self) -> bool:
        """Compile it."""
        compiled = ov.Core().compile_model(self.settings.parameters.uri, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.request = compiled.create_infer_request()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One inference."""
        values = NumpyCodec.decode_input(payload.inputs[0])
        found = self.request.infer({0: values})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", found)])
