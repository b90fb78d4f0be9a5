"""model.yaml: what a user writes about a model, and the only thing they must write.

`nearedge init MODEL` writes a commented one. The JSON Schema beside the docs is generated from these classes.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from nearedge.errors import InputError, UnsupportedError
from nearedge.release.inputs import Input
from nearedge.release.metric import Metric, OwnFunction
from nearedge.release.parity import ParityLimits, Precision
from nearedge.release.quantization import Quantization
from nearedge.release.strict import Strict

SCHEMA_VERSION = 1
FILE_NAME = "model.yaml"

PrecisionRequest = Literal["auto", "f32", "fp16", "bf16", "int8-weights", "int8", "int8-accuracy-aware"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$")]
Rows = Annotated[tuple[int, int], Field(description="first row and the row after the last")]


class OnceLoader(yaml.SafeLoader):
    """YAML's safe loader; a key that is there twice is refused, where it would take the last and drop the other."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping. Raises ConstructorError, a YAMLError, for a key that is there twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is there twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


class Source(Strict):
    """The trained model. `path` is relative to model.yaml."""

    path: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    factory: OwnFunction | None = Field(
        default=None,
        description="where path holds weights alone (a state_dict, safetensors): the function in the folder code that "
        "makes the torch.nn.Module to load them into, as package.module:function",
    )


class Output(Strict):
    """One output tensor, by the name that clients will see; listed in the model's own order."""

    name: str


class Data(Strict):
    """Arrays to calibrate with and to judge by.

    `path` is relative to model.yaml: an .npz file, or a folder of .npy files, with one array for each input, by the
    input's name; its axis 0 is the sample (also where the model has no batch dimension). For a model of one input
    also a .csv file, or a folder of PNG and JPEG pictures.
    """

    path: str
    labels: str | None = Field(
        default=None,
        description="the array or column that holds the labels; of pictures: folders (one for each class), or a .csv "
        "file in their folder with the columns file and label",
    )
    columns: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="of a .csv file: the input's values in this order; all but the labels where absent"
    )
    classes: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="names of labels (columns or folders of pictures) in the order of the model's output"
    )
    resize: Literal["stretch", "crop"] | None = Field(
        default=None, description="of pictures: how they get the input's size; any other size is refused where absent"
    )
    calibration: Rows | None = Field(default=None, description="rows that INT8 is calibrated with")
    evaluation: Rows | None = Field(default=None, description="rows that accuracy and parity are measured on")

    @model_validator(mode="after")
    def apart(self) -> Self:
        """What a model is calibrated with must not be what it is judged by."""
        for name in ("calibration", "evaluation"):
            rows = getattr(self, name)
            if rows is not None and not 0 <= rows[0] < rows[1]:
                raise ValueError(f"{name} is [first, after last] with 0 <= first < after last, not {list(rows)}")
        if self.calibration and self.evaluation:
            first, second = sorted((self.calibration, self.evaluation))
            if second[0] < first[1]:
                raise ValueError("calibration and evaluation rows overlap; keep them apart")
        for name in ("columns", "classes"):
            values = getattr(self, name) or []
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: two have the same name")
        if self.labels is not None and self.labels in (self.columns or []):
            raise ValueError(f"columns: {self.labels!r} is the labels; the model must not be given them")
        return self


class Target(Strict):
    """Where the model will run: the name of a file in manifests/profiles, or the path of a profile of your own."""

    profile: str = "microshift-small"
    goal: Literal["latency", "throughput"] = Field(
        default="latency",
        description="what benchmark-model chooses streams, threads and batch for: the lowest median latency of one "
        "client, or the most requests a second of several",
    )
    p99_ms: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="latency in milliseconds that 99 of 100 requests have to keep; any where absent"
    )


class Golden(Strict):
    """Samples that may be shipped in the image, for the site to repeat the proof. Absent: none are shipped."""

    rows: Rows
    count: Annotated[int, Field(ge=1, le=64)] = 8
    max_bytes: Annotated[int, Field(ge=1)] = 4_000_000


class Description(Strict):
    """The whole of model.yaml."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")] = "1"
    description: str = ""
    source: Source
    inputs: Annotated[list[Input], Field(min_length=1)]
    outputs: Annotated[list[Output], Field(min_length=1)]
    data: Data | None = None
    metric: Metric | None = None
    parity: dict[Precision, ParityLimits] = Field(
        default={}, description="thresholds of your own for the parity of a precision, in the place of ours"
    )
    code: str | None = Field(
        default=None,
        description="folder of your own Python beside model.yaml, for source.factory and metric.name; it runs only "
        "where the Pipeline's param allow-code is true",
    )
    precision: PrecisionRequest = "auto"
    compress_to_fp16: bool = Field(
        default=True, description="whether weights that are not quantised are stored as FP16, in all precisions but f32"
    )
    quantization: Quantization = Quantization()
    target: Target = Target()
    golden: Golden | None = None
    drift: bool = Field(
        default=False,
        description="whether the image carries how requests and answers of the evaluation rows are distributed (shares "
        "in bins, no rows), so that the server's metrics show where a site's differ",
    )

    @model_validator(mode="after")
    def consistent(self) -> Self:
        """Names are unique; a metric has labels and an output; golden samples have data."""
        for kind, names in (("inputs", [i.name for i in self.inputs]), ("outputs", [o.name for o in self.outputs])):
            if len(set(names)) != len(names):
                raise ValueError(f"{kind}: two have the same name")
        if self.metric and (self.data is None or self.data.labels is None):
            raise ValueError("metric needs data with labels")
        names = [o.name for o in self.outputs]
        for name in self.metric.judged(names[0]) if self.metric else []:
            if name not in names:
                raise ValueError(f"metric.output {name!r} is none of the outputs")
        if self.golden and self.data is None:
            raise ValueError("golden needs data to take the samples from")
        if self.drift and self.data is None:
            raise ValueError("drift needs data to know what requests look like")
        if self.precision == "fp16" and not self.compress_to_fp16:
            raise ValueError("precision fp16 is weights in FP16, and compress_to_fp16 is false; choose one of them")
        return self

    @property
    def functions(self) -> dict[str, str]:
        """The functions of the user's own by the key that names them, such as source.factory."""
        factory = {"source.factory": self.source.factory} if self.source.factory else {}
        return factory | ({"metric.name": self.metric.name} if self.metric and self.metric.own else {})

    @model_validator(mode="after")
    def whole_code(self) -> Self:
        """Functions of the user's own and the folder that they are in come together."""
        for key, name in self.functions.items():
            if self.code is None:
                raise ValueError(f"{key} {name} is Python of your own; name the folder beside model.yaml as code")
        if self.code is not None and not self.functions:
            raise ValueError("code is named, but neither source.factory nor metric.name is a function in it")
        return self


def parse(text: str, where: str) -> Description:
    """A description from YAML text; `where` names the file in error messages.

    Raises InputError for what is not as the schema says, UnsupportedError for a newer schema version.
    """
    try:
        document = yaml.load(text, OnceLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise InputError(f"{where}: holds no keys; `nearedge init MODEL` writes a model.yaml to start from")
    version = document.get("schema")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UnsupportedError(
            f"{where}: schema {version} is newer than this nearedge reads ({SCHEMA_VERSION}); upgrade nearedge"
        )
    try:
        return Description.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{where}: {first_fault(error)}") from error


def first_fault(error: ValidationError) -> str:
    """One line for the first fault pydantic found, with the path to it and the count of the others."""
    faults = error.errors(include_url=False)
    path = ".".join(str(part) for part in faults[0]["loc"])
    message = faults[0]["msg"].removeprefix("Value error, ")
    if faults[0]["type"] == "extra_forbidden":
        message = "unknown key; see docs/model-yaml.md for those there are"
    elif faults[0]["type"] == "string_type":
        message = f'has to be text; write it in quotes: "{faults[0]["input"]}"'
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{path + ': ' if path else ''}{message}{more}"


def read(path: Path) -> Description:
    """The description in the file `path`. Raises as `parse` does, InputError where there is no such file."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; `nearedge init MODEL` writes one") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text; is this a model.yaml?") from error
