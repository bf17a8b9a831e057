"""Prometheus metrics of the recorder."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector


class RecorderMetrics:
    """The recorder's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.followers = Gauge(
            "core4_recorder_followers", "Pods whose log is followed.", registry=self.registry
        )
        self.lines = Counter(
            "core4_recorder_lines", "Records and printed lines stored.", registry=self.registry
        )
        self.bytes = Counter(
            "core4_recorder_bytes", "Bytes of the lines stored.", registry=self.registry
        )
        self.commits = Histogram(
            "core4_recorder_commit_seconds",
            "Time of a transaction.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
            registry=self.registry,
        )
        self.store_failures = Counter(
            "core4_recorder_store_failures",
            "Transactions that the store refused or did not answer.",
            registry=self.registry,
        )
        self.reconnects = Counter(
            "core4_recorder_reconnects",
            "Log connections that broke and were opened again.",
            registry=self.registry,
        )
        self._unreadable: set[str] = set()
        self._unreadable_logs = Gauge(
            "core4_recorder_unreadable_logs",
            "Logs that can't be read at the moment, for some seconds or longer.",
            registry=self.registry,
        )
        self.lost = Counter(
            "core4_recorder_lost_trials", "Trials with lines missing.", registry=self.registry
        )
        self.journaled = Counter(
            "core4_recorder_journaled_jobs", "Past jobs taken over.", registry=self.registry
        )
        self.deleted_jobs = Counter(
            "core4_recorder_retention_jobs",
            "Past jobs that retention deleted.",
            registry=self.registry,
        )
        self.deleted_bytes = Counter(
            "core4_recorder_retention_bytes",
            "Approximate size in bytes of the past jobs that retention deleted.",
            registry=self.registry,
        )
        self.stored_bytes = Gauge(
            "core4_recorder_stored_bytes",
            "Approximate size in bytes of all past jobs and all logs, as of retention's last run.",
            registry=self.registry,
        )

    def unreadable(self, pod_uid: str, *, unreadable: bool) -> None:
        """Add a log that can't be read to the gauge, or remove it."""
        (self._unreadable.add if unreadable else self._unreadable.discard)(pod_uid)
        self._unreadable_logs.set(len(self._unreadable))
