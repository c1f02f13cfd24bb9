"""What the service counts and times, for Prometheus. No ids of users or items stand in it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "shortlist_request_seconds",
            "From the last byte of a request to the end of its answer.",
            ["route"],
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._answers = Counter(
            "shortlist_requests",
            "Requests answered.",
            ["route", "status"],
            registry=self.registry,
        )
        self._stages = Histogram(
            "shortlist_stage_seconds",
            "Time in one stage of a request: wait, embed, search.",
            ["stage"],
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._shed = Counter(
            "shortlist_shed", "Requests refused with 429.", ["reason"], registry=self.registry
        )
        self.in_flight = Gauge(
            "shortlist_in_flight", "Requests being answered.", registry=self.registry
        )
        self.queued = Gauge(
            "shortlist_queued", "Requests waiting for a worker.", registry=self.registry
        )
        self.version = Gauge(
            "shortlist_model_version", "The version that answers.", registry=self.registry
        )
        self.candidates = Gauge(
            "shortlist_model_candidates", "Candidates of that version.", registry=self.registry
        )
        self.loads = Counter(
            "shortlist_model_loads",
            "Versions looked at, by outcome: loaded or refused.",
            ["outcome"],
            registry=self.registry,
        )
        self.closed = Counter(
            "shortlist_slow_clients_closed",
            "Connections closed because the client was too slow.",
            registry=self.registry,
        )
        self.stages = {name: self._stages.labels(name) for name in ("wait", "embed", "search")}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._answers.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def shed(self, reason: str) -> None:
        """Count a request refused with 429, and why: queue or deadline."""
        self._shed.labels(reason).inc()

    def text(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self.registry)
