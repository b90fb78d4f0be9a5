"""What goes in and out of the data plane, whatever the protocol that brought it."""

from dataclasses import dataclass

from serving_image.tensors import Tensor


@dataclass(frozen=True)
class InferenceRequest:
    """A request for one inference. `version` None is the latest; `outputs` empty is all of them."""

    model: str
    version: str | None
    id: str
    tensors: list[Tensor]
    outputs: list[str]


@dataclass(frozen=True)
class InferenceResponse:
    """Its answer, by the version that gave it."""

    model: str
    version: str
    id: str
    tensors: list[Tensor]
