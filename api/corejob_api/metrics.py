"""The API's Prometheus metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector


class ApiMetrics:
    """The API's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Histogram(
            "core4_api_request_seconds",
            "Seconds until the response starts.",
            ("method", "route", "status"),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
            registry=self.registry,
        )
        self.streams = Gauge("core4_api_streams", "Open event streams.", registry=self.registry)
        self.frames = Counter(
            "core4_api_frames", "Frames sent, by type.", ("event",), registry=self.registry
        )
        self.queued = Gauge("core4_api_queue", "Jobs in the queue.", registry=self.registry)
        self.enqueued = Counter("core4_api_enqueued", "Jobs enqueued.", registry=self.registry)
        self.failed_sign_ins = Counter(
            "core4_api_failed_sign_ins",
            "Failed sign-ins, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self.refused_sign_ins = Counter(
            "core4_api_refused_sign_ins",
            "Password checks refused because too many were queued, by limit.",
            ("limit",),
            registry=self.registry,
        )
