"""model.yaml: what is taken, and what is refused with which words."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nearedge.errors import InputError, UnsupportedError
from nearedge.release import description

GOOD: dict[str, Any] = {
    "schema": 1,
    "name": "digits",
    "source": {"path": "model.pt2"},
    "inputs": [{"name": "image", "shape": [-1, 3, 8, 8], "dtype": "FP32", "layout": "NCHW"}],
    "outputs": [{"name": "logits"}],
    "data": {"path": "data.npz", "labels": "label", "calibration": [0, 10], "evaluation": [10, 20]},
    "metric": {"name": "accuracy", "allowed_drop": 0.01},
    "golden": {"rows": [10, 20]},
}


RESIZE = {"height": 8, "width": 8, "algorithm": "linear"}


def with_change(path: str, value: Any) -> str:
    """GOOD as YAML with the value at the dotted path replaced, or removed where value is None."""
    document = yaml.safe_load(yaml.safe_dump(GOOD))
    node = document
    *parents, last = path.split(".")
    for part in parents:
        node = node[int(part)] if part.isdigit() else node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return yaml.safe_dump(document)


def test_a_good_one_is_read_with_its_defaults() -> None:
    read = description.parse(yaml.safe_dump(GOOD), "model.yaml")
    assert read.version == "1"
    assert read.precision == "auto"
    assert read.target.profile == "microshift-small"
    assert read.golden is not None
    assert read.golden.count == 8


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("inputs.0.dtyp", "FP32", "inputs.0.dtyp: unknown key"),
        ("inputs.0.dtype", "float32", "inputs.0.dtype"),
        ("inputs.0.layout", "NC", "layout NC has 2 letters, shape has 4"),
        ("inputs.0.shape", [-2, 3, 8, 8], "inputs.0.shape.0"),
        ("inputs.0.preprocessing", {"scale": [0.0]}, "scale holds a 0"),
        ("inputs.0.shape", [[8, 1], 3, 8, 8], "inputs.0.shape.0: a dimension within bounds is [least, most]"),
        ("inputs.0.shape", [[0, 8], 3, 8, 8], "1 <= least < most, not [0, 8]"),
        ("inputs.0.shape", [[4, 4], 3, 8, 8], "not [4, 4]"),
        ("inputs.0.shape", [[1, 2, 3], 3, 8, 8], "inputs.0.shape.0"),
        ("inputs.0.layout", "NCHH", "layout NCHH has a letter twice"),
        (
            "inputs.0.preprocessing",
            {"layout": "NHW"},
            "preprocessing.layout NHW needs a layout of the same letters, not NCHW",
        ),
        ("inputs.0.preprocessing", {"resize": {"height": 8, "width": 8}}, "preprocessing.resize.algorithm"),
        ("inputs.0.preprocessing", {"resize": {"height": 0, "width": 8, "algorithm": "linear"}}, "resize.height"),
        ("inputs.0.preprocessing", {"channel_order": "BGR"}, "preprocessing.channel_order"),
        (
            "inputs.0.preprocessing",
            {"mean": [1, 2]},
            "mean is for 2 channels, NCHW of shape [-1, 3, 8, 8] has 3; is the",
        ),
        ("inputs.0.preprocessing", {"mean": []}, "mean is for 0 channels"),
        ("inputs", [], "inputs"),
        ("outputs", [{"name": "a"}, {"name": "a"}], "outputs: two have the same name"),
        ("name", "Digits!", "name"),
        ("version", "v1", "version"),
        ("version", 1, 'version: has to be text; write it in quotes: "1"'),
        ("data.evaluation", [5, 15], "overlap"),
        ("data.evaluation", [15, 5], "evaluation is [first, after last]"),
        ("data.labels", None, "metric needs data with labels"),
        ("data.columns", ["a", "a"], "columns: two have the same name"),
        ("data.columns", ["a", "label"], "columns: 'label' is the labels"),
        ("data.columns", [], "data.columns"),
        ("data.classes", ["cat", "cat"], "classes: two have the same name"),
        ("data.resize", "fit", "data.resize"),
        ("metric.output", "other", "metric.output 'other' is none of the outputs"),
        ("metric.allowed_drop", -1, "metric.allowed_drop"),
        ("metric.expected", "good", "metric.expected"),
        ("golden.count", 1000, "golden.count"),
        ("source.sha256", "abc", "source.sha256"),
        ("schema", None, "schema"),
        ("schema", "one", "schema"),
        ("unknown", 1, "unknown: unknown key"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(path: str, value: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        description.parse(with_change(path, value), "some/model.yaml")
    message = str(caught.value)
    assert message.startswith("some/model.yaml: ")
    assert words in message
    assert "\n" not in message


def test_golden_and_metric_need_data() -> None:
    document = {key: value for key, value in GOOD.items() if key not in ("data", "metric")}
    with pytest.raises(InputError, match="golden needs data"):
        description.parse(yaml.safe_dump(document), "model.yaml")


def test_preprocessing_by_channel_needs_a_channel() -> None:
    document = yaml.safe_load(with_change("inputs.0.preprocessing", {"mean": [1.0, 2.0, 3.0]}))
    description.parse(yaml.safe_dump(document), "model.yaml")
    del document["inputs"][0]["layout"]
    with pytest.raises(InputError, match="mean needs a layout with a C"):
        description.parse(yaml.safe_dump(document), "model.yaml")


def test_several_faults_are_counted() -> None:
    with pytest.raises(InputError, match=r"\(and 1 more\)"):
        description.parse(yaml.safe_dump(GOOD | {"one": 1, "two": 2}), "model.yaml")


def test_a_newer_schema_is_not_supported() -> None:
    with pytest.raises(UnsupportedError, match="schema 2 is newer than this nearedge reads"):
        description.parse(with_change("schema", 2), "model.yaml")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layout": "NHWC"}, "NHWC of shape [-1, 3, 8, 8] has 8; is the layout right?"),
        ({"layout": None}, "needs a layout with a C"),
        (
            {"layout": "NCDW", "preprocessing": {"resize": {"height": 8, "width": 8, "algorithm": "linear"}}},
            "a layout of pictures",
        ),
        ({"shape": [-1, 3, 8, 8, 8], "layout": "NCDHW", "preprocessing": {"resize": RESIZE}}, "a layout of pictures"),
        ({"layout": None, "preprocessing": {"layout": "NCHW"}}, "needs a layout of the same letters, not None"),
    ],
)
def test_preprocessing_goes_by_the_layout(changes: dict[str, Any], words: str) -> None:
    document = yaml.safe_load(with_change("inputs.0.preprocessing", {"channel_order": "RGB-to-BGR"}))
    description.parse(yaml.safe_dump(document), "model.yaml")
    document["inputs"][0] |= changes
    with pytest.raises(InputError, match=r"^model\.yaml: inputs\.0: ") as caught:
        description.parse(yaml.safe_dump(document), "model.yaml")
    assert words in str(caught.value)


def test_a_dimension_may_have_bounds() -> None:
    text = with_change("inputs.0.shape", [[1, 8], 3, -1, [16, 64]])
    [one] = description.parse(text, "model.yaml").inputs
    assert one.sizes == [-1, 3, -1, -1]
    assert one.bounds == [(1, 8), (3, 3), (0, None), (16, 64)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("a: 1\na: 2", "key 'a' is there twice"),
        ("b:\n  a: 1\n  a: 2", "is there twice"),
        ("", "holds no keys"),
        ("- 1", "holds no keys"),
    ],
)
def test_what_is_no_description(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        description.parse(text, "model.yaml")


def test_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nearedge init MODEL"):
        description.read(tmp_path / "model.yaml")
    (tmp_path / "model.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        description.read(tmp_path / "model.yaml")
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(GOOD))
    assert description.read(tmp_path / "model.yaml").name == "digits"
