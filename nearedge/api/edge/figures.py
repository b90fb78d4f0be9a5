"""A model server's metrics as the figures that a person asks for."""

from collections.abc import Sequence

from nearedge.api.edge import exposition
from nearedge.api.edge.documents import Latency, Metrics, SourceState
from nearedge.api.edge.exposition import INFER_SECONDS, Sample
from nearedge.api.edge.held import when

MS = 1000


def summary(name: str, everything: Sequence[Sample], sources: list[SourceState]) -> Metrics:
    """The figures about a model."""
    own = exposition.of_model(everything, name)
    codes = exposition.by_code(own)
    histogram = exposition.buckets(own, INFER_SECONDS)
    shares = [exposition.quantile(histogram, share) for share in (0.5, 0.95, 0.99)]
    mean = exposition.mean(own, INFER_SECONDS)
    memory = exposition.first(everything, "process_resident_memory_bytes")
    began = exposition.first(everything, "process_start_time_seconds")
    return Metrics(
        name=name,
        sources=sources,
        requests=sum(codes.values()),
        errors=sum(count for code, count in codes.items() if exposition.is_error(code)),
        by_code=codes,
        in_flight=int(exposition.first(own, "nearedge_requests_in_flight") or 0),
        latency=Latency(
            p50_ms=milliseconds(shares[0]), p95_ms=milliseconds(shares[1]), p99_ms=milliseconds(shares[2]),
            mean_ms=milliseconds(mean),
        ),
        load_seconds=exposition.first(own, "nearedge_model_load_seconds"),
        server_resident_bytes=None if memory is None else int(memory),
        server_cpu_seconds=exposition.first(everything, "process_cpu_seconds_total"),
        server_started=None if began is None else when(began),
    )  # fmt: skip


def milliseconds(seconds: float | None) -> float | None:
    """Seconds in milliseconds, to the microsecond."""
    return None if seconds is None else round(seconds * MS, 3)
