"""Repeat the golden samples and compare the answers with those expected.

The decision (top-1, or a value within the metric's tolerance) must hold on every processor; raw closeness only on one
with the instruction set that the samples were made on.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving_image import instruction_set
from serving_image.faults import BadRequestError, LoadError, one_line
from serving_image.model import Model
from serving_image.pool import Pool
from serving_image.record import Golden, Tolerance
from serving_image.tensors import Array, Tensor, numbers, of_numbers, quoted

FILE = "golden.npz"
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class OutputResult:
    """How one output of all samples compares."""

    output: str
    kind: str
    largest_difference: float
    decisions_held: int
    samples: int
    passed: bool


@dataclass(frozen=True)
class Result:
    """One self-test. `passed` None: there are no golden samples."""

    passed: bool | None
    reason: str
    samples: int
    instruction_set: str
    golden_instruction_set: str | None
    largest_difference: float
    outputs: list[OutputResult]

    def document(self) -> dict[str, Any]:
        """What `GET .../self-test` gives back."""
        return asdict(self)


def arrays(folder: Path, golden: Golden) -> dict[str, Array]:
    """The arrays of golden.npz, by name. Raises LoadError where it is missing or not what the record names."""
    try:
        content = (folder / FILE).read_bytes()
    except OSError as error:
        raise LoadError("missing", f"{folder / FILE} cannot be read: {error.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != golden.sha256:
        raise LoadError("damaged", f"{FILE} is damaged: its sha256 is {digest}, the record says {golden.sha256}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise LoadError("damaged", f"{FILE} is no set of plain arrays: {one_line(error)}") from None


def rows(found: dict[str, Array], kind: str, names: list[str], count: int) -> dict[str, Array]:
    """The arrays `kind/NAME` for each name, `count` samples each. Raises LoadError."""
    picked = {}
    for name in names:
        array = found.get(f"{kind}/{name}")
        if array is None or array.ndim == 0 or len(array) != count:
            raise LoadError("record", f"{FILE} has no {kind}/{name} of {count} samples")
        picked[name] = array
    return picked


async def run(model: Model, folder: Path, pool: Pool) -> Result:
    """The self-test of a loaded model. Raises LoadError where the samples cannot be read or do not fit the model."""
    machine = instruction_set.detect()
    golden = model.record.golden if model.record else None
    if golden is None:
        return Result(None, "the release carries no golden samples", 0, machine, None, 0.0, [])
    found = arrays(folder, golden)
    inputs = rows(found, "input", [spec.name for spec in model.inputs], golden.count)
    expected = rows(found, "output", [tolerance.output for tolerance in golden.tolerances], golden.count)
    answers = [await answer(model, pool, inputs, at) for at in range(golden.count)]
    same = machine == golden.instruction_set
    results = [
        compare_output(
            tolerance, expected[tolerance.output], [answer[tolerance.output] for answer in answers], same=same
        )
        for tolerance in golden.tolerances
    ]
    return summary(results, golden, machine)


async def answer(model: Model, pool: Pool, inputs: dict[str, Array], at: int) -> dict[str, Array]:
    """What the model gives for sample `at`, as numbers by output name."""
    tensors = [of_numbers(spec.name, spec.datatype, inputs[spec.name][at]) for spec in model.inputs]
    try:
        for spec, tensor in zip(model.inputs, tensors, strict=True):
            spec.check(tensor)
        outputs, _ = await pool.run([tensor.array for tensor in tensors], TIMEOUT_S)
    except (BadRequestError, RuntimeError) as error:
        raise LoadError("self-test", f"golden sample {at} does not fit the model: {one_line(error)}") from None
    return {
        spec.name: numbers(Tensor(spec.name, spec.datatype, array))
        for spec, array in zip(model.outputs, outputs, strict=True)
    }


async def gathered(model: Model, folder: Path, pool: Pool, limit: int) -> Result | None:
    """The self-test with at most `limit` rows of the samples in one inference: whether rows keep to themselves.

    None where there are no samples, or not two that fit together. Raises LoadError as `run` does.
    """
    golden = model.record.golden if model.record else None
    if golden is None:
        return None
    machine = instruction_set.detect()
    found = arrays(folder, golden)
    inputs = rows(found, "input", [spec.name for spec in model.inputs], golden.count)
    expected = rows(found, "output", [tolerance.output for tolerance in golden.tolerances], golden.count)
    size = next(iter(inputs.values())).shape[1]
    count = min(golden.count, limit // size)
    if count < 2:
        return None
    together = {name: array[:count].reshape(1, -1, *array.shape[2:]) for name, array in inputs.items()}
    made = await answer(model, pool, together, 0)
    results = []
    for tolerance in golden.tolerances:
        wanted = expected[tolerance.output][:count]
        pieces = np.split(made[tolerance.output], count) if len(made[tolerance.output]) == count * size else []
        got = list(pieces) or [np.empty(0)] * count
        results.append(compare_output(tolerance, wanted, got, same=machine == golden.instruction_set))
    return summary(results, golden, machine)


def compare_output(tolerance: Tolerance, expected: Array, answers: list[Array], *, same: bool) -> OutputResult:
    """Compare one output of every sample; `same`: on the golden instruction set, where `close` must hold too."""
    held = 0
    largest = 0.0
    for wanted, got in zip(expected, answers, strict=True):
        difference = largest_difference(wanted, got)
        largest = max(largest, difference)
        decided = same_top1(wanted, got) if tolerance.kind == "top1" else difference <= tolerance.value
        held += decided and bool(np.isfinite(difference))
    passed = held == len(answers) and (not same or largest <= tolerance.close)
    return OutputResult(tolerance.output, tolerance.kind, largest, held, len(answers), passed)


def largest_difference(wanted: Array, got: Array) -> float:
    """Largest absolute difference; infinite where shapes differ or only one of two is NaN or infinite."""
    if wanted.shape != got.shape:
        return float("inf")
    if got.dtype.kind == "S":
        return 0.0 if (wanted.astype("S") == got).all() else float("inf")
    left, right = wanted.astype(np.float64), got.astype(np.float64)
    equal = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        difference = np.where(equal, 0.0, np.abs(left - right))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def same_top1(wanted: Array, got: Array) -> bool:
    """Whether the largest value along the class axis is at the same place everywhere."""
    if wanted.shape != got.shape:
        return False
    left, right = np.atleast_1d(wanted), np.atleast_1d(got)
    axis = class_axis(left.shape)
    return bool((left.argmax(axis) == right.argmax(axis)).all())


def class_axis(shape: Sequence[int]) -> int:
    """Where class scores lie: axis 1 of [batch, class, height, width] and larger, the last axis otherwise."""
    return 1 if len(shape) >= 4 else -1


def summary(results: list[OutputResult], golden: Golden, machine: str) -> Result:
    """All outputs together, with a reason for a person."""
    reasons = [
        f"output {quoted(result.output)}: {result.decisions_held} of {result.samples} decisions held ({result.kind}), "
        f"largest difference {result.largest_difference:g}"
        for result in results
        if not result.passed
    ]
    return Result(
        passed=not reasons,
        reason="; ".join(reasons) or "all golden samples gave what they should",
        samples=golden.count,
        instruction_set=machine,
        golden_instruction_set=golden.instruction_set,
        largest_difference=max((result.largest_difference for result in results), default=0.0),
        outputs=results,
    )
