"""The operator's Prometheus metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector


class OperatorMetrics:
    """The metrics, in a registry of their own so that tests can have several in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.reconciles = Histogram(
            "core4_operator_reconcile_seconds",
            "Time of one reconcile of one CoreJob, writes included.",
            registry=self.registry,
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self.failures = Counter(
            "core4_operator_reconcile_failures",
            "Reconciles that failed and are retried.",
            registry=self.registry,
        )
        self.writes = Counter(
            "core4_operator_status_writes", "Status writes.", registry=self.registry
        )
        self.transitions = Counter(
            "core4_operator_transitions",
            "Changes of state, by the state that was reached.",
            ["state"],
            registry=self.registry,
        )
        self.trials = Counter(
            "core4_operator_trials", "Jobs created for trials.", registry=self.registry
        )
        self.lost = Counter(
            "core4_operator_unjournaled",
            "CoreJobs that were deleted before the journal had them.",
            registry=self.registry,
        )
        self.queued = Gauge(
            "core4_operator_workqueue", "CoreJobs in the work queue.", registry=self.registry
        )
        self.waiting = Gauge(
            "core4_operator_waiting_jobs", "Jobs that wait for a start.", registry=self.registry
        )
        self.active = Gauge(
            "core4_operator_active_jobs", "Jobs that run or are starting.", registry=self.registry
        )
        self.repairs = Counter(
            "core4_operator_sweep_repairs",
            "Objects that a resync found newer than the watches had delivered.",
            registry=self.registry,
        )
        self.scheduled = Counter(
            "core4_operator_scheduled_jobs",
            "Jobs enqueued by a schedule, and times that were skipped.",
            ["outcome"],
            registry=self.registry,
        )
        self.schedule_times = Counter(
            "core4_operator_schedule_times",
            "Times of a template's schedule: enqueued, skipped, or tries that failed.",
            ["template", "outcome"],
            registry=self.registry,
        )
        self.schedule_blocked = Gauge(
            "core4_operator_schedule_blocked",
            "1 while a template's schedule does not enqueue; its condition Scheduled says why.",
            ["template"],
            registry=self.registry,
        )
        self.invalid_templates = Gauge(
            "core4_operator_template_invalid",
            "1 while a template can't be made into a Job; its condition Valid says why.",
            ["template"],
            registry=self.registry,
        )
