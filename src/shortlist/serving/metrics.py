"""What the service counts and times, for Prometheus. No ids of users or items stand in it.

Requests are counted on the event loop's thread alone, so plain numbers are enough. They take 0.3
µs; a counter of prometheus_client, which has a lock, takes 2 µs and a histogram 3 µs. A request
needs five. They become its metrics when somebody asks.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shortlist.live import Follower

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_STAGES = ("wait", "embed", "search")
_ROUTES = (
    "/api/v1/recommend",
    "/api/v1/similar",
    "/api/v1/items",
    "/api/v1/events",
    "/api/v1/users",
    "/api/v1/model",
)


class Times:
    """A histogram of seconds."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one time."""
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self._total += seconds

    def add_to(self, family: HistogramMetricFamily, label: str) -> None:
        """Add these times to the family under a label."""
        buckets, below = [], 0
        for bound, count in zip([*map(float, _BUCKETS), "+Inf"], self._counts, strict=True):
            below += count
            buckets.append((str(bound), below))
        family.add_metric([label], buckets, self._total)


class Metrics:
    """The metrics of one service, in a registry of their own.

    Attributes:
        in_flight: Requests being answered.
        queued: Requests waiting for a worker.
        closed: Connections closed because the client was too slow.
        shed: Requests refused with 429, by why: queue or deadline.
        stages: Time in each stage of a request: wait, embed, search.
        follower: What applies changes, if anything may change.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = 0
        self.queued = 0
        self.closed = 0
        self.shed: Counts[str] = Counts()
        self.follower: Follower | None = None
        self.stages = {name: Times() for name in _STAGES}
        self._answers: Counts[tuple[str, int]] = Counts()
        self._seconds: dict[str, Times] = {}
        self.registry.register(_Requests(self))
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

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answer."""
        route = _route(path)
        self._answers[route, status] += 1
        times = self._seconds.get(route)
        if times is None:
            times = self._seconds[route] = Times()
        times.observe(seconds)

    def text(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self.registry)

    def families(self) -> Iterator[Metric]:
        """Yield what was counted of requests, as Prometheus has it."""
        answers = CounterMetricFamily(
            "shortlist_requests", "Requests answered.", labels=["route", "status"]
        )
        for (route, status), count in self._answers.items():
            answers.add_metric([route, str(status)], count)
        yield answers
        seconds = HistogramMetricFamily(
            "shortlist_request_seconds",
            "From the head of a request to the end of its answer.",
            labels=["route"],
        )
        for route, times in self._seconds.items():
            times.add_to(seconds, route)
        yield seconds
        stages = HistogramMetricFamily(
            "shortlist_stage_seconds",
            "Time in one stage of a request: wait, embed, search.",
            labels=["stage"],
        )
        for stage, times in self.stages.items():
            times.add_to(stages, stage)
        yield stages
        shed = CounterMetricFamily(
            "shortlist_shed", "Requests refused with 429.", labels=["reason"]
        )
        for reason, count in self.shed.items():
            shed.add_metric([reason], count)
        yield shed
        yield CounterMetricFamily(
            "shortlist_slow_clients_closed",
            "Connections closed because the client was too slow.",
            self.closed,
        )
        yield GaugeMetricFamily("shortlist_in_flight", "Requests being answered.", self.in_flight)
        yield GaugeMetricFamily("shortlist_queued", "Requests waiting for a worker.", self.queued)
        if self.follower is not None:
            yield from _of_live(self.follower)


def _of_live(follower: Follower) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "shortlist_live_position",
        "The place in the log of changes up to which they are applied.",
        follower.position,
    )
    yield GaugeMetricFamily(
        "shortlist_live_lag_seconds",
        "From the append of the latest change to its application here.",
        follower.lag_seconds,
    )
    yield GaugeMetricFamily(
        "shortlist_live_refused_items",
        "Items of the log that could not be placed.",
        len(follower.refused),
    )
    yield GaugeMetricFamily(
        "shortlist_live_candidates", "Candidates there are now.", len(follower.current.items)
    )


class _Requests(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()


def _route(path: str) -> str:
    for route in _ROUTES:
        if path == route or path.startswith(route + "/"):
            return route
    if path.startswith("/v1/models/"):
        return "/v1/models"
    if path.startswith("/v2"):
        return "/v2/infer" if path.endswith("/infer") else "/v2"
    return "other"
