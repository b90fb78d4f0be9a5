"""The metrics of the server, by name, and where they are set."""

from serving_image import process
from serving_image.metrics import FINE, ROWS, Counter, Histogram, Metric, render

MODEL = ("model", "version")


class Telemetry:
    """All metrics of one server."""

    def __init__(self, digest: str = "") -> None:
        """`digest` is that of the image we run in, empty where unknown."""
        self.digest = digest
        self.requests = Counter("nearedge_requests_total", "Inference requests answered.", (*MODEL, "protocol", "code"))
        self.request_seconds = Histogram(
            "nearedge_request_duration_seconds",
            "Time from an inference request's headers to its response.",
            (*MODEL, "protocol"),
        )
        self.compute_seconds = Histogram(
            "nearedge_compute_duration_seconds", "Time that OpenVINO computed for a request.", MODEL
        )
        self.queue_seconds = Histogram(
            "nearedge_queue_duration_seconds",
            "Time that a request waited to be computed: for a free inference request, and for others in its batch.",
            MODEL,
        )
        self.inference_seconds = Histogram(
            "nearedge_inference_duration_seconds",
            "Time by the clock to wait for and compute a request, without reading and writing it.",
            MODEL,
            FINE,
        )
        self.batch_rows = Histogram(
            "nearedge_batch_size", "Rows (axis 0 of the first input) of each inference.", MODEL, ROWS
        )
        self.max_batch = Metric(
            "nearedge_model_max_batch", "Rows that may be gathered into one inference; 1: none are.", MODEL
        )
        self.in_flight = Metric("nearedge_requests_in_flight", "Inference requests waiting or computed now.", MODEL)
        self.load_seconds = Metric("nearedge_model_load_seconds", "Time to check, read and compile the model.", MODEL)
        self.ready = Metric("nearedge_model_ready", "1 where the model answers requests.", MODEL)
        self.failed = Metric(
            "nearedge_model_failed", "1 where the model cannot be served, and why.", (*MODEL, "reason")
        )
        self.info = Metric(
            "nearedge_model_info",
            "What is served: the image's digest, the weights and how they are run.",
            (*MODEL, "digest", "bin_sha256", "precision", "inference_precision", "threads", "streams", "openvino"),
        )
        self.self_test = Metric("nearedge_self_test_passed", "1 where the golden samples gave what they should.", MODEL)
        self.self_test_samples = Metric(
            "nearedge_self_test_samples", "Golden samples that the latest self-test repeated.", MODEL
        )
        self.self_test_difference = Metric(
            "nearedge_self_test_largest_difference", "Largest absolute difference from a golden answer.", MODEL
        )
        tensor = (*MODEL, "tensor", "of", "bin")
        self.drift_rows = Counter(
            "nearedge_drift_rows_total", "Rows of inputs and outputs by the bins of the drift reference.", tensor
        )
        self.drift_expected = Metric(
            "nearedge_drift_expected_ratio", "Share of the rows that the drift reference has in each bin.", tensor
        )
        self.server_ready = Metric("nearedge_server_ready", "1 where the server takes requests for all its models.")
        self.memory = Metric("process_resident_memory_bytes", "Resident memory.")
        self.cpu = Counter("process_cpu_seconds_total", "CPU time in user and kernel mode.")
        self.files = Metric("process_open_fds", "Open file descriptors.")
        self.started = Metric("process_start_time_seconds", "When the process began, since 1970.")

    def answered(self, model: str, version: str, protocol: str, code: int | str, seconds: float) -> None:
        """Count one inference request that was answered; `code` is HTTP's status, or the name of gRPC's."""
        self.requests.add(1, model, version, protocol, str(code))
        self.request_seconds.observe(seconds, model, version, protocol)

    def text(self, *, ready: bool) -> bytes:
        """What `GET /metrics` gives back."""
        self.server_ready.set(ready)
        self.memory.set(process.resident_bytes())
        self.cpu.set(process.cpu_seconds())
        self.files.set(process.open_files())
        self.started.set(process.start_time())
        return render(metric for metric in vars(self).values() if isinstance(metric, Metric))
