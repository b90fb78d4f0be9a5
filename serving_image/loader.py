"""Load the models one after the other, off the event loop, and hold each against its golden samples."""

import asyncio
import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from serving_image import batching, instruction_set, limits, self_test
from serving_image.drift import Drift
from serving_image.faults import LoadError, one_line
from serving_image.logs import event
from serving_image.model import Model, load
from serving_image.pool import Pool
from serving_image.repository import Entry, Loaded, Repository
from serving_image.self_test import Result
from serving_image.settings import Settings
from serving_image.telemetry import Telemetry

Value = TypeVar("Value")


async def load_all(repository: Repository, settings: Settings, telemetry: Telemetry) -> None:
    """Load every model; one that cannot be says why in its entry, the log and a metric, and the next is tried."""
    if repository.fault:
        event(logging.ERROR, repository.fault)
    if not repository.models:
        return
    try:
        core, cache = await in_thread(lambda: new_core(settings.cache))
    except Exception as error:  # a library or a file that is not there: none of the models can be served
        for entry in repository.entries():
            fail(entry, "unexpected", f"OpenVINO cannot be used: {type(error).__name__}: {one_line(error)}", telemetry)
        return
    for entry in repository.entries():
        await load_entry(entry, core, cache, settings, telemetry)
    gc.collect()
    gc.freeze()  # what is left stays for good: looking at it again and again would hold up requests


async def load_entry(
    entry: Entry, core: Any, cache: Path | None, settings: Settings, telemetry: Telemetry
) -> None:  # openvino's classes carry no types
    """Load one model and test it."""
    start = time.perf_counter()
    cap = limits.thread_cap()
    try:
        model = await in_thread(lambda: load(core, entry.folder, cap, cache))
        seconds = time.perf_counter() - start
        telemetry.load_seconds.set(seconds, entry.name, entry.version)
        describe(entry, model, seconds, telemetry)
        entry.loaded = Loaded(model, Pool(model.slots, settings.queue, clock(model)))
        telemetry.in_flight.add(0, entry.name, entry.version)  # shown from the start
        watch(entry, entry.loaded, telemetry)
        judge(entry, await self_test.run(model, entry.folder, entry.loaded.pool), telemetry)
        await begin_batching(entry, entry.loaded, telemetry)
    except LoadError as fault:
        fail(entry, fault.kind, str(fault), telemetry)
    except Exception as error:  # any model at fault must leave the others served
        event(logging.ERROR, "loading failed", model=entry.name, version=entry.version, error=one_line(error))
        fail(entry, "unexpected", f"{type(error).__name__}: {one_line(error)}", telemetry)


def watch(entry: Entry, loaded: Loaded, telemetry: Telemetry) -> None:
    """Count requests and answers into the bins of the record's drift reference, where it has one."""
    model = loaded.model
    if model.record is None or not model.record.drift:
        return
    labels = (entry.name, entry.version)
    loaded.drift = Drift(model.record.drift, model.inputs, model.outputs, labels, telemetry.drift_rows)
    loaded.drift.show(telemetry.drift_expected)


async def begin_batching(entry: Entry, loaded: Loaded, telemetry: Telemetry) -> None:
    """Gather requests where the record asks for it, the model's shapes allow it, and golden samples hold together."""
    labels = (entry.name, entry.version)
    telemetry.max_batch.set(1, *labels)
    runtime = loaded.model.record.runtime if loaded.model.record else None
    if runtime is None or runtime.max_batch <= 1 or entry.state != "ready":
        return
    reason = batching.obstacle(loaded.model)
    rows = 1 if reason else batching.most_rows(loaded.model, runtime.max_batch)
    if not reason:
        try:
            result = await self_test.gathered(loaded.model, entry.folder, loaded.pool, rows)
            reason = result.reason if result is not None and not result.passed else ""
        except LoadError as fault:
            reason = str(fault)
    if reason:
        event(logging.WARNING, f"requests are not batched: {reason}", model=entry.name, version=entry.version)
        return

    def observe(count: int) -> None:
        telemetry.batch_rows.observe(count, *labels)

    telemetry.max_batch.set(rows, *labels)
    loaded.batcher = batching.Batcher(loaded.pool, rows, runtime.max_wait_ms / 1000, observe)


def clock(model: Model) -> Callable[[], float]:
    """What the pool measures inferences with: with one stream OpenVINO computes on the thread that asks."""
    return time.thread_time if model.execution.streams == 1 else time.perf_counter


def describe(entry: Entry, model: Model, seconds: float, telemetry: Telemetry) -> None:
    """Say in the log and in a metric what was loaded and how it is run."""
    record, execution = model.record, model.execution
    telemetry.info.set(
        1,
        entry.name,
        entry.version,
        telemetry.digest,
        record.bin_sha256 if record else "",
        record.precision if record else "",
        execution.inference_precision,
        str(execution.threads),
        str(execution.streams),
        record.openvino if record else "",
    )
    event(
        logging.INFO,
        "loaded",
        model=entry.name,
        version=entry.version,
        seconds=round(seconds, 3),
        **vars(execution),
    )
    if record is None:
        event(
            logging.WARNING, "no release.json: default settings, no self-test", model=entry.name, version=entry.version
        )
    elif (record.name, record.version) != (entry.name, entry.version):
        event(
            logging.WARNING,
            f"release.json is of {record.name} version {record.version}, served under another name",
            model=entry.name,
            version=entry.version,
        )


def judge(entry: Entry, result: Result, telemetry: Telemetry) -> None:
    """Make a loaded model ready, or not, by its self-test."""
    entry.self_test = result
    labels = (entry.name, entry.version)
    if result.passed is not None:
        telemetry.self_test.set(result.passed, *labels)
        telemetry.self_test_samples.set(result.samples, *labels)
        telemetry.self_test_difference.set(result.largest_difference, *labels)
    if result.passed is False:
        fail(entry, "self-test", f"failed its self-test: {result.reason}", telemetry)
        return
    entry.state, entry.reason = "ready", ""
    telemetry.ready.set(1, *labels)
    clear_failed(labels, telemetry)
    event(logging.INFO, f"ready: {result.reason}", model=entry.name, version=entry.version, samples=result.samples)


def fail(entry: Entry, kind: str, reason: str, telemetry: Telemetry) -> None:
    """Take a model out of service and say why."""
    entry.state, entry.reason = "failed", reason
    telemetry.ready.set(0, entry.name, entry.version)
    clear_failed((entry.name, entry.version), telemetry)
    telemetry.failed.set(1, entry.name, entry.version, kind)
    if entry.loaded is not None:  # what fails once it is loaded is its self-test, also one whose samples cannot be read
        telemetry.self_test.set(0, entry.name, entry.version)
    event(logging.ERROR, f"not ready: {reason}", model=entry.name, version=entry.version, reason=kind)


def clear_failed(labels: tuple[str, str], telemetry: Telemetry) -> None:
    """Forget why a model could not be served."""
    failed = telemetry.failed.values
    for key in [key for key in failed if key[:2] == labels]:
        del failed[key]


def new_core(cache: Path | None) -> tuple[Any, Path | None]:
    """OpenVINO's core, imported only now so that the server already answers, and the cache folder to use."""
    import openvino as ov

    return ov.Core(), writable(cache, f"openvino-{ov.__version__}-{instruction_set.detect()}".replace("/", "-"))


def writable(cache: Path | None, key: str) -> Path | None:
    """The folder of the cache for this OpenVINO and processor, None where it cannot be written."""
    if cache is None:
        return None
    folder = cache / key
    probe = folder / ".probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        event(logging.WARNING, f"NEAREDGE_CACHE_DIR is not used: {(error.strerror or '').lower()}", cache=str(cache))
        return None
    return folder


async def in_thread(work: Callable[[], Value]) -> Value:
    """The value of `work`, done in a daemon thread: the end of the process need not wait for a long compilation."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Value] = loop.create_future()

    def settle(value: Value | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]  # without an error there is a value

    def body() -> None:
        value, fault = None, None
        try:
            value = work()
        except Exception as error:  # handed to whoever awaits
            fault = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended meanwhile
            loop.call_soon_threadsafe(settle, value, fault)

    threading.Thread(target=body, name="loader", daemon=True).start()
    return await future
