"""CSV files become rows of one input and labels, and each fault names its line."""

import numpy as np
import pytest

from converters import samples, tables
from nearedge.errors import InputError
from nearedge.release.description import Description


def describe(shape=(-1, 2), dtype="FP32", inputs=1, **data):
    one = {"shape": list(shape), "dtype": dtype}
    return Description.model_validate(
        {
            "schema": 1, "name": "m", "source": {"path": "m"}, "outputs": [{"name": "y"}],
            "inputs": [{"name": f"x{number}", **one} for number in range(inputs)], "data": {"path": "d.csv", **data},
        }
    )  # fmt: skip


def read(tmp_path, text, described):
    (tmp_path / "d.csv").write_text(text, encoding="utf-8", newline="")
    return samples.evaluation(described, tmp_path)


def test_the_diabetes_table_as_it_is_published(tmp_path):
    from sklearn.datasets import load_diabetes

    values, target = load_diabetes(return_X_y=True)
    lines = [",".join(map(repr, [*map(float, row), float(y)])) for row, y in zip(values, target, strict=True)]
    text = "\n".join(["age,sex,bmi,bp,s1,s2,s3,s4,s5,s6,target", *lines])
    found = read(tmp_path, text, describe((-1, 10), labels="target", calibration=[0, 100]))
    assert found.rows == 342 and np.array_equal(found.labels, target[100:].astype(int))
    assert np.array_equal(found.feeds[0]["x0"][0], values[100].astype("f4"))


def test_columns_in_the_order_asked_for(tmp_path):
    text = '\ufeffid,a,"b ""c""",kind\r\n7,1.5,-2e3,dog\r\n\r\n8, 3 ,4,cat\r\n'
    described = describe(columns=['b "c"', "a"], labels="kind", classes=["cat", "dog"])
    found = read(tmp_path, text, described)
    assert found.feeds[0]["x0"].tolist() == [[-2000, 1.5]] and found.feeds[1]["x0"].tolist() == [[4, 3]]
    assert found.labels.tolist() == [1, 0]


@pytest.mark.parametrize("dtype,cells,values", [
    ("INT64", "9223372036854775807,-9223372036854775808", [2**63 - 1, -(2**63)]), ("UINT8", "0,255", [0, 255]),
    ("BOOL", "1,0", [True, False]), ("FP64", "0.1,1e300", [0.1, 1e300]), ("FP16", "65504,-1", [65504, -1]),
])  # fmt: skip
def test_values_reach_the_input_unchanged(tmp_path, dtype, cells, values):
    found = read(tmp_path, f"a,b\n{cells}\n", describe(dtype=dtype)).feeds[0]["x0"]
    assert found.tolist() == [values] and found.shape == (1, 2)


@pytest.mark.parametrize("shape,sent", [((-1, 2), (1, 2)), ((2,), (2,)), ((1, 2), (1, 2))])
def test_rows_fit_the_batch(tmp_path, shape, sent):
    assert read(tmp_path, "a,b\n1,2\n3,4\n", describe(shape)).feeds[1]["x0"].shape == sent


def test_labels_with_fractions_stay_so(tmp_path):
    found = read(tmp_path, "a,b,y\n1,2,0.5\n1,2,3\n", describe(labels="y"))
    assert found.labels.tolist() == [0.5, 3] and found.labels.dtype == np.float64
    assert read(tmp_path, "a,b,y\n1,2,4.0\n", describe(labels="y")).labels.dtype == np.int64


@pytest.mark.parametrize("text,options,said", [
    ("a,b\n1,2\n3\n", {}, "line 3 has 1 cells, line 1 has 2"),
    ("a,b\n1,2,3\n", {}, "line 2 has 3 cells, line 1 has 2"),
    ("a,b\n1,nan\n", {}, "line 2, column 'b': 'nan' is no finite number"),
    ("a,b\n1,inf\n", {}, "is no finite number"), ("a,b\n1,1e39\n", {"dtype": "FP32"}, "is no finite number"),
    ("a,b\n1,70000\n", {"dtype": "FP16"}, "is no finite number"), ("a,b\n1,\n", {}, "'' is no finite number"),
    ("a,b\n1,1_0\n", {}, "'1_0' is no finite number"), ("a,b\n1,x\n", {}, "line 2, column 'b': 'x'"),
    ("a,b\n1,256\n", {"dtype": "UINT8"}, "'256' is no whole number from 0 to 255"),
    ("a,b\n1,1.5\n", {"dtype": "INT32"}, "is no whole number"), ("a,b\n1,2\n", {"dtype": "BOOL"}, "from 0 to 1"),
    ("a,b\n1," + "9" * 5000, {"dtype": "INT64"}, "is no whole number"),
    ("a,b\n1,2\n", {"labels": "y"}, "no column 'y'; there are: a, b"),
    ("a,b\n1,2\n", {"columns": ["c"]}, "no column 'c'"), ("y\n1\n", {"labels": "y"}, "no column beside the labels"),
    ("a,b,y\n1,2,cat\n", {"labels": "y"}, "line 2, column 'y': 'cat' is no number; list the names in data.classes"),
    ("a,b,y\n1,2,cat\n", {"labels": "y", "classes": ["dog"]}, "'cat' is none of data.classes"),
    ("a,b,y\n1,2,nan\n", {"labels": "y"}, "'nan' is no number"),
    ("a,a\n1,2\n", {}, "line 1 names column 'a' 2 times"), ("", {}, "line 1 does not name the columns"),
    ("a,b\n", {}, "holds no rows"), ("a,b,c\n1,2,3\n", {}, "have shape [1, 3], the input takes [-1, 2]"),
    ('a,b\n1,"2\n', {}, "no CSV"), ('a,b\n1,"2"3\n', {}, "no CSV"), ("a,b\n1," + "2" * 200_000, {}, "no CSV"),
    ("a,b\n1,2\n", {"inputs": 2}, "table hold one input's data, the model has 2"),
    ("a,b\n1,2\n", {"resize": "crop"}, "data.resize: is for pictures, d.csv is table; remove it"),
])  # fmt: skip
def test_faults_name_their_place(tmp_path, text, options, said):
    with pytest.raises(InputError) as fault:
        read(tmp_path, text, describe(**options))
    assert said in str(fault.value) and "\n" not in str(fault.value) and "d.csv" in str(fault.value)
    assert len(str(fault.value)) < 300 + len(str(tmp_path))


def test_what_is_no_text_and_what_is_too_large(tmp_path):
    (tmp_path / "d.csv").write_bytes(b"a,b\n1,\xff\n")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        samples.evaluation(describe(), tmp_path)
    with (tmp_path / "d.csv").open("ab") as file:
        file.truncate(tables.MOST_BYTES + 1)
    with pytest.raises(InputError, match="has more than 256 MB"):
        samples.evaluation(describe(), tmp_path)
