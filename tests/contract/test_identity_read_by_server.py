"""The server reads the record as plain JSON: what nearedge writes and what serving_image reads are held together."""

import copy
import json

import numpy as np
import pytest

from converters import instruction_set as converters_instruction_set
from converters import parity
from nearedge.delivery import acceptance, serving_client
from nearedge.release import profile, record, sections
from nearedge.release.inputs import Datatype
from serving_image import instruction_set, self_test, tensors
from serving_image import record as served
from serving_image.faults import LoadError

TENSOR = sections.TensorSpec(name="x", datatype="FP32", shape=[-1, 4])


def identity(golden: bool = True) -> record.Identity:
    """An identity with a value of its own in every field."""
    return record.Identity(
        schema_version=sections.RECORD_VERSION,
        name="digits",
        version="7",
        profile="microshift-small",
        source=record.SourceIdentity(
            format="onnx", framework="onnx", sha256="a" * 64, description_sha256="b" * 64, data_sha256="c" * 64
        ),
        ir=record.IrIdentity(
            openvino="2026.4.1",
            inputs=[TENSOR, TENSOR.model_copy(update={"name": "z"})],
            outputs=[TENSOR.model_copy(update={"name": "y"})],
            xml_sha256="d" * 64,
            bin_sha256="e" * 64,
        ),
        precision="int8",
        runtime=sections.RuntimeConfiguration(
            inference_precision="bf16",
            performance_hint="THROUGHPUT",
            streams=2,
            threads=3,
            max_batch=4,
            max_wait_ms=1.5,
        ),
        thresholds=sections.Thresholds(max_relative=0.1, min_cosine=0.9, min_top1_agreement=0.8),
        golden=sections.GoldenSection(
            sha256="f" * 64,
            count=5,
            size_bytes=6,
            instruction_set="avx512_vnni",
            tolerances=[sections.Tolerance(output="y", kind="top1", value=0.0, close=0.25)],
        )
        if golden
        else None,
    )


def document(golden: bool = True) -> dict:
    return json.loads(record.dump(identity(golden)))


def test_the_server_reads_what_nearedge_writes() -> None:
    found = served.parse(document())
    assert found.document == document()
    assert (found.name, found.version, found.precision, found.openvino) == ("digits", "7", "int8", "2026.4.1")
    assert (found.source_sha256, found.xml_sha256, found.bin_sha256) == ("a" * 64, "d" * 64, "e" * 64)
    assert (found.inputs, found.outputs) == (("x", "z"), ("y",))
    assert found.runtime == served.Runtime("bf16", "THROUGHPUT", 2, 3, 4, 1.5)
    assert found.golden == served.Golden("f" * 64, 5, "avx512_vnni", (served.Tolerance("y", "top1", 0.0, 0.25),))


def test_a_record_that_says_nothing_of_batching_is_read() -> None:
    older = document()
    del older["runtime"]["max_batch"], older["runtime"]["max_wait_ms"]
    assert (served.parse(older).runtime.max_batch, served.parse(older).runtime.max_wait_ms) == (1, 0.0)


@pytest.mark.parametrize("precision", sections.Precision.__args__)
def test_every_precision_is_read(precision: str) -> None:
    assert served.parse(document() | {"precision": precision}).precision == precision


def test_a_record_without_golden_samples_is_read() -> None:
    assert served.parse(document(golden=False)).golden is None


def test_the_file_and_the_schema_version_are_the_same() -> None:
    assert served.FILE == record.IDENTITY_FILE
    assert served.SCHEMA_VERSION == sections.RECORD_VERSION
    assert self_test.FILE in acceptance.GOLDEN_FILE


@pytest.mark.parametrize(
    ("field", "ours"),
    [
        ("inference_precision", served.PRECISIONS),
        ("performance_hint", served.HINTS),
    ],
)
def test_choices_of_the_runtime_configuration_are_the_same(field: str, ours: tuple[str, ...]) -> None:
    assert sections.RuntimeConfiguration.model_fields[field].annotation.__args__ == ours


def test_instruction_sets_have_the_same_names_in_the_same_order() -> None:
    assert instruction_set.INSTRUCTION_SETS == profile.INSTRUCTION_SETS


def test_datatypes_are_the_same() -> None:
    assert tuple(serving_client.DTYPES) == Datatype.__args__
    assert set(tensors.DTYPES) == {*serving_client.DTYPES, "BYTES"}  # strings: of models that no release describes
    for name, dtype in serving_client.DTYPES.items():
        assert np.dtype(dtype) == tensors.DTYPES[name]


SSE = ["sse4_2"]
AVX2 = [*SSE, "avx2", "fma"]
AVX512 = [*AVX2, "avx512f", "avx512bw", "avx512vl", "avx512dq"]
VNNI = [*AVX512, "avx512_vnni"]
BF16 = [*VNNI, "avx512_bf16"]


@pytest.mark.parametrize(
    "flags",
    [
        SSE,
        AVX2,
        [*AVX2, "avx_vnni"],
        AVX512,
        VNNI,
        BF16,
        [*BF16, "avx_vnni"],
        [*BF16, "amx_tile", "amx_int8", "amx_bf16"],
    ],
)
def test_the_server_and_the_converters_see_the_same_processor(flags: list[str]) -> None:
    assert instruction_set.of_flags(frozenset(flags)) == converters_instruction_set.of_flags(frozenset(flags))


@pytest.mark.parametrize("name", profile.INSTRUCTION_SETS)
def test_the_server_knows_how_the_converters_hold_a_processor_back(name: profile.InstructionSet) -> None:
    most = frozenset([*BF16, "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"])
    assert instruction_set.of_flags(most, converters_instruction_set.ONEDNN[name]) == name


@pytest.mark.parametrize("shape", [(10,), (1, 10), (1, 7, 10), (1, 10, 8, 8)])
def test_everybody_sees_the_classes_along_the_same_axis(shape: tuple[int, ...]) -> None:
    axis = parity.class_axis(shape)
    assert self_test.class_axis(shape) == axis
    wanted = np.random.default_rng(1).random(shape)
    swapped = np.flip(wanted, axis)
    assert not acceptance.same_top1(wanted, swapped) and not self_test.same_top1(wanted, swapped)
    scaled = wanted * np.expand_dims(
        np.linspace(0.5, 1.5, wanted.argmax(axis).size).reshape(wanted.argmax(axis).shape), axis
    )
    assert acceptance.same_top1(wanted, scaled) and self_test.same_top1(wanted, scaled)


def leaves(value: object, path: tuple = ()) -> list[tuple]:
    """Paths of all values that are neither objects nor lists."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for at, inner in enumerate(value) for leaf in leaves(inner, (*path, at))]
    return [path]


READ = [
    path for path in leaves(document())
    if not {path[-1]} & {"profile", "format", "framework", "datatype", "size_bytes"}
    and not {"description_sha256", "data_sha256", "code_sha256", "thresholds", "shape"} & set(path)
]  # fmt: skip


@pytest.mark.parametrize("path", READ, ids=lambda path: ".".join(map(str, path)))
def test_a_value_of_another_type_is_refused_with_its_name(path: tuple) -> None:
    broken = copy.deepcopy(document())
    holder = broken
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = None
    with pytest.raises(LoadError, match=str(path[-1])) as caught:
        served.parse(broken)
    assert caught.value.kind == "record"


def test_a_newer_record_is_refused() -> None:
    with pytest.raises(LoadError, match="newer"):
        served.parse(document() | {"schema_version": 2})
