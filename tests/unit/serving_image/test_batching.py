"""Dynamic batching: who goes with whom, what one request's fault does to the others, and that decisions stay."""

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from serving_image.batching import Batcher, most_rows, obstacle
from serving_image.faults import TimedOutError, UnavailableError
from serving_image.pool import Pool
from serving_image.tensors import Spec


class Slot:
    """Doubles its rows when the gate is open; refuses any inference that holds a negative number."""

    def __init__(self, flat: bool = False) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.cancelled = threading.Event()
        self.shapes: list[tuple[int, ...]] = []
        self.flat = flat

    def run(self, arrays):
        while not self.gate.wait(0.005) and not self.cancelled.is_set():
            pass
        if self.cancelled.is_set():
            raise RuntimeError("cancelled")
        self.shapes.append(arrays[0].shape)
        if (arrays[0] < 0).any():
            raise RuntimeError("negative")
        return [arrays[0].sum(axis=0, keepdims=True) if self.flat else arrays[0] * 2]

    def cancel(self) -> None:
        self.cancelled.set()


def rows(*numbers: float):
    return [np.array(numbers, np.float32).reshape(-1, 1)]


def run(body, *, slot: Slot, max_batch: int = 4, wait: float = 0.02, queue: int = 10) -> list[int]:
    """Run `body(batcher)`; the rows of each inference."""
    seen: list[int] = []

    async def main() -> None:
        pool = Pool([slot], queue)
        batcher = Batcher(pool, max_batch, wait, seen.append)
        await body(batcher)
        assert (batcher.pending, batcher.groups) == (0, {})
        async with asyncio.timeout(30):
            while batcher.batches:
                await asyncio.sleep(0.01)
        slot.gate.set()
        assert pool.close()

    asyncio.run(main())
    return seen


def test_requests_that_come_together_are_one_inference_and_each_gets_its_rows() -> None:
    async def body(batcher: Batcher) -> None:
        answers = await asyncio.gather(*(batcher.run(rows(*numbers), 5) for numbers in ((1,), (2, 3), (4,))))
        assert [outputs[0].ravel().tolist() for outputs, _ in answers] == [[2], [4, 6], [8]]

    slot = Slot()
    assert run(body, slot=slot, wait=10) == [4]
    assert slot.shapes == [(4, 1)]


def test_a_lone_request_waits_no_longer_than_told() -> None:
    async def body(batcher: Batcher) -> None:
        outputs, _ = await batcher.run(rows(1), 5)
        assert outputs[0].tolist() == [[2]]

    assert run(body, slot=Slot()) == [1]


def test_what_would_not_fit_goes_into_the_next_batch() -> None:
    async def body(batcher: Batcher) -> None:
        numbers = ((1, 2, 3), (4, 5), (6, 7), (1, 2, 3, 4, 5, 6))
        answers = await asyncio.gather(*(batcher.run(rows(*one), 5) for one in numbers))
        for one, (outputs, _) in zip(numbers, answers, strict=True):
            assert outputs[0].ravel().tolist() == [2 * number for number in one]

    assert sorted(run(body, slot=Slot())) == [3, 4, 6]


def test_other_shapes_are_another_batch() -> None:
    async def body(batcher: Batcher) -> None:
        wide = [np.ones((1, 2), np.float32)]
        two = [np.ones((1, 1), np.float32), np.ones((2, 1), np.float32)]
        answers = await asyncio.gather(batcher.run(rows(1), 5), batcher.run(wide, 5), batcher.run(two, 5))
        assert [outputs[0].shape for outputs, _ in answers] == [(1, 1), (1, 2), (1, 1)]

    assert sorted(run(body, slot=Slot())) == [1, 1, 2]


def test_a_fault_of_one_spoils_nobody_else() -> None:
    async def body(batcher: Batcher) -> None:
        requests = [batcher.run(rows(number), 5) for number in (1, -1, 3)]
        first, second, third = await asyncio.gather(*requests, return_exceptions=True)
        assert isinstance(second, RuntimeError) and str(second) == "negative"
        assert [first[0][0].item(), third[0][0].item()] == [2, 6]
        with pytest.raises(RuntimeError, match="negative"):
            await batcher.run(rows(-5), 5)

    slot = Slot()
    assert run(body, slot=slot) == [1, 1]
    assert slot.shapes[0] == (3, 1)


def test_outputs_that_do_not_follow_the_rows_end_batching() -> None:
    async def body(batcher: Batcher) -> None:
        answers = await asyncio.gather(batcher.run(rows(1), 5), batcher.run(rows(2), 5))
        assert [outputs[0].item() for outputs, _ in answers] == [1, 2]
        assert batcher.max_batch == 1

    run(body, slot=Slot(flat=True))


def test_time_outs_are_each_requests_own() -> None:
    async def body(batcher: Batcher) -> None:
        slot.gate.clear()
        hasty = asyncio.create_task(batcher.run(rows(1), 0.05))
        patient = asyncio.create_task(batcher.run(rows(2), 5))
        with pytest.raises(TimedOutError, match=r"0\.05 s"):
            await hasty
        slot.gate.set()
        outputs, _ = await patient
        assert outputs[0].item() == 4

    slot = Slot()
    run(body, slot=slot)


def test_one_that_leaves_while_it_waits_is_not_computed() -> None:
    async def body(batcher: Batcher) -> None:
        gone = asyncio.create_task(batcher.run(rows(1), 5))
        stays = asyncio.create_task(batcher.run(rows(2), 5))
        await asyncio.sleep(0.01)
        gone.cancel()
        outputs, _ = await stays
        assert outputs[0].item() == 4
        alone = asyncio.create_task(batcher.run(rows(1), 5))
        await asyncio.sleep(0.01)
        alone.cancel()
        await asyncio.gather(gone, alone, return_exceptions=True)
        await asyncio.sleep(0.6)

    assert run(body, slot=Slot(), wait=0.5) == [1]


def test_a_batch_that_nobody_waits_for_is_cancelled() -> None:
    async def body(batcher: Batcher) -> None:
        slot.gate.clear()
        requests = [asyncio.create_task(batcher.run(rows(number), 0.05)) for number in (1, 2)]
        faults = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(fault, TimedOutError) for fault in faults)
        assert await asyncio.to_thread(slot.cancelled.wait, 30)

    slot = Slot()
    assert run(body, slot=slot) == []


def test_over_the_bound_the_answer_comes_at_once() -> None:
    async def body(batcher: Batcher) -> None:
        assert batcher.limit == 2 + 4
        slot.gate.clear()
        requests = [asyncio.create_task(batcher.run(rows(number), 5)) for number in range(6)]
        await asyncio.sleep(0.01)
        with pytest.raises(UnavailableError, match="6 requests wait"):
            await batcher.run(rows(1), 5)
        slot.gate.set()
        assert len(await asyncio.gather(*requests)) == 6

    slot = Slot()
    run(body, slot=slot, queue=2)


def spec(*bounds: tuple[int, int]) -> Spec:
    return Spec("x", "FP32", bounds)


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([spec((1, -1), (4, 4))], [spec((1, -1))], ""),
        ([spec((1, 1), (4, 4))], [spec((1, -1))], "input 'x' has the shape [1, 4]"),
        ([spec((1, -1))], [spec((1, 1))], "output 'x'"),
        ([spec()], [spec((1, -1))], "whose first dimension does not vary"),
        ([], [spec((1, -1))], "no inputs"),
    ],
)
def test_which_models_can_be_batched(inputs: list[Spec], outputs: list[Spec], reason: str) -> None:
    found = obstacle(SimpleNamespace(inputs=inputs, outputs=outputs))
    assert reason in found and bool(found) == bool(reason)


def test_no_more_rows_than_the_model_takes() -> None:
    assert most_rows(SimpleNamespace(inputs=[spec((1, 8)), spec((1, -1))]), 32) == 8
    assert most_rows(SimpleNamespace(inputs=[spec((1, -1))]), 32) == 32


def batched(folder: Path, **runtime: object) -> None:
    """Let the record in a model folder ask for batching."""
    path = folder / "release.json"
    document = json.loads(path.read_text())
    document["runtime"].update(runtime)
    path.write_text(json.dumps(document))


def test_a_real_model_gives_the_same_decisions_batched(tmp_path: Path, released, start, tools) -> None:
    folder = tools.folder(tmp_path, released.workspaces["digits"], released.releases["digits"])
    batched(folder, max_batch=8, max_wait_ms=30.0)
    server = start(tmp_path).wait_ready()
    with np.load(folder / "golden.npz") as archive:
        images, logits = archive["input/image"], archive["output/logits"]

    def post(at: int) -> int:
        entry = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": images[at % 3].ravel().tolist()}
        answer = server.post("/v2/models/digits/infer", json={"inputs": [entry], "outputs": [{"name": "logits"}]})
        return int(np.argmax(answer.json()["outputs"][0]["data"]))

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(post, range(48)))
    assert found == [int(logits[at % 3].argmax()) for at in range(48)]
    text = server.get("/metrics").text
    total = float(re.search(r'nearedge_batch_size_sum{model="digits",version="1"} (\S+)', text)[1])
    count = float(re.search(r'nearedge_batch_size_count{model="digits",version="1"} (\S+)', text)[1])
    assert total == 48 and count < 48
    assert 'nearedge_model_max_batch{model="digits",version="1"} 8' in text


def test_rows_that_depend_on_each_other_are_not_batched(tmp_path: Path, start, tools) -> None:
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([-1, 4], ov.Type.f32), "x")
    mixed_up = tools.named(op.softmax(given, 0), "y")  # over the rows
    samples = [{"x": np.full((1, 4), at, np.float32)} for at in range(3)]
    release = tools.release(
        "m", ov.Model([mixed_up], [given], "m"), [tools.spec("x", "FP32", -1, 4)], [tools.spec("y", "FP32", -1, 4)],
        samples, "value", 0.0,
    )  # fmt: skip
    tools.workspace(tmp_path / "w", release)
    batched(tools.folder(tmp_path / "models", tmp_path / "w", release), max_batch=8, max_wait_ms=1.0)
    server = start(tmp_path / "models").wait_ready()
    line = next(line for line in server.lines() if line["message"].startswith("requests are not batched"))
    assert "output 'y': 0 of 3 decisions held" in line["message"]
    assert 'nearedge_model_max_batch{model="m",version="1"} 1' in server.get("/metrics").text


def test_what_nobody_foresaw_reaches_each_that_waits() -> None:
    class Odd(Slot):
        def run(self, arrays):
            raise RuntimeError("together") if arrays[0].shape[0] > 1 else SystemError("alone")

    async def body(batcher: Batcher) -> None:
        for _ in range(2):
            found = await asyncio.gather(*(batcher.run(rows(1), 5) for _ in range(2)), return_exceptions=True)
            assert [type(one) for one in found] == [SystemError, SystemError]

    run(body, slot=Odd())
