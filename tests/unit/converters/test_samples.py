"""Rows become requests by the rule in docs/architecture.md."""

import numpy as np
import pytest

from converters import samples, synthetic
from nearedge.errors import InputError
from nearedge.release.description import Description


def describe(*inputs, **data):
    body = {
        "schema": 1, "name": "m", "source": {"path": "m"}, "inputs": list(inputs), "outputs": [{"name": "y"}],
        "data": {"path": "data.npz", **data} if data is not None else None,
    }  # fmt: skip
    if "golden" in data:
        body["golden"] = body["data"].pop("golden")
    return Description.model_validate(body)


def one(name="x", shape=(-1, 2), dtype="FP32", **more):
    return {"name": name, "shape": list(shape), "dtype": dtype, **more}


@pytest.fixture
def rows(tmp_path):
    """Ten rows of two numbers, as x; the same as one number each, as z; labels."""
    numbers = np.arange(20, dtype="f4").reshape(10, 2)
    np.savez(tmp_path / "data.npz", x=numbers, z=np.arange(10), label=np.arange(10) * 10)
    return tmp_path


@pytest.mark.parametrize("shape,requests,first", [
    ((-1, 2), 10, (1, 2)), ((1, 2), 10, (1, 2)), ((2,), 10, (2,)), ((4, 2), 2, (4, 2)),
    (((1, 8), (1, 2)), 10, (1, 2)), (((4, 8), 2), 2, (4, 2)),
])  # fmt: skip
def test_a_request_has_the_models_batch(rows, shape, requests, first):
    found = samples.evaluation(describe(one(shape=shape)), rows)
    assert len(found.feeds) == requests and found.feeds[0]["x"].shape == first and not found.synthetic
    assert found.feeds[1]["x"].ravel()[0] == (8 if first == (4, 2) else 2)


def test_labels_go_with_the_rows_of_a_request(rows):
    found = samples.evaluation(describe(one(shape=(4, 2)), labels="label", evaluation=[1, 10]), rows)
    assert found.rows == 8 and list(found.labels_of(1)) == [50, 60, 70, 80]
    assert found.feeds[1]["x"][0, 0] == 10
    assert samples.evaluation(describe(one()), rows).labels_of(0) is None


def test_several_inputs_of_other_types(rows):
    found = samples.evaluation(describe(one(), one("z", (), "INT32")), rows)
    assert found.feeds[3]["z"].dtype == np.int32 and found.feeds[3]["z"].shape == () and found.feeds[3]["z"] == 3


def test_inputs_that_take_different_numbers_of_rows_are_refused(rows):
    with pytest.raises(InputError, match=r"x 4, z 1"):
        samples.evaluation(describe(one(shape=(4, 2)), one("z", (), "INT64")), rows)


@pytest.mark.parametrize("given,expected", [
    ({}, (0, 10)), ({"calibration": [0, 6]}, (6, 10)), ({"calibration": [7, 10]}, (0, 7)),
    ({"calibration": [2, 4]}, (4, 10)), ({"calibration": [0, 2], "evaluation": [3, 5]}, (3, 5)),
])  # fmt: skip
def test_evaluation_is_what_is_given_or_left(rows, given, expected):
    found = samples.evaluation(describe(one(), **given), rows)
    values = [int(feed["x"][0, 0]) // 2 for feed in found.feeds]
    assert values == list(range(*expected))


@pytest.mark.parametrize("given,said", [
    ({"evaluation": [5, 11]}, r"\[5, 11\] ends after the data, which have 10 rows"),
    ({"calibration": [0, 10]}, "takes all 10 rows"),
])  # fmt: skip
def test_rows_that_are_not_there_are_refused(rows, given, said):
    with pytest.raises(InputError, match=said):
        samples.evaluation(describe(one(), **given), rows)


def test_fewer_rows_than_the_batch_are_refused(rows):
    with pytest.raises(InputError, match="3 are fewer than the model's batch of 4"):
        samples.evaluation(describe(one(shape=(4, 2)), evaluation=[0, 3]), rows)


def test_calibration_and_golden_only_where_given(rows):
    assert samples.calibration(describe(one()), rows) is None
    assert samples.golden(describe(one()), rows) is None
    assert len(samples.calibration(describe(one(), calibration=[0, 4]), rows).feeds) == 4
    assert len(samples.golden(describe(one(), golden={"rows": [0, 3]}), rows).feeds) == 3


def test_requests_are_a_sequence(rows):
    feeds = samples.evaluation(describe(one()), rows).feeds
    assert [feed["x"][0, 0] for feed in feeds[2:4]] == [4, 6]
    with pytest.raises(IndexError):
        feeds[10]


def test_without_data_samples_come_from_the_signature(tmp_path):
    described = describe(one(), one("flag", (-1,), "BOOL")).model_copy(update={"data": None})
    found = samples.evaluation(described, tmp_path)
    assert found.synthetic and found.rows == synthetic.COUNT == len(found.feeds) and found.labels is None
    assert samples.calibration(described, tmp_path) is None


@pytest.mark.parametrize("given,shape,least,most", [
    (one(shape=(-1, 3, -1, -1), layout="NCHW"), (1, 3, 64, 64), -9, 9),
    (one(shape=(-1, -1)), (1, 8), -9, 9),
    (one(shape=(2, 5), dtype="UINT8"), (2, 5), 0, 255),
    (one(shape=(-1, 4), dtype="INT64"), (1, 4), 0, 1),
    (one(shape=(3,), dtype="BOOL"), (3,), 0, 1),
    (one(shape=(), dtype="FP64"), (), -9, 9),
    (one(shape=(1, 2, 4, 4), layout="NCHW", preprocessing={"mean": [100, 200], "scale": [1, 2]}),
     (1, 2, 4, 4), 90, 220),
    (one(preprocessing={"mean": [50.0]}), (1, 2), 40, 60),
])  # fmt: skip
def test_synthetic_values_fit_the_signature(given, shape, least, most):
    [described] = describe(given).inputs
    first, second = (synthetic.feeds([described], 3) for _ in range(2))
    for left, right in zip(first, second, strict=True):
        assert np.array_equal(left["x"], right["x"]) and left["x"].shape == shape
        assert left["x"].min() >= least and left["x"].max() <= most
