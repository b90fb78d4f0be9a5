"""Data that do not fit the inputs are refused in one line that says where."""

import numpy as np
import pytest

from converters import arrays
from nearedge.errors import InputError, UnsupportedError
from nearedge.release.description import Description


def describe(dtype="FP32", shape=(-1, 3), path="data.npz", labels=None):
    data = {"path": path, **({"labels": labels} if labels else {})}
    one = {"name": "x", "shape": list(shape), "dtype": dtype}
    return Description.model_validate(
        {"schema": 1, "name": "m", "source": {"path": "m"}, "inputs": [one], "outputs": [{"name": "y"}], "data": data}
    )


def write(tmp_path, **named):
    np.savez(tmp_path / "data.npz", **named)


@pytest.mark.parametrize("dtype,have", [
    ("FP32", "float32"), ("FP32", "float64"), ("FP32", "uint8"), ("FP16", "float32"), ("FP64", "int64"),
    ("INT32", "int64"), ("UINT8", "int64"), ("INT64", "int8"), ("BOOL", "bool"), ("FP32", "bool"),
])  # fmt: skip
def test_arrays_whose_values_fit_are_read(tmp_path, dtype, have):
    write(tmp_path, x=np.ones((5, 3), have))
    found = arrays.read(describe(dtype), tmp_path)
    assert found.rows == 5 and found.labels is None and found.inputs["x"].shape == (5, 3)


@pytest.mark.parametrize("named,shape,said", [
    ({"z": np.ones((5, 3), "f4")}, (-1, 3), "no array 'x'; there are: z"),
    ({"x": np.ones((5, 4), "f4")}, (-1, 3), "have shape [5, 4], the input takes [-1, 3]"),
    ({"x": np.ones((5, 4), "f4")}, (-1, (5, 9)), "have shape [5, 4], the input takes [-1, [5, 9]]"),
    ({"x": np.ones((5, 4), "f4")}, (-1, (1, 3)), "have shape [5, 4], the input takes [-1, [1, 3]]"),
    ({"x": np.ones(5, "f4")}, (-1, 3), "no rows of [-1, 3]"),
    ({"x": np.ones((5, 1, 1, 3), "f4")}, (-1, 3), "no rows of [-1, 3]"),
    ({"x": np.ones((0, 3), "f4")}, (-1, 3), "holds no rows"),
    ({"x": np.array(["a"])}, (-1,), "convert them"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(tmp_path, named, shape, said):
    write(tmp_path, **named)
    with pytest.raises(InputError) as fault:
        arrays.read(describe(shape=shape), tmp_path)
    assert said in str(fault.value) and "\n" not in str(fault.value)


@pytest.mark.parametrize("dtype,values", [
    ("INT32", np.array([1.0])), ("UINT8", np.array([256])), ("UINT8", np.array([-1])), ("INT8", np.array([200])),
    ("BOOL", np.array([1])), ("INT64", np.array([2**63], "uint64")),
])  # fmt: skip
def test_values_that_would_change_are_refused(tmp_path, dtype, values):
    write(tmp_path, x=values)
    with pytest.raises(InputError, match="the input takes"):
        arrays.read(describe(dtype, (-1,)), tmp_path)


def test_bf16_data_are_not_supported(tmp_path):
    write(tmp_path, x=np.ones((1, 3), "f4"))
    with pytest.raises(UnsupportedError, match="BF16"):
        arrays.read(describe("BF16"), tmp_path)


def test_labels_come_along_and_have_as_many_rows(tmp_path):
    write(tmp_path, x=np.ones((4, 3), "f4"), y=np.arange(4))
    assert list(arrays.read(describe(labels="y"), tmp_path).labels) == [0, 1, 2, 3]
    write(tmp_path, x=np.ones((4, 3), "f4"), y=np.arange(3))
    with pytest.raises(InputError, match=r"x 4, y 3 \(labels\)"):
        arrays.read(describe(labels="y"), tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_labels_that_nothing_compares_with_are_refused(tmp_path, value):
    write(tmp_path, x=np.ones((4, 3), "f4"), y=np.array([[0, 1], [1, 0], [1, value], [0, 0]], "f4"))
    with pytest.raises(InputError, match="labels 'y' hold NaN or infinity, first in row 2"):
        arrays.read(describe(labels="y"), tmp_path)


def test_a_folder_of_npy_files_is_read_as_well(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "x.npy", np.ones((2, 3), "f4"))
    assert arrays.read(describe(path="data"), tmp_path).rows == 2
    with pytest.raises(InputError, match="no array 'y'; there are: x"):
        arrays.read(describe(path="data", labels="y"), tmp_path)


def damaged(path, how):
    if how == "truncated":
        np.savez(path, x=np.ones((50, 3), "f4"))
        path.write_bytes(path.read_bytes()[:200])
    elif how == "text":
        path.write_text("no numpy")
    elif how == "objects":
        np.savez(path, x=np.array([{}], dtype=object))
    elif how == "single":
        with path.open("wb") as file:
            np.save(file, np.ones(3))
    elif how == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize("how", ["missing", "truncated", "text", "objects", "single", "empty"])
def test_damaged_data_are_refused_and_nothing_is_unpickled(tmp_path, how):
    damaged(tmp_path / "data.npz", how)
    with pytest.raises(InputError) as fault:
        arrays.read(describe(), tmp_path)
    assert "data.npz" in str(fault.value) and "\n" not in str(fault.value)


def test_data_outside_the_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="leads out"):
        arrays.read(describe(path="../data.npz"), tmp_path)


def test_without_data_there_is_nothing_to_read(tmp_path):
    without = describe().model_copy(update={"data": None})
    with pytest.raises(InputError, match="names none"):
        arrays.read(without, tmp_path)
