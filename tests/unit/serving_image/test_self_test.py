"""Golden samples: what must hold everywhere, what only on the same instruction set, and files that are damaged."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from serving_image import instruction_set, model, self_test
from serving_image.faults import LoadError
from serving_image.pool import Pool
from serving_image.record import Golden, Tolerance

TOP1 = Tolerance("y", "top1", 0.0, 0.1)
VALUE = Tolerance("y", "value", 0.5, 0.1)


@pytest.mark.parametrize(
    ("tolerance", "got", "same", "passed"),
    [
        (TOP1, [[0.0, 1.05]], True, True),
        (TOP1, [[0.0, 1.2]], True, False),
        (TOP1, [[0.0, 1.2]], False, True),
        (TOP1, [[1.0, 0.0]], False, False),
        (TOP1, [[np.nan, 1.0]], False, False),
        (TOP1, [[0.0, np.inf]], False, False),
        (VALUE, [[0.0, 1.4]], False, True),
        (VALUE, [[0.0, 1.6]], False, False),
        (VALUE, [[0.0, 1.4]], True, False),
        (VALUE, [0.0, 1.0], False, False),
        (TOP1, [0.0, 1.0], False, False),
    ],
)
def test_an_output_against_its_tolerance(tolerance: Tolerance, got: list, same: bool, passed: bool) -> None:
    expected = np.array([[[0.0, 1.0]]])
    assert self_test.compare_output(tolerance, expected, [np.array(got)], same=same).passed is passed


def test_nan_where_nan_is_expected_is_no_difference() -> None:
    array = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert self_test.largest_difference(array, array.copy()) == 0.0
    assert self_test.largest_difference(np.array(True), np.array(False)) == 1.0


@pytest.fixture
def loaded(released, tmp_path: Path):
    """The digits model, loaded, in a folder of its own that a test may damage."""
    import openvino as ov

    folder = shutil.copytree(released.models / "digits/1", tmp_path / "digits")
    return model.load(ov.Core(), folder, 1, None), folder


def run(found: model.Model, folder: Path) -> self_test.Result:
    async def body() -> self_test.Result:
        pool = Pool(found.slots, 1)
        try:
            return await self_test.run(found, folder, pool)
        finally:
            pool.close()

    return asyncio.run(body())


def with_golden(found: model.Model, **changes: object) -> model.Model:
    """The model with a record whose golden part is changed."""
    golden = Golden(**{**vars(found.record.golden), **changes})
    return model.Model(**{**vars(found), "record": type(found.record)(**{**vars(found.record), "golden": golden})})


def test_the_samples_hold(loaded) -> None:
    result = run(*loaded)
    assert (result.passed, result.samples) == (True, 3)
    assert result.instruction_set == result.golden_instruction_set == instruction_set.detect()
    assert [one.decisions_held for one in result.outputs] == [3, 3]
    assert result.document()["outputs"][0]["output"] == "logits"


def rewritten(folder: Path, tools, change) -> str:
    """Change the arrays of golden.npz; its new sha256."""
    with np.load(folder / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    with (folder / "golden.npz").open("wb") as file:
        np.savez(file, **arrays)
    return tools.sha256(folder / "golden.npz")


@pytest.mark.parametrize(("machine", "passed"), [(None, False), ("sse42", True)])
def test_a_small_move_matters_only_on_the_same_instruction_set(loaded, tools, machine, passed: bool) -> None:
    found, folder = loaded

    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["output/logits"] *= 1.2

    digest = rewritten(folder, tools, change)
    result = run(with_golden(found, sha256=digest, instruction_set=machine or instruction_set.detect()), folder)
    assert result.passed is passed
    assert ("logits" in result.reason) is not passed


def test_another_decision_fails_everywhere(loaded, tools) -> None:
    found, folder = loaded
    digest = rewritten(folder, tools, lambda arrays: arrays.update({"output/logits": -arrays["output/logits"]}))
    result = run(with_golden(found, sha256=digest, instruction_set="sse42"), folder)
    assert result.passed is False
    assert "output 'logits': 0 of 3 decisions held (top1)" in result.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("input/image"), "no input/image of 3 samples"),
        (lambda arrays: arrays.update({"output/logits": arrays["output/logits"][:2]}), "no output/logits of 3"),
        (lambda arrays: arrays.update({"input/image": arrays["input/image"][..., :4]}), "sample 0 does not fit"),
        (lambda arrays: arrays.update({"input/image": np.array([object()] * 3)}), "no set of plain arrays"),
    ],
)
def test_samples_that_do_not_fit(loaded, tools, change, message: str) -> None:
    found, folder = loaded
    digest = rewritten(folder, tools, change)
    with pytest.raises(LoadError, match=message):
        run(with_golden(found, sha256=digest), folder)


def test_damaged_and_missing_samples(loaded, tools) -> None:
    found, folder = loaded
    (folder / "golden.npz").write_bytes(b"PK damaged")
    with pytest.raises(LoadError, match=r"golden\.npz is damaged") as caught:
        run(found, folder)
    assert caught.value.kind == "damaged"
    with pytest.raises(LoadError, match="no set of plain arrays"):
        run(with_golden(found, sha256=tools.sha256(folder / "golden.npz")), folder)
    (folder / "golden.npz").unlink()
    with pytest.raises(LoadError, match="cannot be read: No such file") as caught:
        run(found, folder)
    assert caught.value.kind == "missing"


def test_bfloat16_samples_are_values(tmp_path: Path, tools) -> None:
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([1, 2], ov.Type.bf16), "x")
    twice = tools.named(op.concat([given, given], 1), "y")
    folder = tools.plain(tmp_path, "m", ov.Model([twice], [given], "m"))
    with (folder / "golden.npz").open("wb") as file:
        values = np.array([[[0.5, -3.0]]], np.float32)
        np.savez(file, **{"input/x": values, "output/y": np.concatenate([values, values], axis=2)})
    found = model.load(ov.Core(), folder, 1, None)
    golden = Golden(tools.sha256(folder / "golden.npz"), 1, "sse42", (Tolerance("y", "value", 0.0, 0.0),))

    class Record:
        pass

    Record.golden = golden
    result = run(model.Model(**{**vars(found), "record": Record}), folder)
    assert (result.passed, result.largest_difference) == (True, 0.0)
