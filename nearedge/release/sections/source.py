"""What fetch-model found and what convert-model made of it."""

from typing import ClassVar, Literal

from pydantic import Field

from nearedge.release.parity import Precision
from nearedge.release.sections.base import Section, TensorSpec
from nearedge.release.sections.verification import DriftReference
from nearedge.release.strict import Strict

Format = Literal[
    "torchscript", "pt2", "state-dict", "safetensors", "onnx", "savedmodel", "frozen-pb", "keras", "keras-h5", "tflite",
    "openvino-ir",
]  # fmt: skip
Framework = Literal["pytorch", "onnx", "tensorflow"]


class SourceIdentity(Strict):
    """The trained model, its description and data."""

    format: str
    framework: str
    sha256: str
    description_sha256: str
    data_sha256: str
    code_sha256: str = ""


class Rebuilt(Strict):
    """What a release that is built again was made of, and the IR that it deploys."""

    source: SourceIdentity
    xml_sha256: str
    bin_sha256: str
    precision: Precision
    drift: list[DriftReference] = Field(default=[])


class SourceSection(Section):
    """What fetch-model found."""

    section: ClassVar[str] = "source"
    name: str
    version: str
    format: Format
    framework: Framework = Field(description="which step image can run it")
    sha256: str = Field(description="of the model file, or of a folder's names and contents")
    size_bytes: int
    description_sha256: str = Field(description="of model.yaml's meaning: its values, not its comments")
    data_sha256: str = Field(description="of the data, empty where there are none")
    code_sha256: str = Field(
        default="", description="of the user's own Python, which may run; empty: there is none, or it may not"
    )
    origin: str = Field(description="where it was fetched from, without credentials")
    rebuilt: Rebuilt | None = Field(default=None, description="null: what was fetched is a model, not a release")

    @property
    def identity(self) -> SourceIdentity:
        """The trained model; of a release that is built again, the one that it was made of."""
        if self.rebuilt is not None:
            return self.rebuilt.source
        return SourceIdentity(
            format=self.format,
            framework=self.framework,
            sha256=self.sha256,
            description_sha256=self.description_sha256,
            data_sha256=self.data_sha256,
            code_sha256=self.code_sha256,
        )


class ConversionSection(Section):
    """What convert-model made: `ir/f32/model.xml` and `.bin`."""

    section: ClassVar[str] = "conversion"
    openvino: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    xml_sha256: str
    bin_sha256: str
    size_bytes: int
    seconds: float
