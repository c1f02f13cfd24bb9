"""`tune`: the fastest settings that reach a recall, measured on real queries."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist._extras import needs
from shortlist.embeddings import as_embeddings
from shortlist.html import html_table
from shortlist.index.config import SearchSettings
from shortlist.index.numbers import as_real

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shortlist.index.filters import Filter
    from shortlist.index.index import Index

_TIMED = 200  # single queries timed for a point of the curve, fewer for exact search


@dataclass(frozen=True)
class TuningPoint:
    """One measured trade of recall for time.

    Attributes:
        settings: What was measured.
        recall: Mean recall@k on the tuning queries.
        latency: Median microseconds of a single query through `Index.search` on one thread.
        latency_p99: 99th percentile of the same.
    """

    settings: SearchSettings
    recall: float
    latency: float
    latency_p99: float


@dataclass(frozen=True)
class Tuning:
    """What `tune` found.

    Attributes:
        settings: The fastest settings found that reach the target.
        recall: Mean recall@k of `settings` on queries that were not used to choose them.
        interval: 95 % confidence interval of that mean.
        latency: Median microseconds of a single query with `settings`, on one thread.
        latency_p99: 99th percentile of the same.
        target: The recall asked for.
        k: Number of results that recall was measured for.
        curve: The measured points that no other beats in both recall and latency, by rising
            recall.
        queries: How many queries were used to choose, and how many to confirm.

    Example:
        >>> from shortlist.index import Index, tune
        >>> rng = np.random.default_rng(0)
        >>> index = Index.build(rng.normal(size=(2_000, 8)), seed=1)
        >>> tuning = tune(index, rng.normal(size=(200, 8)), recall=0.9)
        >>> tuning.reached, tuning.recall >= 0.9, tuning.k
        (True, True, 10)
        >>> index.settings = tuning.settings
    """

    settings: SearchSettings
    recall: float
    interval: tuple[float, float]
    latency: float
    latency_p99: float
    target: float
    k: int
    curve: tuple[TuningPoint, ...]
    queries: tuple[int, int]

    @property
    def reached(self) -> bool:
        """Whether the confirmed recall is at least the target."""
        return self.recall >= self.target

    def to_dict(self) -> dict[str, Any]:
        """The tuning as plain data, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Tuning:
        """The tuning that `to_dict` gave as plain data; other keys are passed over."""
        values = {field.name: document[field.name] for field in fields(cls)}
        values["settings"] = SearchSettings(**values["settings"])
        values["curve"] = tuple(
            TuningPoint(**{**point, "settings": SearchSettings(**point["settings"])})
            for point in values["curve"]
        )
        for name in ("interval", "queries"):
            values[name] = tuple(values[name])
        return cls(**values)

    def _repr_html_(self) -> str:
        low, high = self.interval
        rows = [
            (
                "exact" if point.settings.exact else point.settings.leaves,
                "" if point.settings.exact else point.settings.rerank,
                "" if point.settings.exact else point.settings.stop,
                "" if point.settings.exact else point.settings.groups or "auto",
                f"{point.recall:.4f}",
                f"{point.latency:.1f}",
                f"{point.latency_p99:.1f}",
            )
            for point in self.curve
        ]
        return html_table(
            f"recall@{self.k} {self.recall:.4f} ({low:.4f} to {high:.4f}) at "
            f"{self.latency:.1f} µs, target {self.target}",
            ("leaves", "rerank", "stop", "groups", "recall", "µs", "µs p99"),
            rows,
        )

    def plot(self) -> Figure:
        """Recall against latency, as a Matplotlib figure; `shortlist[report]` brings Matplotlib."""
        with needs("`Tuning.plot`", "report"):
            from matplotlib.figure import Figure
            from matplotlib.ticker import FuncFormatter

        figure = Figure(figsize=(6.5, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.plot(
            [point.latency for point in self.curve],
            [point.recall for point in self.curve],
            marker="o",
            markersize=4,
            color="#2c3e50",
            label="measured on the tuning queries",
        )
        axes.errorbar(
            [self.latency],
            [self.recall],
            yerr=[[self.recall - self.interval[0]], [self.interval[1] - self.recall]],
            fmt="D",
            color="#c0392b",
            capsize=4,
            zorder=3,
            label=f"chosen, confirmed on {self.queries[1]:,} others",
        )
        axes.axhline(self.target, color="#7f8c8d", linewidth=0.8, linestyle="--")
        axes.set_xscale("log")
        times = [self.latency, *(point.latency for point in self.curve)]
        axes.set_xlim(min(times) / 1.3, max(times) * 1.3)
        for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("median latency of one query, µs")
        axes.set_ylabel(f"recall@{self.k}")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
        return figure


def tune(
    index: Index,
    queries: ArrayLike,
    *,
    k: int = 10,
    recall: float = 0.95,
    latency: float | None = None,
    latency_p99: float | None = None,
    settings: SearchSettings | None = None,
    seed: int = 0,
    where: Any = None,
) -> Tuning:
    """Finds the fastest settings of `index` that reach a recall.

    Half of the queries choose the settings. Over ladders of leaves, `rerank`, `stop` and groups,
    recall@k is measured against exact search, and the time of single queries on one thread. The
    other half confirms the recall. A found row counts as right if its score is no worse than the
    exact k-th, so that ties are not errors.

    Args:
        index: The index; it is not changed. To keep what was found: `index.settings =
            tune(...).settings`.
        queries: Real queries, shape (q, d), at least 20; some hundreds make the recall certain to
            about a percent.
        k: Number of results that will be asked for.
        recall: The recall@k to reach, above 0 and at most 1.
        latency: Most median microseconds for a single query. Where `recall` cannot be had within
            it, the best recall that can is chosen. None sets no limit.
        latency_p99: The same for the 99th percentile.
        settings: Gives the fields that are not tuned: `groups`, where it is not 0; None takes
            `index.settings`.
        seed: Seed of the split into halves.
        where: The condition that the searches will have, as for `Index.search`; None for none. A
            search with a condition visits more leaves than its settings say, by how few candidates
            meet it, so settings tuned without one mostly serve.

    Returns:
        The settings, their confirmed recall and the whole curve. Where the target is out of reach
        of approximate search, or exact search is as fast, the settings are exact.

    Raises:
        ValueError: An argument is out of its range, or there are too few queries.

    Example:
        >>> from shortlist.index import Index
        >>> rng = np.random.default_rng(0)
        >>> candidates = rng.standard_normal((5_000, 16), dtype=np.float32)
        >>> index = Index.build(candidates)
        >>> tuning = tune(index, candidates[:100], recall=0.9)
        >>> tuning.reached, len(tuning.curve) > 0
        (True, True)
    """
    if not hasattr(index, "search"):
        raise TypeError(f"`index` must be an Index, got {type(index).__name__}.")
    recall = as_real(recall, "recall")
    if not 0 < recall <= 1:
        raise ValueError(f"`recall` must be above 0 and at most 1, got {recall}.")
    for name, limit in (("latency", latency), ("latency_p99", latency_p99)):
        if limit is not None and not as_real(limit, name) > 0:
            raise ValueError(f"`{name}` must be above 0 microseconds, got {limit}.")
    asked = as_embeddings(queries, "queries")
    if asked.ndim != 2 or len(asked) < 20:
        raise ValueError(
            f"`queries` must have shape (n, {index.dim}) with n at least 20, got {asked.shape}."
        )
    start = replace(index.settings if settings is None else settings, exact=False)
    asked = asked[np.random.default_rng(seed).permutation(len(asked))]
    half = len(asked) // 2
    allow = None if where is None else index.filter(where)
    if allow is not None and len(allow) == 0:
        raise ValueError(f"`where` must be met by some candidates, got {where!r}, met by none.")
    choosing = _Judge(index, asked[:half], k, allow)
    confirming = _Judge(index, asked[half:], k, allow)

    exact = choosing.point(replace(start, exact=True))
    points = [exact]
    for ladder in _ladders(start, k, index):
        points += choosing.climb(ladder)
    fastest = next((point for point in _front(points) if point.recall >= recall), exact)
    if start.groups == 0 and not fastest.settings.exact:
        for ladder in _fewer_groups(fastest.settings, index):
            points += choosing.climb(ladder)
    curve = _front(points)
    affordable = [
        point
        for point in curve
        if (latency is None or point.latency <= latency)
        and (latency_p99 is None or point.latency_p99 <= latency_p99)
    ] or curve[:1]
    margin = 0.0
    for _ in range(4):
        chosen = next((p for p in affordable if p.recall >= recall + margin), affordable[-1])
        chosen = _refine(choosing, chosen, recall + margin)
        found = confirming.recalls(chosen.settings)
        short = recall - float(found.mean())
        if short <= 0 or chosen is affordable[-1]:
            break
        margin += short
    mean = float(found.mean())
    return Tuning(
        settings=chosen.settings,
        recall=mean,
        interval=(1.0, 1.0) if chosen.settings.exact else _interval(found),
        latency=chosen.latency,
        latency_p99=chosen.latency_p99,
        target=recall,
        k=k,
        curve=tuple(curve),
        queries=(half, len(asked) - half),
    )


def _interval(recalls: NDArray[np.float64]) -> tuple[float, float]:
    """95 % confidence interval of the mean of recalls.

    The interval of Wilson (1927) for a share, with the number of trials that gives the variance
    seen. It stays within 0 and 1, and has a width even where every query found everything.
    """
    n, mean, z = len(recalls), float(recalls.mean()), 1.96
    variance = float(recalls.var(ddof=1))
    trials = n * mean * (1 - mean) / variance if variance > 0 else n
    centre = (mean + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(mean * (1 - mean) / trials + (z / (2 * trials)) ** 2)
    half /= 1 + z * z / trials
    return min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))


class _Judge:
    """Measures settings on some queries, whose exact answers it found once."""

    def __init__(
        self, index: Index, queries: NDArray[np.float32], k: int, allow: Filter | None
    ) -> None:
        self.index, self.queries, self.k, self.allow = index, queries, k, allow
        exact = index.search(queries, k, settings=SearchSettings(exact=True), allow=allow)
        self.wanted = (exact.rows >= 0).sum(axis=1)
        kth = exact.scores[np.arange(len(queries)), self.wanted - 1].astype(np.float64)
        self.least = kth - 1e-6 * np.abs(kth)

    def recalls(self, settings: SearchSettings) -> NDArray[np.float64]:
        """Recall@k of each query."""
        found = self.index.search(self.queries, self.k, settings=settings, allow=self.allow)
        right = (found.scores >= self.least[:, None]) & (found.rows >= 0)
        shares: NDArray[np.float64] = np.minimum(right.sum(axis=1), self.wanted) / self.wanted
        return shares

    def point(self, settings: SearchSettings) -> TuningPoint:
        search, clock = self.index.search, time.perf_counter_ns
        times = []
        for query in self.queries[: 20 if settings.exact else _TIMED]:
            before = clock()
            search(query, self.k, settings=settings, allow=self.allow, threads=1)
            times.append(clock() - before)
        mean = float(self.recalls(settings).mean())
        median, p99 = np.percentile(times, (50, 99)) / 1e3
        return TuningPoint(settings, mean, float(median), float(p99))

    def climb(self, ladder: Iterator[SearchSettings]) -> list[TuningPoint]:
        """The points of a ladder, until its recall rises no more."""
        points: list[TuningPoint] = []
        for settings in ladder:
            points.append(self.point(settings))
            reached, last = points[-1].recall, points[-2].recall if len(points) > 1 else -1.0
            if reached > 0.9995 or (reached > 0.5 and reached - last < 1e-4):
                break
        return points


def _ladders(start: SearchSettings, k: int, index: Index) -> Iterator[Iterator[SearchSettings]]:
    """For each way to stop and number of rows to rerank, rising numbers of leaves."""
    leaves = index._engine.num_leaves
    # Passing over what looks poor took p50 from 30 to 10 microseconds at recall .98 on the
    # headline set of benchmarks/ann.py; 0.1 to 0.3 is best where dimensions are few.
    for stop in sorted({0.1, 0.2, 0.3, 0.45, 0.6, start.stop}) if leaves > 1 else (start.stop,):
        for factor in (1, 1.25, 1.6, 3.2, 6.4, 12.8):
            rerank = min(round(factor * k), len(index))
            yield (replace(start, leaves=step, rerank=rerank, stop=stop) for step in _steps(leaves))


def _fewer_groups(found: SearchSettings, index: Index) -> Iterator[Iterator[SearchSettings]]:
    """For fewer groups than are searched by themselves, rising numbers of leaves.

    At recall .90 on clustered vectors a third of the groups took a sixth off the time.
    """
    groups = index.describe()["groups"]
    for some in sorted({groups // 5, groups // 3, groups // 2} - {0}):
        steps = _steps(index._engine.num_leaves * some // groups)
        yield (replace(found, leaves=step, groups=some) for step in steps)


def _steps(leaves: int) -> list[int]:
    """Rising numbers of leaves, two to a doubling."""
    return sorted({min(leaves, round(2 ** (i / 2))) for i in range(2 * leaves.bit_length())})


def _front(points: list[TuningPoint]) -> list[TuningPoint]:
    """The points that no other beats in both recall and latency, by rising recall."""
    front: list[TuningPoint] = []
    for point in sorted(points, key=lambda p: (-p.recall, p.latency)):
        if not front or point.latency < front[-1].latency:
            front.append(point)
    return front[::-1]


def _refine(judge: _Judge, chosen: TuningPoint, recall: float) -> TuningPoint:
    """Fewer leaves than `chosen` has, by bisection down to the rung below, if they suffice."""
    if chosen.settings.exact or chosen.recall < recall:
        return chosen
    low, high = int(chosen.settings.leaves / math.sqrt(2)), chosen.settings.leaves
    while high - low > 1:
        middle = (low + high) // 2
        fewer = replace(chosen.settings, leaves=middle)
        if judge.recalls(fewer).mean() >= recall:
            high = middle
        else:
            low = middle
    return (
        chosen
        if high == chosen.settings.leaves
        else judge.point(replace(chosen.settings, leaves=high))
    )
