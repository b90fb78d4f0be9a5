"""What the protocol means: metadata, readiness and inference. REST and gRPC both translate to it."""

import logging
import time
from typing import Any, NamedTuple

from serving_image import __version__, loader, process, self_test
from serving_image.faults import (
    LoadError,
    NotFoundError,
    RequestError,
    TimedOutError,
    UnavailableError,
)
from serving_image.fit import chosen, matched, refused
from serving_image.logs import event
from serving_image.messages import InferenceRequest, InferenceResponse
from serving_image.pool import Answer
from serving_image.repository import Entry, Loaded, Repository
from serving_image.settings import Settings
from serving_image.telemetry import Telemetry
from serving_image.tensors import Array, Spec, Tensor

EXTENSIONS = ["binary_tensor_data", "logging"]
PLATFORM = "openvino"


class Call(NamedTuple):
    """One inference that can be computed: `arrays` in the model's order, `wanted` the places of its outputs."""

    entry: Entry
    loaded: Loaded
    arrays: list[Array]
    wanted: list[int]


class DataPlane:
    """One server's models and their state."""

    def __init__(self, repository: Repository, settings: Settings, telemetry: Telemetry) -> None:
        """Nothing is loaded yet: `loader.load_all` does that."""
        self.repository = repository
        self.settings = settings
        self.telemetry = telemetry
        self.draining = False
        self.ready_after: float | None = None

    def server_metadata(self) -> dict[str, Any]:
        """The server's name, version and extensions."""
        return {"name": "nearedge", "version": __version__, "extensions": EXTENSIONS}

    def ready(self) -> bool:
        """Whether every model answers, the folder holds what was asked for, and we are not about to end."""
        if self.draining or self.repository.fault:
            return False
        entries = self.repository.entries()
        return bool(entries) and all(entry.state == "ready" for entry in entries)

    def readiness(self) -> dict[str, Any]:
        """Why we are ready or not: what `GET /v2/health/ready` says. `ready_after_ms`: since the process began."""
        ready = self.ready()
        states = {entry.state for entry in self.repository.entries()}
        state = "ready"
        if not ready:
            failed = bool(self.repository.fault) or "failed" in states
            state = (
                "draining" if self.draining else "loading" if "loading" in states else "failed" if failed else "ready"
            )
        document: dict[str, Any] = {"ready": ready, "state": state}
        if self.ready_after is not None:
            document["ready_after_ms"] = round(self.ready_after * 1000, 1)
        if not ready:
            document["error"] = self.reason()
        document["models"] = [
            {"name": entry.name, "version": entry.version, "state": entry.state, "reason": entry.reason}
            for entry in self.repository.entries()
        ]
        return document

    def reason(self) -> str:
        """One line that says why we are not ready."""
        if self.draining:
            return "shutting down"
        if self.repository.fault:
            return self.repository.fault
        return "; ".join(
            f"{entry.title}: {entry.reason}" for entry in self.repository.entries() if entry.state != "ready"
        )

    async def load(self) -> None:
        """Load all models, and note when we became ready."""
        await loader.load_all(self.repository, self.settings, self.telemetry)
        if self.ready():
            self.ready_after = process.uptime()
            event(logging.INFO, "server ready", seconds=round(self.ready_after, 3))

    def model_metadata(self, name: str, version: str | None) -> dict[str, Any]:
        """Versions, inputs and outputs of a model. Raises NotFoundError, UnavailableError where it is not loaded."""
        entry = self.repository.entry(name, version)
        model = self.loaded(entry).model
        return {
            "name": entry.name,
            "versions": self.repository.versions(name),
            "platform": PLATFORM,
            "inputs": [described(spec) for spec in model.inputs],
            "outputs": [described(spec) for spec in model.outputs],
        }

    def model_readiness(self, name: str, version: str | None) -> dict[str, Any]:
        """Whether one model answers. Raises NotFoundError."""
        entry = self.repository.entry(name, version)
        ready = entry.state == "ready" and not self.draining
        document: dict[str, Any] = {"name": entry.name, "version": entry.version, "ready": ready}
        if not ready:
            document["error"] = "shutting down" if self.draining else f"{entry.title}: {entry.reason}"
        return document

    def release(self, name: str, version: str | None) -> dict[str, Any]:
        """The identity of the release. Raises NotFoundError, also where the folder holds no release.json."""
        entry = self.repository.entry(name, version)
        record = self.loaded(entry).model.record
        if record is None:
            raise NotFoundError(f"{entry.title}: its folder holds no release.json")
        return record.document

    async def self_test(self, name: str, version: str | None) -> dict[str, Any]:
        """Repeat the golden samples now; the model is ready from now on if they hold, else not.

        Raises NotFoundError, UnavailableError where the model is not loaded, busy, or under test already.
        """
        entry = self.repository.entry(name, version)
        loaded = self.loaded(entry)
        if entry.testing or entry.state == "loading":
            raise UnavailableError(f"{entry.title}: its self-test runs already")
        entry.testing = True
        try:
            result = await self_test.run(loaded.model, entry.folder, loaded.pool)
            loader.judge(entry, result, self.telemetry)
        except LoadError as fault:
            loader.fail(entry, fault.kind, str(fault), self.telemetry)
            raise UnavailableError(f"{entry.title}: {fault}") from None
        finally:
            entry.testing = False
        return result.document()

    def loaded(self, entry: Entry) -> Loaded:
        """The model behind an entry. Raises UnavailableError where there is none yet, or never will be."""
        if entry.loaded is None:
            raise UnavailableError(f"{entry.title}: {entry.reason}", retry_after=2)
        return entry.loaded

    async def infer(self, request: InferenceRequest, timeout: float | None = None) -> InferenceResponse:
        """One inference; `timeout` is what is left of the request's time in seconds, all of it where it is None.

        Raises NotFoundError, BadRequestError, UnavailableError, TimedOutError.
        """
        call = self.prepared(request)
        entry, loaded = call.entry, call.loaded
        self.telemetry.in_flight.add(1, entry.name, entry.version)
        try:
            start = time.perf_counter()
            answer = await loaded.run(call.arrays, self.settings.timeout if timeout is None else timeout)
            took = time.perf_counter() - start
        except TimedOutError:
            raise TimedOutError(f"no answer within {self.settings.timeout:g} s") from None
        except RequestError:
            raise
        except RuntimeError as error:
            raise refused(loaded.model, error) from error
        finally:
            self.telemetry.in_flight.add(-1, entry.name, entry.version)
        return self.answered(request, call, answer, took, took - answer[1])

    def infer_at_once(self, request: InferenceRequest) -> InferenceResponse | None:
        """One inference without waiting for anything; None where that is not possible. Raises as `infer` does."""
        call = self.prepared(request)
        if call.loaded.batcher is not None:
            return None
        start = time.perf_counter()
        try:
            answer = call.loaded.pool.at_once(call.arrays)
        except RuntimeError as error:
            raise refused(call.loaded.model, error) from error
        took = time.perf_counter() - start
        return None if answer is None else self.answered(request, call, answer, took, 0.0)

    def prepared(self, request: InferenceRequest) -> Call:
        """What is to be computed. Raises NotFoundError, BadRequestError, UnavailableError."""
        entry = self.repository.entry(request.model, request.version)
        if entry.state != "ready":
            raise UnavailableError(f"{entry.title}: {entry.reason}", retry_after=2)
        loaded = self.loaded(entry)
        arrays = matched(loaded.model, request.tensors, refuse_nan=self.settings.refuse_nan)
        return Call(entry, loaded, arrays, chosen(loaded.model, request.outputs))

    def answered(
        self, request: InferenceRequest, call: Call, answer: Answer, took: float, waited: float
    ) -> InferenceResponse:
        """The response, counted; it `took` that many seconds by the clock, of which it `waited` for its turn."""
        outputs, seconds = answer
        entry, arrays, specs = call.entry, call.arrays, call.loaded.model.outputs
        labels = (entry.name, entry.version)
        self.telemetry.compute_seconds.observe(seconds, *labels)
        self.telemetry.queue_seconds.observe(max(0.0, waited), *labels)
        self.telemetry.inference_seconds.observe(took, *labels)
        if call.loaded.batcher is None:
            self.telemetry.batch_rows.observe(arrays[0].shape[0] if arrays and arrays[0].ndim else 1, *labels)
        if call.loaded.drift is not None:
            call.loaded.drift.observe(arrays, outputs)
        tensors = [Tensor(specs[at].name, specs[at].datatype, outputs[at]) for at in call.wanted]
        return InferenceResponse(entry.name, entry.version, request.id, tensors)

    def close(self) -> bool:
        """End the threads; whether all of them did."""
        pools = [entry.loaded.pool for entry in self.repository.entries() if entry.loaded is not None]
        loading = any(entry.state == "loading" for entry in self.repository.entries())
        ended = [pool.close() for pool in pools]
        return all(ended) and not loading


def described(spec: Spec) -> dict[str, Any]:
    """A tensor's metadata."""
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
